"""Room that a line keeps free around it, so that one can follow it across weaker ones."""

from typing import Any

import numpy as np
from matplotlib.path import Path
from matplotlib.patheffects import AbstractPathEffect

# The room ends before the line does, where it meets others at a node.
START, END = 0.12, 0.88


def middle_of(curve: Path) -> Path:
    """Return the middle part of one cubic curve; of a polygon that goes along one and back, its middle."""
    points = np.asarray(curve.vertices, dtype=float)
    if curve.codes is None or len(points) != 4:
        side = (len(points) - 1) // 2
        near, far = int(np.ceil(START * side)), int(np.floor(END * side))
        return Path(np.concatenate([points[near : far + 1], points[2 * side - far - 1 : 2 * side - near]]))
    tail = [points]
    for _ in range(3):
        tail.append(tail[-1][:-1] * (1 - END) + tail[-1][1:] * END)
    first = np.array([level[0] for level in tail])  # from 0 to END
    part = START / END
    tail = [first]
    for _ in range(3):
        tail.append(tail[-1][:-1] * (1 - part) + tail[-1][1:] * part)
    return Path(np.array([level[-1] for level in tail[::-1]]), curve.codes)


class Casing(AbstractPathEffect):
    """Draws each line of a collection with free room around it, over the lines before it."""

    def __init__(self, width_pt: float, colour: str) -> None:
        super().__init__()
        self.width_pt, self.colour = width_pt, colour

    def draw_path(self, renderer: Any, gc: Any, tpath: Any, affine: Any, rgbFace: Any = None) -> None:
        """Draw the room, then the line."""
        around = renderer.new_gc()
        around.copy_properties(gc)
        around.set_linewidth(gc.get_linewidth() + renderer.points_to_pixels(2 * self.width_pt))
        around.set_alpha(1.0)
        around.set_foreground(self.colour)
        around.set_capstyle("butt")
        around.set_dashes(0, None)
        renderer.draw_path(around, middle_of(tpath), affine, None)
        around.restore()
        renderer.draw_path(gc, tpath, affine, rgbFace)
