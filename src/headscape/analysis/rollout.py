"""Attention rollout: what each token's state is made of when attention is followed through the layers."""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from headscape.analysis.answer import Answer, find_answer, side_padding
from headscape.analysis.steps import (
    HALF,
    Share,
    States,
    Step,
    Worth,
    blank_padding,
    example_of,
    expect_joined,
    read_step,
)
from headscape.errors import OptionError, expect_index, expect_option
from headscape.trace.trace import Trace

Doubles: TypeAlias = npt.NDArray[np.float64]
Joining: TypeAlias = Literal["mean", "max"]


@dataclass(frozen=True, eq=False)
class Rollout:
    """What the tokens' states are made of in every plane.

    Attributes
    ----------
    sides : tuple of (plane, token, input) float64 arrays
        One per side of the trace: share of each input in each token's state. Plane 0 is the input itself. The
        inputs are the tokens of all sides, in order of side. Rows of padded tokens are NaN.
    starts : tuple of int
        First input of each side, and the number of inputs.
    """

    sides: tuple[Doubles, ...] = field(repr=False)
    starts: tuple[int, ...]

    def of(self, side: int = 0, *, source: int | None = None, plane: int = -1) -> Doubles:
        """Return the (token, input) shares of one side's plane; inputs of ``source`` only (default: all)."""
        found = self.sides[expect_index("rollout", "side", side, len(self.sides))]
        rows: Doubles = found[expect_index("rollout", "plane", plane, len(found))]
        if source is None:
            return rows
        first = expect_index("rollout", "side", source, len(self.sides))
        return rows[:, self.starts[first] : self.starts[first + 1]]


def rollout(trace: Trace, example: int = 0, *, heads: Joining = "mean", share: Share = HALF) -> Rollout:
    """Follow attention through the layers: the share of every input token in every state.

    In each call a token's new state is ``1 - share`` of its own and ``share`` of the keys' states, weighted
    by the attention of all heads together. Cross-attention takes the other side's states as they stand when
    it runs. Tokens behind a cache did not run in this pass and count as inputs in every plane.

    Parameters
    ----------
    trace : Trace
        Captured with ``keep="all"``.
    example : int
        Which example of the batch.
    heads : str
        How heads are joined: ``"mean"``, or ``"max"``: each key's largest weight, rows made to sum to 1
        again.
    share : float or "measured"
        Attention's share in each new state, 0 to 1. ``"measured"``: per token, norm of the attention output
        to that and the residual's norm.

    Returns
    -------
    Rollout
        Rows sum to 1; below that where attention goes to padding, which is not followed. NaN for padded
        tokens and for states that rows made NaN by the model went into.

    Raises
    ------
    NotKeptError
        A call kept only its top keys, or ``share="measured"`` and the residual was not seen.
    ShapeError
        A row does not sum to 1, or a call's keys are not tokens.
    OptionError
        No such example, joining or share.

    Notes
    -----
    Attention rollout [1]_ takes ``heads="mean"`` and ``share=0.5`` (A + I, rows normalised). It leaves out
    what values, feed-forward parts and norms do to states: an account of routes, not of causes. Where
    several cross-attentions read each other's states at the same time (LXMERT), those of the later call
    hold the earlier call's result already. Time grows with layers x tokens^3; the result holds
    planes x tokens x inputs numbers.

    References
    ----------
    .. [1] "Quantifying Attention Flow in Transformers", Abnar and Zuidema, ACL 2020,
       doi:10.18653/v1/2020.acl-main.385

    Examples
    --------
    >>> from headscape.trace.synthetic import example_trace
    >>> rollout(example_trace()).of().sum(-1).round(6).tolist() == [1.0] * 16
    True
    """
    expect_option("rollout", "heads", heads, ("mean", "max"))
    expect_joined(trace)
    index = example_of(trace, example)
    states = States(trace)
    planes = [[state] for state in states.sides]
    for call in trace.calls:
        _take(states, read_step(trace, call, index, share=share), heads)
        planes[call.query_side].append(states.sides[call.query_side])
    rows = (blank_padding(trace, index, side, np.stack(found)) for side, found in enumerate(planes))
    return Rollout(tuple(rows), tuple(states.starts.tolist()))


