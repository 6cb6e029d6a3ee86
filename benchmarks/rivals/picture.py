"""When a picture is there: pixels of frames, compared with those of the frame that stayed."""

from collections.abc import Sequence
from dataclasses import dataclass
from io import BytesIO

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]
# Steps of 256 by which a colour may differ and pass for the same: frames come as JPEG.
TOLERANCE = 28
# Pixels below which a region is empty: a caret or a spinner is not a picture.
LEAST_INK = 150
# Share of the picture's pixels that have to be there, as they will stay.
THERE = 0.5


@dataclass(frozen=True)
class Box:
    """A part of the window, in pixels."""

    x: int
    y: int
    width: int
    height: int

    def of(self, pixels: Pixels) -> Pixels:
        """Return this part of a picture."""
        return pixels[self.y : self.y + self.height, self.x : self.x + self.width]


def read_frame(data: bytes) -> Pixels:
    """Return a frame's pixels, (y, x, 3)."""
    return np.asarray(Image.open(BytesIO(data)).convert("RGB"))


def find_ink(pixels: Pixels) -> npt.NDArray[np.bool_]:
    """Return which pixels belong to something drawn.

    They differ from the background, the commonest colour in steps of 16, and from a page with nothing on it,
    which is white.
    """
    if not pixels.size:
        return np.zeros(pixels.shape[:2], bool)
    coarse = (pixels >> 4).astype(np.int32)
    key = (coarse[..., 0] << 8) | (coarse[..., 1] << 4) | coarse[..., 2]
    commonest = np.bincount(key.ravel(), minlength=4096).argmax()
    ground = np.median(pixels[key == commonest], axis=0)
    return _differ(pixels, ground) & _differ(pixels, np.array(255))


def is_same(one: Pixels, other: Pixels) -> bool:
    """Return whether hardly a pixel differs."""
    return one.shape == other.shape and int(_differ(one, other).sum()) < LEAST_INK


def first_there(frames: Sequence[tuple[float, Pixels]], box: Box) -> float | None:
    """Return the time of the first frame that shows the picture; None if the last one shows nothing.

    The picture is the ink of the last frame within ``box``. A frame shows it if :data:`THERE` of these pixels
    have the colour that they have in the last frame.
    """
    last = box.of(frames[-1][1])
    ink = find_ink(last)
    if ink.sum() < LEAST_INK:
        return None
    for time_s, pixels in frames:
        same = ~_differ(box.of(pixels), last)
        if same[ink].mean() >= THERE:
            return time_s
    return None


def _differ(pixels: Pixels, other: npt.NDArray[np.generic]) -> npt.NDArray[np.bool_]:
    """Return the pixels of which one channel differs by more than the tolerance."""
    found: npt.NDArray[np.bool_] = (np.abs(pixels.astype(np.int16) - other) > TOLERANCE).any(-1)
    return found
