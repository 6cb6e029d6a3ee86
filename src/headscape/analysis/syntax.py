"""How often a head points at each word's syntactic head, relation by relation."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from headscape.analysis.rates import Rate
from headscape.analysis.rows import whole_rows
from headscape.analysis.treebank import ROOT, Sentence
from headscape.analysis.words import Alignment, word_weights
from headscape.errors import NoAttentionError, OptionError, ShapeError, expect_index, expect_option
from headscape.trace.trace import Trace

Doubles: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]
Place: TypeAlias = tuple[int, int]

# Which of the two words looks at the other: the dependent's row is read, or its column.
DIRECTIONS = ("dependent to head", "head to dependent")
# Where the head lies in the baseline, in words: +1 = the next one.
OFFSETS = (-3, -2, -1, 1, 2)
ALL = "all"
ALL_BUT_PUNCT = "all but punct"
POSSESSIVES = ("poss", "nmod:poss")
MARKERS = ("'s", "'", "s'", "’s", "’")


@dataclass(frozen=True, eq=False)
class DependencyCounts:
    """How often each head, and each fixed offset, found the syntactic head.

    Attributes
    ----------
    relations : tuple of str
        "all", "all but punct", then relations by falling number of words.
    places : tuple of (layer, head)
        What the columns stand for.
    words : (relation,) int64 array
        Words that have a head.
    hits : (relation, direction, column) int64 array
        Words whose head was found; directions as :data:`DIRECTIONS`.
    offset_hits : (relation, offset) int64 array
        The same for :data:`OFFSETS`.
    sentences : int
        How many were read.
    """

    relations: tuple[str, ...]
    places: tuple[Place, ...]
    words: Integers
    hits: Integers
    offset_hits: Integers
    sentences: int

    def row(self, relation: str) -> int:
        """Return the index of a relation."""
        expect_option("these counts", "relation", relation, self.relations)
        return self.relations.index(relation)

    def rate(self, relation: str, place: Place, direction: str = DIRECTIONS[0]) -> Rate:
        """Return how often one head found the heads of one relation's words."""
        expect_option("these counts", "direction", direction, DIRECTIONS)
        if place not in self.places:
            raise OptionError(
                f"these counts have no layer {place[0]}, head {place[1]}; the last is {self.places[-1]}."
            )
        row = self.row(relation)
        side, column = DIRECTIONS.index(direction), self.places.index(place)
        return Rate(int(self.hits[row, side, column]), int(self.words[row]))

    def offset_rate(self, relation: str, offset: int) -> Rate:
        """Return how often the word ``offset`` places further on is the head."""
        if offset not in OFFSETS:
            raise OptionError(f"there is no offset {offset}; counted were {OFFSETS}.")
        row = self.row(relation)
        return Rate(int(self.offset_hits[row, OFFSETS.index(offset)]), int(self.words[row]))

    def best_head(self, relation: str) -> tuple[Place, str]:
        """Return (layer, head) and direction of the head with the most hits; the first of equals."""
        hits = self.hits[self.row(relation)]
        side, column = np.unravel_index(int(hits.argmax()), hits.shape)
        return self.places[column], DIRECTIONS[side]

    def best_offset(self, relation: str) -> int:
        """Return the offset with the most hits; the first of equals."""
        return OFFSETS[int(self.offset_hits[self.row(relation)].argmax())]


@dataclass(frozen=True)
class RelationScore:
    """The best head of one relation beside the best fixed offset.

    ``head`` and ``offset`` are rates on the scored sentences; ``chosen_head`` and ``chosen_offset`` those of
    the same head and offset where they were chosen. ``top`` is the rate of the head that is best on the
    scored sentences themselves: the best of all columns, so too good by selection.
    """

    relation: str
    place: Place
    direction: str
    offset: int
    head: Rate
    offset_rate: Rate
    chosen_head: Rate
    chosen_offset: Rate
    top: Rate
    top_offset: Rate

    @property
    def gain(self) -> float:
        """Share by which the head beats the offset, -1 to 1."""
        return self.head.share - self.offset_rate.share


