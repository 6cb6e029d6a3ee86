"""Which tokens are signs and not words: special tokens, separators and punctuation, told by their labels."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from headscape.trace.texts import piece_style, readable

Flags: TypeAlias = npt.NDArray[np.bool_]

# The rule by which a label is that of a special token: a name in capitals in square brackets, a name in small
# letters in angle brackets (a slash may stand before it), or anything between <| and |>. Bytes such as
# <0x0A> and <E2> are no names.
SPECIAL_RULE = re.compile(r"\[[A-Z][A-Z_ ]*\d*\]|</?[a-z][a-z_]*\d*>|<\|[^<>]+\|>")
# Names that follow the rule but stand for a word of the text.
STAND_INS = frozenset({"[UNK]", "[MASK]", "<unk>", "<mask>"})
# Special tokens that stand between or behind texts.
SEPARATORS = frozenset(
    {
        "[SEP]",
        "[END]",
        "[EOS]",
        "</s>",
        "<eos>",
        "<sep>",
        "<|endoftext|>",
        "<|im_end|>",
        "<|eot_id|>",
        "<|end|>",
    }
)


@dataclass(frozen=True, eq=False)
class TokenKinds:
    """What the tokens of one text are, each (token,) bool.

    Attributes
    ----------
    special
        Told by :data:`SPECIAL_RULE`, without the stand-ins for words.
    separator
        Special tokens in :data:`SEPARATORS`.
    punctuation
        Every character of the token is of Unicode's punctuation categories (P*), as ``.`` and ``,`` are.
    """

    special: Flags
    separator: Flags
    punctuation: Flags


def token_kinds(labels: Sequence[str]) -> TokenKinds:
    """Tell what each token of one text is, from its label.

    Parameters
    ----------
    labels : sequence of str
        As the tokenizer writes them (its signs for spaces and joins are taken off) or as a person does.

    Examples
    --------
    >>> token_kinds(["[CLS]", "well", "##,", "[MASK]", "[SEP]"]).special.tolist()
    [True, False, False, False, True]
    """
    names = [label.strip() for label in labels]
    special = [bool(SPECIAL_RULE.fullmatch(name)) and name not in STAND_INS for name in names]
    texts = readable(names, piece_style(names))
    points = [not known and _is_punctuation(text) for text, known in zip(texts, special, strict=True)]
    return TokenKinds(
        np.array(special, bool),
        np.array([name in SEPARATORS for name in names], bool),
        np.array(points, bool),
    )


def _is_punctuation(text: str) -> bool:
    signs = text.strip().removeprefix("##")
    return signs != "" and all(unicodedata.category(sign).startswith("P") for sign in signs)


def marked(labels: Sequence[str], wanted: Iterable[str]) -> Flags:
    """Return which tokens have one of the wanted labels, (token,) bool; signs for spaces do not matter."""
    known = set(wanted)
    texts = readable(labels, piece_style(labels))
    return np.array(
        [a.strip() in known or b.strip() in known for a, b in zip(labels, texts, strict=True)], bool
    )


def numbered(labels: Sequence[str]) -> npt.NDArray[np.int64]:
    """Give equal labels equal numbers, (token,) int64."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(label, len(numbers)) for label in labels], np.int64)
