"""Where the viewer's nodes and planes stand (viewer/src/scene/layout.ts)."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headscape.draw.screen.edges import NodeNumbers
from headscape.draw.screen.state import Chosen
from headscape.graph.ground import side_info
from headscape.graph.layouts import grid, line, ring
from headscape.trace.trace import Trace

Points = npt.NDArray[np.float64]

# The same numbers as in layout.ts, which says why.
START_YAW, START_PITCH = 0.38, 0.3
TOWER_GAP = 0.5
SIDE_STEP, SIDE_STEP_FRONT = 1.1, 1.9
LEAST_GAP, LEAST_GAP_SHEETS, LARGEST_GAP = 0.54, 0.9, 1.5
MOST_STRETCH = 1.9
ANSWER_GAP = 0.95
LEAST_DISC = 0.4

SHAPES = {"ring": "disc", "line": "column", "grid": "sheet"}


@dataclass(frozen=True)
class PlanePlace:
    """One plane: its middle, half its width and height, and ``"disc"``, ``"sheet"`` or ``"column"``."""

    side: int
    plane: int
    centre: tuple[float, float, float]
    half: tuple[float, float]
    shape: str


@dataclass(frozen=True, eq=False)
class Places:
    """Positions (node, 3), NaN where a node is not drawn; the planes; axes across and up in every plane.

    ``spacing`` is the distance between neighbouring tokens, ``gap`` between planes.
    """

    at: Points
    planes: list[PlanePlace]
    axes: Points
    spacing: float
    gap: float


def plane_places(trace: Trace, chosen: Chosen, side: int, layout: str) -> tuple[npt.NDArray[np.intp], Points]:
    """Return the real tokens of a side, and where they stand in each of its planes, (token, 2)."""
    real = np.flatnonzero(~trace.padded(chosen.example, side))
    if not len(real):
        return real, np.zeros((0, 2))
    info = side_info(trace.sides[side])
    if layout == "ring":
        return real, np.zeros((1, 2)) if len(real) == 1 else ring(info, real)
    return real, (line if layout == "line" else grid)(info, real)


def place_nodes(trace: Trace, chosen: Chosen, nodes: NodeNumbers, aspect: float) -> Places:
    """Place all nodes; ``aspect`` is width over height of the free canvas."""
    if chosen.view == "front":
        return _front(trace, chosen, nodes, aspect)
    if chosen.view == "layer":
        return _layer(trace, chosen, nodes, aspect)
    return _stack(trace, chosen, nodes, aspect)


def _columns(trace: Trace, step: float) -> tuple[list[float], float]:
    """Column at which each side starts, and the last one; sides that are only read come first."""
    starts, at = [0.0] * len(trace.sides), 0.0
    for side in sides_in_order(trace):
        starts[side] = at
        at += trace.sides[side].planes - 1 + step
    return starts, at - step


def sides_in_order(trace: Trace) -> list[int]:
    """Return the numbers of the sides from left to right."""
    asking = {call.query_side for call in trace.calls}
    return sorted(range(len(trace.sides)), key=lambda side: side in asking)


def _spacing(places: Points) -> float:
    return float(np.hypot(*(places[0] - places[1]))) if len(places) > 1 else 0.5


def _half(places: Points, layout: str) -> tuple[float, float]:
    least = LEAST_DISC if layout == "ring" else 0.05
    spread = np.abs(places).max(0, initial=least)
    return float(max(spread[0], least)), float(max(spread[1], least))


def _stack(trace: Trace, chosen: Chosen, nodes: NodeNumbers, aspect: float) -> Places:
    at = np.full((nodes.count, 3), np.nan)
    (columns, end), layout = _columns(trace, SIDE_STEP), chosen.layout
    last = end + (1.5 if nodes.answers else 0)
    gap, stretch = _proportions(last, len(trace.sides), layout, aspect)
    planes: list[PlanePlace] = []
    spacing = math.inf

    def base_of(side: int) -> float:
        return ((len(trace.sides) - 1) / 2 - side) * (2 * stretch + TOWER_GAP)

    for number, side in enumerate(trace.sides):
        real, places = plane_places(trace, chosen, number, layout)
        spacing = min(spacing, _spacing(places))
        wide, high = _half(places, layout)
        for plane in range(side.planes):
            x = (columns[number] + plane) * gap
            where = nodes.first_of(number, plane) + real
            at[where, 0] = x
            at[where, 1] = places[:, 1] * stretch + base_of(number)
            at[where, 2] = -places[:, 0]
            centre = (x, base_of(number), 0.0)
            planes.append(PlanePlace(number, plane, centre, (wide, high * stretch), SHAPES[layout]))
    answering = trace.outputs.side if trace.outputs is not None else 0
    if nodes.answers:
        reach = min(0.9, 0.3 * (nodes.answers - 1))
        up = np.linspace(reach, -reach, nodes.answers) if nodes.answers > 1 else np.zeros(1)
        x = (columns[answering] + trace.sides[answering].planes - 1) * gap + max(gap, ANSWER_GAP)
        where = nodes.first[-1] + np.arange(nodes.answers)
        at[where] = np.column_stack([np.full(len(up), x), up * stretch + base_of(answering), 0 * up])
    return Places(at, planes, np.array([[0.0, 0, -1], [0, 1, 0]]), spacing, gap)


def _proportions(last: float, towers: int, layout: str, aspect: float) -> tuple[float, float]:
    """Distance and height of planes such that the stack, as first seen, fills a canvas of this aspect."""
    cy, sy, cp, sp = math.cos(START_YAW), math.sin(START_YAW), math.cos(START_PITCH), math.sin(START_PITCH)
    between = (towers - 1) * TOWER_GAP
    most = 1 if layout == "grid" else MOST_STRETCH
    tallest = (2 * towers * most + between) * cp
    wanted = (aspect * tallest - 2 * sy) / max(last * (cy - aspect * sy * sp), 0.01)
    gap = min(LARGEST_GAP, max(LEAST_GAP_SHEETS if layout == "grid" else LEAST_GAP, wanted))
    high = (last * gap * cy + 2 * sy) / aspect - last * gap * sy * sp
    return gap, min(most, max(1.0, (high / cp - between) / (2 * towers)))


def _front(trace: Trace, chosen: Chosen, nodes: NodeNumbers, aspect: float) -> Places:
    """Planes as columns from left to right, tokens from top to bottom."""
    at = np.full((nodes.count, 3), np.nan)
    columns, end = _columns(trace, SIDE_STEP_FRONT)
    last = end + (1.15 if nodes.answers else 0)
    gap = 2 * aspect / max(last, 1)
    planes: list[PlanePlace] = []
    spacing = math.inf
    for number, side in enumerate(trace.sides):
        real, places = plane_places(trace, chosen, number, "line")
        spacing = min(spacing, _spacing(places))
        for plane in range(side.planes):
            x = (columns[number] + plane) * gap
            at[nodes.first_of(number, plane) + real] = np.column_stack(
                [np.full(len(real), x), places[:, 1], np.zeros(len(real))]
            )
            planes.append(PlanePlace(number, plane, (x, 0.0, 0.0), (0.02, 1.0), "column"))
    if nodes.answers:
        reach = min(0.75, 0.3 * (nodes.answers - 1))
        up = np.linspace(reach, -reach, nodes.answers) if nodes.answers > 1 else np.zeros(1)
        where = nodes.first[-1] + np.arange(nodes.answers)
        at[where] = np.column_stack([np.full(len(up), last * gap), up, 0 * up])
    return Places(at, planes, np.array([[1.0, 0, 0], [0, 1, 0]]), spacing, gap)


def _layer(trace: Trace, chosen: Chosen, nodes: NodeNumbers, aspect: float) -> Places:
    """The one plane in which a call acts; for a cross call the two sides as two columns."""
    at = np.full((nodes.count, 3), np.nan)
    planes: list[PlanePlace] = []
    call = trace.calls[chosen.layer]

    def put(side: int, plane: int, x: float, layout: str, stretch: float) -> float:
        real, places = plane_places(trace, chosen, side, layout)
        wide, high = _half(places, layout)
        at[nodes.first_of(side, plane) + real] = np.column_stack(
            [x + places[:, 0] * stretch, places[:, 1], np.zeros(len(real))]
        )
        planes.append(PlanePlace(side, plane, (x, 0.0, 0.0), (wide * stretch, high), SHAPES[layout]))
        return _spacing(places)

    axes = np.array([[1.0, 0, 0], [0, 1, 0]])
    if call.query_side == call.key_side:
        stretch = min(1.35, max(1.0, aspect * 0.85)) if chosen.layout == "ring" else 1.0
        spacing = put(call.query_side, call.plane, 0.0, chosen.layout, stretch)
        return Places(at, planes, axes, spacing, 1.0)
    reach = min(1.2, 0.7 * aspect)
    keys = put(call.key_side, trace.sides[call.key_side].planes - 1, -reach, "line", 1.0)
    queries = put(call.query_side, call.plane + 1, reach, "line", 1.0)
    return Places(at, planes, axes, min(keys, queries), 2 * reach)