def word_maps(
    trace: Trace, alignment: Alignment, example: int = 0, *, side: int = 0
) -> tuple[tuple[Place, ...], Doubles]:
    """Read one example's attention between words from all self-attention calls of one side.

    Layers may differ in their number of heads; cross-attention joins two texts and is left out.

    Returns
    -------
    places : tuple of (layer, head)
        One a column.
    weights : (column, word, word) float64 array
        As :func:`headscape.analysis.words.word_weights` gives them.

    Raises
    ------
    NotKeptError
        Only the top k keys of each row were kept.
    NoAttentionError
        The side has no self-attention.
    ShapeError
        The alignment is of another number of tokens, or a row does not sum to 1.
    """
    side = expect_index("trace", "side", side, len(trace.sides))
    calls = [call for call in trace.calls if call.query_side == call.key_side == side]
    if not calls:
        raise NoAttentionError(
            f"side {side} of this trace has no self-attention ({len(trace.calls)} calls in all), and only "
            "self-attention joins words of one sentence. Pass another side=."
        )
    maps = [word_weights(whole_rows(call, example), alignment) for call in calls]
    places = tuple(
        (call.layer, head) for call, found in zip(calls, maps, strict=True) for head in range(len(found))
    )
    return places, np.concatenate(maps)


def guess_heads(weights: npt.NDArray[np.floating]) -> npt.NDArray[np.int64]:
    """Return the word each head would take for each word's syntactic head, in both directions.

    Parameters
    ----------
    weights : (column, word, word) float array
        Attention between words, special tokens left out. The diagonal is not looked at.

    Returns
    -------
    (direction, column, word) int64 array
        The other word with the largest weight, the first of equals; -1 where no weight is above 0 (a causal
        head has nothing to say about the first word).

    Raises
    ------
    ShapeError
        Other axes, or a NaN.

    References
    ----------
    .. [1] Clark et al., "What Does BERT Look At? An Analysis of BERT's Attention", section 4.2, 2019,
       doi:10.18653/v1/W19-4828

    Examples
    --------
    >>> guess_heads(np.array([[[0.9, 0.1, 0.0], [0.2, 0.3, 0.5], [0.7, 0.2, 0.1]]])).tolist()
    [[[1, 2, 0]], [[2, 2, 1]]]
    """
    if weights.ndim != 3 or weights.shape[1] != weights.shape[2]:
        raise ShapeError(f"weights has shape {weights.shape}; wanted is (column, word, word).")
    if np.isnan(weights).any():
        column, word, _ = np.argwhere(np.isnan(weights))[0]
        raise ShapeError(
            f"weights holds NaN at column {column}, word {word}: a piece of that word is padding, or the "
            "model gave NaN. Align padding to no word; where the model gives NaN nothing can be counted."
        )
    count = weights.shape[1]
    found = np.full((len(DIRECTIONS), len(weights), count), -1, dtype=np.int64)
    if not count:
        return found
    other = np.array(weights, dtype=np.float64)
    other[:, np.arange(count), np.arange(count)] = -1
    for side, axis in enumerate((-1, -2)):
        found[side] = np.where(other.max(axis) > 0, other.argmax(axis), -1)
    return found


def count_dependencies(
    pairs: Iterable[tuple[Sentence, npt.NDArray[np.floating]]],
    places: Sequence[Place],
    *,
    subtypes: bool = False,
    by_marker: bool = False,
) -> DependencyCounts:
    """Count for each relation and head how often the largest weight lies on the syntactic head.

    Parameters
    ----------
    pairs : iterable of (Sentence, (column, word, word) array)
        Sentences with their attention between words; read once, one at a time.
    places : sequence of (layer, head)
        One a column, as :func:`word_maps` gives them.
    subtypes : bool
        Tell "nmod:poss" from "nmod"; else the part before ":" counts.
    by_marker : bool
        Where a possessor is followed by its 's, take the guess for the 's in its place. This is what the
        code of Clark et al. does for ``poss``.

    Returns
    -------
    DependencyCounts
        Roots have no head and are not counted; a sentence of one word counts nothing.

    Raises
    ------
    ShapeError
        A sentence's array is not (column, word, word), or holds NaN.
    OptionError
        There was no sentence.
    """
    tally: dict[str, _Tally] = {}
    sentences = 0
    for sentence, weights in pairs:
        wanted = (len(places), len(sentence), len(sentence))
        if weights.shape != wanted:
            raise ShapeError(
                f"sentence {sentences} ({' '.join(sentence.words[:6])} ...) has weights of shape "
                f"{weights.shape}; wanted is (column, word, word) = {wanted}."
            )
        guesses = guess_heads(weights)
        if by_marker:
            guesses = _guess_by_marker(sentence, guesses)
        _add(tally, sentence, guesses, subtypes)
        sentences += 1
    if not sentences:
        raise OptionError("there was no sentence to count. Pass pairs of a Sentence and its word weights.")
    if not tally:
        raise OptionError(f"none of the {sentences} sentences has two words, so no word has a head.")
    named = {name: one for name, one in tally.items() if name not in (ALL, ALL_BUT_PUNCT)}
    order = [
        *(name for name in (ALL, ALL_BUT_PUNCT) if name in tally),
        *sorted(named, key=lambda n: (-named[n].words, n)),
    ]
    return DependencyCounts(
        tuple(order),
        tuple(places),
        np.array([tally[name].words for name in order], dtype=np.int64),
        np.stack([tally[name].hits for name in order]),
        np.stack([tally[name].offset_hits for name in order]),
        sentences,
    )


