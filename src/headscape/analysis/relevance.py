"""Gradients and attention together: what each weight does to a chosen number, through all layers."""

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from headscape.analysis.answer import find_answer, side_padding
from headscape.analysis.rows import whole_rows
from headscape.analysis.steps import example_of, expect_joined
from headscape.errors import NotKeptError, expect_index
from headscape.trace.call import AttentionCall
from headscape.trace.trace import Trace

Doubles: TypeAlias = npt.NDArray[np.float64]


def gradient_attention(call: AttentionCall, example: int = 0) -> Doubles:
    """Weight times its gradient: how much the number that was differentiated rests on each edge.

    Summed over a head's edges it is the derivative of that number by a gate on the head (a test).

    Parameters
    ----------
    call : AttentionCall
        Captured with ``keep="all", gradients=True``, after ``number.backward()``.
    example : int
        Which example of the batch.

    Returns
    -------
    (head, query, key) float64 array
        Signed: above 0 where more weight would raise the number. In its units. NaN rows for padded queries.

    Raises
    ------
    NotKeptError
        No gradients were captured or reached the call, or only the top keys were kept.

    Notes
    -----
    Gradient times input, one number an edge [1]_: a first-order account that holds for small changes. For
    a loss, edges that help it have values below 0.

    References
    ----------
    .. [1] "Are Sixteen Heads Really Better than One?", Michel, Levy and Neubig, NeurIPS 2019,
       arXiv:1905.10650
    """
    rows = whole_rows(call, example, expect_sums=False)
    found = rows * call.gradient(example)
    if np.isnan(found[np.isfinite(rows)]).any():
        raise NotKeptError(
            f"{call.site or 'the model itself'} has weights whose gradient is not known; trace.warnings says "
            "where gradients could not be read."
        )
    return found


@dataclass(frozen=True, eq=False)
class Relevance:
    """How relevant each input token is to each token's last state; see :func:`chefer`.

    Attributes
    ----------
    maps : tuple of tuples of (token, token) float64 arrays
        ``maps[a][b]``: relevance of side b's tokens (columns) to side a's (rows), >= 0. A side's own map
        begins as the identity. NaN rows for padded tokens.
    answer : (input,) float64 array
        Relevance to the answer of the tokens of all sides, in order of side: the answer's rows of its
        side's maps, without the identity that they began with. 0 for padding.
    starts : tuple of int
        First input of each side in ``answer``, and the number of inputs.
    """

    maps: tuple[tuple[Doubles, ...], ...] = field(repr=False)
    answer: Doubles = field(repr=False)
    starts: tuple[int, ...]

    def of(self, side: int = 0) -> Doubles:
        """Return the relevance to the answer of one side's tokens, (token,) float64."""
        index = expect_index("relevance", "side", side, len(self.maps))
        return self.answer[self.starts[index] : self.starts[index + 1]]


def chefer(trace: Trace, example: int = 0) -> Relevance:
    """Follow gradient x attention through the layers: relevance of every token to the answer.

    Each call's map is ``mean over heads of max(gradient * weight, 0)``. Self-attention adds its map times
    what is known so far: ``R += map @ R``, beginning with the identity. Cross-attention does so between two
    sides, their own maps made to sum to 1 beside the identity.

    Parameters
    ----------
    trace : Trace
        Captured with ``keep="all", gradients=True``, after ``score.backward()`` of the score to be explained.
    example : int
        Which example of the batch.

    Returns
    -------
    Relevance
        Without a gradient the identity; else at least that.

    Raises
    ------
    NotKeptError
        No gradients were captured or reached a call, or only the top keys were kept.
    ShapeError
        A call's keys are not tokens.

    Notes
    -----
    The method of [1]_ that needs no relevance propagation, with its rules for self- and cross-attention. Go
    backward from a score, not from a loss: only what raises it counts. Values scale with the gradient, so
    compare tokens of one example, not models. Tokens behind a cache keep what they began with.

    References
    ----------
    .. [1] "Generic Attention-model Explainability for Interpreting Bi-Modal and Encoder-Decoder
       Transformers", Chefer, Gur and Wolf, ICCV 2021, arXiv:2103.15679
    """
    expect_joined(trace)
    index = example_of(trace, example)
    lengths = [side.length for side in trace.sides]
    maps = [
        [np.eye(a) if row == column else np.zeros((a, b)) for column, b in enumerate(lengths)]
        for row, a in enumerate(lengths)
    ]
    for call in trace.calls:
        _take(maps, call, _positive_map(trace, call, index))
    answer = find_answer(trace, index)
    own = [found.copy() for found in maps[answer.side]]
    own[answer.side] -= np.eye(lengths[answer.side])
    relevant = np.concatenate([answer.rows @ found for found in own])
    starts = np.cumsum([0, *lengths])
    for side, rows in enumerate(maps):
        hidden = side_padding(trace, index, side)
        relevant[starts[side] : starts[side + 1]][hidden] = 0
        for found in rows:
            found[hidden] = np.nan
    return Relevance(tuple(tuple(rows) for rows in maps), relevant, tuple(starts.tolist()))


def _positive_map(trace: Trace, call: AttentionCall, example: int) -> Doubles:
    """Mean over heads of the positive part of gradient x attention, over all tokens of the call's sides."""
    raises = np.maximum(np.nan_to_num(gradient_attention(call, example)), 0).mean(0)
    queries, keys = trace.sides[call.query_side].length, trace.sides[call.key_side].length
    found = np.zeros((queries, keys))
    found[queries - call.shape[2] :, : call.shape[3]] = raises  # behind a cache queries are the last tokens
    found[:, : call.shape[3]][:, call.padded_keys(example)] = 0
    return found


def _take(maps: list[list[Doubles]], call: AttentionCall, added: Doubles) -> None:
    own, other = call.query_side, call.key_side
    if own == other:
        maps[own] = [found + added @ found for found in maps[own]]
        return
    within, beyond = _normalised(maps[own][own]), _normalised(maps[other][other])
    to_other, back = within.T @ added @ beyond, added @ maps[other][own]
    maps[own][other] = maps[own][other] + to_other
    maps[own][own] = maps[own][own] + back


def _normalised(found: Doubles) -> Doubles:
    """Return what a side has taken from itself, rows of sum 1, beside the identity."""
    one = np.eye(len(found))
    taken = found - one
    total = taken.sum(-1, keepdims=True)
    return taken / np.where(total > 0, total, 1) + one
