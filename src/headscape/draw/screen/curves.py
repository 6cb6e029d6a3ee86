"""Curves of edges: four control points each (viewer/src/scene/curves.ts)."""

import numpy as np
import numpy.typing as npt

from headscape.draw.screen.edges import ATTENTION, CROSS, FORWARD, VALUE, NodeNumbers, ScreenEdges
from headscape.draw.screen.places import Places
from headscape.draw.screen.state import Chosen
from headscape.graph.sorting import order_of
from headscape.graph.sorting import places as places_in

Points = npt.NDArray[np.float64]

# Distance of two lanes: a share of that of neighbouring tokens, up to so many units (a plane is 2 high).
LANE_SHARE, LARGEST_LANE = 0.3, 0.025
# How far a ribbon bends; 1/3 is straight.
SLOPE = 0.2
# Half height of the spindle of a feed-forward block that makes up the whole stream, in distances of tokens.
WIDEST_SPINDLE = 0.8


def build_curves(
    edges: ScreenEdges, lane: npt.NDArray[np.integer], places: Places, chosen: Chosen, nodes: NodeNumbers
) -> Points:
    """Return the control points of edges, (edge, 4, 3); NaN where an end is not drawn.

    ``lane`` is each edge's place beside those that join the same nodes; see :func:`find_lanes`.
    """
    start, end = places.at[edges.start], places.at[edges.end]
    gap = _lane_gap(places.spacing)
    aside = np.where(lane % 2 == 1, (lane + 1) / 2, -lane / 2) * gap
    out = np.empty((len(edges), 4, 3))
    out[:, 0], out[:, 3] = start, end
    fan = np.isin(edges.kind, (VALUE, CROSS))
    bulge = np.where(edges.head == 1, -1, 1) * edges.weight * places.spacing * WIDEST_SPINDLE
    lift = np.where(edges.kind == FORWARD, bulge, np.where(fan, aside * 4 / 3, 0))
    step = (end - start) * (1 / 3, SLOPE, SLOPE)
    out[:, 1], out[:, 2] = start + step, end - step
    out[:, 1:3, 1] += lift[:, None]
    inside = edges.kind == ATTENTION
    out[inside, 1:3] = _within(
        start[inside], end[inside], edges.select(inside), aside[inside], places, chosen, nodes
    )
    if chosen.scale == "paper":  # straight lines
        apart = edges.start != edges.end
        out[apart, 1] = (start + (end - start) / 3)[apart]
        out[apart, 2] = (start + (end - start) * 2 / 3)[apart]
    return out


def _lane_gap(spacing: float) -> float:
    return min(LANE_SHARE * spacing, LARGEST_LANE)


def find_lanes(edges: ScreenEdges) -> npt.NDArray[np.int64]:
    """Return how many edges that come before join the same two nodes, for each edge."""
    low, high = np.minimum(edges.start, edges.end), np.maximum(edges.start, edges.end)
    _, pair = np.unique(low * (int(high.max(initial=0)) + 1) + high, return_inverse=True)
    order = order_of(pair)
    out = np.empty(len(pair), np.int64)
    out[order] = places_in(pair[order])
    return out


def _within(
    start: Points,
    end: Points,
    edges: ScreenEdges,
    lane: npt.NDArray[np.float64],
    places: Places,
    chosen: Chosen,
    nodes: NodeNumbers,
) -> Points:
    """Inner control points of arcs in a plane: to the centre (ring), sideways (line), or a little."""
    is_stack = chosen.view == "3d"
    across = 2 if is_stack else 0
    plane = [across, 1]
    starts = [nodes.first_of(place.side, place.plane) for place in places.planes]
    order = np.argsort(starts)
    found = order[np.searchsorted(np.array(starts)[order], edges.start, side="right") - 1]
    centres = np.array([place.centre for place in places.planes]).reshape(-1, 3)
    centre = centres[found][:, plane]
    a, b = start[:, plane], end[:, plane]
    chord = b - a
    length = np.linalg.norm(chord, axis=1)
    safe = np.where(length > 0, length, 1)
    flip = np.where((chord[:, 1] < 0) | ((chord[:, 1] == 0) & (chord[:, 0] < 0)), -1, 1)
    aside = np.column_stack([-chord[:, 1], chord[:, 0]]) / safe[:, None] * flip[:, None]
    bend = 2 * lane
    if chosen.layout == "line":
        bend = bend + length * (0.5 if is_stack else -0.5)
    elif chosen.layout == "grid":
        bend = bend + length * 0.12
    middle = (a + b) / 2
    control = middle + aside * bend[:, None]
    if chosen.layout == "ring":
        pull = 0.55 * np.sqrt(np.minimum(1, length / 2))
        control = control + (centre - middle) * pull[:, None]
    out = np.repeat(start[:, None], 2, axis=1)
    out[:, 0, plane], out[:, 1, plane] = a + (control - a) * 2 / 3, b + (control - b) * 2 / 3
    loops = length < 1e-6
    out[loops] = _loops(start[loops], (a - centre)[loops], lane[loops], plane, places.spacing, chosen.layout)
    return out


def _loops(
    at: Points, away: Points, lane: npt.NDArray[np.float64], plane: list[int], spacing: float, layout: str
) -> Points:
    """Petals at nodes, towards the centre of a ring: a token's attention to itself."""
    far = np.linalg.norm(away, axis=1, keepdims=True)
    inward = np.where(far > 1e-6, -away / np.maximum(far, 1e-9), np.sqrt(0.5))
    if layout != "ring":
        inward = np.full_like(away, np.sqrt(0.5))
    size = min(0.16, 0.7 * spacing) + 2 * np.abs(lane) + np.where(lane < 0, _lane_gap(spacing), 0)
    size = size[:, None]
    out = np.repeat(at[:, None], 2, axis=1)
    for place, turn in ((0, 1), (1, -1)):
        u, v = inward[:, :1], inward[:, 1:]
        out[:, place, plane] = at[:, plane] + size * np.column_stack([u - 0.6 * turn * v, v + 0.6 * turn * u])
    return out
