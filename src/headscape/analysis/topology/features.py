"""Kushnareva's features of heads: counts at thresholds, numbers of bars, distances to known patterns."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headscape.analysis.topology.bars import Bars
from headscape.analysis.topology.curves import THRESHOLDS, threshold_curves
from headscape.analysis.topology.distances import symmetric_weights
from headscape.analysis.topology.forest import tree_weights
from headscape.errors import LabelError, OptionError, ShapeError
from headscape.graph.export import count_directed

Floats = npt.NDArray[np.floating]
Reals = npt.NDArray[np.float64]

MOST = 500  # components and simple cycles counted; further ones are not, as in the published code
FAINT = 1e-3  # weights below it count as no edge in the features of bars, as in the published code
COMMAS, PERIODS = (",",), (".",)


@dataclass(frozen=True, eq=False)
class FeatureTable:
    """Named numbers of heads.

    Attributes
    ----------
    names : tuple of str
        What each column is.
    values : (..., feature) float64 array
        With the leading axes of the weights; NaN where a number is not known.
    """

    names: tuple[str, ...]
    values: Reals

    def __getitem__(self, name: str) -> Reals:
        if name not in self.names:
            raise OptionError(f"there is no feature {name!r}; there is {', '.join(map(repr, self.names))}.")
        return self.values[..., self.names.index(name)]


def threshold_features(
    weights: Floats, thresholds: Sequence[float] = THRESHOLDS, *, loops: bool = False
) -> FeatureTable:
    """Counts of heads' graphs at several thresholds, directed and not.

    Parameters
    ----------
    weights : (..., query, key) float array
        Attention (not symmetric), 0 to 1.
    thresholds : sequence of float
        A token attends to another if its weight is at least this.
    loops : bool
        Whether a token's attention to itself counts as an edge (and as a cycle, in the cycle rank too). The
        published code does so; left out, ``cycle_rank`` is that of
        :func:`headscape.analysis.topology.curves.threshold_curves`.

    Returns
    -------
    FeatureTable
        Six for each threshold t, named ``"edges_t0.1"``: ``strong`` components, directed ``edges``, mean
        ``degree`` (in and out), simple directed ``cycles``, ``components`` (b0) and ``cycle_rank`` of the
        graph without directions. Components and cycles are counted up to 500.

    Raises
    ------
    ShapeError
        Not square, or weights outside 0 to 1.

    Notes
    -----
    The published code cuts padding off and lets rows sum to 1 again before; leave padded tokens out here.
    Costs some milliseconds for each head and threshold, most of it in NetworkX.

    References
    ----------
    .. [1] "Artificial Text Detection via Examining the Topology of Attention Maps", L. Kushnareva et al.,
       EMNLP 2021, doi:10.18653/v1/2021.emnlp-main.50

    Examples
    --------
    Three tokens that attend in a circle:

    >>> table = threshold_features(np.roll(np.eye(3), 1, axis=1), [0.5])
    >>> [float(table[f"{name}_t0.5"]) for name in ("strong", "cycles", "components", "cycle_rank")]
    [1.0, 1.0, 1.0, 1.0]
    """
    joined = symmetric_weights(weights)
    curves = threshold_curves(joined, thresholds)
    *leading, nodes, _ = weights.shape
    found = np.full((*leading, len(thresholds), 6), np.nan)
    is_edge = ~np.eye(nodes, dtype=bool) | loops
    for place in np.ndindex(*leading):
        if np.isnan(weights[place]).any():
            continue
        for step, threshold in enumerate(thresholds):
            adjacency = (weights[place] >= threshold) & is_edge
            strong, cycles = count_directed(adjacency, most=MOST)
            edges, own = int(adjacency.sum()), int(np.trace(adjacency))
            components = min(int(curves.components[place][step]), MOST)
            rank = int(curves.cycle_rank[place][step]) + own
            found[place][step] = strong, edges, 2 * edges / nodes, cycles, components, rank
    kinds = ("strong", "edges", "degree", "cycles", "components", "cycle_rank")
    names = tuple(f"{kind}_t{threshold:g}" for threshold in thresholds for kind in kinds)
    return FeatureTable(names, found.reshape(*leading, -1))


def barcode_features(weights: Floats, h1: Sequence[Bars] | None = None) -> FeatureTable:
    """Numbers of heads' bars, under the names of the published code.

    Parameters
    ----------
    weights : (..., query, key) float array
        Attention (not symmetric), 0 to 1. Weights below 0.001 count as 0.
    h1 : sequence of Bars, optional
        Bars of H1, one for each head in the order of the leading axes, from
        :func:`headscape.analysis.topology.cycles.token_cycles` (``share=0``: with all edges, as published).
        Default: no features of H1.

    Returns
    -------
    FeatureTable
        ``h0_s`` sum of lengths, ``h0_e`` entropy of lengths (nats), ``h0_t_d`` longest death, counts
        ``h0_n_d_m_t0.75``, ``h0_n_d_m_t0.5`` (deaths of at least) and ``h0_n_d_l_t0.25`` (at most); of H1
        ``h1_t_b`` birth of the longest bar, ``h1_n_b_m_t0.25``, ``h1_n_b_l_t0.95``, ``h1_n_b_l_t0.7``,
        ``h1_s``, ``h1_e``, ``h1_v`` (a standard deviation, whatever its name) and ``h1_nb``
        (number of bars). Open bars are left out.

    References
    ----------
    .. [1] "Artificial Text Detection via Examining the Topology of Attention Maps", L. Kushnareva et al.,
       EMNLP 2021, doi:10.18653/v1/2021.emnlp-main.50
    """
    joined = symmetric_weights(weights)
    deaths = np.sort(1 - tree_weights(np.where(joined > FAINT, joined, joined * 0)), axis=-1)
    known = ~np.isnan(deaths).any(axis=-1)
    columns = {
        "h0_s": deaths.sum(axis=-1),
        "h0_e": _entropy(deaths),
        "h0_t_d": deaths.max(axis=-1, initial=0),
        "h0_n_d_m_t0.75": (deaths >= 0.75).sum(axis=-1),
        "h0_n_d_m_t0.5": (deaths >= 0.5).sum(axis=-1),
        "h0_n_d_l_t0.25": (deaths <= 0.25).sum(axis=-1),
    }
    values = np.stack([np.where(known, column, np.nan) for column in columns.values()], axis=-1)
    if h1 is None:
        return FeatureTable(tuple(columns), values)
    heads = int(np.prod(weights.shape[:-2]))
    if len(h1) != heads:
        raise ShapeError(
            f"h1 holds the bars of {len(h1)} heads for {heads} heads of weights; pass one for each."
        )
    rows = np.array([list(_h1_numbers(bars).values()) for bars in h1]).reshape(*weights.shape[:-2], -1)
    names = (*columns, *_h1_numbers(Bars(np.empty(0), np.empty(0), 1)))
    return FeatureTable(names, np.concatenate([values, rows], axis=-1))


def _h1_numbers(bars: Bars) -> dict[str, float]:
    ended = bars.closed
    lengths, birth = ended.lengths, ended.birth
    unknown = float("nan") if bars.stopped else 0.0
    return {
        "h1_t_b": unknown + (float(birth[lengths.argmax()]) if len(ended) else 0.0),
        "h1_n_b_m_t0.25": unknown + int((birth >= 0.25).sum()),
        "h1_n_b_l_t0.95": unknown + int((birth <= 0.95).sum()),
        "h1_n_b_l_t0.7": unknown + int((birth <= 0.70).sum()),
        "h1_s": unknown + float(lengths.sum()),
        "h1_e": unknown + float(_entropy(lengths)),
        "h1_v": unknown + (float(lengths.std()) if len(ended) else 0.0),
        "h1_nb": unknown + len(ended),
    }


def _entropy(lengths: Reals) -> Reals:
    """Entropy of lengths as shares of their sum, nats; 0 where there is no length at all."""
    total = lengths.sum(axis=-1, keepdims=True)
    shares = lengths / np.where(total > 0, total, 1)
    return np.asarray(np.abs((shares * np.log(np.where(shares > 0, shares, 1))).sum(axis=-1)))


def pattern_distances(
    weights: Floats,
    labels: Sequence[str] | None = None,
    *,
    commas: Sequence[str] = COMMAS,
    periods: Sequence[str] = PERIODS,
) -> FeatureTable:
    """How far heads are from patterns that many heads show: 0 equal, 1 nothing in common.

    Parameters
    ----------
    weights : (..., query, key) float array
        Attention, 0 to 1, one token set.
    labels : sequence of str, optional
        Of the tokens. Without them there are no patterns of commas and periods.
    commas, periods : sequence of str
        Labels that count as one; a label's blanks and the marks tokenizers set before words do not matter.

    Returns
    -------
    FeatureTable
        ``self``, ``first``, ``previous``, ``next``, and with labels ``comma`` and ``period``: for a pattern T
        the distance ``|A - T| / sqrt(|A|² + |T|²)`` in Frobenius norm. 1 where T is empty (no such token).

    References
    ----------
    .. [1] "Artificial Text Detection via Examining the Topology of Attention Maps", L. Kushnareva et al.,
       EMNLP 2021, doi:10.18653/v1/2021.emnlp-main.50

    Examples
    --------
    >>> table = pattern_distances(np.eye(4))
    >>> float(table["self"]), float(table["next"])
    (0.0, 1.0)
    """
    symmetric_weights(weights)  # raises for what is no attention among tokens
    tokens = weights.shape[-1]
    patterns = {
        "self": np.eye(tokens),
        "first": np.eye(1, tokens).repeat(tokens, axis=0),
        "previous": np.eye(tokens, k=-1),
        "next": np.eye(tokens, k=1),
    }
    if labels is not None:
        if len(labels) != tokens:
            raise LabelError(f"{len(labels)} labels for {tokens} tokens; pass one label for each.")
        for name, marks in (("comma", commas), ("period", periods)):
            row = np.array([label.strip(" ▁Ġ#") in marks for label in labels], np.float64)
            patterns[name] = np.tile(row / max(row.sum(), 1), (tokens, 1))
    values = []
    for pattern in patterns.values():
        gap = np.square(weights - pattern).sum(axis=(-1, -2), dtype=np.float64)
        size = np.square(weights).sum(axis=(-1, -2), dtype=np.float64) + np.square(pattern).sum()
        values.append(np.sqrt(gap / np.where(size > 0, size, 1)))
    return FeatureTable(tuple(patterns), np.stack(values, axis=-1))
