"""Weight scales: how an edge's numbers become the strength that is drawn, 0 to 1.

A scale looks at the edges that are there, so it is worked out again after each pruning. Edges are compared
within their group: one attention call and one kind of edge. Heads that tell nothing apart ("uniform" heads)
are drawn at :data:`FAINT` by every scale, and do not take part in the comparison of the others. So are rows
that may see one key only (a causal model's first), but for the term paper's own scale.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headscape.errors import NotKeptError, expect_option
from headscape.graph.columns import CallInfo, EdgeKind, Edges, Floats
from headscape.graph.sorting import falling_order, order_of, starts_of

# Strength of every edge of a uniform head: seen, but never taken for structure.
FAINT = 0.15
# Lower end of the lift scale, log2: an eighth of what uniform attention would give. Below, nothing is read.
LIFT_FLOOR = -3.0
# Weights below 1e-5 of the largest are all the same on the log scale: five decades fill a ramp.
LOG_DECADES = 5.0
# A row whose weights differ by less than this share of uniform attention tells its keys apart by noise only.
FLAT_SPREAD = 0.02

Doubles = npt.NDArray[np.float64]
Groups = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Quantities:
    """What a scale may use, one entry per edge; all >= 0."""

    measure: Doubles
    lift: Doubles
    contribution: Doubles
    compared: Doubles  # lift, or the contribution of value edges where it is known
    group: Groups


def _extreme(values: Doubles, group: Groups, which: np.ufunc) -> Doubles:
    """Return the largest or smallest value of each one's group."""
    order = order_of(group)
    starts = starts_of(group[order])
    found = np.zeros(int(group.max(initial=-1)) + 1)
    if len(starts):
        found[group[order[starts]]] = which.reduceat(values[order], starts)
    return found[group]


def _largest(values: Doubles, group: Groups) -> Doubles:
    return _extreme(values, group, np.maximum)


def _smallest(values: Doubles, group: Groups) -> Doubles:
    return _extreme(values, group, np.minimum)


def scale_minmax(q: Quantities) -> Doubles:
    """``(|w| - smallest) / (largest - smallest)`` of the group: the term paper's; 1 where all are equal.

    ``w`` is the mass of an attention edge, the contribution of a value edge.
    """
    low, high = _smallest(q.measure, q.group), _largest(q.measure, q.group)
    spread = high - low
    return np.where(spread > 0, (q.measure - low) / np.where(spread > 0, spread, 1), 1.0)


def scale_rank(q: Quantities) -> Doubles:
    """Share of the group's edges that are no stronger: ``#{edges <= this one} / #{edges}``, in (0, 1].

    Attention edges are ordered by lift and value edges by contribution, so that a causal model's first row
    (weight 1 on its only key, lift 1) is not the strongest of all.
    """
    order = falling_order(q.group, -q.compared)
    values, group = q.compared[order].astype(np.float32), q.group[order]
    starts = np.flatnonzero(np.diff(group, prepend=-1))
    sizes = np.diff(np.append(starts, len(group)))
    place = np.arange(len(group)) - np.repeat(starts, sizes)
    # Equal values all get the place of their last: walk back from the end of each run of equals.
    ends_run = np.append((np.diff(values) != 0) | (np.diff(group) != 0), True)
    last = np.flatnonzero(ends_run)
    run = np.cumsum(ends_run) - ends_run
    out = np.empty(len(order))
    out[order] = (place[last][run] + 1) / np.repeat(sizes, sizes)
    return out


def scale_lift(q: Quantities) -> Doubles:
    """``(log2(lift) + 3) / (top + 3)``, held within 0 and 1.

    ``lift`` is weight x visible keys, 1 = uniform; ``top`` is the largest log2(lift) drawn, at least 1.
    Uniform attention is ``3 / (top + 3)`` in every row, however many keys the row may see.
    """
    bits = np.log2(np.maximum(q.lift, 2.0 ** (LIFT_FLOOR - 1)))
    top = max(1.0, float(bits.max(initial=1.0)))
    return np.asarray(np.clip((bits - LIFT_FLOOR) / (top - LIFT_FLOOR), 0, 1))


