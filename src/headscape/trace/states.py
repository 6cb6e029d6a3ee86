"""The states that meet at one attention call, as vectors."""

from dataclasses import dataclass, fields
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Norm:
    """A normalisation of each token's state, as the model applied it.

    Attributes
    ----------
    kind : str
        ``"layer"``: (x - mean) / sqrt(variance + eps); ``"rms"``: x / sqrt(mean square + eps).
    weight, bias : (model,) float32 array, or None
        What the result is multiplied with, and what is added to it.
    eps : float
        What is added under the root.
    """

    kind: Literal["layer", "rms"]
    weight: Floats | None
    bias: Floats | None
    eps: float

    def scale(self, state: Floats) -> Floats:
        """Return what a state (token, model) is divided by: (token,) float32."""
        centred = state - state.mean(-1, keepdims=True) if self.kind == "layer" else state
        spread: Floats = np.sqrt((centred**2).mean(-1) + self.eps)
        return spread

    def part(self, part: Floats, scale: Floats) -> Floats:
        """Return what a part of a state becomes, (..., token, model), the state's scale held fast.

        Parts that add up to a state add up to its normalised form without the bias.
        """
        centred = part - part.mean(-1, keepdims=True) if self.kind == "layer" else part
        found: Floats = centred / scale[..., None]
        return found if self.weight is None else found * self.weight


@dataclass(frozen=True, eq=False, repr=False)
class StateArrays:
    """The states of a call for the whole batch; see :class:`CallStates`. A batch axis comes first.

    ``projection`` and the norms belong to all examples.
    """

    values: Floats
    projection: Floats | None = None
    residual: Floats | None = None
    attention: Floats | None = None
    stream: Floats | None = None
    feed_forward: Floats | None = None
    norm_after_attention: Norm | None = None
    norm_after_feed_forward: Norm | None = None

    def one(self, example: int) -> "CallStates":
        """Return the states of one example."""
        found = {
            name: None if (array := getattr(self, name)) is None else array[example]
            for name in ("residual", "attention", "stream", "feed_forward")
        }
        return CallStates(
            self.values[example], self.projection, **found,
            norm_after_attention=self.norm_after_attention,
            norm_after_feed_forward=self.norm_after_feed_forward,
        )  # fmt: skip


@dataclass(frozen=True, eq=False, repr=False)
class CallStates:
    """What met at the tokens of one call, of one example, as float32 vectors of the model's width.

    ``residual + attention`` is the sum after attention, ``stream + feed_forward`` that after the feed-forward
    part. In a block that normalises first, ``stream`` is the sum after attention; in one that normalises
    last, it is that sum normalised.

    Attributes
    ----------
    values : (value_head, key, width) array
        Head h reads value head ``h // (heads // value_heads)``.
    projection : (model, head * width) array, or None
        The output projection as ``nn.Linear`` holds it, columns in order of head, then width.
    residual, attention, stream, feed_forward : (query, model) array, or None
        NaN in rows where they were not seen; None where none was.
    norm_after_attention, norm_after_feed_forward : Norm or None
        A normalisation that acts on the sum and makes the stream of it.
    """

    values: Floats
    projection: Floats | None
    residual: Floats | None
    attention: Floats | None
    stream: Floats | None
    feed_forward: Floats | None
    norm_after_attention: Norm | None = None
    norm_after_feed_forward: Norm | None = None

    def __repr__(self) -> str:
        there = (f.name for f in fields(self) if getattr(self, f.name) is not None)
        return f"CallStates({', '.join(there)})"

    def carried(self) -> Floats:
        """Return what an edge of weight 1 adds to the residual stream, (head, key, model) float32.

        ``v_j W_O`` of each head: times the weights and summed over heads and keys it is the attention's
        output without its bias. It takes heads x keys x model numbers.

        Raises
        ------
        NotKeptError
            No output projection was seen.
        """
        from headscape.errors import NotKeptError

        if self.projection is None:
            raise NotKeptError(
                "no output projection was seen behind this call, so what its edges add to the residual "
                "stream is not known. trace.warnings says where that was so."
            )
        shared, _, width = self.values.shape
        heads = self.projection.shape[1] // width
        per_head = self.projection.reshape(self.projection.shape[0], heads, width)
        values = np.repeat(self.values, heads // shared, axis=0)
        carried: Floats = np.matmul(values, per_head.transpose(1, 2, 0))
        return carried
