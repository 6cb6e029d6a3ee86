"""Edges as artists: one collection per plane, per gap between planes, and for the classes."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from mpl_toolkits.mplot3d.art3d import Line3DCollection

from headscape.draw.canvas import PlanesAxes
from headscape.draw.curves import STEPS, flow_curves, lanes, plane_curves
from headscape.draw.scene import Scene
from headscape.draw.theme import edge_colours, levels, ramp
from headscape.graph.columns import EdgeKind

Points = npt.NDArray[np.float64]

# Widths in points of the weakest and the strongest edge; screen units, so that distance fakes no weight.
WIDTHS = {
    EdgeKind.ATTENTION: (0.4, 2.6),
    EdgeKind.CROSS: (0.3, 2.2),
    EdgeKind.VALUE: (0.2, 0.8),
    EdgeKind.RESIDUAL: (0.3, 1.0),
    EdgeKind.CLASS: (0.3, 2.6),
}
FRONT_VALUE_WIDTHS = (0.3, 2.6)  # the front view shows the values' flow first of all
# Class edges below this share of the largest are left out (the legend counts them).
CLASS_SHARE = 0.08
# Order within a plane and the gap behind it.
PLACES = {
    EdgeKind.RESIDUAL: 1,
    EdgeKind.VALUE: 2,
    EdgeKind.CROSS: 3,
    EdgeKind.CLASS: 3,
    EdgeKind.ATTENTION: 4,
}


@dataclass(frozen=True, eq=False)
class Drawn:
    """Edges that were drawn: their numbers in ``graph.edges`` and their curves, (edge, STEPS, 3)."""

    number: npt.NDArray[np.intp]
    curve: Points


def draw_edges(axes: PlanesAxes, scene: Scene) -> Drawn:
    """Draw all edges of the scene, weak ones first, and return them."""
    edges = scene.graph.edges
    visible = scene.drawn[edges.source] & scene.drawn[edges.target] & ~edges.is_loop
    if scene.view == "front":
        visible &= edges.kind != EdgeKind.ATTENTION
    elif scene.view == "layer":
        visible &= edges.kind == EdgeKind.ATTENTION
    visible &= (edges.kind != EdgeKind.CLASS) | (edges.strength >= CLASS_SHARE)
    numbers, curves = [], []
    for kind in EdgeKind:
        chosen = np.flatnonzero(visible & (edges.kind == kind))
        if not len(chosen):
            continue
        chosen = chosen[np.argsort(edges.strength[chosen], kind="stable")]
        shape = _curves(scene, kind, chosen)
        _add(axes, scene, kind, chosen, shape)
        numbers.append(chosen)
        curves.append(shape)
    if not numbers:
        return Drawn(np.zeros(0, dtype=np.intp), np.zeros((0, STEPS, 3)))
    return Drawn(np.concatenate(numbers), np.concatenate(curves))


def _curves(scene: Scene, kind: EdgeKind, chosen: npt.NDArray[np.intp]) -> Points:
    edges, at = scene.graph.edges, scene.at
    start, end = at[edges.source[chosen]], at[edges.target[chosen]]
    lane = lanes(edges.head[chosen])
    if kind != EdgeKind.ATTENTION:
        return flow_curves(start, end, lane)
    centre = np.zeros_like(start)
    centre[:, 0] = start[:, 0]
    for _, _, members in scene.planes():
        inside = np.isin(edges.source[chosen], members)
        centre[inside, 1:] = at[members, 1:].mean(axis=0)
    return plane_curves(start, end, centre, lane, layout=scene.layout, gap=scene.gap)


def _add(axes: PlanesAxes, scene: Scene, kind: EdgeKind, chosen: npt.NDArray[np.intp], shape: Points) -> None:
    """Add one collection per plane the edges start from, so that planes can be put in order of depth."""
    edges = scene.graph.edges
    strength = edges.strength[chosen].astype(float)
    colours = _colours(scene, kind, chosen)
    thin, thick = WIDTHS[kind]
    if scene.view == "front" and kind == EdgeKind.VALUE:
        thin, thick = FRONT_VALUE_WIDTHS
    widths = (thin + (thick - thin) * strength**1.6) * scene.thickness
    x = np.minimum(shape[:, 0, 0], shape[:, -1, 0])
    for place in np.unique(x):
        here = x == place
        lines = Line3DCollection(
            shape[here], colors=colours[here], linewidths=widths[here], capstyle="round", joinstyle="round"
        )
        lines.set_gid(f"edges-{kind.name.lower()}-{place:g}")
        axes.add_collection(lines, autolim=False)
        axes.put(lines, float(place), PLACES[kind])


def _colours(scene: Scene, kind: EdgeKind, chosen: npt.NDArray[np.intp]) -> Points:
    edges, theme = scene.graph.edges, scene.theme
    strength = edges.strength[chosen]
    if kind == EdgeKind.RESIDUAL:
        return np.repeat(ramp(theme, theme.residual)[-1:], len(chosen), axis=0)
    if kind == EdgeKind.CLASS:
        signs = np.where(edges.weight[chosen] < 0, 1, 0)
        tables = np.array([ramp(theme, theme.plus), ramp(theme, theme.minus)])
        return np.asarray(tables[signs, levels(strength)])
    if kind == EdgeKind.VALUE and scene.view != "front":
        strength = strength * 0.38  # under the attention's edges, which say the same louder
    return edge_colours(theme, edges.head[chosen], strength, by_head=scene.by_head)
