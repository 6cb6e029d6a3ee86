"""What the parts of a state have in it, by how much nearer to the whole they bring the others."""

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from headscape.analysis.reaching import read_reaching
from headscape.analysis.rows import whole_rows
from headscape.errors import NotKeptError, ShapeError
from headscape.trace.call import AttentionCall, Floats
from headscape.trace.states import CallStates

Doubles: TypeAlias = npt.NDArray[np.float64]
Longs: TypeAlias = npt.NDArray[np.int64]

# The least a part is counted with, before shares: Ferrando and Voita's choice.
LEAST = 1e-5
# Numbers that one block of parts may hold: 1 MB of float32, which stays near the processor.
MOST_NUMBERS = 250_000


@dataclass(frozen=True, eq=False)
class StateParts:
    """Shares of what makes up the states behind one call, for some of its queries.

    Attributes
    ----------
    residual, bias, beside : (query,) float64 array
        Shares of the residual, of attention's output bias, and of what else joins with the attention (a
        feed-forward part that runs beside it) in the sum behind the attention. ``bias`` or ``beside`` is 0.
    attention : (head, query, key) float64 array
        Shares of what each head brings from each key; 0 where the weight is 0. With the three others they
        sum to 1.
    feed_forward : (query,) float64 array, or None
        Share of the feed-forward output in the sum behind it; what it joins has the rest. None where no
        feed-forward part was seen.
    """

    residual: Doubles = field(repr=False)
    bias: Doubles = field(repr=False)
    beside: Doubles = field(repr=False)
    attention: Doubles = field(repr=False)
    feed_forward: Doubles | None = field(repr=False)


def part_shares(whole: npt.ArrayLike, parts: npt.ArrayLike) -> Doubles:
    """Return each part's share in a whole: ``max(|whole|_1 - |whole - part|_1, 1e-5)``, over their sum.

    Parameters
    ----------
    whole : (model,) float array
        The state.
    parts : (part, model) float array
        What it is the sum of.

    Returns
    -------
    (part,) float64 array
        Shares, above 0, that sum to 1. A part that points away from the whole gets next to nothing.

    Raises
    ------
    ShapeError
        There is no part, or its width is another than the whole's.

    References
    ----------
    .. [1] "Information Flow Routes: Automatically Interpreting Language Models at Scale", Ferrando and
       Voita, EMNLP 2024, doi:10.18653/v1/2024.emnlp-main.965

    Examples
    --------
    >>> part_shares([3.0, 1.0], [[3.0, 0.0], [0.0, 1.0]]).tolist()
    [0.75, 0.25]
    """
    y, p = np.asarray(whole, np.float64), np.asarray(parts, np.float64)
    if y.ndim != 1 or p.ndim != 2 or not len(p) or p.shape[1] != len(y):
        raise ShapeError(
            f"part_shares() got a whole of shape {y.shape} and parts of shape {p.shape}, but (model,) and "
            "(part, model) with at least one part are needed."
        )
    found = _nearness(y, p)
    shares: Doubles = found / found.sum()
    return shares


def _nearness(whole: npt.NDArray[np.floating], parts: npt.NDArray[np.floating]) -> Doubles:
    """Return how much nearer each part (..., model) brings to a whole that broadcasts against it."""
    left = np.subtract(whole, parts)
    np.abs(left, out=left)
    # The difference is taken number by number: sums of many large ones would round it away.
    np.subtract(np.abs(whole), left, out=left)
    sums = left @ np.ones(left.shape[-1], left.dtype)  # some three times as fast as sum() along the last axis
    found: Doubles = np.maximum(sums, LEAST).astype(np.float64)
    return found


def read_parts(call: AttentionCall, example: int, queries: Longs) -> StateParts:
    """Work out what makes up the states of some queries behind one call.

    Parameters
    ----------
    call : AttentionCall
        Captured with ``keep="all", states=True``.
    example : int
        Which example of the batch.
    queries : (query,) int array
        Rows of the call; none of them padding.

    Raises
    ------
    NotKeptError
        States were not captured, or not seen at one of the queries.

    Notes
    -----
    Memory: heads x keys x model numbers for the vectors that heads carry, and 1 MB beside the result.
    """
    states = call.states(example)
    residual, attention = _seen(call, states, queries)
    reaching = read_reaching(call, states, whole_rows(call, example, expect_sums=False))
    rows, carried = reaching.rows[:, queries], reaching.carried
    rows[:, (call.visible(example)[:, queries] == 0).all(0)] = 0  # a query that sees nothing takes nothing
    whole = residual + attention
    if np.isnan(rows).all((0, 2)).any():
        raise NotKeptError(
            f"{call.site or 'the model itself'}: the model made rows NaN that the answer rests on, so routes "
            "end there. call.nan_rows and trace.warnings say more."
        )
    rows = np.nan_to_num(rows).astype(np.float32)
    brought = np.zeros(rows.shape)
    step = max(1, MOST_NUMBERS // (carried.shape[1] * carried.shape[2]))
    sums = np.zeros(whole.shape)
    for head, vectors in enumerate(carried):
        sums += rows[head] @ vectors
        for first in range(0, len(queries), step):
            here = slice(first, first + step)
            seen = np.flatnonzero((rows[head, here] != 0).any(0))
            parts = rows[head, here][:, seen, None] * vectors[seen]
            brought[head][here, seen] = _nearness(whole[here, None], parts)
    brought[rows == 0] = 0
    of_residual = _nearness(whole, residual)
    rest = (attention - sums).astype(np.float32)
    # What rounding leaves of no bias is no part.
    is_there = np.abs(rest).max(-1, initial=0) > 1e-4 * np.abs(whole).max(-1, initial=0)
    of_rest = np.where(is_there, _nearness(whole, rest), 0)
    total = brought.sum((0, 2)) + of_residual + of_rest
    is_bias = reaching.beside == "bias"
    nothing = np.zeros(len(queries))
    return StateParts(
        residual=of_residual / total,
        bias=of_rest / total if is_bias else nothing,
        beside=nothing if is_bias else of_rest / total,
        attention=brought / total[:, None],
        feed_forward=_feed_forward(call, states, queries),
    )


def _seen(call: AttentionCall, states: CallStates, queries: Longs) -> tuple[Floats, Floats]:
    where = call.site or "the model itself"
    if states.residual is None or states.attention is None:
        raise NotKeptError(
            f"{where}: the residual that attention joins was not seen, so routes cannot pass it. "
            "trace.warnings says more."
        )
    residual, attention = states.residual[queries], states.attention[queries]
    missing = np.isnan(residual + attention).any(-1)
    if missing.any():
        raise NotKeptError(
            f"{where}: the residual or the attention output of query {int(queries[missing][0])} was not "
            "seen, so routes cannot pass it."
        )
    return residual, attention


def _feed_forward(call: AttentionCall, states: CallStates, queries: Longs) -> Doubles | None:
    if states.stream is None or states.feed_forward is None:
        return None
    stream, added = states.stream[queries], states.feed_forward[queries]
    missing = np.isnan(stream + added).any(-1)
    if missing.all():
        return None
    if missing.any():
        raise NotKeptError(
            f"{call.site or 'the model itself'}: the feed-forward output behind query "
            f"{int(queries[missing][0])} was not seen, but that of others was, so routes cannot pass it."
        )
    whole = stream + added
    parts = np.stack([_nearness(whole, added), _nearness(whole, stream)])
    shares: Doubles = parts[0] / parts.sum(0)
    return shares