@dataclass
class _Tally:
    words: int
    hits: Integers
    offset_hits: Integers


def _add(tally: dict[str, _Tally], sentence: Sentence, guesses: Integers, subtypes: bool) -> None:
    """Count one sentence; ``guesses`` is (direction, column, word)."""
    heads = sentence.heads
    right = guesses == heads
    moved = np.arange(len(heads)) + np.array(OFFSETS)[:, None] == heads  # (offset, word)
    names = [name if subtypes else name.split(":")[0] for name in sentence.relations]
    is_counted = heads != ROOT
    groups = {name: is_counted & np.array([n == name for n in names]) for name in set(names)}
    groups[ALL] = is_counted
    groups[ALL_BUT_PUNCT] = is_counted & np.array([n != "punct" for n in names], dtype=bool)
    for name, mask in groups.items():
        if not mask.any():
            continue
        one = tally.setdefault(
            name, _Tally(0, np.zeros(right.shape[:2], np.int64), np.zeros(len(OFFSETS), np.int64))
        )
        one.words += int(mask.sum())
        one.hits += right[..., mask].sum(-1)
        one.offset_hits += moved[:, mask].sum(-1)


def _guess_by_marker(sentence: Sentence, guesses: Integers) -> Integers:
    """Return the guesses with those of an 's put in the place of its possessor's."""
    found = guesses.copy()
    for word, relation in enumerate(sentence.relations[:-1]):
        if relation in POSSESSIVES and sentence.words[word + 1].lower() in MARKERS:
            found[..., word] = guesses[..., word + 1]
    return found


def compare_dependencies(
    scored: DependencyCounts, chosen: DependencyCounts | None = None, *, least_words: int = 50
) -> tuple[RelationScore, ...]:
    """Return the best head and the best fixed offset of each relation.

    Parameters
    ----------
    scored : DependencyCounts
        Where rates are taken.
    chosen : DependencyCounts, optional
        Where head, direction and offset are chosen: other sentences than ``scored``, so that the rate of the
        best of many heads is not too good by selection. Default: ``scored`` itself, as in the paper.
    least_words : int
        Relations with fewer words on either side are left out.

    Raises
    ------
    OptionError
        The two are of other heads.
    """
    source = scored if chosen is None else chosen
    if source.places != scored.places:
        raise OptionError(
            f"heads were chosen among {len(source.places)} and are scored among {len(scored.places)}: these "
            "are counts of two models. Count both from one."
        )
    words = Counter(dict(zip(source.relations, source.words.tolist(), strict=True)))
    found = []
    for name, count in zip(scored.relations, scored.words.tolist(), strict=True):
        if min(count, words[name]) < least_words:
            continue
        place, direction = source.best_head(name)
        offset = source.best_offset(name)
        found.append(
            RelationScore(
                name,
                place,
                direction,
                offset,
                head=scored.rate(name, place, direction),
                offset_rate=scored.offset_rate(name, offset),
                chosen_head=source.rate(name, place, direction),
                chosen_offset=source.offset_rate(name, offset),
                top=scored.rate(name, *scored.best_head(name)),
                top_offset=scored.offset_rate(name, scored.best_offset(name)),
            )
        )
    return tuple(found)


def draw_heads(sentence: Sentence, rng: np.random.Generator) -> Sentence:
    """Return the sentence with each word's head drawn from the other words; roots stay.

    What the best of many heads scores on such sentences is what selection alone gives.
    """
    count = len(sentence)
    if count < 2:
        return sentence
    moved = (np.arange(count) + rng.integers(1, count, size=count)) % count
    return dataclasses.replace(sentence, heads=np.where(sentence.heads == ROOT, ROOT, moved))
