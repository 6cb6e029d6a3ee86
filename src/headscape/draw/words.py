"""Text of strangers, made fit to draw: tokens, class names and titles may hold anything at all."""

import unicodedata
from functools import cache

from matplotlib.font_manager import FontProperties, fontManager, get_font

# What a reader can take in beside a node; the rest is an ellipsis.
MOST_LETTERS = 16
# Looked at before cutting: enough for the letters shown, whatever has to be left out between them.
MOST_LOOKED_AT = 256
MISSING = "\u25af"  # an upright box: a letter that the font lacks
BLANK = "\u2423"  # an open box
EMPTY = "(empty)"


@cache
def _letters_of(families: tuple[str, ...]) -> frozenset[int]:
    """Letters that these fonts have, upright and bold."""
    found: list[set[int]] = []
    for weight in ("normal", "bold"):
        letters: set[int] = set()
        for family in families:
            path = fontManager.findfont(FontProperties(family=family, weight=weight))
            letters.update(get_font(path).get_charmap())
        found.append(letters)
    return frozenset(found[0] & found[1])


def has_letter(letter: str) -> bool:
    """Return whether the fonts that Matplotlib would choose have this letter."""
    return ord(letter) in _letters_of(tuple(FontProperties().get_family()))


def _shown(letter: str) -> str:
    code = ord(letter)
    kind = unicodedata.category(letter)
    # Marks of direction, joiners and variation selectors turn or hide other text, and show nothing.
    if kind == "Cf" or 0xFE00 <= code <= 0xFE0F:
        return ""
    if letter in "\n\t\r":
        return {"\n": "\\n", "\t": "\\t", "\r": "\\r"}[letter]
    if kind[0] == "Z":
        return " "
    return letter if kind[0] != "C" and has_letter(letter) else MISSING


def clean_text(text: str, most: int = MOST_LETTERS) -> str:
    """Return text that can be drawn: no control characters or missing letters, at most ``most`` wide.

    Parameters
    ----------
    text : str
        Anything, of any length.
    most : int
        Width to show, in usual letters; where there is more, it ends in an ellipsis.

    Returns
    -------
    str
        ``"(empty)"`` for an empty text; blanks alone are shown as open boxes.

    Examples
    --------
    >>> clean_text("a" * 1_000_000, most=4)
    'aaa\u2026'
    """
    head = text[:MOST_LOOKED_AT]
    if head and not head.strip(" "):
        shown = (BLANK if has_letter(BLANK) else "_") * len(head)
    else:
        shown = _thin_marks("".join(_shown(letter) for letter in head)).strip(" ")
    if not shown:
        return EMPTY
    cut = _cut(shown, most)
    if cut == shown and len(text) > MOST_LOOKED_AT:
        cut = _cut(shown + MISSING, max(len(shown), 1))
    return cut


def _width(letter: str) -> int:
    """Width in usual letters: marks stand on their letter, East Asian letters and emoji are twice as wide."""
    if unicodedata.combining(letter):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def _cut(text: str, most: int) -> str:
    if sum(map(_width, text)) <= most:
        return text
    room = most - 1
    for place, letter in enumerate(text):
        room -= _width(letter)
        if room < 0:
            return text[:place] + "\u2026"
    return text


def _thin_marks(text: str) -> str:
    """Leave at most two marks on a letter: more of them run over the neighbours."""
    kept: list[str] = []
    marks = 0
    for letter in text:
        marks = marks + 1 if unicodedata.combining(letter) else 0
        if marks <= 2:
            kept.append(letter)
    return "".join(kept)
