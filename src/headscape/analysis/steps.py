"""How the calls of a pass join: which states meet in each, and with what shares."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from headscape.analysis.answer import side_padding
from headscape.analysis.rows import whole_rows
from headscape.errors import NotKeptError, OptionError, ShapeError, expect_index
from headscape.trace.call import AttentionCall
from headscape.trace.trace import Trace

Doubles: TypeAlias = npt.NDArray[np.float64]
Flags: TypeAlias = npt.NDArray[np.bool_]
Share: TypeAlias = float | Literal["measured"]
# What a call's edges are worth, (head, query, key) with NaN rows where it is not known.
Worth: TypeAlias = Callable[[AttentionCall, int], Doubles]

# The residual's share and attention's, where nobody measured: Abnar and Zuidema's choice.
HALF = 0.5


@dataclass(frozen=True, eq=False)
class Step:
    """One call as a mixing of states: a query keeps ``1 - share`` of its own and takes ``share`` from keys.

    Attributes
    ----------
    call : AttentionCall
        Which.
    shift : int
        Added to a query to get its token (behind a cache, queries are the last tokens).
    mix : (head, query, key) float64 array
        What a query takes from each key through each head: sums to 1 over heads and keys. 0 where the query
        takes nothing, NaN where the model made its rows NaN.
    share : (query,) float64 array
        Attention's share, 0 to 1; 0 where the query takes nothing.
    padded : (query,) bool array
        Padding.
    """

    call: AttentionCall
    shift: int
    mix: Doubles = field(repr=False)
    share: Doubles = field(repr=False)
    padded: Flags = field(repr=False)


def expect_joined(trace: Trace) -> None:
    """Raise unless every call's keys are tokens of a side, so that states can be followed through it.

    Raises
    ------
    NoAttentionError
        The trace has no calls.
    ShapeError
        A call has keys that no token stands behind, or tokens that do not fit its side.
    """
    trace._seen()
    for call in trace.calls:
        side, keys = trace.sides[call.query_side], trace.sides[call.key_side]
        where = call.site or "the model itself"
        if keys.name.startswith("keys with bias"):
            raise ShapeError(
                f"{where} attends to keys that no token stands behind (bias_k, bias_v or a zero key), so "
                "what flows through it cannot be followed to tokens. Measures of single calls, such as "
                "weights and contributions, work on it."
            )
        if call.shape[2] > side.length or call.shape[3] > keys.length:
            raise ShapeError(
                f"{where} has {call.shape[2]} queries and {call.shape[3]} keys, but its sides have "
                f"{side.length} and {keys.length} tokens, so states cannot be followed through it."
            )


def read_step(
    trace: Trace, call: AttentionCall, example: int, *, share: Share = HALF, worth: Worth | None = None
) -> Step:
    """Read one call as a step.

    Parameters
    ----------
    trace, call, example
        What to read.
    share : float or "measured"
        Attention's share in each query's new state, 0 to 1; ``"measured"``: that of the norms that met in
        the model (``call.flow().attention_share``).
    worth : function, optional
        What a query takes from each key, in any unit; default the weights.

    Raises
    ------
    NotKeptError, ShapeError
        The weights are not whole, rows do not sum to 1, or no share was measured.
    OptionError
        ``share`` is no share.
    """
    rows = whole_rows(call, example) if worth is None else worth(call, example)
    padded = call.padded(example)
    sees = np.asarray((call.visible(example) > 0).any(0) & ~padded)
    alive = np.asarray(np.isfinite(rows).all(-1))  # (head, query)
    to_padding = call.padded_keys(example)
    mix = np.where(alive[..., None], rows, 0)
    total = mix.sum((0, 2))
    takes = np.asarray(alive.any(0) & (total > 0))
    mix = mix / np.where(takes, total, 1)[None, :, None]
    mix[..., to_padding] = 0
    unknown = np.asarray(sees & ~alive.any(0))
    mix[:, unknown] = np.nan
    shares = np.where(takes | unknown, _shares(call, example, share, takes), 0)
    return Step(call, trace.sides[call.query_side].length - call.shape[2], mix, shares, padded)


def _shares(call: AttentionCall, example: int, share: Share, takes: Flags) -> Doubles:
    if isinstance(share, str):
        if share != "measured":
            raise OptionError(f'share={share!r} is no share; pass a number from 0 to 1, or "measured".')
        found = call.flow(example).attention_share.astype(np.float64)
        if np.isnan(found[takes]).any():
            raise NotKeptError(
                f"{call.site or 'the model itself'} has no measured share of attention: the residual it "
                "joins was not seen. Pass share=0.5."
            )
        return found
    if not 0 <= share <= 1:
        raise OptionError(f"share={share} is no share; it goes from 0 (residual only) to 1 (attention only).")
    return np.full(call.shape[2], float(share))


class States:
    """What each token's state is made of, while the calls run: rows over the tokens it began with.

    Parameters
    ----------
    trace : Trace
        Whose sides.
    """

    def __init__(self, trace: Trace) -> None:
        lengths = [side.length for side in trace.sides]
        self.starts = np.cumsum([0, *lengths])
        whole = np.eye(int(self.starts[-1]))
        self.sides = [whole[a:b] for a, b in zip(self.starts[:-1], self.starts[1:], strict=True)]

    def take(self, step: Step, joined: Doubles) -> None:
        """Let one step act; ``joined`` is its mixing without heads, (query, key)."""
        call = step.call
        taken = mix_states(joined, self.sides[call.key_side][: call.shape[3]])
        state = self.sides[call.query_side].copy()
        own = slice(step.shift, step.shift + call.shape[2])
        keeps = (1 - step.share)[:, None] * state[own]
        state[own] = keeps + np.where(step.share > 0, step.share, 0)[:, None] * taken
        self.sides[call.query_side] = state


def mix_states(mix: Doubles, states: Doubles) -> Doubles:
    """Return ``mix @ states``; an unknown state (NaN) spoils only the rows that take some of it."""
    unknown = np.asarray(np.isnan(states).any(-1))
    found: Doubles = mix @ np.where(unknown[:, None], 0, states)
    if unknown.any():
        found[(np.nan_to_num(mix[:, unknown]) > 0).any(-1)] = np.nan
    return found


def blank_padding(trace: Trace, example: int, side: int, rows: Doubles) -> Doubles:
    """Return rows (..., token, input) of a side with NaN for its padded tokens."""
    found = rows.copy()
    found[..., side_padding(trace, example, side), :] = np.nan
    return found


def example_of(trace: Trace, example: int) -> int:
    """Return an example's index, or say which there are."""
    return expect_index("trace", "example", example, trace.batch)
