"""Whether a head looks from a pronoun or a mention to what it refers to."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from headscape.analysis.rates import Rate
from headscape.analysis.syntax import Place
from headscape.errors import FileError, FormatError, LabelError, OptionError, ShapeError, expect_option

Doubles: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.int64]
Span: TypeAlias = tuple[int, int]

# Which one looks at the other: the pronoun's row is read, or the names' rows.
DIRECTIONS = ("pronoun to name", "name to pronoun")
# How weights of a name's tokens become one: "sum" is Clark's and favours long names, the others do not.
POOLS = ("sum", "mean", "max")
BASELINES = ("always A", "always B", "nearest name", "longer name")
COLUMNS = ("ID", "Text", "Pronoun", "Pronoun-offset", "A", "A-offset", "A-coref", "B", "B-offset", "B-coref")


@dataclass(frozen=True)
class GapText:
    """A text with a pronoun and two names, of which it means one or neither.

    Spans are (start, end) characters of ``text``, end exclusive.
    """

    name: str
    text: str
    pronoun: Span
    a: Span
    b: Span
    is_a: bool
    is_b: bool

    @property
    def nearest(self) -> str:
        """``"A"`` or ``"B"``: the name with fewer characters between it and the pronoun; A of equals."""
        return "A" if _gap(self.pronoun, self.a) <= _gap(self.pronoun, self.b) else "B"

    @property
    def answer(self) -> str:
        """``"A"``, ``"B"`` or ``"neither"``."""
        return "A" if self.is_a else "B" if self.is_b else "neither"


def _gap(one: Span, other: Span) -> int:
    first, second = sorted((one, other))
    return max(0, second[0] - first[1])


def read_gap(path: str | os.PathLike[str]) -> tuple[GapText, ...]:
    """Read a file of the GAP data set, tab-separated as published.

    Raises
    ------
    FileError
        The file cannot be read.
    FormatError
        A column is missing, or an offset does not point at its words; the message names the line.

    References
    ----------
    .. [1] Webster et al., "Mind the GAP: A Balanced Corpus of Gendered Ambiguous Pronouns", 2018,
       doi:10.1162/tacl_a_00240
    """
    try:
        with Path(path).open(encoding="utf-8", newline="") as file:
            # bare quotes stand in the texts
            table = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}. Name a GAP .tsv file.") from None
    except UnicodeDecodeError:
        raise FormatError(f"{path} is not UTF-8 text, so it is no GAP file.") from None
    found = []
    for line, row in enumerate(table, 2):
        lost = [column for column in COLUMNS if row.get(column) is None]
        if lost:
            raise FormatError(f"{path}, line {line} has no {', '.join(lost)}; GAP has {', '.join(COLUMNS)}.")
        pronoun, a, b = (_span(f"{path}, line {line}", row, column) for column in ("Pronoun", "A", "B"))
        is_a, is_b = (row[f"{column}-coref"].strip().upper() == "TRUE" for column in "AB")
        if is_a and is_b:
            raise FormatError(f"{path}, line {line}: both names are marked true; at most one can be.")
        found.append(GapText(row["ID"], row["Text"], pronoun, a, b, is_a, is_b))
    return tuple(found)


def _span(where: str, row: dict[str, str], column: str) -> Span:
    written = row[f"{column}-offset"]
    start = int(written) if written.strip().isdigit() else -1
    end = start + len(row[column])
    if start < 0 or row["Text"][start:end] != row[column]:
        raise FormatError(
            f"{where}: {column}-offset {written!r} does not point at {row[column]!r}; it counts characters."
        )
    return start, end


def candidate_weights(
    weights: npt.NDArray[np.floating],
    pronoun: Sequence[int],
    names: Sequence[Sequence[int]],
    *,
    pool: str = "sum",
) -> Doubles:
    """Attention between a pronoun and each of several names, in both directions.

    Parameters
    ----------
    weights : (column, query, key) float array
        Attention between tokens after softmax.
    pronoun : sequence of int
        Its tokens.
    names : sequence of sequences of int
        Tokens of each name.
    pool : "sum", "mean" or "max"
        How the weights **to** the tokens of the one looked at become one number; **from** tokens it is always
        the mean. "sum" is the definition for words; it favours names of many tokens.

    Returns
    -------
    (direction, column, name) float64 array
        Directions as :data:`DIRECTIONS`.

    Raises
    ------
    ShapeError
        ``weights`` has other axes.
    LabelError
        The pronoun or a name has no token (cut off), or one that is not there.
    """
    expect_option("candidate_weights()", "pool", pool, POOLS)
    _expect_square(weights, "token")
    for what, tokens in (("the pronoun", pronoun), *((f"name {n}", one) for n, one in enumerate(names))):
        if not len(tokens) or min(tokens) < 0 or max(tokens) >= weights.shape[1]:
            raise LabelError(
                f"{what} has tokens {list(tokens)} of {weights.shape[1]}; it needs one that was read."
            )
    found: Doubles = np.empty((len(DIRECTIONS), len(weights), len(names)))
    for n, name in enumerate(names):
        there = weights[:, list(pronoun)][:, :, list(name)]
        back = weights[:, list(name)][:, :, list(pronoun)]
        found[0, :, n] = _pool(there, pool).mean(1)
        found[1, :, n] = _pool(back, pool).mean(1)
    _expect_numbers(found)
    return found


def _pool(weights: npt.NDArray[np.floating], pool: str) -> npt.NDArray[np.floating]:
    """Make one number of the weights to several tokens, the last axis."""
    found: npt.NDArray[np.floating]
    if pool == "max":
        found = weights.max(-1)
    else:
        found = weights.sum(-1) if pool == "sum" else weights.mean(-1)
    return found


def _expect_square(weights: npt.NDArray[np.floating], axis: str) -> None:
    if weights.ndim != 3 or weights.shape[1] != weights.shape[2]:
        raise ShapeError(f"weights has shape {weights.shape}; wanted is (column, {axis}, {axis}).")


def _expect_numbers(found: npt.NDArray[np.floating]) -> None:
    if np.isnan(found).any():
        raise ShapeError(
            "weights holds NaN where a pronoun, a name or a mention looks: padding was taken for one of "
            "them, or the model gave NaN. Pass the tokens that were read."
        )


@dataclass(frozen=True, eq=False)
class CandidateCounts:
    """How often each head gives the true one of two names the larger weight.

    Attributes
    ----------
    places : tuple of (layer, head)
        What the columns stand for.
    hits : (direction, column) int64 array
        Directions as :data:`DIRECTIONS`. Equal weights are no hit.
    baselines : dict of str to Rate
        Of "always A", "always B", "nearest name", and "longer name" (by tokens; A of equals).
    texts : int
        Texts in which one of the names is meant; others are not counted.
    neither : int
        Texts left out because neither name is meant.
    """

    places: tuple[Place, ...]
    hits: Integers
    baselines: dict[str, Rate]
    texts: int
    neither: int

    def rate(self, place: Place, direction: str = DIRECTIONS[0]) -> Rate:
        """Return how often one head was right."""
        expect_option("these counts", "direction", direction, DIRECTIONS)
        if place not in self.places:
            raise OptionError(
                f"these counts have no layer {place[0]}, head {place[1]}; the last is {self.places[-1]}."
            )
        return Rate(int(self.hits[DIRECTIONS.index(direction), self.places.index(place)]), self.texts)

    def best_head(self) -> tuple[Place, str]:
        """Return (layer, head) and direction of the head that was right most often; the first of equals."""
        side, column = np.unravel_index(int(self.hits.argmax()), self.hits.shape)
        return self.places[column], DIRECTIONS[side]


@dataclass(frozen=True, eq=False)
class Candidates:
    """One text's weights: (direction, column, 2) for the names A and B, and their numbers of tokens."""

    text: GapText
    weights: Doubles
    lengths: tuple[int, int]


