"""Pieces of a tokenizer as a person writes them: no sign that stands for a space, a byte or a join."""

import re
import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Literal

# Stands before a piece that goes on with the word before it, so that "fly" and "##fly" differ.
JOIN = "·"

Style = Literal["bytes", "spaces", "joins", "ends"]

_SPACE = "\u2581"  # SentencePiece's
_BYTE_SPACE, _BYTE_NEWLINE = "\u0120", "\u010a"  # a space and a newline as byte-level pieces write them
_GOES_ON = "##"  # WordPiece's
_WORD_END = "</w>"
_BYTE = re.compile(r"<0x([0-9A-Fa-f]{2})>")
_SPECIAL = re.compile(r"\[[A-Za-z0-9_ ]+\]|<[^<>\s]+>")
# Scripts that are written without spaces: their pieces do not look cut.
_UNSPACED = re.compile("[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")


def piece_style(pieces: Iterable[str]) -> Style | None:
    """Tell how a tokenizer marks spaces and joins, from pieces of it; None where nothing is marked."""
    for piece in pieces:
        if piece.startswith((_BYTE_SPACE, _BYTE_NEWLINE)):
            return "bytes"
        if piece.startswith(_SPACE):
            return "spaces"
        if piece.startswith(_GOES_ON) and piece[2:3].isalnum():
            return "joins"
        if piece.endswith(_WORD_END) and piece != _WORD_END:
            return "ends"
    return None


def readable(pieces: Sequence[str], style: Style | None, *, is_text: bool = True) -> list[str]:
    r"""Write pieces as a person does.

    Parameters
    ----------
    pieces : sequence of str
        As a tokenizer lists them: ``"\u0120flight"``, ``"\u2581flight"``, ``"##ing"``, ``"ing</w>"``,
        ``"<0x0A>"``.
    style : str or None
        What :func:`piece_style` found. None leaves all as they are.
    is_text : bool
        The pieces follow each other. Else each stands alone (answers of a model): a piece without its space
        goes on with whatever was before.

    Returns
    -------
    list of str
        The pieces' own text. A piece that goes on with a word starts with :data:`JOIN`; bytes that are no
        character by themselves read ``<E2>``; names such as ``[CLS]`` stay.
    """
    if style is None or (style == "bytes" and not _are_bytes(pieces)):
        return list(pieces)
    texts: list[str] = []
    before, was_end = "", True
    for piece in pieces:
        if piece == "" or (_SPECIAL.fullmatch(piece) and not _BYTE.fullmatch(piece)):
            texts.append(piece)
            before, was_end = "", True
            continue
        text, starts = _read(piece, style, was_end)
        was_end = piece.endswith(_WORD_END)
        goes_on = not starts and (style in ("joins", "ends") or not is_text or _is_letter(before[-1:]))
        joined = goes_on and _is_letter(text[:1]) and not _UNSPACED.match(text)
        texts.append(JOIN + text if joined else text)
        before = text
    return texts


def _read(piece: str, style: Style, was_end: bool) -> tuple[str, bool]:
    """Return a piece's text without the space before it, and whether it starts a word."""
    if style == "joins":
        starts = not (piece.startswith(_GOES_ON) and piece[2:])
        return (piece if starts else piece[2:]), starts
    if style == "ends":
        return piece.removesuffix(_WORD_END) or piece, was_end
    found = _BYTE.fullmatch(piece)
    if style == "bytes":
        raw = bytes(_alphabet()[letter] for letter in piece)
    elif found:
        raw = bytes([int(found[1], 16)])
    else:
        raw = piece.replace(_SPACE, " ").encode("utf-8", "surrogatepass")
    starts = raw[:1] == b" " and raw.strip() != b""
    return _decode(raw[1:] if starts else raw), starts


def _decode(raw: bytes) -> str:
    try:
        return raw.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return "".join(f"<{byte:02X}>" for byte in raw)


def _is_letter(letter: str) -> bool:
    return letter != "" and unicodedata.category(letter)[0] in "LMN"


def _are_bytes(pieces: Sequence[str]) -> bool:
    """Tell whether pieces are spelt in the byte alphabet, and not in a language that has such letters."""
    alphabet = _alphabet()
    for piece in pieces:
        if _SPECIAL.fullmatch(piece):
            continue
        codes = [alphabet.get(letter, 0) for letter in piece]
        if any((code < 32 and not 9 <= code <= 13) or code == 127 for code in codes):
            return False
    return True


@cache
def _alphabet() -> dict[str, int]:
    """Letters of byte-level pieces: printable bytes are themselves, the others follow from U+0100 on."""
    plain = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    rest = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + n): byte for n, byte in enumerate(rest)}