def scale_log(q: Quantities) -> Doubles:
    """``1 + log10(|w| / largest of the group) / 5``, held within 0 and 1: five decades.

    ``w`` is the mass of an attention edge, the contribution of a value edge.
    """
    high = _largest(q.measure, q.group)
    ratio = np.where(high > 0, q.measure / np.where(high > 0, high, 1), 0)
    decades = np.log10(np.maximum(ratio, 10.0 ** -(LOG_DECADES + 1)))
    return np.asarray(np.clip(1 + decades / LOG_DECADES, 0, 1))


def scale_contribution(q: Quantities) -> Doubles:
    """``contribution / largest of the group``: what edges add to the residual stream, linear from 0."""
    high = _largest(q.contribution, q.group)
    return np.where(high > 0, q.contribution / np.where(high > 0, high, 1), 0)


SCALES: dict[str, Callable[[Quantities], Doubles]] = {
    "minmax": scale_minmax,
    "rank": scale_rank,
    "lift": scale_lift,
    "log": scale_log,
    "contribution": scale_contribution,
}


def scale_edges(name: str, edges: Edges, calls: tuple[CallInfo, ...]) -> Floats:
    """Return the strength of each edge.

    Parameters
    ----------
    name : str
        ``"minmax"``, ``"rank"``, ``"lift"``, ``"log"`` or ``"contribution"``; the functions of this file say
        how each is worked out.
    edges : Edges
        The edges to compare. Their own ``strength`` is not read.
    calls : tuple of CallInfo
        Tells which heads are uniform.

    Returns
    -------
    (edge,) float32 array
        0 to 1. Residual edges: the residual's share (0.5 where unknown). Class edges: ``|w| / largest |w|``,
        under every scale.

    Raises
    ------
    OptionError
        There is no such scale.
    NotKeptError
        ``"contribution"`` without captured values.
    """
    expect_option("graph", "scale", name, SCALES)
    scaled = edges.is_prunable
    if name == "contribution":
        _expect_contributions(edges, calls)
    strength = np.zeros(len(edges))
    faint = scaled & _of_uniform_heads(edges, calls)
    if name != "minmax":  # the term paper's own words are kept
        faint |= edges.is_forced
    strength[faint] = FAINT
    compared = scaled & ~faint
    if compared.any():
        strength[compared] = SCALES[name](_quantities(edges.select(compared)))
    residual = edges.kind == EdgeKind.RESIDUAL
    strength[residual] = np.where(np.isfinite(edges.weight[residual]), edges.weight[residual], 0.5)
    is_class = edges.kind == EdgeKind.CLASS
    if is_class.any():
        size = np.abs(np.nan_to_num(edges.weight[is_class]))
        strength[is_class] = size / max(float(size.max()), 1e-30)
    return strength.astype(np.float32)


def _quantities(edges: Edges) -> Quantities:
    lift = np.nan_to_num(edges.lift.astype(np.float64))
    contribution = np.nan_to_num(edges.contribution.astype(np.float64))
    by_value = (edges.kind == EdgeKind.VALUE) & np.isfinite(edges.contribution)
    group = edges.call.astype(np.int64) * 8 + edges.kind
    return Quantities(
        measure=edges.measure.astype(np.float64),
        lift=lift,
        contribution=contribution,
        compared=np.where(by_value, contribution, lift),
        group=group,
    )


def _of_uniform_heads(edges: Edges, calls: tuple[CallInfo, ...]) -> npt.NDArray[np.bool_]:
    is_uniform = np.zeros(len(edges), dtype=bool)
    for number, call in enumerate(calls):
        if call.uniform:
            is_uniform |= (edges.call == number) & np.isin(edges.head, call.uniform)
    return is_uniform


def _expect_contributions(edges: Edges, calls: tuple[CallInfo, ...]) -> None:
    missing = [c.site for n, c in enumerate(calls) if not c.has_values and (edges.call == n).any()]
    if missing:
        raise NotKeptError(
            f'scale="contribution" needs values, and {", ".join(missing)} has none. '
            'Capture with values=True, or use scale="rank".'
        )
