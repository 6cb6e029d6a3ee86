"""What each head of a model does over one or many texts: entropy, distance, and whom it attends to."""

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from headscape.analysis.sight import Flags, Sight, Sights, Singles, expect_shares, weights_of
from headscape.analysis.tally import (
    Tally,
    rows_that_count,
    tally,
    tally_classes,
    tally_copies,
    tally_near,
    tally_offset,
)
from headscape.analysis.tokens import marked, numbered, token_kinds
from headscape.errors import NoAttentionError, OptionError, ShapeError, expect_option
from headscape.trace.call import AttentionCall
from headscape.trace.measure import row_bits
from headscape.trace.trace import Trace

Doubles: TypeAlias = npt.NDArray[np.float64]

# Tokens to either side that still count as near: what a window of a subword or two beside a word reaches.
REACH = 3
# Measures by what they need.
ALWAYS = ("entropy", "entropy_nats", "evenness", "first_entropy", "distance", "largest", "first")
BY_LABEL = ("special", "separator", "punctuation")
BY_WEIGHT = ("previous", "same", "next", "near")
BY_BOTH = ("duplicate", "induction")


@dataclass(frozen=True, eq=False, repr=False)
class HeadStats:
    """Means over all rows that count, per call and head.

    A row counts if it may see two keys or more. Measures, by name:

    - ``entropy`` (bits), ``entropy_nats``, ``evenness`` (entropy over that of uniform attention, 0 to 1),
      ``first_entropy`` (nats, of the first token's row: [CLS] in a BERT), ``distance`` (tokens),
      ``largest`` (share of the strongest key);
    - shares of a row, 0 to 1: ``previous``, ``same``, ``next``, ``near`` (at most ``reach`` tokens away),
      ``first`` (the first real key), ``special``, ``separator``, ``punctuation``, ``duplicate`` (other copies
      of the query's token; earlier ones in causal models), ``induction`` (keys behind such copies), and the
      caller's own words. Rows that may see no such key do not count.

    Attributes
    ----------
    sites : tuple of str
        The calls, in order of execution.
    layers : tuple of int
        ``call.layer`` of each.
    heads : tuple of int
        Heads of each; tables are as wide as the largest, NaN where there is no head.
    texts : (call,) int64 array
        Texts measured.
    missing : tuple of str
        What could not be measured and which option of ``capture`` gives it.
    values, chances, rows : mapping of str to (call, head) float64 array
        The means, what uniform attention would give on the same rows, and the number of rows. NaN where a
        measure does not apply or could not be taken.
    reach : int
        Tokens to either side that ``near`` takes in.
    """

    sites: tuple[str, ...]
    layers: tuple[int, ...]
    heads: tuple[int, ...]
    texts: npt.NDArray[np.int64]
    missing: tuple[str, ...]
    values: Mapping[str, Doubles]
    chances: Mapping[str, Doubles]
    rows: Mapping[str, Doubles]
    reach: int

    def __repr__(self) -> str:
        return (
            f"HeadStats({len(self.sites)} calls, {sum(self.heads)} heads, {int(self.texts.max())} texts: "
            f"{', '.join(self.values)})"
        )

    def __getitem__(self, name: str) -> Doubles:
        """Return one measure, (call, head) float64."""
        expect_option("head statistics", "measure", name, self.values)
        return self.values[name]

    def lift(self, name: str) -> Doubles:
        """Share of what chance leaves: 0 = as much as uniform attention, 1 = all, (call, head) float64.

        ``(share - chance) / (1 - chance)``; below 0 where the head avoids these keys.
        """
        share, chance = self[name], self.chances[name]
        left = 1 - chance
        return np.divide(share - chance, left, out=np.full_like(share, np.nan), where=left > 1e-9)


