"""Text to token ids: a small tokenizer for tweets, and the vocabulary it learns."""

import html
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

PADDING = "[PAD]"
UNKNOWN = "[UNK]"
URL = "[URL]"
NUMBER = "[NUM]"

# From this many digits on, a number is a flight, a booking or a phone: which one says nothing of the mood.
LONG_NUMBER_DIGITS = 3
# A run of one sign is kept up to this length: "!!" is louder than "!", "!!!!!!!!" is no new word.
LONGEST_RUN = 3

_PIECES = re.compile(
    r"""
    (?P<url>(?:https?://|www\.)\S+)
  | (?P<handle>@\w+)
  | (?P<face>[:;=8][-'o]?[)(\]\[dDpP/\\|*]+(?!\w) | <3+ | \(: | \): )
  | (?P<tone>(?<!\w)/s(?!\w))
  | (?P<number>[$£€]?\d+(?:[.,:]\d+)*%?(?![^\W\d_]))
  | (?P<word>\w+(?:'\w+)*)
  | (?P<run>([!?.,…])\8*)
  | (?P<sign>\S[\uFE0E\uFE0F\u200D\U0001F3FB-\U0001F3FF]*)
    """,
    re.VERBOSE,
)
_STRETCHED = re.compile(r"([^\W\d_])\1{2,}")


def split_words(text: str) -> list[str]:
    """Split a tweet into lower-case words, handles, emoticons, emoji and punctuation.

    Parameters
    ----------
    text : str
        Any text. HTML entities (``&amp;``) are resolved; typographic apostrophes become ``'``.

    Returns
    -------
    list of str
        Tokens in reading order; empty for a text of white space. Addresses become ``[URL]``,
        numbers of three digits or more ``[NUM]``; a hashtag becomes ``#`` and its word; letters
        repeated more than twice are cut to two ("sooo" is "soo").

    Examples
    --------
    >>> split_words("@skyline Sooo late, AGAIN!! #fail http://t.co/x")
    ['@skyline', 'soo', 'late', ',', 'again', '!!', '#', 'fail', '[URL]']
    """
    plain = html.unescape(text).replace("\u2019", "'").replace("\u2018", "'")
    tokens: list[str] = []
    for piece in _PIECES.finditer(plain):
        found = piece.group().lower()
        match piece.lastgroup:
            case "url":
                tokens.append(URL)
            case "number":
                digits = sum(sign.isdigit() for sign in found)
                tokens.append(NUMBER if digits >= LONG_NUMBER_DIGITS else found)
            case "word":
                tokens.append(_STRETCHED.sub(r"\1\1", found))
            case "run":
                tokens.append("..." if found[0] == "…" else found[:LONGEST_RUN])
            case _:
                tokens.append(found)
    return tokens


@dataclass(frozen=True)
class Vocabulary:
    """The tokens a model knows, by id. Id 0 is padding, id 1 stands for every unknown token."""

    tokens: tuple[str, ...]

    @classmethod
    def learn(cls, texts: Iterable[Sequence[str]], *, min_count: int = 2) -> "Vocabulary":
        """Keep every token seen at least ``min_count`` times in ``texts``, the commonest first.

        Pass the training part only: words of the test part must stay unknown.
        Ties are ordered by the token itself, so that the ids do not depend on the order of texts.
        """
        seen = Counter(token for text in texts for token in text)
        kept = sorted(
            (token for token, count in seen.items() if count >= min_count), key=lambda t: (-seen[t], t)
        )
        return cls((PADDING, UNKNOWN, *kept))

    def __len__(self) -> int:
        return len(self.tokens)

    def __contains__(self, token: str) -> bool:
        return token in self._ids()

    def _ids(self) -> dict[str, int]:
        cached: dict[str, int] | None = self.__dict__.get("_id_of")
        if cached is None:
            cached = {token: i for i, token in enumerate(self.tokens)}
            self.__dict__["_id_of"] = cached
        return cached

    def encode(self, tokens: Sequence[str], *, longest: int) -> list[int]:
        """Ids of ``tokens``, cut after ``longest``; an empty text is one unknown token."""
        ids = self._ids()
        return [ids.get(token, 1) for token in tokens[:longest]] or [1]

    def label(self, tokens: Sequence[str], *, longest: int) -> list[str]:
        """The same tokens as a picture should show them: unknown ones in square brackets."""
        ids = self._ids()
        return [token if token in ids else f"[{token}]" for token in tokens[:longest]] or [UNKNOWN]
