"""Components of weighted graphs (H0) through their spanning trees, grown for many graphs at once."""

import numpy as np
import numpy.typing as npt

from headscape.analysis.topology.distances import SYMMETRISATIONS, expect_shares, join_ways
from headscape.analysis.topology.matrices import expect_distances, expect_square
from headscape.errors import expect_option

Reals = npt.NDArray[np.float64]
Floats = npt.NDArray[np.floating]

# Bytes of heads that are worked on at once: the same memory is used for all, and asking the system for fresh
# memory takes as long as reading it. With fewer heads Python's share of each step grows.
BLOCK_BYTES = 24 << 20


def h0_deaths(distances: Floats) -> Reals:
    """Distances at which the components of a graph join: the bars of H0, exactly.

    Every node is a component of its own from distance 0 on. Growing the distance up to which two nodes count
    as joined, components meet until one is left; each meeting ends one bar. The one bar that never ends is
    left out.

    Parameters
    ----------
    distances : (..., node, node) float array
        Symmetric, >= 0; the diagonal is not read. Infinity: the two are never joined. Any number of graphs
        of the same size may stand in the leading axes.

    Returns
    -------
    (..., node - 1) float64 array
        Deaths, rising. Infinity where parts never meet. A graph with a NaN off its diagonal gives NaN.

    Raises
    ------
    ShapeError
        Not square, not symmetric, negative, or without a node; the message says where.

    Notes
    -----
    The deaths of H0 are the weights of the minimum spanning tree [1]_; Prim's algorithm [2]_ takes one step
    in all graphs at a time. Time node² per graph, memory that of ``distances`` once more. Arithmetic is that
    of the input (float32 stays float32), and a death is one of the distances, not a sum.

    References
    ----------
    .. [1] "Computational Topology: An Introduction", H. Edelsbrunner and J. Harer, 2010,
       doi:10.1090/mbk/069
    .. [2] "Shortest connection networks and some generalizations", R. C. Prim, Bell System Technical Journal
       36, 1957, doi:10.1002/j.1538-7305.1957.tb01515.x

    Examples
    --------
    >>> h0_deaths(np.array([[0, 1, 4], [1, 0, 2], [4, 2, 0.0]]))
    array([1., 2.])
    """
    expect_distances("distances", distances)
    far = np.finfo(distances.dtype).max
    close = -np.minimum(distances, far)
    np.einsum("...ii->...i", close)[...] = 0
    deaths = -tree_weights(close)[..., ::-1]
    return np.where(deaths >= far, np.inf, deaths)


def attention_h0(weights: Floats, *, by: str = "max") -> Reals:
    """H0 deaths of heads, straight from their attention: some heads at a time, and no distances are kept.

    The same as ``h0_deaths(attention_distances(weights))`` in a third of the time.

    Parameters
    ----------
    weights : (..., query, key) float array
        Attention of any number of heads over one set of tokens, 0 to 1.
    by : str
        How the two ways of a pair become one; see
        :func:`headscape.analysis.topology.distances.symmetric_weights`, also for what is refused.

    Returns
    -------
    (..., token - 1) float64 array
        Deaths, rising; NaN throughout a head that holds NaN.

    Examples
    --------
    >>> attention_h0(np.array([[0.5, 0.5, 0], [0.25, 0, 0.75], [0, 0.25, 0.75]]))
    array([0.25, 0.5 ])
    """
    expect_option("topology", "symmetrisation", by, SYMMETRISATIONS)
    expect_square("weights", weights)
    expect_shares("weights", weights)
    *leading, tokens, _ = weights.shape
    heads = weights.reshape(-1, tokens, tokens)
    found = np.empty((len(heads), tokens - 1))
    at_once = max(1, min(len(heads), BLOCK_BYTES // (tokens * tokens * weights.itemsize)))
    block = np.empty((at_once, tokens, tokens), weights.dtype)
    for first in range(0, len(heads), at_once):
        some = heads[first : first + at_once]
        joined = block[: len(some)]
        join_ways(some, by, joined)
        found[first : first + at_once] = 1 - tree_weights(joined)[:, ::-1]
    # A weight may be a little more than 1 by rounding.
    return np.maximum(found, 0).reshape(*leading, tokens - 1)


def tree_weights(close: Floats, *, joined: npt.NDArray[np.bool_] | None = None) -> Reals:
    """Weights of the edges of a maximum spanning tree, rising, (..., node - 1) float64.

    Parameters
    ----------
    close : (..., node, node) float array
        Symmetric finite weights, larger is closer; what stands on the diagonal does not matter. A NaN makes
        that graph's answer NaN.
    joined : (node,) bool array, optional
        Nodes that count as one from the start: the forest that ties all others to them, one edge each.
        Default: the first node alone.
    """
    *leading, nodes, _ = close.shape
    start = np.arange(nodes) == 0 if joined is None else joined
    flat = np.ascontiguousarray(close).reshape(-1, nodes, nodes)
    found = _grow(flat, np.asarray(start, bool))
    found.sort(axis=1)
    # A sum is NaN where an entry is: one pass, and no array of flags.
    with np.errstate(over="ignore"):
        found[np.isnan(flat.sum(axis=(1, 2)))] = np.nan
    return found.reshape(*leading, -1)


def _grow(close: Floats, start: npt.NDArray[np.bool_]) -> Reals:
    """Prim's algorithm in all graphs at once: the weight of each step's edge, (graph, step) float64."""
    graphs, nodes, _ = close.shape
    steps = nodes - int(start.sum())
    weights = np.empty((steps, graphs))
    rows = close.reshape(graphs * nodes, nodes)
    best = close[:, start].max(axis=1)
    best[:, start] = -np.inf
    # A second array holds down to -infinity what is in the tree: one pass, where a mask would take three.
    lid = np.full_like(best, np.inf)
    lid[:, start] = -np.inf
    flat_best, flat_lid = best.reshape(-1), lid.reshape(-1)
    first, row = np.arange(graphs) * nodes, np.empty_like(best)
    for step in range(steps):
        place = best.argmax(axis=1) + first
        weights[step] = flat_best[place]
        flat_lid[place] = -np.inf
        np.take(rows, place, axis=0, out=row, mode="clip")  # "clip" writes to `out` without a copy
        np.maximum(best, row, out=best)
        np.minimum(best, lid, out=best)
    return np.ascontiguousarray(weights.T)
