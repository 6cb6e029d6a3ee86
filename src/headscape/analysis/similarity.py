"""Which heads do alike: Jensen-Shannon divergence between their rows, and a map of all heads."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from headscape.analysis.patterns import CLARK_DIVERGENCE
from headscape.analysis.sight import Singles, expect_shares, weights_of
from headscape.errors import NoAttentionError, NotKeptError, OptionError, ShapeError
from headscape.trace.call import AttentionCall
from headscape.trace.trace import Trace

Doubles: TypeAlias = npt.NDArray[np.float64]

# Numbers worked on at once: more leave a core's cache, with fewer the calls of NumPy cost more than the work.
AT_ONCE = 262_144


@dataclass(frozen=True, eq=False, repr=False)
class HeadSimilarity:
    """How far apart the heads of a model are.

    Attributes
    ----------
    layers, heads : (n,) int64 arrays
        ``call.layer`` and head of each.
    divergence : (n, n) float64 array
        Jensen-Shannon divergence in nats, mean over the rows of all texts; 0 = alike, log(2) = never the same
        key. NaN between heads of calls that have no row in common (other tokens, or other numbers of them).
    rows : int
        Rows compared, for most pairs.
    """

    layers: npt.NDArray[np.int64]
    heads: npt.NDArray[np.int64]
    divergence: Doubles
    rows: int

    def __repr__(self) -> str:
        return f"HeadSimilarity({len(self.heads)} heads, {self.rows} rows)"

    def mean(self, layer: int | None = None) -> float:
        """Mean over all pairs of heads, or over the pairs within one layer; NaN where there is no pair."""
        chosen = np.ones(len(self.heads), bool) if layer is None else self.layers == layer
        part = self.divergence[np.ix_(chosen, chosen)]
        pairs = part[np.triu_indices(len(part), 1)]
        pairs = pairs[~np.isnan(pairs)]
        return float(pairs.mean()) if pairs.size else float("nan")

    def nearest(self, layer: int, head: int) -> tuple[int, int]:
        """Return the layer and head that is most like this one.

        Raises
        ------
        OptionError
            There is no such head, or nothing to compare it with.
        """
        here = np.flatnonzero((self.layers == layer) & (self.heads == head))
        if not here.size:
            raise OptionError(f"there is no head {head} in layer {layer} among those compared.")
        row = self.divergence[here[0]].copy()
        row[here[0]] = np.nan
        if np.isnan(row).all():
            raise OptionError(f"layer {layer} head {head} has no row in common with another head.")
        best = int(np.nanargmin(row))
        return int(self.layers[best]), int(self.heads[best])

    def map(self) -> "HeadMap":
        """Place the heads on a plane so that alike ones lie close; see :func:`classical_map`.

        Distances are the square roots of the divergences: these form a metric that fits into a Euclidean
        space, which the divergences themselves do not. Where not all heads can be compared, the largest set
        that can is placed and the others are NaN.
        """
        there = ~np.isnan(self.divergence)
        group = there[int(there.sum(1).argmax())] if len(there) else np.zeros(0, bool)
        chosen = np.flatnonzero(group)
        points = np.full((len(group), 2), np.nan)
        points[chosen], share = classical_map(np.sqrt(self.divergence[np.ix_(chosen, chosen)]))
        return HeadMap(points, share, tuple(int(n) for n in np.flatnonzero(~group)))


@dataclass(frozen=True, eq=False)
class HeadMap:
    """Heads as points of a plane.

    ``points`` is (n, 2) float64, in the order of :class:`HeadSimilarity`; ``share`` is how much of
    the squared distances the plane holds, 0 to 1; ``left_out`` are the heads that
    could not be compared with the others.
    """

    points: Doubles
    share: float
    left_out: tuple[int, ...]


def jensen_shannon(one: npt.ArrayLike, other: npt.ArrayLike) -> Doubles:
    """Jensen-Shannon divergence of distributions along the last axis, in nats, 0 to log(2).

    ``H((p + q) / 2) - (H(p) + H(q)) / 2`` with 0*log(0) = 0; float64.

    References
    ----------
    .. [1] Lin, "Divergence Measures Based on the Shannon Entropy", IEEE Transactions on Information Theory
       37, 1991, doi:10.1109/18.61115

    Examples
    --------
    >>> jensen_shannon([1, 0], [0, 1]).round(4).item()
    0.6931
    """
    p, q = np.asarray(one, np.float64), np.asarray(other, np.float64)
    return np.asarray(_nats((p + q) / 2) - (_nats(p) + _nats(q)) / 2)


def _nats(p: Doubles) -> Doubles:
    safe = np.where(p > 0, p, 1.0)
    return np.asarray(-(safe * np.log(safe)).sum(-1))


def head_divergence(
    traces: Trace | Iterable[Trace], *, smoothing: float = CLARK_DIVERGENCE, every: int = 1
) -> HeadSimilarity:
    """Measure how far apart the heads of a model are, over all texts of one or many traces.

    Parameters
    ----------
    traces : Trace or iterable of Trace
        Passes of one model, captured with ``keep="all"``.
    smoothing : float
        Uniform attention mixed into each row first, as Clark et al. do: above 0 (logarithms) and below 1.
    every : int
        Take every n-th row only: the time falls by as much.

    Returns
    -------
    HeadSimilarity
        Heads are compared on rows of the same token of the same text; padded rows, rows with one visible key
        and rows that hold NaN are left out. Clark et al. sum over rows where this takes the mean.

    Raises
    ------
    NotKeptError
        Only the top keys of some rows were kept.
    ShapeError
        Rows do not sum to 1.

    Notes
    -----
    Time grows with heads squared times rows times keys: some 30 ms for 72 heads on 128 tokens. Worked out in
    float32, within 1e-5 of float64.

    References
    ----------
    .. [1] Clark, Khandelwal, Levy, Manning, "What Does BERT Look At?", section 6, 2019,
       doi:10.18653/v1/W19-4828

    Examples
    --------
    >>> from headscape.trace.synthetic import example_trace
    >>> head_divergence(example_trace(layers=2, heads=3)).divergence.shape
    (6, 6)
    """
    if not 0 < smoothing < 1 or every < 1:
        raise OptionError(
            f"head_divergence() got smoothing={smoothing} and every={every}; smoothing is a share between 0 "
            "and 1, every at least 1."
        )
    places: dict[str, slice] = {}
    known: list[tuple[int, int]] = []
    sums, counts = np.zeros((0, 0)), np.zeros((0, 0))
    for trace in [traces] if isinstance(traces, Trace) else traces:
        for call in trace.calls:
            if call.site not in places:
                places[call.site] = slice(len(known), len(known) + call.shape[1])
                known += [(call.layer, head) for head in range(call.shape[1])]
            elif places[call.site].stop - places[call.site].start != call.shape[1]:
                raise ShapeError(
                    f"{call.site} has {call.shape[1]} heads here and others in an earlier trace."
                )
        grown = len(known) - len(sums)
        sums, counts = np.pad(sums, (0, grown)), np.pad(counts, (0, grown))
        for calls in _alike(trace):
            where = np.concatenate([np.arange(len(known))[places[call.site]] for call in calls])
            for total, rows in _compare(calls, smoothing, every):
                sums[np.ix_(where, where)] += total
                counts[np.ix_(where, where)] += rows
    if not known:
        raise NoAttentionError("there is no attention call to measure: the traces are empty.")
    table = np.divide(sums, counts, out=np.full_like(sums, np.nan), where=counts > 0)
    names = np.array(known, np.int64)
    return HeadSimilarity(names[:, 0], names[:, 1], table, int(counts.max(initial=0)))


def _alike(trace: Trace) -> list[list[AttentionCall]]:
    """Group the calls whose rows and keys are the same tokens."""
    groups: dict[tuple[int, ...], list[AttentionCall]] = {}
    for call in trace.calls:
        groups.setdefault((call.query_side, call.key_side, *call.shape[2:]), []).append(call)
    return list(groups.values())


def _compare(calls: list[AttentionCall], smoothing: float, every: int) -> Iterator[tuple[Doubles, int]]:
    """Yield sums of divergences, (head, head), and numbers of rows, a bite of rows at a time."""
    whole = [_whole(call) for call in calls]
    heads = sum(one.shape[1] for one in whole)
    batch, _, queries, keys = whole[0].shape
    bite = max(1, AT_ONCE // (heads * keys))
    for example in range(batch):
        counts = np.ones(queries, bool)
        for call in calls:
            counts &= (call.arrays.visible[example] >= 2).all(0)
            counts &= ~np.isnan(call.arrays.entropy[example]).any(0)
        real = ~calls[0].arrays.padded_keys[example]
        chosen = np.flatnonzero(counts)[::every]
        for at in range(0, len(chosen), bite):
            rows = chosen[at : at + bite]
            p = np.concatenate([one[example][:, rows] for one in whole])[..., real]
            p *= np.float32(1 - smoothing)
            p += np.float32(smoothing / real.sum())
            yield _pairs(p.reshape(heads, -1)), len(rows)


def _whole(call: AttentionCall) -> Singles:
    found = weights_of(call)
    if found is None:
        raise NotKeptError(
            f"{call.site or 'the model itself'} kept the top {call.k} of {call.shape[3]} keys in each row; "
            'comparing heads needs every weight. Capture with keep="all".'
        )
    expect_shares(call)
    return found


def _pairs(p: Singles) -> Doubles:
    """Return the divergence of each pair of rows of ``p``, (head, number), summed over the numbers."""
    count = len(p)
    mass = p.sum(-1, dtype=np.float64)
    own = _dots(p, np.log2(p))
    out = np.zeros((count, count))
    room, logs = np.empty_like(p), np.empty_like(p)
    for one in range(count - 1):
        rest = slice(one + 1, None)
        twice = np.add(p[rest], p[one], out=room[rest])  # the middle, times 2: one bit is taken off below
        both = _dots(twice, np.log2(twice, out=logs[rest]))
        out[one, rest] = (own[one] + own[rest] - both + mass[rest] + mass[one]) / 2
    out = np.maximum(out, 0) * np.log(2)  # below 0 by rounding
    return np.asarray(out + out.T)


def _dots(one: Singles, other: Singles) -> Doubles:
    """Return the products of rows with rows: twice as fast as einsum."""
    found: Doubles = np.matmul(one[:, None], other[..., None])[:, 0, 0].astype(np.float64)
    return found


def classical_map(distances: npt.ArrayLike) -> tuple[Doubles, float]:
    """Place points on a plane so that their distances are kept as well as a plane can.

    Classical (Torgerson) scaling: the two leading eigenvectors of the doubly centred squared distances. The
    same distances give the same map: each axis points to where its largest number is.

    Parameters
    ----------
    distances : (n, n) array
        Symmetric, zero diagonal.

    Returns
    -------
    points : (n, 2) float64 array
        Centred on 0.
    share : float
        How much of the squared distances the plane holds, 0 to 1; 1 for points of a plane.

    References
    ----------
    .. [1] Torgerson, "Multidimensional scaling: I. Theory and method", Psychometrika 17, 1952,
       doi:10.1007/BF02288916

    Examples
    --------
    >>> points, share = classical_map([[0, 3], [3, 0]])
    >>> abs(points[0, 0] - points[1, 0]).round(6).item(), round(share, 6)
    (3.0, 1.0)
    """
    squared = np.asarray(distances, np.float64) ** 2
    if squared.ndim != 2 or squared.shape[0] != squared.shape[1] or np.isnan(squared).any():
        raise ShapeError(
            f"distances has shape {squared.shape}"
            f"{' and holds NaN' if np.isnan(squared).any() else ''}; a full (n, n) table is needed."
        )
    count = len(squared)
    centred = squared - squared.mean(0) - squared.mean(1)[:, None] + squared.mean() if count else squared
    values, vectors = np.linalg.eigh(-centred / 2)
    values, vectors = np.maximum(values[::-1], 0), vectors[:, ::-1]
    points = np.zeros((count, 2))
    taken = min(2, count)
    points[:, :taken] = vectors[:, :taken] * np.sqrt(values[:taken])
    for axis in range(taken):
        if points[np.abs(points[:, axis]).argmax(), axis] < 0:
            points[:, axis] *= -1
    total = float(values.sum())
    return points, float(values[:2].sum()) / total if total > 0 else 1.0