def measure_heads(
    traces: Trace | Iterable[Trace],
    *,
    smoothing: float = 0.0,
    reach: int = REACH,
    words: Mapping[str, Collection[str]] | None = None,
) -> HeadStats:
    """Measure what each head attends to, over all texts of one or many traces.

    Parameters
    ----------
    traces : Trace or iterable of Trace
        Passes of one model. An iterator is read once, so that no more than one trace has to be held. Calls
        are matched by their site.
    smoothing : float
        Uniform attention mixed into each row before its entropy is taken, 0 to 1; Clark et al. take
        :data:`headscape.analysis.patterns.CLARK_ENTROPY`. Needs all weights.
    reach : int
        Tokens to either side that ``near`` takes in.
    words : mapping of str to collection of str, optional
        Further measures: the share on tokens with these labels, such as ``{"stops": {".", ","}}``.

    Returns
    -------
    HeadStats
        Where only the top keys were kept, entropy, distance, and the shares on the first token and on kinds
        of tokens are exact all the same; the others are NaN and ``missing`` says so.

    Raises
    ------
    ShapeError
        Rows do not sum to 1, or one site has different numbers of heads.
    NoAttentionError
        There is no attention call.

    Notes
    -----
    Time grows with the number of weights; a batch is worked on at once, in float32.

    References
    ----------
    .. [1] Clark, Khandelwal, Levy, Manning, "What Does BERT Look At? An Analysis of BERT's Attention", 2019,
       doi:10.18653/v1/W19-4828

    Examples
    --------
    >>> from headscape.trace.synthetic import example_trace
    >>> stats = measure_heads(example_trace(layers=2, heads=3))
    >>> stats["previous"].shape, stats["previous"][0].argmax().item()
    ((2, 3), 0)
    """
    if not 0 <= smoothing < 1 or reach < 1:
        raise OptionError(
            f"measure_heads() got smoothing={smoothing} and reach={reach}; smoothing is a share from 0 to "
            "below 1, reach at least 1 token."
        )
    sums = _Sums(tuple(words or {}))
    for trace in [traces] if isinstance(traces, Trace) else traces:
        sights, labels = Sights(), _Labels(trace, words or {})
        for call in trace.calls:
            sums.add(call, _measure(call, sights.of(call), labels, (smoothing, reach), sums.lost))
    return sums.means(reach)


class _Labels:
    """Labels of a trace's sides as classes of keys, each side read once."""

    def __init__(self, trace: Trace, words: Mapping[str, Collection[str]]) -> None:
        self._trace, self._words = trace, words
        self._classes: dict[int, Singles | None] = {}
        self._numbers: dict[int, npt.NDArray[np.int64] | None] = {}

    def classes(self, side: int) -> Singles | None:
        """Return (batch, key, class) 0 or 1; None where the side has no labels."""
        if side not in self._classes:
            rows = self._trace.sides[side].labels
            self._classes[side] = None if rows is None else np.stack([self._read(row) for row in rows])
        return self._classes[side]

    def _read(self, row: tuple[str, ...]) -> Singles:
        kinds = token_kinds(row)
        own = [marked(row, wanted) for wanted in self._words.values()]
        return np.stack([kinds.special, kinds.separator, kinds.punctuation, *own], -1).astype(np.float32)

    def numbers(self, side: int) -> npt.NDArray[np.int64] | None:
        """Return (batch, key) numbers that are equal where labels are; None without labels."""
        if side not in self._numbers:
            rows = self._trace.sides[side].labels
            self._numbers[side] = None if rows is None else np.stack([numbered(row) for row in rows])
        return self._numbers[side]


class _Sums:
    """Tallies of all texts so far, by site and measure."""

    def __init__(self, words: tuple[str, ...]) -> None:
        known = (*ALWAYS, *BY_LABEL, *BY_WEIGHT, *BY_BOTH)
        if set(words) & set(known):
            raise OptionError(f"words may not be called {sorted({*words} & {*known})}: these are measures.")
        self.names = (*known, *words)
        self._calls: dict[str, AttentionCall] = {}
        self._texts: dict[str, int] = {}
        self._tallies: dict[tuple[str, str], Tally] = {}
        self._lost: dict[tuple[str, str], int] = {}

    def add(self, call: AttentionCall, found: Mapping[str, Tally]) -> None:
        """Add the tallies of one call."""
        known = self._calls.setdefault(call.site, call)
        if known.shape[1] != call.shape[1]:
            raise ShapeError(
                f"{call.site or 'the model itself'} has {call.shape[1]} heads here and {known.shape[1]} in "
                "an earlier trace. Measure traces of one model at a time."
            )
        self._texts[call.site] = self._texts.get(call.site, 0) + call.shape[0]
        for name, one in found.items():
            before = self._tallies.get((call.site, name))
            self._tallies[call.site, name] = one if before is None else before + one

    def lost(self, call: AttentionCall, why: str) -> None:
        """Note what a call lacks."""
        key = (call.site, why)
        self._lost[key] = self._lost.get(key, 0) + call.shape[0]

    def means(self, reach: int) -> HeadStats:
        """Divide by rows."""
        calls = list(self._calls.values())
        if not calls:
            raise NoAttentionError("there is no attention call to measure: the traces are empty.")
        shape = (len(calls), max(call.shape[1] for call in calls))
        tables = [{name: np.full(shape, np.nan) for name in self.names} for _ in range(3)]
        for (site, name), one in self._tallies.items():
            n, heads = list(self._calls).index(site), len(one.rows)
            count = np.where(one.rows > 0, one.rows, np.nan)
            tables[0][name][n, :heads] = one.found / count
            tables[1][name][n, :heads] = one.chance / count
            tables[2][name][n, :heads] = one.rows
        return HeadStats(
            tuple(self._calls),
            tuple(call.layer for call in calls),
            tuple(call.shape[1] for call in calls),
            np.array([self._texts[site] for site in self._calls]),
            self._sentences(),
            values=tables[0],
            chances=tables[1],
            rows=tables[2],
            reach=reach,
        )

    def _sentences(self) -> tuple[str, ...]:
        """Return what was lost, one sentence a reason, with the calls it holds for."""
        by_reason: dict[str, list[str]] = {}
        for (site, why), texts in self._lost.items():
            part = "" if texts == self._texts[site] else f" (in {texts} of {self._texts[site]} texts)"
            by_reason.setdefault(why, []).append((site or "the model itself") + part)
        return tuple(
            f"{', '.join(sites[:3])}{f' and {len(sites) - 3} more' if len(sites) > 3 else ''}: {why}"
            for why, sites in by_reason.items()
        )


