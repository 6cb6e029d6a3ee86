"""The functional graph of a network: nodes that act alike are close; its topology, and when to stop by it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from headscape.analysis.topology.bars import Bars
from headscape.analysis.topology.cliques import h1_bars_each
from headscape.analysis.topology.forest import h0_deaths
from headscape.errors import OptionError, ShapeError

Reals = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# The densities of the published analysis: 200, from 1 % to 40 % of all edges.
DENSITIES = np.linspace(0.01, 0.40, 200)
# Bars shorter than this are taken for sampling noise; the published gap study drops these too.
SHORTEST = 0.02
# How far weights may lie outside 0 to 1, or differ between their two halves: rounding.
_SLACK = 1e-6


@dataclass(frozen=True, eq=False)
class FunctionalTopology:
    """Components and cycles of one functional graph.

    Attributes
    ----------
    densities : (density,) float64 array
        Shares of all possible edges, ``2 E / (n (n - 1))``: the strongest edges enter first.
    beta_0, beta_1 : (density,) int64 array
        Components, and cycles that no triangles fill, of the graph with that share of its edges. All bars
        count here, short ones too: these are Betti numbers of that very graph.
    components, cycles : Bars
        Bars over the distance ``1 - weight``, in dimension 0 (n - 1 of them) and 1. Where the time limit
        ended the work on cycles, ``cycles.stopped`` says so, ``beta_1`` is -1, and what follows is NaN.
    shortest : float
        Cycles shorter than this do not count in ``bars``, ``life`` and ``midlife``.
    """

    densities: Reals
    beta_0: Ints
    beta_1: Ints
    components: Bars
    cycles: Bars
    shortest: float

    @property
    def kept(self) -> Bars:
        """The cycles that last at least ``shortest``."""
        return self.cycles.longer_than(self.shortest)

    @property
    def bars(self) -> float:
        """How many cycles last at least ``shortest``; NaN where the work was stopped."""
        return float("nan") if self.cycles.stopped else float(len(self.kept))

    @property
    def life(self) -> float:
        """Mean of death - birth of the kept cycles (lambda); NaN without one."""
        return self.kept.life

    @property
    def midlife(self) -> float:
        """Mean of (birth + death) / 2 of the kept cycles (mu); NaN without one."""
        return self.kept.midlife

    @property
    def peak(self) -> float:
        """Density with the most cycles (rho*), the lowest of several; NaN where there are none at all."""
        return float(self.densities[self.beta_1.argmax()]) if self.beta_1.max() > 0 else float("nan")

    def below(self, reach: float) -> "FunctionalTopology":
        """Return the same with only the cycles that end by the distance ``reach``.

        A filtration that stops at ``reach``, as in the published analysis (0.4), with its open bars dropped.
        The curves stay as they are.
        """
        ended = self.cycles.death <= reach
        cycles = Bars(
            self.cycles.birth[ended], self.cycles.death[ended], 1, reach, stopped=self.cycles.stopped
        )
        return FunctionalTopology(
            self.densities, self.beta_0, self.beta_1, self.components, cycles, self.shortest
        )


def correlate_units(signals: npt.ArrayLike) -> Reals:
    """Weights of the functional graph of units: how strongly the activations of each two go together.

    Parameters
    ----------
    signals : (unit, sample) float array
        One row a unit, one column an input (a token, a picture). Estimates scatter by about
        ``1 / sqrt(samples)``, so use hundreds, and the same ones at every checkpoint.

    Returns
    -------
    (unit, unit) float64 array
        Absolute Pearson correlation, 0 to 1; symmetric, 1 on the diagonal. A unit that never changes has no
        correlation and gets 0 with all others.

    Raises
    ------
    ShapeError
        Not two axes, fewer than two units or samples, or values that are not finite.

    References
    ----------
    .. [1] "What does it mean to learn in deep networks? And, how does one detect adversarial attacks?",
       C. A. Corneanu, M. Madadi, S. Escalera and A. M. Martinez, CVPR 2019, doi:10.1109/CVPR.2019.00489

    Examples
    --------
    >>> correlate_units([[1, 2, 3, 4], [8, 6, 4, 2], [5, 5, 5, 5]])
    array([[1., 1., 0.],
           [1., 1., 0.],
           [0., 0., 1.]])
    """
    values = np.asarray(signals, np.float64)
    if values.ndim != 2 or min(values.shape) < 2:
        raise ShapeError(
            f"signals has shape {values.shape}, but (unit, sample) with at least two of each is needed."
        )
    if not np.isfinite(values).all():
        unit = int(np.argwhere(~np.isfinite(values))[0, 0])
        raise ShapeError(
            f"signals of unit {unit} hold NaN or infinity; leave those samples out for all units."
        )
    still = np.ptp(values, axis=1) == 0
    centred = values - values.mean(axis=1, keepdims=True)
    centred[still] = 0  # a mean is rounded, so a constant need not meet its own
    # Scaled first, so that neither tiny nor huge activations lose their squares to under- or overflow.
    centred /= np.where(still, 1, np.abs(centred).max(axis=1))[:, None]
    centred /= np.where(still, 1, np.sqrt((centred**2).sum(axis=1)))[:, None]
    weights: Reals = np.clip(np.abs(centred @ centred.T), 0, 1)
    weights = np.maximum(weights, weights.T)
    np.fill_diagonal(weights, 1)
    return weights


def functional_topology(weights: npt.ArrayLike, **options: Any) -> FunctionalTopology:
    """Components and cycles of one functional graph; :func:`functional_topologies` tells the options.

    Examples
    --------
    >>> ring = np.eye(4) + 0.8 * np.roll(np.eye(4), 1, 0) + 0.8 * np.roll(np.eye(4), -1, 0)
    >>> found = functional_topology(ring)  # doctest: +SKIP
    >>> found.life, found.midlife  # doctest: +SKIP
    (0.8, 0.6)
    """
    return functional_topologies([weights], **options)[0]


def functional_topologies(
    graphs: Iterable[npt.ArrayLike],
    *,
    densities: npt.ArrayLike = DENSITIES,
    shortest: float = SHORTEST,
    most_nodes: int = 512,
    limit_s: float = 60.0,
) -> list[FunctionalTopology]:
    """Components and cycles of functional graphs, one after the other, as those of a training's checkpoints.

    Parameters
    ----------
    graphs : iterable of (node, node) float array
        Weights from 0 to 1, symmetric; the diagonal is not read. From :func:`correlate_units`,
        :func:`headscape.analysis.functional_heads.compare_heads`, or elsewhere.
    densities : (density,) float array
        Where to count components and cycles, as shares of all edges.
    shortest : float
        Cycles that last less do not count in ``bars``, ``life`` and ``midlife``.
    most_nodes : int
        Refuse larger graphs.
    limit_s : float
        Seconds for the cycles of one graph, in a child process.

    Returns
    -------
    list of FunctionalTopology
        In the order of ``graphs``.

    Raises
    ------
    MissingExtraError
        ripser is not installed.
    OptionError
        A density is not from 0 to 1, or a graph has more than ``most_nodes`` nodes.
    ShapeError
        A matrix is not square, not symmetric, holds NaN or weights outside 0 to 1, or has one node only.

    Notes
    -----
    Vietoris-Rips filtration over the distance ``1 - weight``. The cycles are worked out on the *ranks* of the
    distances and translated back, so that births and deaths are exact distances although ripser rounds
    to float32. Edges of equal weight enter together: at a density whose last edge is tied, all that are tied
    with it are in the graph.

    A published script divides the number of edges by n² and counts the diagonal and both triangles; its
    densities differ from these. So do its midlives: :attr:`headscape.analysis.topology.bars.Bars.midlife`.
    128 nodes take 0.05 to 0.2 s; 256 of independent noise take half a minute.

    References
    ----------
    .. [1] "Computing the Testing Error Without a Testing Set", C. A. Corneanu, S. Escalera and A. M.
       Martinez, CVPR 2020, doi:10.1109/CVPR42600.2020.00275
    """
    shares = np.asarray(densities, np.float64)
    if shares.ndim != 1 or not len(shares) or not ((shares >= 0) & (shares <= 1)).all():
        raise OptionError("densities are shares of all edges: pass a list of numbers from 0 to 1.")
    ranked = [_rank(_distances(weights)) for weights in graphs]
    found = h1_bars_each([ranks for ranks, _ in ranked], most_nodes=most_nodes, limit_s=limit_s)
    return [
        _read(ranks, values, cycles, shares, shortest)
        for (ranks, values), cycles in zip(ranked, found, strict=True)
    ]


def stop_at(peaks: Sequence[float] | Reals, *, patience: int = 3) -> int | None:
    """The check at which the topology says to stop: the peak keeps moving back to higher density.

    Parameters
    ----------
    peaks : sequence of float
        :attr:`FunctionalTopology.peak` at each check so far, in order. NaN (no cycle) is no rise and no
        minimum, and starts the count anew.
    patience : int
        How many checks in a row the peak has to lie above its smallest value so far.

    Returns
    -------
    int or None
        Index of the check at which the rule fires first; None where it does not.

    References
    ----------
    .. [1] "What does it mean to learn in deep networks? And, how does one detect adversarial attacks?",
       C. A. Corneanu, M. Madadi, S. Escalera and A. M. Martinez, CVPR 2019, doi:10.1109/CVPR.2019.00489:
       cavities that move to lower density mean learning, to higher density memorising.

    Examples
    --------
    >>> stop_at([0.3, 0.2, 0.1, 0.15, 0.12, 0.2, 0.3], patience=3)
    5
    """
    if patience < 1:
        raise OptionError(f"stop_at has patience {patience}; ask for 1 check or more.")
    least, above = np.inf, 0
    for check, peak in enumerate(peaks):
        above = above + 1 if peak > least else 0
        least = min(least, peak) if not np.isnan(peak) else least
        if above >= patience:
            return check
    return None


def legacy_midlife(bars: Bars) -> float:
    """Midlife as the published code has it, ``mean(death + birth / 2)``; only to compare with its numbers."""
    return float((bars.death + bars.birth / 2).mean()) if len(bars) else float("nan")


def _distances(weights: npt.ArrayLike) -> Reals:
    values = np.asarray(weights, np.float64)
    if values.ndim != 2 or values.shape[0] != values.shape[1] or len(values) < 2:
        raise ShapeError(
            f"weights has shape {values.shape}, but (node, node) with at least two nodes is needed."
        )
    off = ~np.eye(len(values), dtype=bool)
    if np.isnan(values[off]).any():
        raise ShapeError("weights hold NaN; give pairs that cannot be compared the weight 0.")
    least, most = float(values[off].min()), float(values[off].max())
    if least < -_SLACK or most > 1 + _SLACK:
        raise ShapeError(f"weights go from {least:.4g} to {most:.4g}, but 0 to 1 is needed (1: alike).")
    if np.abs(np.where(off, values - values.T, 0)).max() > _SLACK:
        raise ShapeError(
            "weights are not symmetric; pass (weights + weights.T) / 2 if that is what is meant."
        )
    distances: Reals = 1 - np.clip(np.maximum(values, values.T), 0, 1)
    np.fill_diagonal(distances, 0)
    return distances


def _rank(distances: Reals) -> tuple[Reals, Reals]:
    """Ranks (node, node) of the distances among their own values, from 1, and those values by rank."""
    places = np.triu_indices(len(distances), 1)
    values, order = np.unique(distances[places], return_inverse=True)
    ranks = np.zeros_like(distances)
    ranks[places] = order + 1
    return ranks + ranks.T, np.concatenate(([0.0], values))


def _read(ranks: Reals, values: Reals, cycles: Bars, shares: Reals, shortest: float) -> FunctionalTopology:
    joins = h0_deaths(ranks)
    births, deaths = cycles.birth, cycles.death
    entered = np.sort(ranks[np.triu_indices(len(ranks), 1)])
    counts = np.rint(shares * len(entered)).astype(np.int64)
    last = np.where(counts > 0, entered[np.maximum(counts, 1) - 1], 0.5)[:, None]  # below every rank
    beta_0 = len(ranks) - (joins <= last).sum(axis=1)
    beta_1 = ((births <= last) & (last < deaths)).sum(axis=1)
    if cycles.stopped:
        beta_1 = np.full(len(shares), -1)

    def back(found: Reals) -> Reals:
        return values[found.astype(np.int64)]

    return FunctionalTopology(
        shares,
        beta_0.astype(np.int64),
        beta_1.astype(np.int64),
        Bars(np.zeros(len(joins)), back(joins), 0),
        Bars(back(births), back(deaths), 1, stopped=cycles.stopped),
        shortest,
    )
