"""The sequences of tokens a model works on, with their labels and pictures."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from headscape.errors import LabelError, ShapeError, expect_index
from headscape.trace.texts import piece_style, readable

Labels = Sequence[str] | Sequence[Sequence[str]]


@dataclass(frozen=True, eq=False)
class Side:
    """One sequence of tokens the model works on.

    Attributes
    ----------
    name : str
        ``"tokens"`` where there is one, else ``"source"`` and ``"target"``.
    length : int
        Tokens in each example, padding included.
    planes : int
        Copies of the tokens in the drawing: one before each attention call of this side, one behind the last.
    labels : tuple of tuples of str, or None
        Labels per example; None where the caller gave none.
    grid : (rows, columns) or (frames, rows, columns), or None
        For pictures: the last ``rows * columns`` tokens are the patches, row by row; for films those of each
        frame in turn.
    pictures : (batch, patch, height, width, 3) uint8 array, or None
        The patches themselves, aligned with the last tokens of the side.
    """

    name: str
    length: int
    planes: int
    labels: tuple[tuple[str, ...], ...] | None = None
    grid: tuple[int, ...] | None = None
    pictures: npt.NDArray[np.uint8] | None = field(default=None, repr=False)

    def tokens(self, example: int = 0) -> list[str]:
        """Return the labels of one example, length :attr:`length`; positions where no labels were given."""
        if self.labels is None:
            return [str(position) for position in range(self.length)]
        index = expect_index(f"side {self.name!r}", "labelled example", example, len(self.labels))
        return list(self.labels[index])

    def texts(self, example: int = 0) -> list[str]:
        """Return the labels of one example as a person writes them, without a tokenizer's signs."""
        style = piece_style(label for row in self.labels or () for label in row)
        return readable(self.tokens(example), style)

    @property
    def unpictured(self) -> list[int]:
        """Tokens without a picture, such as a class token before the patches."""
        pictured = 0 if self.pictures is None else self.pictures.shape[1]
        return list(range(self.length - pictured))

    def patches(self, example: int = 0) -> npt.NDArray[np.uint8] | None:
        """Return (token, height, width, 3) uint8, zero for :attr:`unpictured`; None without pictures."""
        if self.pictures is None:
            return None
        index = expect_index(f"side {self.name!r}", "example", example, len(self.pictures))
        full = np.zeros((self.length, *self.pictures.shape[2:]), dtype=np.uint8)
        full[self.length - self.pictures.shape[1] :] = self.pictures[index]
        return full


def label_side(
    labels: Labels, padded: npt.NDArray[np.bool_], *, side: str = "tokens"
) -> tuple[tuple[str, ...], ...]:
    """Fit labels to the tokens of each example.

    Parameters
    ----------
    labels : sequence of str, or one such sequence per example
        One label a token, or one a real (unpadded) token. Anything that is not a str is shown by ``str()``.
    padded : (batch, token) bool array
        Which tokens are padding; they get the label ``""`` where labels count real tokens only.
    side : str
        Name for the message.

    Raises
    ------
    LabelError
        The numbers differ; the message names both.
    """
    batch = len(padded)
    if isinstance(labels, str):
        raise LabelError(
            f"tokens of side {side!r} is one text, but a list of labels is needed: pass text.split()."
        )
    odd = [item for item in labels if not isinstance(item, str | list | tuple)]
    if odd or not len(labels):
        seen = f"{odd[0]!r:.60} ({type(odd[0]).__name__})" if odd else "nothing"
        raise LabelError(
            f"tokens of side {side!r} holds {seen}, but labels are texts: pass a list of str, or one list "
            "per example, such as tokenizer.convert_ids_to_tokens(ids)."
        )
    rows: list[Sequence[str]] = (
        [labels] if all(isinstance(item, str) for item in labels) else list(labels)  # type: ignore[list-item]
    )
    if len(rows) == 1 and batch > 1:
        rows = rows * batch
    if len(rows) != batch:
        raise LabelError(
            f"tokens of side {side!r} holds labels for {len(rows)} examples, but the batch has {batch}. "
            "Pass one list of labels per example."
        )
    return tuple(_fit(list(row), padded[i], i, side) for i, row in enumerate(rows))


def _fit(row: list[str], padded: npt.NDArray[np.bool_], example: int, side: str) -> tuple[str, ...]:
    texts = [text if isinstance(text, str) else str(text) for text in row]
    length, real = len(padded), int((~padded).sum())
    if len(texts) == length:
        return tuple(texts)
    if len(texts) == real:
        rest = iter(texts)
        return tuple("" if pad else next(rest) for pad in padded)
    also = f" ({real} without padding)" if real != length else ""
    raise LabelError(
        f"tokens of side {side!r} has {len(texts)} labels in example {example}, "
        f"but the model saw {length} tokens{also}. Pass one label per token."
    )


def picture_patches(patches: npt.ArrayLike, *, batch: int, length: int) -> npt.NDArray[np.uint8]:
    """Turn patches into (batch, patch, height, width, 3) uint8.

    Parameters
    ----------
    patches : (batch, patch, height, width) or (batch, patch, height, width, 1 or 3) array
        Integers from 0 to 255, or floats from 0 to 1.
    batch, length : int
        What the model saw.

    Raises
    ------
    ShapeError
        Other axes, another batch, or more patches than tokens.
    """
    array = np.asarray(patches)
    if array.ndim == 4:
        array = array[..., None]
    if array.ndim != 5 or array.shape[-1] not in (1, 3):
        raise ShapeError(
            f"patches has shape {np.shape(patches)}, but (batch, patch, height, width) with or without a "
            "last axis of 1 or 3 colours is needed."
        )
    if array.shape[0] != batch or array.shape[1] > length:
        raise ShapeError(
            f"patches holds {array.shape[0]} examples of {array.shape[1]} patches, but the model saw {batch} "
            f"examples of {length} tokens. Pass one patch per token (a leading class token needs none)."
        )
    if np.issubdtype(array.dtype, np.floating):
        array = np.nan_to_num(np.clip(array, 0, 1)) * 255
    return np.broadcast_to(np.rint(array).astype(np.uint8), (*array.shape[:-1], 3)).copy()


def square_grid(patches: int) -> tuple[int, int] | None:
    """Return (rows, columns) of a square of ``patches``, or None where it is no square."""
    edge = math.isqrt(patches)
    return (edge, edge) if patches > 0 and edge * edge == patches else None
