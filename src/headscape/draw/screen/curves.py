"""Curves of edges: four control points each (viewer/src/scene/curves.ts)."""

import numpy as np
import numpy.typing as npt

from headscape.draw.screen.edges import ATTENTION, CROSS, RESIDUAL, VALUE, NodeNumbers, ScreenEdges
from headscape.draw.screen.places import Places
from headscape.draw.screen.state import Chosen

Points = npt.NDArray[np.float64]


def build_curves(
    edges: ScreenEdges, places: Places, chosen: Chosen, nodes: NodeNumbers, heads: int
) -> Points:
    """Return the control points of edges, (edge, 4, 3); NaN where an end is not drawn.

    ``heads`` is the largest number of heads of a layer: so many lanes lie side by side.
    """
    start, end = places.at[edges.start], places.at[edges.end]
    lane = np.where((edges.head < 0) | (heads < 2), 0, (edges.head % heads) / max(heads - 1, 1) - 0.5)
    out = np.empty((len(edges), 4, 3))
    out[:, 0], out[:, 3] = start, end
    inside = edges.kind == ATTENTION
    if chosen.scale == "paper":
        out[:, 1], out[:, 2] = start + (end - start) / 3, start + (end - start) * 2 / 3
        return out
    out[inside, 1:3] = _within(
        start[inside], end[inside], edges.select(inside), lane[inside], places, chosen, nodes
    )
    fan = np.isin(edges.kind, (VALUE, CROSS))
    lift = np.where(fan, lane * places.spacing * 0.8, 0)
    step = (end[:, 0] - start[:, 0]) * np.where(edges.kind == RESIDUAL, 1 / 3, 0.5)
    for point, at, sign in ((1, start, 1), (2, end, -1)):
        out[~inside, point] = (at + np.column_stack([sign * step, lift, 0 * lift]))[~inside]
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
    bend = lane * length * 0.4
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
    size = (min(0.16, 0.7 * spacing) * (1 + lane))[:, None]
    out = np.repeat(at[:, None], 2, axis=1)
    for place, turn in ((0, 1), (1, -1)):
        u, v = inward[:, :1], inward[:, 1:]
        out[:, place, plane] = at[:, plane] + size * np.column_stack([u - 0.6 * turn * v, v + 0.6 * turn * u])
    return out
