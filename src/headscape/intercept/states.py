"""States as vectors, where a capture is asked for them: values, what meets at a sum, and its norm."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from headscape.intercept.settle import Standing
from headscape.trace.states import Norm, StateArrays

Floats = npt.NDArray[np.float32]
_KINDS = {"layer_norm": "layer", "rms_norm": "rms"}


@dataclass
class States:
    """The states of one call, filled while the pass goes on."""

    shape: tuple[int, int]  # example, row
    values: Floats | None = None  # (example, value head, key, width)
    projection: Floats | None = None
    parts: dict[str, Floats] = field(default_factory=dict)  # (example, row, model)
    norms: dict[str, Norm] = field(default_factory=dict)

    def keep_values(self, value: Tensor, standing: Standing) -> None:
        """Keep a call's values, (group, value head, key, width)."""
        kept = numbers(value)
        if not standing.is_plain:
            kept = np.moveaxis(standing.spread_keys(np.moveaxis(kept, 2, 3), np.float32(0)), 3, 2)
        self.values = kept

    def note(self, name: str, state: Tensor, codes: Tensor | None, own: npt.NDArray[np.int64] | None) -> None:
        """Keep one part of a sum, (..., model), at the rows of the call; ``codes`` are its rows' places."""
        if state.is_nested:
            return
        rows = numbers(state)
        if codes is None or own is None:
            if rows.shape[:-1] == self.shape:
                self.parts[name] = rows
            return
        flat, places = rows.reshape(-1, rows.shape[-1]), codes.detach().cpu().reshape(-1).numpy()
        order = np.argsort(places, kind="stable")
        at = np.minimum(np.searchsorted(places[order], own), max(0, len(order) - 1))
        if not len(order):
            return
        found = flat[order[at]]
        found[places[order[at]] != own] = np.nan
        self.parts[name] = found

    def take_fused(self, summed: list[tuple[Tensor, Tensor]], named: dict[str, Any]) -> None:
        """Take the two sums of torch's fused encoder layer, and its norms from its arguments."""
        names = (("attention", "residual"), ("feed_forward", "stream"))
        for (part, state), pair in zip(summed[:2], names, strict=False):
            self.parts |= {pair[0]: numbers(part), pair[1]: numbers(state)}
        if named["norm_first"]:
            return
        for n, (name, _) in enumerate(names, start=1):
            weight, bias = (numbers(named[f"norm_{which}_{n}"]) for which in ("weight", "bias"))
            self.norms[name] = Norm("layer", weight, bias, float(named["eps"]))

    def arrays(self) -> StateArrays | None:
        """Return what was kept; None if not even values were."""
        if self.values is None:
            return None
        return StateArrays(
            self.values, self.projection, **self.parts,
            norm_after_attention=self.norms.get("attention"),
            norm_after_feed_forward=self.norms.get("feed_forward"),
        )  # fmt: skip


@dataclass(frozen=True, eq=False)
class Normed:
    """A sum after a normalisation; whether that makes the stream is seen when the next part is added."""

    norm: Norm
    states: States
    is_second: bool  # it follows the feed-forward part

    def settle(self) -> None:
        """Say that it does."""
        self.states.norms["feed_forward" if self.is_second else "attention"] = self.norm


def norm_of(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Norm | None:
    """Read the arguments of torch.nn.functional's layer_norm or rms_norm over the last axis."""
    kind = _KINDS.get(name)
    if kind is None:
        return None
    names = ("input", "normalized_shape", "weight", "bias", "eps")
    named = dict(zip(names if kind == "layer" else (*names[:3], "eps"), args, strict=False)) | kwargs
    if len(tuple(named["normalized_shape"])) != 1:
        return None
    weight, bias = (None if (t := named.get(n)) is None else numbers(t) for n in ("weight", "bias"))
    eps = named.get("eps", 1e-5)
    if eps is None:
        eps = torch.finfo(named["input"].dtype).eps
    return Norm("layer" if kind == "layer" else "rms", weight, bias, float(eps))


def numbers(tensor: Tensor) -> Floats:
    """Return a copy of a tensor as float32 numbers."""
    found: Floats = tensor.detach().to(torch.float32, copy=True).cpu().numpy()
    return found
