"""The viewer's camera (viewer/src/maths/camera.ts): turns about a centre, and fits points."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from headscape.errors import OptionError

Points = npt.NDArray[np.float64]
# Nearer to the eye than this share of its distance nothing grows any more.
LEAST_DEPTH = 0.05
NUMBERS = ("yaw", "pitch", "scale", "panX", "panY", "width", "height")


@dataclass(frozen=True)
class ScreenCamera:
    """Where one looks from.

    ``yaw`` and ``pitch`` in radians, ``scale`` in CSS pixels per unit at the centre, ``pan`` in CSS pixels to
    the right and up, ``lens`` the distance of the eye in units (inf: no perspective), ``size`` of the canvas.
    """

    yaw: float
    pitch: float
    centre: tuple[float, float, float]
    scale: float
    pan: tuple[float, float]
    lens: float
    size: tuple[float, float]

    @property
    def axes(self) -> Points:
        """Unit vectors to the right, up and towards the eye, (3, 3)."""
        cy, sy, cp, sp = math.cos(self.yaw), math.sin(self.yaw), math.cos(self.pitch), math.sin(self.pitch)
        return np.array([[cy, 0, -sy], [-sy * sp, cp, -cy * sp], [sy * cp, sp, cy * cp]])

    def project(self, points: npt.ArrayLike) -> Points:
        """Return (..., 3) points as x and y in CSS pixels from the top left, and depth towards the eye."""
        at = np.asarray(points, dtype=float) - self.centre
        seen = at @ self.axes.T
        depth = seen[..., 2]
        factor = self.scale / np.maximum(1 - depth / self.lens, LEAST_DEPTH)
        x = self.size[0] / 2 + self.pan[0] + seen[..., 0] * factor
        y = self.size[1] / 2 - self.pan[1] - seen[..., 1] * factor
        return np.stack([x, y, depth], axis=-1)


def read_camera(said: Mapping[str, Any], size: tuple[float, float]) -> ScreenCamera:
    """Return a state's camera, fitted to a canvas of another size.

    Raises
    ------
    OptionError
        A number is missing.
    """
    wrong = [name for name in NUMBERS if not isinstance(said.get(name), int | float)]
    centre = said.get("centre")
    if wrong or not isinstance(centre, list | tuple) or len(centre) != 3:
        raise OptionError(
            f"the state's camera lacks {wrong or 'centre'}; it needs {', '.join(NUMBERS)} and centre "
            "(x, y, z). Leave it out to see all of the graph."
        )
    zoom = min(size[0] / said["width"], size[1] / said["height"])
    lens = said.get("lens")
    return ScreenCamera(
        yaw=said["yaw"],
        pitch=min(max(said["pitch"], -1.5), 1.5),
        centre=(float(centre[0]), float(centre[1]), float(centre[2])),
        scale=said["scale"] * zoom,
        pan=(said["panX"] * zoom, said["panY"] * zoom),
        lens=float(lens) if isinstance(lens, int | float) and lens > 0 else math.inf,
        size=size,
    )


@dataclass(frozen=True)
class Margins:
    """Free margins of the picture, CSS pixels."""

    left: float
    right: float
    top: float
    bottom: float


def fit_camera(
    points: Points, view: tuple[float, float, float], size: tuple[float, float], margins: Margins
) -> ScreenCamera:
    """Return the camera that shows all points within the canvas less its margins; NaN points do not count.

    ``view`` is yaw, pitch and lens, the lens in reaches of the points.
    """
    there = points[np.isfinite(points).all(-1)]
    low, high = (there.min(0), there.max(0)) if len(there) else (np.zeros(3), np.zeros(3))
    middle = (low + high) / 2
    reach = max(float(np.linalg.norm((high - low) / 2)), 0.5)
    centre = (float(middle[0]), float(middle[1]), float(middle[2]))
    camera = ScreenCamera(view[0], view[1], centre, 1.0, (0.0, 0.0), view[2] * reach, (0.0, 0.0))
    seen = camera.project(there)[:, :2]
    if not len(seen):
        return replace(camera, scale=100.0, size=size)
    left, top = seen.min(0)
    right, bottom = seen.max(0)
    free_x = max(size[0] - margins.left - margins.right, 40)
    free_y = max(size[1] - margins.top - margins.bottom, 40)
    scale = min(free_x / max(right - left, 0.05), free_y / max(bottom - top, 0.05))
    pan = (
        float((margins.left - margins.right) / 2 - scale * (left + right) / 2),
        float(-(margins.top - margins.bottom) / 2 + scale * (top + bottom) / 2),
    )
    return replace(camera, scale=float(scale), pan=pan, size=size)
