"""Choices that make a figure readable: heads, how much to prune, where planes stand, from where to look."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headscape.analysis.route_graph import prune_to_routes
from headscape.analysis.routes import Routes
from headscape.draw.scene import GRID_MARGIN, MARGIN, Scene
from headscape.draw.theme import MOST_HUES, Theme
from headscape.errors import OptionError
from headscape.graph.columns import EdgeKind, NodeKind
from headscape.graph.graph import Graph
from headscape.graph.layouts import TOWER_GAP
from headscape.graph.prune import keep_nuclei
from headscape.trace.trace import Trace

# A plane stays readable with about this many edges for each of its tokens (measured: beyond 2 per token,
# which edge is how strong is read worse from every encoding; with hues a little more is bearable).
EDGES_PER_TOKEN = 3.0
# And a figure with about this many in all its planes together.
MOST_EDGES = 900
# Shares of each row to try. Below the last, most rows keep one edge only: one limit for all serves better.
NUCLEI = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)
# Classes drawn at most; the best ones.
MOST_CLASSES = 10
# Width of a plane as seen, in distances between planes: below 1, planes do not overlap.
PLANE_SHARE = 0.92
# Furthest that planes are turned towards the viewer, in radians from edge-on.
MOST_TURN = 0.72
# Planes further apart than this (in plane radii) leave more air than picture.
MOST_GAP = 4.0
# Degrees from above: enough to see that planes stand behind each other.
ELEVATION = 13.0
# Room for the last plane's labels before the classes, in gaps for each plane: labels do not shrink with gaps.
CLASS_SPACE = 0.06

# Columns between the last plane of one side and the first of the next, in the front view.
SIDE_STEP = 1.9

Points = npt.NDArray[np.float64]
Camera3 = tuple[float, float, float]


@dataclass(frozen=True)
class Camera:
    """From where to look, in degrees, and the room for the nodes (left, bottom, right, top; fractions)."""

    azim: float
    elev: float
    room: tuple[float, float, float, float]


def choose_heads(trace: Trace, heads: str | Sequence[int]) -> str | Sequence[int]:
    """Return what ``heads="auto"`` means for this trace."""
    if heads != "auto":
        return heads
    most = max((call.shape[1] for call in trace.calls), default=1)
    return "each" if most <= MOST_HUES else "mean"


def prune_graph(graph: Graph, prune: str | tuple[str, Mapping[str, float]] | Routes | None) -> Graph:
    """Prune as asked; ``"auto"``: the largest readable nucleus, or each layer's strongest edges."""
    if prune is None:
        return graph
    if isinstance(prune, Routes):
        return prune_to_routes(graph, prune)
    if isinstance(prune, str):
        return _prune_to_read(graph) if prune == "auto" else graph.prune(prune)
    if isinstance(prune, tuple | list) and len(prune) == 2 and isinstance(prune[1], Mapping):
        return graph.prune(prune[0], **prune[1])
    raise OptionError(
        f'prune={prune!r} is no pruning; pass a name such as "skeleton", a name with options such as '
        '("nucleus", {"p": 0.5}), "auto", routes of find_routes(), or None for every edge.'
    )


def _prune_to_read(graph: Graph) -> Graph:
    name, options = choose_pruning(graph)
    return graph.prune(name, **options)


def choose_pruning(graph: Graph) -> tuple[str, dict[str, float]]:
    """Return the pruning that ``"auto"`` means; only edges within planes and across sides count."""
    calls = range(len(graph.calls))
    tokens = [_tokens(graph, number) for number in calls]
    budgets = [_budget(graph, many) for many in tokens]
    kind = graph.edges.kind
    inside = graph.edges.select((kind == EdgeKind.ATTENTION) | (kind == EdgeKind.CROSS))
    # Rows are sorted once for all shares: to prune anew for each takes most of a large figure's time.
    for share, keep in zip(NUCLEI, keep_nuclei(inside, NUCLEI), strict=True):
        if (np.bincount(inside.call[keep], minlength=len(calls)) <= budgets).all():
            return "nucleus", {"p": share}
    if len(set(tokens)) > 1:  # one number of edges does not fit sides of different length
        return "top_k", {"k": 1}
    return "strongest", {"n": budgets[0]}


