"""Attention sinks: tokens that most rows of a head attend to, whatever they are about."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from headscape.analysis.sight import Sight, Sights, expect_shares
from headscape.errors import NoAttentionError, OptionError, ShapeError
from headscape.trace.call import AttentionCall
from headscape.trace.trace import Trace

Doubles: TypeAlias = npt.NDArray[np.float64]

# Share of its rows' attention above which a token is a head's sink: Gu et al.'s epsilon.
SINK_SHARE = 0.3
# A place is judged only where at least this share of a text's rows may see it: on the last tokens of a causal
# text alpha is the mean of a few rows, and the very last attends to itself as it likes.
SEEN_BY = 0.5


@dataclass(frozen=True, eq=False, repr=False)
class Sinks:
    """How much of each head's attention lies on the token at each place, over texts.

    Attributes
    ----------
    sites : tuple of str
        The calls.
    heads : tuple of int
        Heads of each.
    alpha : (call, head, place) float64 array
        Mean over texts of ``alpha_k``: the mean weight on the k-th real token over the rows that may see it.
        NaN where there is no head, or no text has enough rows that may see such a place.
    rate : (call, head, place) float64 array
        Share of the texts in which ``alpha_k`` is above the threshold.
    texts : (call, place) int64 array
        Texts in which the place was judged.
    threshold : float
        What counts as a sink.
    """

    sites: tuple[str, ...]
    heads: tuple[int, ...]
    alpha: Doubles
    rate: Doubles
    texts: npt.NDArray[np.int64]
    threshold: float

    def __repr__(self) -> str:
        return f"Sinks({self.share(self.best):.0%} of the heads have token {self.best} for a sink)"

    def share(self, place: int = 0) -> float:
        """Share of the heads, over calls and texts, that have the token at ``place`` for a sink."""
        found = self.rate[..., place]
        there = found[~np.isnan(found)]
        return float(there.mean()) if there.size else float("nan")

    @property
    def best(self) -> int:
        """The place that is a sink for most heads; of equals the one with the most attention."""
        rates = [self.share(place) for place in range(self.rate.shape[-1])]
        with np.errstate(invalid="ignore"):
            masses = np.nansum(self.alpha, (0, 1)) / np.maximum((~np.isnan(self.alpha)).sum((0, 1)), 1)
        return max(range(len(rates)), key=lambda n: (np.nan_to_num(rates[n], nan=-1.0), masses[n]))


def find_sinks(traces: Trace | Iterable[Trace], *, threshold: float = SINK_SHARE) -> Sinks:
    """Measure attention sinks as Gu et al. do, for every place of a text.

    For causal models ``alpha_k = mean over i >= k of A[i, k]``, as in the paper. Where every query sees every
    key the mean goes over all rows, so that a sink at the end ([SEP]) can be found too. Places count real
    tokens, from 0.

    Parameters
    ----------
    traces : Trace or iterable of Trace
        Passes of one model. Exact whatever was kept: what each key receives is always stored.
    threshold : float
        Share of its rows' attention above which a token is a sink.

    Raises
    ------
    ShapeError
        Rows do not sum to 1, or one site has different numbers of heads.
    NoAttentionError
        There is no attention call.

    References
    ----------
    .. [1] Gu, Pang, Du, et al., "When Attention Sink Emerges in Language Models: An Empirical View", 2024,
       arXiv:2410.10781

    Examples
    --------
    >>> import numpy as np
    >>> from headscape.trace.by_hand import trace_of
    >>> find_sinks(trace_of([[[1, 0], [0.9, 0.1]]])).alpha.round(2).tolist()
    [[[0.95, 0.1]]]
    """
    if not 0 < threshold < 1:
        raise OptionError(f"find_sinks() got threshold={threshold}; it is a share between 0 and 1.")
    parts: dict[str, list[list[Doubles]]] = {}
    heads: dict[str, int] = {}
    for trace in [traces] if isinstance(traces, Trace) else traces:
        sights = Sights()
        for call in trace.calls:
            if heads.setdefault(call.site, call.shape[1]) != call.shape[1]:
                raise ShapeError(
                    f"{call.site or 'the model itself'} has {call.shape[1]} heads here and "
                    f"{heads[call.site]} in an earlier trace. Measure traces of one model at a time."
                )
            expect_shares(call)
            parts.setdefault(call.site, []).append(list(_alphas(call, sights.of(call))))
    if not any(one for found in parts.values() for one in found):
        raise NoAttentionError("there is no attention call to measure: the traces are empty.")
    parts = {site: found for site, found in parts.items() if any(found)}
    return _join({site: [text for one in found for text in one] for site, found in parts.items()}, threshold)


def _alphas(call: AttentionCall, sight: Sight) -> Iterable[Doubles]:
    """Yield alpha of each text, (head, place)."""
    finite = ~np.isnan(call.arrays.entropy)
    counts = sight.seen_by(finite)
    for example, real in enumerate(sight.keys):
        rows = finite[example].astype(np.float64)  # (head, query)
        if counts is None:  # the mask is not known: as if each row saw every key
            seen = np.broadcast_to(rows.sum(-1)[:, None], (len(rows), len(real)))
        else:
            seen = counts[example]
        enough = seen >= np.maximum(1, SEEN_BY * rows.sum(-1)[:, None])
        with np.errstate(invalid="ignore", divide="ignore"):
            alpha = call.arrays.received[example] / np.where(enough, seen, np.nan)
        yield alpha[:, real]


def _join(texts: dict[str, list[Doubles]], threshold: float) -> Sinks:
    places = max(one.shape[1] for found in texts.values() for one in found)
    heads = tuple(found[0].shape[0] for found in texts.values())
    alpha, rate = (np.full((len(texts), max(heads), places), np.nan) for _ in range(2))
    counts = np.zeros((len(texts), places), np.int64)
    for n, found in enumerate(texts.values()):
        sums, hits, judged = (np.zeros((heads[n], places)) for _ in range(3))
        for one in found:
            here = np.s_[:, : one.shape[1]]
            sums[here] += np.nan_to_num(one)
            hits[here] += np.nan_to_num(one) > threshold
            judged[here] += ~np.isnan(one)
        some = np.where(judged > 0, judged, np.nan)
        alpha[n, : heads[n]], rate[n, : heads[n]] = sums / some, hits / some
        counts[n] = judged.max(0)
    return Sinks(tuple(texts), heads, alpha, rate, counts, threshold)