def _measure(
    call: AttentionCall,
    sight: Sight,
    labels: _Labels,
    options: tuple[float, int],
    lost: Callable[[AttentionCall, str], None],
) -> dict[str, Tally]:
    smoothing, reach = options
    expect_shares(call)
    rows, weights = rows_that_count(call, sight), weights_of(call)
    found: dict[str, Tally] = {}
    bits = _entropy(call, sight, weights, smoothing)
    if bits is None:
        lost(call, 'smoothed entropy needs every weight: capture with keep="all", or smoothing=0')
    else:
        found |= _spread(call, sight, rows, bits)
    if sight.stands:
        gaps = np.float32(np.nan) if sight.gaps is None else sight.gaps
        found["distance"] = tally(call.arrays.distance, gaps, rows)
    else:
        lost(
            call, "queries and keys stand on different sides, so there is no distance, previous or next token"
        )
    found["largest"] = tally(call.arrays.largest, sight.chance, rows)
    found["first"] = tally_classes(call, sight, rows, _first(sight))[0]
    classes, numbers = labels.classes(call.key_side), labels.numbers(call.key_side)
    if classes is None or classes.shape[1] != call.shape[3]:
        lost(call, "no labels, so kinds of tokens and copies are not known: capture with tokens=")
    else:
        names = (*BY_LABEL, *labels._words)
        found |= dict(zip(names, tally_classes(call, sight, rows, classes), strict=True))
    if weights is None:
        lost(call, f'{", ".join((*BY_WEIGHT, *BY_BOTH))} need every weight: capture with keep="all"')
    elif sight.stands:
        for name, offset in (("previous", -1), ("same", 0), ("next", 1)):
            found[name] = tally_offset(weights, sight, rows, offset)
        found["near"] = tally_near(weights, sight, rows, reach)
        if numbers is not None and numbers.shape[1] == call.shape[3]:
            both = tally_copies(weights, sight, rows, numbers)
            found |= dict(zip(BY_BOTH, both, strict=True))
    return found


def _entropy(call: AttentionCall, sight: Sight, weights: Singles | None, smoothing: float) -> Singles | None:
    """Return each row's entropy in bits, (batch, head, query); None where smoothing lacks what it needs."""
    if not smoothing:
        return call.arrays.entropy
    if weights is None or sight.mask is None:
        return None
    p = (1 - np.float32(smoothing)) * weights
    p += sight.mask * (np.float32(smoothing) * sight.chance)[..., None]  # only keys that may be seen
    bits: Singles = np.where(np.isnan(call.arrays.entropy), np.float32(np.nan), row_bits(p))
    return bits


def _spread(call: AttentionCall, sight: Sight, rows: Flags, bits: Singles) -> dict[str, Tally]:
    """Tally what entropy says; its chance is that of uniform attention."""
    most = np.log2(np.maximum(sight.visible, 1))
    nats = np.float32(np.log(2))
    query = np.argmax(~call.arrays.padded, axis=-1)[:, None, None]  # the first token's row
    first, its_most, counts = (
        np.take_along_axis(array, np.broadcast_to(query, (*array.shape[:2], 1)), 2)
        for array in (bits, most, rows)
    )
    return {
        "entropy": tally(bits, most, rows),
        "entropy_nats": tally(bits * nats, most * nats, rows),
        "evenness": tally(bits / np.where(most > 0, most, 1), 1.0, rows),
        "first_entropy": tally(first * nats, its_most * nats, counts),
    }


def _first(sight: Sight) -> Singles:
    """Return the class of the first real key, (batch, key, 1)."""
    keys = np.arange(sight.keys.shape[1])
    found: Singles = (sight.keys & (keys == sight.first[:, None]))[..., None].astype(np.float32)
    return found
