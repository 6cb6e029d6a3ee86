"""How much each head, edge or token matters by one of the measures, in one layout for all of them."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from headscape.analysis.answer import find_answer, side_padding
from headscape.analysis.maxflow import attention_flow
from headscape.analysis.norms import head_norms
from headscape.analysis.relevance import chefer, gradient_attention
from headscape.analysis.rollout import Passage, trace_passage
from headscape.analysis.routes import RouteKind, find_routes
from headscape.analysis.rows import whole_rows
from headscape.analysis.steps import example_of
from headscape.errors import NoAttentionError, expect_index, expect_option
from headscape.trace.call import AttentionCall
from headscape.trace.trace import Trace

Doubles: TypeAlias = npt.NDArray[np.float64]

EDGE_MEASURES = ("weight", "rollout", "contribution", "contribution rollout", "gradient", "routes")
HEAD_MEASURES = EDGE_MEASURES
TOKEN_MEASURES = (*EDGE_MEASURES, "flow", "chefer")


def edge_scores(trace: Trace, measure: str, example: int = 0) -> tuple[Doubles, ...]:
    """Score every edge of every call by one measure.

    Parameters
    ----------
    trace : Trace
        Captured with ``keep="all"`` and what the measure needs.
    measure : str
        ``"weight"``: the weight.
        ``"rollout"``: share of the answer that passes the edge, by weights
        (:func:`headscape.analysis.rollout.edge_share`).
        ``"contribution"``: norm of what the edge adds to the stream, ``|| A f ||``; needs ``values=True``.
        ``"contribution rollout"``: share of the answer that passes the edge, each query's norms made to
        sum to 1 in place of the weights; needs ``values=True``.
        ``"gradient"``: absolute weight x gradient; needs ``gradients=True`` and a backward pass.
        ``"routes"``: share of the answer that passes the edge along routes, nothing cut; needs
        ``states=True``.
    example : int
        Which example of the batch.

    Returns
    -------
    tuple of (head, query, key) float64 arrays
        One per call, >= 0; NaN rows for padded queries. Units differ between measures: compare orders.

    Raises
    ------
    OptionError
        No such measure or example; the message lists those there are.
    NotKeptError
        The trace lacks what the measure needs; the message names the option of ``capture``.
    ShapeError
        Rows do not sum to 1 where weights are read as shares, or keys are no tokens where calls are joined.
    """
    expect_option("edge_scores()", "measure", measure, EDGE_MEASURES)
    trace._seen()
    index = example_of(trace, example)
    if measure in ("rollout", "contribution rollout"):
        return _passage(trace, measure, index).edges
    if measure == "routes":
        return _route_edges(trace, index)
    return tuple(_own_scores(call, measure, index) for call in trace.calls)


def head_scores(trace: Trace, measure: str, example: int = 0) -> tuple[Doubles, ...]:
    """Score every head of every call by one measure.

    Parameters
    ----------
    trace, example
        As for :func:`edge_scores`.
    measure : str
        ``"rollout"``, ``"contribution rollout"``, ``"routes"``: the sum over the head's edges. (Rollout tells
        calls apart but not the heads of one: each gives away as much.)
        ``"weight"``: a row's largest weight, mean over queries: how sure the head is [1]_.
        ``"contribution"``: what a query gets, ``sum_j || A f ||``, mean over queries.
        ``"gradient"``: absolute sum of weight x gradient, the derivative by a gate on the head [2]_.

    Returns
    -------
    tuple of (head,) float64 arrays
        One per call, >= 0.

    Raises
    ------
    OptionError, NotKeptError, ShapeError
        As for :func:`edge_scores`.

    References
    ----------
    .. [1] "Analyzing Multi-Head Self-Attention: Specialized Heads Do the Heavy Lifting, the Rest Can Be
       Pruned", Voita et al., ACL 2019, doi:10.18653/v1/P19-1580
    .. [2] "Are Sixteen Heads Really Better than One?", Michel, Levy and Neubig, NeurIPS 2019,
       arXiv:1905.10650
    """
    expect_option("head_scores()", "measure", measure, HEAD_MEASURES)
    if measure == "gradient":
        index = example_of(trace._seen(), example)
        signed = (gradient_attention(call, index) for call in trace.calls)
        return tuple(np.abs(np.nansum(one, axis=(1, 2))) for one in signed)
    edges = edge_scores(trace, measure, example)
    if measure == "weight":
        return tuple(_mean_rows(one.max(-1)) for one in edges)
    if measure == "contribution":
        return tuple(_mean_rows(one.sum(-1)) for one in edges)
    return tuple(np.nansum(one, axis=(1, 2)) for one in edges)


def token_scores(trace: Trace, measure: str, example: int = 0, *, side: int = 0) -> Doubles:
    """Score every input token of one side by one measure.

    Parameters
    ----------
    trace, example
        As for :func:`edge_scores`.
    measure : str
        ``"weight"``: attention that the answer's tokens give in the last call that reads this side, mean over
        heads. ``"contribution"``: the same with norms ``|| A f ||``, summed over heads.
        ``"rollout"``, ``"contribution rollout"``, ``"routes"``: share of the answer that the token brings.
        ``"flow"``: the largest flow to it; needs SciPy. ``"gradient"``: absolute weight x gradient of all
        edges that read it. ``"chefer"``: its relevance (:func:`headscape.analysis.relevance.chefer`); needs
        ``gradients=True``.
    side : int
        Which of ``trace.sides``.

    Returns
    -------
    (token,) float64 array
        >= 0; NaN for padding.

    Raises
    ------
    OptionError, NotKeptError, ShapeError
        As for :func:`edge_scores`.
    NoAttentionError
        No call reads this side, so ``"weight"`` or ``"contribution"`` has nothing to tell.
    """
    expect_option("token_scores()", "measure", measure, TOKEN_MEASURES)
    trace._seen()
    index = example_of(trace, example)
    side = expect_index("trace", "side", side, len(trace.sides))
    found = _token_scores(trace, measure, index, side).copy()
    found[side_padding(trace, index, side)] = np.nan
    return found


def _token_scores(trace: Trace, measure: str, example: int, side: int) -> Doubles:
    if measure in ("rollout", "contribution rollout"):
        return _passage(trace, measure, example).inputs[side]
    if measure == "routes":
        return find_routes(trace, example, tau=0).inputs[side]
    if measure == "flow":
        return attention_flow(trace, example).inputs[side]
    if measure == "chefer":
        return chefer(trace, example).of(side)
    reading = [call for call in trace.calls if call.key_side == side]
    if not reading:
        raise NoAttentionError(
            f"no call attends to side {trace.sides[side].name!r}, so its tokens have no score."
        )
    found = np.zeros(trace.sides[side].length)
    if measure == "gradient":
        for call in reading:
            found[: call.shape[3]] += np.nansum(_own_scores(call, measure, example), axis=(0, 1))
        return found
    call = reading[-1]
    rows = _own_scores(call, measure, example)
    joined = np.nansum(rows, axis=0) / (call.shape[1] if measure == "weight" else 1)
    answer = find_answer(trace, example)
    own = trace.sides[call.query_side].length - call.shape[2]
    real = ~call.padded(example)
    weights = answer.rows[own:] if answer.side == call.query_side else real / max(int(real.sum()), 1)
    found[: call.shape[3]] = weights @ joined
    return found


def _own_scores(call: AttentionCall, measure: str, example: int) -> Doubles:
    if measure == "weight":
        return whole_rows(call, example)
    if measure == "contribution":
        return head_norms(call, example)
    return np.abs(gradient_attention(call, example))


def _passage(trace: Trace, measure: str, example: int) -> Passage:
    worth = head_norms if measure == "contribution rollout" else None
    return trace_passage(trace, example, worth=worth)


def _route_edges(trace: Trace, example: int) -> tuple[Doubles, ...]:
    edges = find_routes(trace, example, tau=0).edges
    edges = edges.select(edges.kind == RouteKind.ATTENTION)
    above = edges.importance / edges.weight
    found = []
    for call in trace.calls:
        scores = np.zeros(call.shape[1:])
        here = np.flatnonzero(edges.layer == call.layer)
        query = edges.query[here] - (trace.sides[call.query_side].length - call.shape[2])
        heads = edges.heads[here, : call.shape[1]] * above[here, None]
        scores[:, query, edges.key[here]] = heads.T
        scores[:, call.padded(example)] = np.nan
        found.append(scores)
    return tuple(found)


def _mean_rows(rows: Doubles) -> Doubles:
    """Mean over the queries that have a number; 0 for a head that has none."""
    real = np.isfinite(rows)
    found: Doubles = np.where(real, rows, 0).sum(-1) / np.maximum(real.sum(-1), 1)
    return found