def rollout_between(
    trace: Trace,
    from_plane: int,
    to_plane: int,
    *,
    example: int = 0,
    side: int = 0,
    heads: Joining = "mean",
    share: Share = HALF,
) -> Doubles:
    """Return what a plane's states are made of when those of an earlier plane count as inputs.

    Parameters
    ----------
    trace, example, heads, share
        As for :func:`rollout`.
    from_plane, to_plane : int
        Planes of the side, ``0 <= from_plane <= to_plane``; negative numbers count from the last.
    side : int
        Which of ``trace.sides``.

    Returns
    -------
    (token, input) float64 array
        The inputs are the tokens of all sides, in order of side, as they stand when the first of the calls
        between the planes runs. The identity where the planes are one.

    Raises
    ------
    NotKeptError, ShapeError, OptionError
        As for :func:`rollout`; or the planes do not follow each other.
    """
    expect_option("rollout", "heads", heads, ("mean", "max"))
    expect_joined(trace)
    index = example_of(trace, example)
    side = expect_index("trace", "side", side, len(trace.sides))
    planes = trace.sides[side].planes
    first = expect_index(f"side {trace.sides[side].name!r}", "plane", from_plane, planes)
    last = expect_index(f"side {trace.sides[side].name!r}", "plane", to_plane, planes)
    if last < first:
        raise OptionError(
            f"rollout_between() was asked from plane {first} to plane {last}; states go to later planes only."
        )
    states = States(trace)
    own = [number for number, call in enumerate(trace.calls) if call.query_side == side]
    between = trace.calls[own[first] : own[last - 1] + 1] if last > first else ()
    for call in between:
        _take(states, read_step(trace, call, index, share=share), heads)
    return blank_padding(trace, index, side, states.sides[side])


def _take(states: States, step: Step, heads: Joining) -> None:
    if heads == "mean":
        states.take(step, step.mix.sum(0))
        return
    most = step.mix.max(0)
    total = most.sum(-1, keepdims=True)
    states.take(step, most / np.where(total > 0, total, 1))


@dataclass(frozen=True, eq=False)
class Passage:
    """How much of what reaches the answer passes where.

    Attributes
    ----------
    edges : tuple of (head, query, key) float64 arrays
        One per call: share of the answer that passes through each edge. NaN rows for padded queries.
    inputs : tuple of (token,) float64 arrays
        One per side: share of the answer that comes from each token. Together they sum to 1 (less where
        attention goes to padding).
    answer : Answer
        The tokens it was followed down from.
    """

    edges: tuple[Doubles, ...] = field(repr=False)
    inputs: tuple[Doubles, ...] = field(repr=False)
    answer: Answer


def trace_passage(
    trace: Trace, example: int = 0, *, share: Share = HALF, worth: Worth | None = None
) -> Passage:
    """Follow the answer down through the layers, edge by edge.

    The rollout's other direction: where :func:`rollout` says what a state is made of, this says through
    which edges it came. ``worth`` gives what edges are weighed by; default their weights.

    Notes
    -----
    One vector is followed instead of a matrix, so time grows with the weights only. For the weights, the
    inputs' shares are the answer's rows times the rollout (a test).
    """
    expect_joined(trace)
    index = example_of(trace, example)
    answer = find_answer(trace, index)
    above = [np.zeros(side.length) for side in trace.sides]
    above[answer.side] = answer.rows.copy()
    edges: list[Doubles] = []
    for call in reversed(trace.calls):
        step = read_step(trace, call, index, share=share, worth=worth)
        own = slice(step.shift, step.shift + call.shape[2])
        reaches = above[call.query_side][own]
        with np.errstate(invalid="ignore"):
            through = (reaches * step.share)[None, :, None] * step.mix
        through[:, reaches == 0] = 0  # unknown rows that the answer does not rest on
        above[call.query_side][own] = reaches * (1 - step.share)
        above[call.key_side][: call.shape[3]] += through.sum((0, 1))
        through[:, step.padded] = np.nan
        edges.append(through)
    for side, found in enumerate(above):
        found[side_padding(trace, index, side)] = np.nan
    return Passage(tuple(reversed(edges)), tuple(above), answer)


def edge_share(trace: Trace, example: int = 0, *, share: Share = HALF) -> tuple[Doubles, ...]:
    """Return how much of what reaches the answer passes through each edge, by rollout.

    The share of the answer that rests on a query's new state, times attention's share in that state, times
    the edge's weight, divided by the number of heads.

    Parameters
    ----------
    trace, example, share
        As for :func:`rollout`.

    Returns
    -------
    tuple of (head, query, key) float64 arrays
        One per call. An edge's share is 0 to 1; those of one call sum to what attention adds there, at
        most 1. NaN rows for padded queries.

    Raises
    ------
    NotKeptError, ShapeError, OptionError
        As for :func:`rollout`.

    Examples
    --------
    >>> from headscape.trace.synthetic import example_trace
    >>> [round(float(one.sum()), 6) for one in edge_share(example_trace(layers=2))]
    [0.5, 0.5]
    """
    return trace_passage(trace, example, share=share).edges
