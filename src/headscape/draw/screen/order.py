"""Which edges a threshold shows, and how strong they are drawn (viewer/src/scene/prune.ts and scales.ts)."""

import math

import numpy as np
import numpy.typing as npt

from headscape.draw.screen.edges import ANSWER, ATTENTION, FORWARD, KINDS, RESIDUAL, VALUE, ScreenEdges
from headscape.draw.screen.state import Chosen
from headscape.graph.scales import FAINT, LIFT_FLOOR, LOG_DECADES
from headscape.trace.trace import Trace

# Edges of a picture; more cannot be told apart.
MOST_DRAWN = 50_000
# Where attention edges are drawn too, one value edge is shown for so many of them.
EDGES_PER_VALUE = 4
# Edges per token and layer that the default shows.
EDGES_PER_TOKEN = 2
# Range of the strength threshold: four decades below the largest.
STRENGTH_DECADES = 4
# A layer's ranks fill the range of strengths once its strongest edge has this lift, log2.
FULL_RANK_LIFT = 1.0
# Share of a row at which its strongest edge alone is shown.
LEAST_ROW_SHARE = 0.02

Floats = npt.NDArray[np.float32]
Longs = npt.NDArray[np.int64]


def order_edges(edges: ScreenEdges, prune: str) -> tuple[Longs, Floats]:
    """Return the edges' order, of which a threshold shows a prefix, and the key that it compares, rising."""
    measure = edges.judged
    by_measure = np.argsort(-measure, kind="stable")
    is_all_flat = len(edges) > 0 and bool(edges.flat.all())
    key = _keys(edges, prune, measure, by_measure)
    key[edges.flat] = -np.inf if is_all_flat else np.inf
    order = by_measure[np.argsort(key[by_measure], kind="stable")]
    return order, key[order]


def _groups(edges: ScreenEdges) -> Longs:
    """Edges are compared within one call and one kind."""
    return np.asarray((edges.call + 1) * len(KINDS) + edges.kind)


def _keys(edges: ScreenEdges, prune: str, measure: Floats, by_measure: Longs) -> Floats:
    if prune == "row":
        return edges.share.copy()
    if prune == "layer":
        # Uniform heads take no places.
        group = np.where(edges.flat, -1, _groups(edges))[by_measure]
        order = np.argsort(group, kind="stable")
        starts = np.flatnonzero(np.diff(group[order], prepend=-2))
        sizes = np.diff(np.append(starts, len(order)))
        place = np.empty(len(order), np.float32)
        place[by_measure[order]] = np.arange(len(order)) - np.repeat(starts, sizes)
        if (edges.kind == ATTENTION).any():
            place[edges.kind == VALUE] *= EDGES_PER_VALUE
        return place
    largest = np.zeros(len(KINDS), np.float32)
    np.maximum.at(largest, edges.kind[~edges.flat], measure[~edges.flat])
    most = largest[edges.kind]
    return np.asarray(-measure / np.where(most > 0, most, 1), np.float32)


def count_shown(trace: Trace, chosen: Chosen, edges: ScreenEdges, key: Floats) -> tuple[int, float]:
    """Return how many edges of the order the slider shows, and the limit that it means."""
    tokens = max(1, *(int((~trace.padded(chosen.example, n)).sum()) for n in range(len(trace.sides))))
    heads = max((call.shape[1] for call in trace.calls), default=1)
    largest = max(2, heads * tokens**2)
    slider = chosen.slider
    if slider is None:
        slider = _usual_slider(chosen.prune, tokens, largest, len(trace.calls), key)
    if slider >= 1:
        return len(key), math.inf
    if chosen.prune == "layer":
        limit = max(1.0, math.floor(largest**slider + 0.5))
        below = limit
    elif chosen.prune == "row":
        limit = slider
        below = max(limit, 1e-9)
    else:
        limit = 10 ** (-STRENGTH_DECADES * slider)
        below = -limit * (1 - 1e-6)
    always = len(key) if edges.flat.all() else 0
    return max(always, int(np.searchsorted(key.astype(float), below, side="left"))), limit


def _usual_slider(prune: str, tokens: int, largest: int, calls: int, key: Floats) -> float:
    if prune == "layer":
        return min(0.999, math.log(EDGES_PER_TOKEN * tokens) / math.log(largest))
    wanted = EDGES_PER_TOKEN * tokens * max(1, calls)
    last = float(key[min(len(key) - 1, wanted)]) if len(key) else 0.0
    if prune == "row":
        return min(0.9, max(LEAST_ROW_SHARE, last))
    share = max(-last, 10.0**-STRENGTH_DECADES)
    return min(0.999, max(0.0, -math.log10(share) / STRENGTH_DECADES))


def scale_shown(scale: str, edges: ScreenEdges) -> Floats:
    """Return the strength of each edge, compared among themselves: among what is drawn."""
    contribution = np.nan_to_num(edges.contribution, posinf=0, neginf=0)
    measure = contribution if scale == "contribution" else edges.judged
    by_value = edges.by_value
    if scale == "paper":  # which knows no row without a choice
        measure = np.where(by_value, edges.judged, edges.mass)
    lift = np.nan_to_num(edges.lift, posinf=0, neginf=0)
    sharp = ~edges.flat
    names, group = np.unique(_groups(edges), return_inverse=True)
    low, high = np.full(len(names), np.inf), np.zeros(len(names))
    np.minimum.at(low, group[sharp], measure[sharp])
    np.maximum.at(high, group[sharp], measure[sharp])
    low, high, size = low[group], high[group], measure.astype(float)
    with np.errstate(divide="ignore", invalid="ignore"):
        if scale == "rank":
            most = np.zeros(len(names))
            bits = np.where(by_value, 1, np.log2(lift.astype(float)))
            np.maximum.at(most, group[sharp], bits[sharp])
            out = _ranks(measure, np.where(sharp, group, len(names)))
            # Where rows are nearly uniform a rank alone would make structure out of noise.
            out = FAINT + (out - FAINT) * np.clip(most[group] / FULL_RANK_LIFT, 0, 1)
        elif scale == "paper":
            out = np.where(high > low, (size - low) / (high - low), 1.0)
        elif scale == "lift":
            bits = np.log2(np.maximum(lift.astype(float), 1e-9))
            top = max(1.0, float(bits[sharp].max(initial=1.0)))
            out = np.clip((bits - LIFT_FLOOR) / (top - LIFT_FLOOR), 0, 1)
        elif scale == "log":
            out = np.where((size > 0) & (high > 0), np.clip(1 + np.log10(size / high) / LOG_DECADES, 0, 1), 0)
        else:
            out = np.where(high > 0, np.clip(size / high, 0, 1), 0)
    out = np.where(edges.flat, FAINT, out)
    return np.where(np.isin(edges.kind, (RESIDUAL, FORWARD, ANSWER)), 0.5, out).astype(np.float32)


def _ranks(values: Floats, group: Longs) -> npt.NDArray[np.float64]:
    """Share of the group's values that are no larger than each one; equal values share a rank."""
    order = np.lexsort((-values, group))
    value, of = values[order], group[order]
    starts = np.flatnonzero(np.diff(of, prepend=-1))
    sizes = np.diff(np.append(starts, len(of)))
    run = np.maximum.accumulate(
        np.where(
            (np.diff(value, prepend=np.nan) != 0) | (np.diff(of, prepend=-1) != 0), np.arange(len(of)), 0
        )
    )
    end = np.repeat(starts + sizes, sizes)
    out = np.empty(len(of))
    out[order] = (end - run) / np.repeat(sizes, sizes)
    return out