def count_candidates(found: Iterable[Candidates], places: Sequence[Place]) -> CandidateCounts:
    """Count for each head how often it tells the true name from the other one.

    A fair test: two candidates, one of them true, so a head that knows nothing is right half the time.

    Parameters
    ----------
    found : iterable of Candidates
        Texts with :func:`candidate_weights` of their names A and B.
    places : sequence of (layer, head)
        One a column.

    Raises
    ------
    ShapeError
        A text's weights are not (direction, column, 2).
    OptionError
        No text is left whose pronoun means one of the names.
    """
    hits = np.zeros((len(DIRECTIONS), len(places)), np.int64)
    right = dict.fromkeys(BASELINES, 0)
    texts = neither = 0
    for one in found:
        if one.weights.shape != (*hits.shape, 2):
            raise ShapeError(
                f"text {one.text.name} has weights of shape {one.weights.shape}; wanted is (direction, "
                f"column, name) = {(*hits.shape, 2)}."
            )
        answer = one.text.answer
        if answer == "neither":
            neither += 1
            continue
        texts += 1
        more = one.weights[..., 0] - one.weights[..., 1]
        hits += more > 0 if answer == "A" else more < 0
        longer = "B" if one.lengths[1] > one.lengths[0] else "A"
        for name, guess in zip(BASELINES, ("A", "B", one.text.nearest, longer), strict=True):
            right[name] += guess == answer
    if not texts:
        raise OptionError(f"in none of the texts ({neither} read) does the pronoun mean one of the names.")
    rates = {name: Rate(count, texts) for name, count in right.items()}
    return CandidateCounts(tuple(places), hits, rates, texts, neither)


