"""How components and cycles change with the weight, or the density, from which pairs count as joined."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headscape.analysis.topology.forest import tree_weights
from headscape.analysis.topology.matrices import expect_distances
from headscape.errors import OptionError, ShapeError

Floats = npt.NDArray[np.floating]
Reals = npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]

# Shares of all pairs at which Corneanu et al. look.
DENSITIES = np.linspace(0.01, 0.40, 200)
DENSITIES.setflags(write=False)
# Weights from which Kushnareva et al. draw an edge.
THRESHOLDS = (0.025, 0.05, 0.1, 0.25, 0.5, 0.75)


@dataclass(frozen=True, eq=False)
class Curves:
    """Counts of a graph that keeps its strong pairs only, at each step of a curve.

    Attributes
    ----------
    threshold : (..., step) float64 array
        Pairs of at least this weight are joined. Infinity where no pair is.
    edges : (..., step) int array
        Joined pairs; -1 here and below where the graph holds NaN.
    components : (..., step) int array
        Parts that hang together (b0).
    cycle_rank : (..., step) int array
        Independent cycles of the edges alone, ``edges - nodes + components``. Every triangle counts, which
        it does not in H1 of the clique complex.
    nodes : int
        Nodes of each graph.
    """

    threshold: Reals
    edges: Counts
    components: Counts
    cycle_rank: Counts
    nodes: int

    @property
    def density(self) -> Reals:
        """Share of all pairs that are joined, ``2 * edges / (nodes * (nodes - 1))``, 0 to 1.

        NaN for one node, which has no pairs, and where the graph holds NaN.
        """
        pairs = self.nodes * (self.nodes - 1) / 2
        return np.where(self.edges < 0, np.nan, self.edges / pairs if pairs else np.nan)


def threshold_curves(weights: Floats, thresholds: npt.ArrayLike = THRESHOLDS) -> Curves:
    """Components and cycle rank of graphs that keep pairs of at least each weight.

    Parameters
    ----------
    weights : (..., node, node) float array
        Symmetric, >= 0; see :func:`headscape.analysis.topology.distances.symmetric_weights`.
    thresholds : (step,) float array
        Weights, in any order. At 0 all pairs are joined, those without attention too.

    Returns
    -------
    Curves
        With the leading axes of ``weights``.

    Raises
    ------
    ShapeError
        Not square, not symmetric, or negative.

    Notes
    -----
    Components are counted on the maximum spanning tree, ``nodes - #{tree edges >= threshold}``, exactly.
    Time node² per graph.

    References
    ----------
    .. [1] "Artificial Text Detection via Examining the Topology of Attention Maps", L. Kushnareva et al.,
       EMNLP 2021, doi:10.18653/v1/2021.emnlp-main.50

    Examples
    --------
    A triangle with a tail:

    >>> w = np.zeros((4, 4))
    >>> for i, j in ((0, 1), (1, 2), (0, 2), (2, 3)):
    ...     w[i, j] = w[j, i] = 0.5
    >>> curves = threshold_curves(w, [0.6, 0.5])
    >>> curves.components, curves.cycle_rank
    (array([4, 1]), array([0, 1]))
    """
    expect_distances("weights", weights)
    steps = np.atleast_1d(np.asarray(thresholds, np.float64))
    if steps.ndim != 1:
        raise ShapeError(f"thresholds has shape {steps.shape}; pass one axis of weights.")
    leading = weights.shape[:-2]
    return count_steps(weights, np.broadcast_to(steps, (*leading, len(steps))), tree_weights(weights))


def density_curves(weights: Floats, densities: npt.ArrayLike = DENSITIES) -> Curves:
    """Components and cycle rank of graphs that keep a share of their pairs, the strongest.

    Parameters
    ----------
    weights : (..., node, node) float array
        As for :func:`threshold_curves`.
    densities : (step,) float array
        Shares of all ``nodes * (nodes - 1) / 2`` pairs, 0 to 1, rounded to whole pairs.

    Returns
    -------
    Curves
        ``density`` is what was reached: pairs of equal weight come together, so it may lie above what was
        asked for. Pairs without weight (0) are never joined, so it may lie below.

    Raises
    ------
    ShapeError, OptionError
        Wrong weights; a density outside 0 to 1.

    Notes
    -----
    Density is ``2E / (n (n - 1))``. The code published with Corneanu et al. divides by ``n²`` with both
    triangles and the diagonal in it, so their densities are not these.

    References
    ----------
    .. [1] "What does it mean to learn in deep networks? And, how does one detect adversarial attacks?",
       C. A. Corneanu et al., CVPR 2019, doi:10.1109/CVPR.2019.00489

    Examples
    --------
    >>> w = np.array([[0, 0.9, 0.1], [0.9, 0, 0.4], [0.1, 0.4, 0]])
    >>> density_curves(w, [0, 1 / 3, 2 / 3, 1]).components
    array([3, 2, 1, 1])
    """
    expect_distances("weights", weights)
    shares = np.atleast_1d(np.asarray(densities, np.float64))
    if not ((shares >= 0) & (shares <= 1)).all():
        raise OptionError(
            f"densities go from {shares.min():.4g} to {shares.max():.4g}; they are shares, 0 to 1."
        )
    *leading, nodes, _ = weights.shape
    pairs = nodes * (nodes - 1) // 2
    wanted = np.rint(shares * pairs).astype(np.int64)
    above = np.triu_indices(nodes, 1)
    threshold = np.full((*leading, len(shares)), np.inf)
    for place in np.ndindex(*leading):
        falling = -np.sort(-weights[place][above].astype(np.float64))
        some = wanted > 0
        threshold[place][some] = falling[wanted[some] - 1]
    # A threshold of 0 would join pairs that have no attention at all.
    least = np.nextafter(0, 1, dtype=np.float64)
    return count_steps(weights, np.maximum(threshold, least), tree_weights(weights))


def count_steps(weights: Floats, thresholds: Reals, tree: Reals) -> Curves:
    """Count edges and components of each graph at its own thresholds, (..., step).

    ``tree`` is what :func:`headscape.analysis.topology.forest.tree_weights` gives for the weights.
    """
    *leading, nodes, _ = weights.shape
    above = np.triu_indices(nodes, 1)
    edges = np.empty(thresholds.shape, np.int64)
    components = np.empty(thresholds.shape, np.int64)
    for place in np.ndindex(*leading):
        steps, back = np.unique(thresholds[place], return_inverse=True)
        pairs = weights[place][above]
        if np.isnan(pairs).any() or np.isnan(thresholds[place]).any():
            edges[place] = components[place] = -1
            continue
        # How many thresholds each pair reaches; then how many pairs reach at least so many.
        reached = np.bincount(np.searchsorted(steps, pairs, side="right"), minlength=len(steps) + 1)
        edges[place] = (len(pairs) - np.cumsum(reached))[:-1][back]
        below = np.searchsorted(tree[place], steps, side="left")
        components[place] = (1 + below)[back]
    rank = np.where(edges < 0, -1, edges - nodes + components)
    return Curves(np.array(thresholds), edges, components, rank, nodes)
