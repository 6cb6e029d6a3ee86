"""Maximum spanning forests of many graphs at once."""

import numpy as np
import numpy.typing as npt

from headscape.graph.columns import Flags, Floats, Ints

Longs = npt.NDArray[np.int64]


def spanning_forest(group: Longs, source: Ints, target: Ints, weight: Floats) -> Flags:
    """Which edges form the maximum spanning forest of each group.

    Parameters
    ----------
    group : (edge,) int array
        Which graph the edge belongs to. Graphs share node numbers but no edges.
    source, target : (edge,) int array
        Nodes, >= 0. Direction does not matter; loops are never chosen.
    weight : (edge,) float array
        Larger is chosen first; of equal weights the earlier edge.

    Returns
    -------
    (edge,) bool array

    Notes
    -----
    Boruvka's algorithm on arrays: each round every part picks its strongest edge to another part, and joined
    parts become one. Equal weights are told apart by place, so that no round closes a circle. At most
    log2(nodes) rounds, each linear in the edges.
    """
    chosen = np.zeros(len(group), dtype=bool)
    order = np.lexsort((np.arange(len(group)), -weight))
    order = order[source[order] != target[order]]
    names = np.concatenate([group[order], group[order]])
    ends = np.concatenate([source[order], target[order]]).astype(np.int64)
    _, names = np.unique(names, return_inverse=True)
    _, part_of_end = np.unique(names * (ends.max(initial=0) + 1) + ends, return_inverse=True)
    a, b = np.split(part_of_end.astype(np.int64), 2)
    parts = int(part_of_end.max(initial=-1)) + 1
    place = np.arange(len(order))
    while len(place):
        best = np.full(parts, len(order), dtype=np.int64)
        np.minimum.at(best, a, place)
        np.minimum.at(best, b, place)
        picked = np.unique(best[best < len(order)])
        chosen[order[picked]] = True
        at = np.searchsorted(place, picked)
        label = _join(parts, a[at], b[at])
        a, b = label[a], label[b]
        between = a != b
        a, b, place = a[between], b[between], place[between]
    return chosen


def _join(parts: int, a: Longs, b: Longs) -> Longs:
    """Label of each part after joining parts a[i] and b[i]: the smallest number among the joined."""
    label = np.arange(parts)
    while True:
        low = np.minimum(label[a], label[b])
        before = label.copy()
        np.minimum.at(label, a, low)
        np.minimum.at(label, b, low)
        label = label[label]
        if np.array_equal(label, before):
            return label