def _budget(graph: Graph, tokens: int) -> int:
    """Edges a plane of so many tokens may have."""
    return max(1, min(int(EDGES_PER_TOKEN * tokens), MOST_EDGES // len(graph.calls)))


def _tokens(graph: Graph, call: int) -> int:
    """Real tokens on the query side of a call."""
    nodes = graph.nodes
    at_start = (
        (nodes.kind == NodeKind.TOKEN) & (nodes.plane == 0) & (nodes.side == graph.calls[call].query_side)
    )
    return int((at_start & ~nodes.padded).sum())


def set_scene(
    graph: Graph,
    layout: str,
    view: str,
    theme: Theme,
    pictures: dict[int, npt.NDArray[np.uint8]],
    size_px: tuple[float, float],
    *,
    seed: int,
) -> tuple[Scene, Camera]:
    """Place the nodes so that the planes fill the canvas.

    Parameters
    ----------
    graph, theme, pictures
        See :class:`Scene`.
    layout, view : str
        As in ``draw_figure``.
    size_px : (width, height)
        Of the canvas, in pixels of 1/100 inch.
    seed : int
        Of the layout.
    """
    if layout == "auto":
        has_grid = any(side.grid is not None for side in graph.sides)
        layout = "line" if view == "front" else "grid" if has_grid else "ring"
    font = float(np.clip(size_px[0] / 140, 6.5, 9.5))
    at = graph.layout(layout, seed=seed, gap=1.0).astype(float)
    if view == "front":
        stand_in_line(at, graph)
    at[hidden(graph, view)] = np.nan
    planes = max(side.planes for side in graph.sides)
    at[graph.nodes.kind == NodeKind.CLASS, 0] += CLASS_SPACE * planes
    room = _room(size_px, font, graph, view)
    wide = (room[2] - room[0]) * size_px[0] / ((room[3] - room[1]) * size_px[1])
    margin = 2 * (GRID_MARGIN if layout == "grid" else MARGIN)
    azim, elev, gap = _aim(at, wide, view, margin)
    at[:, 0] *= gap
    return Scene(graph, at, gap, layout, view, theme, font, pictures), Camera(azim, elev, room)


def stand_in_line(at: Points, graph: Graph) -> None:
    """Move sides from above each other to one behind the other, those that are only read first.

    So edges across sides run through the space between two towers, and not along a column.
    """
    asking = {call.query_side for call in graph.calls}
    start = 0.0
    for side in sorted(range(len(graph.sides)), key=lambda number: number in asking):
        of_side = graph.nodes.side == side
        at[of_side, 0] += start
        at[of_side, 2] -= (side - (len(graph.sides) - 1) / 2) * (2 + TOWER_GAP)
        start += graph.sides[side].planes - 1 + SIDE_STEP


def hidden(graph: Graph, view: str) -> npt.NDArray[np.bool_]:
    """Which nodes are not drawn, beside padding: planes no chosen call touches, classes beyond the best."""
    nodes = graph.nodes
    hide = (nodes.kind == NodeKind.CLASS) & (nodes.token >= MOST_CLASSES)
    touched = {(call.query_side, call.plane) for call in graph.calls}
    if view != "layer":
        touched |= {(call.query_side, call.plane + 1) for call in graph.calls}
        touched |= {
            (c.key_side, graph.sides[c.key_side].planes - 1) for c in graph.calls if c.kind == "cross"
        }
    for side, info in enumerate(graph.sides):
        for plane in range(info.planes):
            if (side, plane) not in touched:
                hide |= (nodes.kind == NodeKind.TOKEN) & (nodes.side == side) & (nodes.plane == plane)
        if view == "layer" or (side, info.planes - 1) not in touched:
            hide |= (nodes.kind == NodeKind.CLASS) & (nodes.side == side)
    return np.asarray(hide)


def _room(
    size_px: tuple[float, float], font: float, graph: Graph, view: str
) -> tuple[float, float, float, float]:
    """Room for the nodes inside title, legend and labels, in fractions of the canvas."""
    width, height = size_px
    letter, line = font * 0.85, font * 1.39 * 1.2  # pixels at 100 dpi
    labels = [len(str(label)[:16]) for label in graph.nodes.label[graph.nodes.kind == NodeKind.TOKEN]]
    margin = min(0.16, (max(labels, default=4) * letter + 1.6 * line) / width)
    classes = [len(str(label)[:16]) + 9 for label in graph.nodes.label[graph.nodes.kind == NodeKind.CLASS]]
    right = margin if not classes or view == "layer" else min(0.22, (max(classes) * letter + line) / width)
    # At the bottom the legend's usual three rows and the planes' captions; compose() knows better.
    return (margin, 5.4 * line / height, 1 - right, 1 - 4.8 * line / height)


def _aim(at: Points, wide: float, view: str, margin: float) -> Camera3:
    """Azimuth, elevation and gap with which the planes fill a room of that width over height."""
    if view == "layer":
        return 0.0, 0.0, 1.0
    there = at[np.isfinite(at[:, 0])]
    x, size = there[:, 0], np.ptp(there[:, 1:], axis=0) + margin
    if view == "front":
        return -90.0, 0.0, min(wide * max(size[1], 1.0) / max(float(np.ptp(x)), 1.0), MOST_GAP)
    sin_up, cos_up = np.sin(np.radians(ELEVATION)), np.cos(np.radians(ELEVATION))
    best: tuple[float, float, float] = (np.inf, 0.3, 1.0)
    for gap in np.geomspace(0.15, MOST_GAP, 80):
        # As seen, a plane is size x sin wide, and the next one stands gap x cos further.
        turn = min(float(np.arctan2(PLANE_SHARE * gap, max(size[0], 0.8))), MOST_TURN)
        sin, cos = np.sin(turn), np.cos(turn)
        width = np.ptp(x * gap * cos + there[:, 1] * sin) + margin * sin
        back = there[:, 1] * cos - x * gap * sin
        height = np.ptp(there[:, 2] * cos_up + back * sin_up) + margin * cos_up
        off = abs(float(np.log(max(width, 1e-3) / max(height, 1e-3) / wide)))
        if off < best[0]:
            best = (off, turn, float(gap))
    return -90.0 + float(np.degrees(best[1])), ELEVATION, best[2]
