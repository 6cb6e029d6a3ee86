"""Sentences with their syntax, from files in CoNLL-U."""

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from headscape.errors import FileError, FormatError, LabelError

ROOT = -1  # the head of a word that has none
FIELDS = 10  # columns of a CoNLL-U line


@dataclass(frozen=True, eq=False)
class Sentence:
    """A sentence and its dependency tree.

    Attributes
    ----------
    words : tuple of str
        As annotated: "don't" is two words.
    tags : tuple of str
        Universal part of speech of each.
    heads : (word,) int64 array
        Index of each word's head; -1 for the root.
    relations : tuple of str
        What each word is to its head, with the subtype ("nmod:poss").
    """

    words: tuple[str, ...]
    tags: tuple[str, ...]
    heads: npt.NDArray[np.int64]
    relations: tuple[str, ...]

    def __post_init__(self) -> None:
        count = len(self.words)
        if not count == len(self.tags) == len(self.relations) == len(self.heads):
            raise LabelError(
                f"a sentence of {count} words has {len(self.tags)} tags, {len(self.heads)} heads and "
                f"{len(self.relations)} relations; every word needs one of each."
            )
        own = self.heads == np.arange(count)
        wrong = np.flatnonzero((self.heads < ROOT) | (self.heads >= count) | own)
        if len(wrong):
            raise LabelError(
                f"word {wrong[0]} ({self.words[wrong[0]]!r}) has head {self.heads[wrong[0]]}; a head is the "
                f"index of another word, 0 to {count - 1}, or {ROOT} for the root."
            )

    def __len__(self) -> int:
        return len(self.words)


def read_conllu(path: str | os.PathLike[str]) -> tuple[Sentence, ...]:
    """Read all sentences of a CoNLL-U file.

    Multiword tokens (ids with "-") and empty nodes (ids with ".") are skipped: their words have lines of
    their own, or no place in the text.

    Parameters
    ----------
    path : path
        A file as Universal Dependencies publishes them, UTF-8.

    Raises
    ------
    FileError
        The file cannot be read.
    FormatError
        A line is not CoNLL-U, or a head is not a word of its sentence; the message names the line.

    References
    ----------
    .. [1] de Marneffe et al., "Universal Dependencies", Computational Linguistics 47, 2021,
       doi:10.1162/coli_a_00402
    """
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise FileError(f"{path} cannot be read: {error.strerror or error}. Name a .conllu file.") from None
    except UnicodeDecodeError:
        raise FormatError(f"{path} is not UTF-8 text, so it is no CoNLL-U file.") from None
    return tuple(_sentences(str(path), text.split("\n")))


def _sentences(path: str, lines: Iterable[str]) -> Iterator[Sentence]:
    rows: list[list[str]] = []
    number = 0
    for number, line in enumerate(lines, 1):
        if line.startswith("#"):
            continue
        if line.strip():
            cells = line.split("\t")
            if len(cells) != FIELDS:
                raise FormatError(
                    f"{path}, line {number}: {len(cells)} cells between tabs; a line of CoNLL-U has {FIELDS}."
                )
            if "-" not in cells[0] and "." not in cells[0]:
                rows.append(cells)
        elif rows:
            yield _sentence(path, number, rows)
            rows = []
    if rows:
        yield _sentence(path, number, rows)


def _sentence(path: str, number: int, rows: list[list[str]]) -> Sentence:
    """Make the sentence whose last line is the one before ``number``."""
    try:
        if [int(row[0]) for row in rows] != list(range(1, len(rows) + 1)):
            raise LabelError("its words are not numbered 1, 2, 3, ...")
        heads = np.array([int(row[6]) - 1 for row in rows], dtype=np.int64)
        return Sentence(
            tuple(row[1] for row in rows), tuple(row[3] for row in rows), heads, tuple(row[7] for row in rows)
        )
    except LabelError as error:
        raise FormatError(f"{path}, sentence before line {number}: {error}") from None
    except ValueError:
        raise FormatError(
            f"{path}, sentence before line {number}: an id or a head is not a number "
            f"({[row[0] + ' ' + row[6] for row in rows][:5]}...)."
        ) from None
