"""The figure and its 3D axes: what Matplotlib needs to be told to show planes in depth."""

import io
import sys
from collections.abc import Callable
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib.artist import Artist
from matplotlib.backend_bases import RendererBase
from matplotlib.figure import Figure
from matplotlib.transforms import BboxBase
from mpl_toolkits.mplot3d import proj3d
from mpl_toolkits.mplot3d.axes3d import Axes3D

Points = npt.NDArray[np.float64]

# Backends that open no window: their figures need no pyplot, so none is touched.
SILENT = ("agg", "cairo", "pdf", "pgf", "ps", "svg", "template")


class AttentionFigure(Figure):
    """A Matplotlib Figure that keeps text as text in SVG and PDF, and shows itself in a notebook."""

    picker: Any = None  # keeps the click handler alive as long as the figure

    def savefig(self, fname: Any, **kwargs: Any) -> None:
        """Save as Matplotlib does. SVG holds text as text, PDF holds its fonts (TrueType)."""
        with mpl.rc_context({"svg.fonttype": "none", "pdf.fonttype": 42}):
            super().savefig(fname, **kwargs)

    def _repr_png_(self) -> bytes | None:
        if self.canvas.manager is not None:  # pyplot shows it already
            return None
        file = io.BytesIO()
        self.savefig(file, format="png")
        return file.getvalue()


def open_figure(size_in: tuple[float, float], paper: str) -> AttentionFigure:
    """Return an empty figure, known to pyplot only where that is loaded and can open windows.

    So ``plt.show()`` and ipympl show it with rotation and clicks, while scripts that only save a file leave
    nothing behind in pyplot.
    """
    options: dict[str, Any] = {"figsize": size_in, "dpi": 100, "facecolor": paper, "layout": "none"}
    pyplot = sys.modules.get("matplotlib.pyplot")
    if pyplot is not None:
        backend = str(mpl.get_backend()).lower()
        if backend not in SILENT and "inline" not in backend:
            opened: AttentionFigure = pyplot.figure(FigureClass=AttentionFigure, **options)
            return opened
    return AttentionFigure(**options)


class PlanesAxes(Axes3D):  # type: ignore[misc]  # mpl_toolkits has no types
    """3D axes for planes along x: draws far planes first from every side, and places labels at each draw."""

    name = "headscape-planes"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, computed_zorder=False, **kwargs)
        self.stack: list[tuple[Artist, float, int]] = []
        self.before_draw: list[Callable[[RendererBase], None]] = []

    def put(self, artist: Artist, x: float, place: int) -> None:
        """Remember that ``artist`` lies at ``x``; of equal x the higher ``place`` lies on top."""
        self.stack.append((artist, x, place))

    def pixels(self, points: npt.ArrayLike) -> Points:
        """Return where (point, 3) data positions are on the canvas, (point, 2) pixels."""
        at = np.asarray(points, dtype=float).reshape(-1, 3)
        x, y, _ = proj3d.proj_transform(*at.T, self.get_proj())
        return np.asarray(self.transData.transform(np.column_stack([x, y])))

    def draw(self, renderer: RendererBase) -> None:
        """Order planes by depth, place labels, and draw."""
        self.apply_aspect()
        self.get_proj()  # works out the view's axes
        towards_viewer = 1 if self._view_w[0] >= 0 else -1
        for artist, x, place in self.stack:
            artist.set_zorder(1000 + 10 * towards_viewer * x + place)
        for prepare in self.before_draw:
            prepare(renderer)
        super().draw(renderer)

    def get_tightbbox(self, *args: Any, **kwargs: Any) -> BboxBase:
        """Return the whole figure: the square that holds the view reaches beyond it and must not count."""
        bbox: BboxBase = self.figure.bbox
        return bbox

    def format_coord(self, xv: float, yv: float, renderer: Any = None) -> str:
        """Return nothing: positions of a layout mean nothing to a reader."""
        return ""


def open_axes(figure: Figure, points: Points, *, azim: float, elev: float) -> PlanesAxes:
    """Return axes without frame whose data units are equally long in all directions."""
    axes = PlanesAxes(figure)
    figure.add_axes(axes)
    axes.set_axis_off()
    axes.patch.set_visible(False)
    axes.set_proj_type("ortho")
    axes.view_init(elev=elev, azim=azim)
    low, high = points.min(axis=0), points.max(axis=0)
    middle, size = (low + high) / 2, np.maximum(high - low, 0.5)
    axes.set_xlim3d(middle[0] - size[0] / 2, middle[0] + size[0] / 2)
    axes.set_ylim3d(middle[1] - size[1] / 2, middle[1] + size[1] / 2)
    axes.set_zlim3d(middle[2] - size[2] / 2, middle[2] + size[2] / 2)
    axes.set_box_aspect(size)
    return axes


def fit_view(axes: PlanesAxes, points: Points, room: tuple[float, float, float, float]) -> None:
    """Zoom and shift so that ``points`` fill ``room`` (left, bottom, right, top; figure fractions)."""
    figure = axes.figure
    width, height = figure.bbox.width, figure.bbox.height
    side = max(width, height)
    limits = np.array([axes.get_xlim3d(), axes.get_ylim3d(), axes.get_zlim3d()])
    size = limits[:, 1] - limits[:, 0]
    left, bottom, right, top = np.array(room) * (width, height, width, height)
    zoom = 1.0
    corner = np.array([(width - side) / 2, (height - side) / 2])
    for _ in range(3):  # orthographic views fit at the first go; the rest takes up rounding
        axes.set_box_aspect(size, zoom=zoom)
        axes.set_position((corner[0] / width, corner[1] / height, side / width, side / height))
        axes.apply_aspect()
        at = axes.pixels(points)
        low, high = at.min(axis=0), at.max(axis=0)
        zoom *= float(
            min((right - left) / max(high[0] - low[0], 1), (top - bottom) / max(high[1] - low[1], 1))
        )
        axes.set_box_aspect(size, zoom=zoom)
        at = axes.pixels(points)
        middle = (at.min(axis=0) + at.max(axis=0)) / 2
        corner = corner + np.array([(left + right) / 2, (bottom + top) / 2]) - middle
        axes.set_position((corner[0] / width, corner[1] / height, side / width, side / height))
        axes.apply_aspect()
