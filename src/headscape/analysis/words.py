"""Words behind subword tokens: which token belongs to which word, and attention between words."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from headscape.errors import LabelError, ShapeError, expect_index

Integers: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.floating]
Doubles: TypeAlias = npt.NDArray[np.float64]
Spans: TypeAlias = Sequence[tuple[int, int]]

NO_WORD = -1  # a token that is no piece of any word: [CLS], [SEP], padding


@dataclass(frozen=True, eq=False)
class Alignment:
    """Which word each token is a piece of.

    Attributes
    ----------
    word_of_token : (token,) int64 array
        Index of the word; -1 for special tokens and padding.
    count : int
        Number of words; every one has a token.
    crossing : tuple of int
        Tokens that cover parts of several words (a tokenizer that cuts elsewhere than the annotators did).
        Each is counted to the word it covers most of.
    """

    word_of_token: Integers
    count: int
    crossing: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        of = self.word_of_token
        if of.ndim != 1 or (of < NO_WORD).any() or (of >= self.count).any():
            raise LabelError(
                f"word_of_token has shape {of.shape} and values {sorted(set(of.ravel().tolist()))[:5]}...; "
                f"wanted is one index a token, from 0 to {self.count - 1}, or -1 for no word."
            )
        bare = sorted(set(range(self.count)) - set(of.tolist()))
        if bare:
            raise LabelError(
                f"words {bare[:5]} of {self.count} have no token (cut off behind the model's longest text, "
                "or removed by its tokenizer). Leave the sentence out, or pass only the words that were read."
            )

    def pieces(self, word: int) -> Integers:
        """Return the tokens of one word, rising."""
        return np.flatnonzero(self.word_of_token == expect_index("alignment", "word", word, self.count))

    def with_root(self, token: int = 0) -> "Alignment":
        """Return the alignment with one more word in front, 0, that stands for a special token.

        Dependency parsers need a candidate for "no head"; Clark et al. take ``[CLS]``.

        Raises
        ------
        LabelError
            The token is a piece of a word.
        """
        token = expect_index("alignment", "token", token, len(self.word_of_token))
        if self.word_of_token[token] != NO_WORD:
            raise LabelError(
                f"token {token} is a piece of word {self.word_of_token[token]}, so it cannot be the root. "
                "Pass the index of a special token such as [CLS]."
            )
        moved = np.where(self.word_of_token == NO_WORD, NO_WORD, self.word_of_token + 1)
        moved[token] = 0
        return Alignment(moved, self.count + 1, self.crossing)


def align_ids(word_ids: Sequence[int | None], *, padding: int = 0) -> Alignment:
    """Align by what a tokenizer says of each token, as ``word_ids`` does where it was given single words.

    Parameters
    ----------
    word_ids : sequence of int or None
        Index of each token's word; None for special tokens.
    padding : int
        Tokens of padding behind these.

    Raises
    ------
    LabelError
        A word has no token.

    Examples
    --------
    >>> align_ids([None, 0, 1, 1, None]).word_of_token.tolist()
    [-1, 0, 1, 1, -1]
    """
    of = np.array([*(NO_WORD if w is None else w for w in word_ids), *[NO_WORD] * padding], dtype=np.int64)
    return Alignment(of, int(of.max(initial=NO_WORD)) + 1)


def align_offsets(tokens: Spans, words: Spans, *, padding: int = 0) -> Alignment:
    """Align by places in the text: a token belongs to the word with which it shares most characters.

    Parameters
    ----------
    tokens, words : sequence of (start, end)
        Characters of the text, end exclusive. An empty span is a special token. A token that meets no word
        is dropped too (punctuation where only names are words).
    padding : int
        Tokens of padding behind these.

    Returns
    -------
    Alignment
        ``crossing`` names the tokens that meet several words; the first of equals wins.

    Raises
    ------
    LabelError
        A word has no token.

    Examples
    --------
    >>> align_offsets([(0, 0), (0, 2), (2, 5), (6, 9)], [(0, 5), (6, 9)]).word_of_token.tolist()
    [-1, 0, 0, 1]
    """
    of = np.full(len(tokens) + padding, NO_WORD, dtype=np.int64)
    crossing = []
    if len(words):
        starts, ends = np.asarray(words, dtype=np.int64).reshape(-1, 2).T
        for token, (start, end) in enumerate(tokens):
            shared = np.minimum(ends, end) - np.maximum(starts, start)
            if end > start and shared.max() > 0:
                of[token] = int(shared.argmax())
                if (shared > 0).sum() > 1:
                    crossing.append(token)
    return Alignment(of, len(words), tuple(crossing))


def word_weights(weights: Floats, alignment: Alignment, *, keep_special: bool = False) -> Doubles:
    """Attention between words: to a word the sum over its pieces, from a word the mean over its pieces.

    So a row still sums to 1, as long as special tokens are kept. The order of the two steps does not matter.

    Parameters
    ----------
    weights : (..., query, key) float array
        Attention between tokens after softmax, any axes in front.
    alignment : Alignment
        Of as many tokens.
    keep_special : bool
        Keep each token that is no piece of a word as a word of its own, behind the words and in order;
        dropped otherwise, without scaling the rows up again.

    Returns
    -------
    (..., word, word) float64 array
        A word of which a piece's row is NaN (padding) has a NaN row.

    Raises
    ------
    ShapeError
        There are more or fewer tokens than the alignment has, or queries and keys differ.

    References
    ----------
    .. [1] Clark et al., "What Does BERT Look At? An Analysis of BERT's Attention", section 4.1, 2019,
       doi:10.18653/v1/W19-4828

    Examples
    --------
    >>> rows = np.array([[0.5, 0.25, 0.25], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    >>> word_weights(rows, align_ids([0, 1, 1])).tolist()
    [[0.5, 0.5], [0.5, 0.5]]
    """
    tokens = len(alignment.word_of_token)
    if weights.ndim < 2 or weights.shape[-2:] != (tokens, tokens):
        raise ShapeError(
            f"weights has shape {weights.shape}; the alignment is one of {tokens} tokens, so the last two "
            f"axes (query, key) must be ({tokens}, {tokens}). Cross-attention joins two texts: it has none."
        )
    order, starts = _runs(alignment, keep_special)
    if not len(starts):
        return np.zeros((*weights.shape[:-2], 0, 0))
    found = weights[..., order, :][..., order].astype(np.float64)
    counts = np.diff([*starts, len(order)])
    found = np.add.reduceat(found, starts, axis=-1)
    summed: Doubles = np.add.reduceat(found, starts, axis=-2)
    return summed / counts[:, None]


def pool_words(states: Floats, alignment: Alignment) -> Doubles:
    """Return each word's state, the mean over its pieces: (token, width) to (word, width) float64.

    Raises
    ------
    ShapeError
        There are more or fewer tokens than the alignment has.
    """
    if states.ndim != 2 or len(states) != len(alignment.word_of_token):
        raise ShapeError(
            f"states has shape {states.shape}; wanted is (token, width) of the alignment's "
            f"{len(alignment.word_of_token)} tokens."
        )
    order, starts = _runs(alignment, keep_special=False)
    if not len(starts):
        return np.zeros((0, states.shape[1]))
    summed: Doubles = np.add.reduceat(states[order].astype(np.float64), starts, axis=0)
    return summed / np.diff([*starts, len(order)])[:, None]


def _runs(alignment: Alignment, keep_special: bool) -> tuple[Integers, Integers]:
    """Return tokens ordered by word, and where in that order each word begins.

    Sums over runs, and not a product with a 0/1 matrix: a NaN of one word must not reach another.
    """
    of = alignment.word_of_token.copy()
    special = np.flatnonzero(of == NO_WORD)
    if keep_special:
        of[special] = alignment.count + np.arange(len(special))
    order = np.argsort(of, kind="stable")
    order = order[of[order] != NO_WORD]
    _, starts = np.unique(of[order], return_index=True)
    return order.astype(np.int64), starts.astype(np.int64)
