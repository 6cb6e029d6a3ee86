"""The tokenizer of a llama2.c model: pieces of bytes with scores, merged best first."""

import os
import re
import struct
from dataclasses import dataclass
from pathlib import Path

from headscape.errors import FileError, FormatError

UNKNOWN, BEGIN, END = 0, 1, 2
# The three control pieces come first, then one piece for each byte.
FIRST_BYTE = 3
# Pieces are words or less; a longer one means that this is another file.
LONGEST_PIECE = 256
# Characters of text that encode() takes: far more than these models read, and merging takes quadratic time.
LONGEST_TEXT = 20_000

# How control pieces and white space are shown.
_SHOWN = {UNKNOWN: "[UNK]", BEGIN: "[BEGIN]", END: "[END]"}
_SPACE = "\u2423"
_NEWLINE = "\u21b5"
# Signs of one byte, behind which a word begins even without a space.
_SIGNS = frozenset(bytes([byte]) for byte in range(33, 127) if not chr(byte).isalnum())
# Before what goes on with a word, as in BERT's vocabulary: that happens less often than a word's start.
_GOES_ON = "##"
_BYTE = re.compile(rb"<0x([0-9A-F]{2})>")


@dataclass(frozen=True)
class Pieces:
    """What a model's token ids stand for.

    Attributes
    ----------
    pieces : tuple of bytes
        UTF-8 text of each token; ``<0x0A>`` is one byte.
    scores : tuple of float
        Of two neighbours, those whose joint piece has the higher score are merged first.
    """

    pieces: tuple[bytes, ...]
    scores: tuple[float, ...]

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a text, :data:`BEGIN` first.

        A space is put before the text, as these models were trained with. Characters without a piece become
        their UTF-8 bytes.

        Raises
        ------
        FormatError
            The text is longer than :data:`LONGEST_TEXT`, or holds what UTF-8 cannot.
        """
        if len(text) > LONGEST_TEXT:
            raise FormatError(f"the text has {len(text):,} characters; pass at most {LONGEST_TEXT:,}.")
        known = self._known()
        ids: list[int] = []
        for character in f" {text}" if text else "":
            try:
                raw = character.encode()
            except UnicodeEncodeError:
                raise FormatError(
                    f"the text holds {character!r}, half of a character that UTF-8 cannot hold. "
                    "Pass whole characters."
                ) from None
            ids.extend([known[raw]] if raw in known else [FIRST_BYTE + byte for byte in raw])
        return [BEGIN, *self._merge(ids, known)]

    def _known(self) -> dict[bytes, int]:
        found: dict[bytes, int] = {}
        for number, piece in enumerate(self.pieces):
            found.setdefault(piece, number)
        return found

    def _merge(self, ids: list[int], known: dict[bytes, int]) -> list[int]:
        while True:
            best: tuple[float, int, int] | None = None
            for place in range(len(ids) - 1):
                joint = known.get(self.pieces[ids[place]] + self.pieces[ids[place + 1]])
                if joint is not None and (best is None or self.scores[joint] > best[0]):
                    best = (self.scores[joint], place, joint)
            if best is None:
                return ids
            ids[best[1] : best[1] + 2] = [best[2]]

    def raw(self, token: int) -> bytes:
        """Return the bytes of one token; none for a control token."""
        if token in _SHOWN:
            return b""
        piece = self.pieces[token]
        found = _BYTE.fullmatch(piece)
        return bytes([int(found[1], 16)]) if found else piece

    def decode(self, ids: list[int]) -> str:
        """Return the text of tokens; bytes that are no UTF-8 become U+FFFD."""
        text = b"".join(self.raw(token) for token in ids).decode("utf-8", "replace")
        return text.removeprefix(" ")

    def label(self, token: int) -> str:
        """Return how one token is shown by itself.

        A word's start is written plainly, what can go on with a word as ``##ir``, other spaces as
        ``\u2423``, a byte that is no character as ``<E2>``.
        """
        if token in _SHOWN:
            return _SHOWN[token]
        raw = self.raw(token)
        try:
            text = raw.decode().replace("\n", _NEWLINE)
        except UnicodeDecodeError:
            text = "\0"
        if not text.isprintable():
            return "".join(f"<{byte:02X}>" for byte in raw)
        if text[:1] == " " and text[1:2].isalnum():
            text = text[1:]
        elif text[:1].isalnum():
            text = _GOES_ON + text
        return text.replace(" ", _SPACE)

    def labels(self, ids: list[int]) -> list[str]:
        """Return how the tokens of a text are shown: as by :meth:`label`, but nothing goes on with a sign."""
        shown = [self.label(token) for token in ids]
        for place in range(1, len(ids)):
            before = self.raw(ids[place - 1])[-1:]
            if shown[place].startswith(_GOES_ON) and (before.strip() == b"" or before in _SIGNS):
                shown[place] = shown[place].removeprefix(_GOES_ON)
            if len(shown[place]) > 1:
                shown[place] = shown[place].removeprefix(_SPACE)
        return shown


def load_pieces(path: str | os.PathLike[str], count: int) -> Pieces:
    """Read the tokenizer file of a llama2.c model.

    Parameters
    ----------
    path : path
        The longest piece's length (int32), then for each token its score (float32), length (int32) and
        bytes, all little-endian.
    count : int
        Tokens the model has: the file has to hold exactly as many.

    Raises
    ------
    FileError
        The file cannot be read.
    FormatError
        It is no such file, or holds another number of tokens.
    """
    path = Path(path)
    most = 4 + count * (8 + LONGEST_PIECE)
    try:
        with path.open("rb") as file:
            data = file.read(most + 1)
    except OSError as error:
        raise FileError(f"the tokenizer cannot be read from {path}: {error.strerror or error}.") from None
    pieces: list[bytes] = []
    scores: list[float] = []
    at = 4
    while at < len(data) and len(pieces) < count:
        if at + 8 > len(data):
            break
        score, length = struct.unpack_from("<fi", data, at)
        at += 8
        if not 0 <= length <= LONGEST_PIECE or at + length > len(data) or score != score:
            at = len(data) + 1
            break
        pieces.append(data[at : at + length])
        scores.append(score)
        at += length
    if len(pieces) != count or at != len(data):
        raise FormatError(
            f"{path} is no tokenizer of {count} tokens: {len(pieces)} could be read from its "
            f"{len(data):,} bytes. Pass the tokenizer that belongs to the model (tok512.bin for stories260K)."
        )
    return Pieces(tuple(pieces), tuple(scores))