def antecedent_hits(
    weights: npt.NDArray[np.floating], mentions: Sequence[int], clusters: Sequence[int]
) -> tuple[Integers, int]:
    """Count mentions whose most attended earlier mention is of the same entity, as Clark et al. do.

    Only mentions that have an earlier one of their own entity are asked; the head of each earlier mention, of
    any entity, is a candidate.

    Parameters
    ----------
    weights : (column, word, word) float array
        Attention between words.
    mentions : sequence of int
        Word index of each mention's syntactic head, in any order, each once.
    clusters : sequence of int
        Which entity each mention stands for.

    Returns
    -------
    hits : (column,) int64 array
        A head without any weight on an earlier mention is wrong.
    asked : int
        How many mentions were asked.

    Raises
    ------
    ShapeError
        ``weights`` has other axes.
    LabelError
        Mentions and entities differ in number, or a mention is no word or stands there twice.

    References
    ----------
    .. [1] Clark et al., "What Does BERT Look At? An Analysis of BERT's Attention", section 4.3, 2019,
       doi:10.18653/v1/W19-4828

    Examples
    --------
    >>> rows = np.array([[[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.6, 0.3, 0.1]]])
    >>> hits, asked = antecedent_hits(rows, [0, 1, 2], [7, 8, 7])
    >>> hits.tolist(), asked
    ([1], 1)
    """
    _expect_square(weights, "word")
    words = weights.shape[1]
    if (
        len(mentions) != len(clusters)
        or len(set(mentions)) != len(mentions)
        or any(not 0 <= m < words for m in mentions)
    ):
        raise LabelError(
            f"{len(mentions)} mentions {list(mentions)[:8]} with {len(clusters)} entities, in {words} words: "
            "each mention is the index of another word, and stands for one entity."
        )
    order = np.argsort(mentions)
    places, entities = np.asarray(mentions, np.int64)[order], np.asarray(clusters)[order]
    hits, asked = np.zeros(len(weights), np.int64), 0
    for at in range(1, len(places)):
        is_same = entities[:at] == entities[at]
        if not is_same.any():
            continue
        asked += 1
        seen = weights[:, places[at], places[:at]]
        _expect_numbers(seen)
        hits += is_same[seen.argmax(-1)] & (seen.max(-1) > 0)
    return hits, asked
