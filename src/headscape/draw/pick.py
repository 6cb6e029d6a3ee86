"""Clicks: what a node or an edge is, in words, with a mark on it."""

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.backend_bases import Event, MouseEvent
from matplotlib.figure import Figure
from mpl_toolkits.mplot3d.art3d import Line3D

from headscape.draw.canvas import PlanesAxes
from headscape.draw.edges import Drawn
from headscape.draw.scene import Scene
from headscape.draw.words import clean_text
from headscape.graph.columns import EdgeKind, NodeKind

# A click counts within this distance of a node or an edge, in points of 1/72 inch.
NODE_REACH = 7.0
EDGE_REACH = 4.0
# A press that moves further than this before it is let go is a rotation, not a click.
STILL = 3.0
MOST_WORDS = 40


class Picker:
    """Tells what was clicked: connects to a figure's mouse events, and leaves rotation and zoom alone."""

    def __init__(self, figure: Figure, axes: PlanesAxes, scene: Scene, drawn: Drawn) -> None:
        self.axes = axes
        self.scene = scene
        self.drawn = drawn
        self.pressed: tuple[float, float] | None = None
        theme = scene.theme
        inch = 1 / figure.get_size_inches()
        self.note = figure.text(
            1 - 0.16 * inch[0],
            1 - 0.16 * inch[1],
            "",
            ha="right",
            va="top",
            multialignment="left",
            fontsize=scene.font,
            color=theme.ink,
            linespacing=1.35,
            parse_math=False,
            usetex=False,
            visible=False,
            gid="picked",
            bbox={"boxstyle": "round,pad=0.5", "facecolor": theme.plane, "edgecolor": theme.rim},
        )
        self.mark = Line3D([], [], [], color=theme.mark, linewidth=2.6, zorder=900_000)
        self.mark.set_gid("mark")
        axes.add_line(self.mark)
        self.mark.set_visible(False)
        # The figure keeps these through every canvas it is given.
        figure.canvas.mpl_connect("button_press_event", self.press)
        figure.canvas.mpl_connect("button_release_event", self.release)

    def press(self, event: Event) -> None:
        """Remember where the button went down."""
        if isinstance(event, MouseEvent) and event.button == 1 and event.inaxes is self.axes:
            self.pressed = (event.x, event.y)

    def release(self, event: Event) -> None:
        """Tell what lies under a click; a click on nothing clears."""
        if not isinstance(event, MouseEvent) or event.button != 1 or self.pressed is None:
            return
        moved = np.hypot(event.x - self.pressed[0], event.y - self.pressed[1])
        self.pressed = None
        toolbar: Any = getattr(event.canvas, "toolbar", None)
        if moved > STILL or getattr(toolbar, "mode", ""):
            return
        self.pick(event.x, event.y)
        event.canvas.draw_idle()

    def pick(self, x: float, y: float) -> str | None:
        """Select what lies at a pixel of the canvas, nodes before edges, and return its words."""
        scale = self.axes.figure.dpi / 72
        at = np.array([x, y])
        nodes = np.flatnonzero(self.scene.drawn)
        place, distance = _nearest(self.axes.pixels(self.scene.at[nodes])[:, None], at)
        if distance <= NODE_REACH * scale:
            node = int(nodes[place])
            return self._show(self.scene.at[node][None], describe_node(self.scene, node))
        curves = self.drawn.curve
        if len(curves):
            flat = self.axes.pixels(curves.reshape(-1, 3)).reshape(len(curves), -1, 2)
            place, distance = _nearest(flat, at)
            if distance <= EDGE_REACH * scale:
                edge = int(self.drawn.number[place])
                return self._show(curves[place], describe_edge(self.scene, edge))
        self.note.set_visible(False)
        self.mark.set_visible(False)
        return None

    def _show(self, points: npt.NDArray[np.float64], words: str) -> str:
        self.mark.set_data_3d(*points.T)
        is_node = len(points) == 1
        self.mark.set_marker("o" if is_node else "")
        self.mark.set_markersize(self.scene.font * 1.3)
        self.mark.set_markerfacecolor("none")
        self.mark.set_markeredgewidth(2)
        self.mark.set_visible(True)
        self.note.set_text(words)
        self.note.set_visible(True)
        return words


def _nearest(lines: npt.NDArray[np.float64], at: npt.NDArray[np.float64]) -> tuple[int, float]:
    """Nearest of (line, point, 2) polylines to a point, the last of equals, and its distance."""
    if lines.shape[1] == 1:
        distance = np.linalg.norm(lines[:, 0] - at, axis=1)
    else:
        start, along = lines[:, :-1], np.diff(lines, axis=1)
        length = np.maximum((along**2).sum(axis=-1), 1e-12)
        t = np.clip(((at - start) * along).sum(axis=-1) / length, 0, 1)
        distance = np.linalg.norm(start + along * t[..., None] - at, axis=-1).min(axis=1)
    if not len(distance):
        return -1, np.inf
    # Strong edges are drawn last, on top: of edges as near as a pixel, the last drawn is meant.
    near = np.flatnonzero(distance <= distance.min() + 1.0)
    place = int(near[-1]) if lines.shape[1] > 1 else int(distance.argmin())
    return place, float(distance[place])


def _name(scene: Scene, node: int) -> str:
    nodes = scene.graph.nodes
    label = clean_text(str(nodes.label[node]), most=MOST_WORDS)
    return label if nodes.kind[node] == NodeKind.CLASS else f"{label} [{nodes.token[node]}]"


def describe_node(scene: Scene, node: int) -> str:
    """Say what a node is: its text, place, the attention it gets, and its strongest edges."""
    graph, nodes, edges = scene.graph, scene.graph.nodes, scene.graph.edges
    if nodes.kind[node] == NodeKind.CLASS:
        lines = [f"{_name(scene, node)}  ({'answer' if graph.answer != 'next tokens' else 'next token'})"]
        score, share = (float(column[node]) for column in (nodes.score, nodes.probability))
        said = f"{share:.1%}" if np.isfinite(share) else "NaN"
        lines.append(f"score {'NaN' if np.isnan(score) else f'{score:.3f}'}   probability {said}")
        if np.isfinite(nodes.base[node]):
            lines.append(f"of which no token adds {nodes.base[node]:+.3f}")
        is_part = (edges.kind == EdgeKind.CLASS) & (edges.target == node) & np.isfinite(edges.weight)
        parts = np.flatnonzero(is_part)
        for number in parts[np.argsort(-np.abs(edges.weight[parts]))][:4]:
            lines.append(f"{edges.weight[number]:+.3f}  {_name(scene, int(edges.source[number]))}")
        return "\n".join(lines)
    side = graph.sides[nodes.side[node]]
    lines = [_name(scene, node), f"{side.name}, plane {nodes.plane[node]} of 0 to {side.planes - 1}"]
    if np.isfinite(nodes.received[node]):
        lines.append(f"gets {nodes.received[node]:.2f} rows of attention here")
    if np.isfinite(nodes.feed_forward[node]):
        lines.append(f"feed-forward before: {nodes.feed_forward[node]:.0%} of the state")
    if nodes.nan[node]:
        lines.append("its row is NaN in at least one head")
    of_node = ((edges.source == node) | (edges.target == node)) & edges.is_prunable
    mine = np.flatnonzero(of_node & ((edges.kind == EdgeKind.ATTENTION) | (edges.kind == EdgeKind.CROSS)))
    if len(mine):
        lines.append("strongest drawn, both directions:" if graph.direction == "sum" else "strongest drawn:")
    for number in mine[np.argsort(-edges.mass[mine], kind="stable")][:4]:
        other = int(edges.target[number] if edges.source[number] == node else edges.source[number])
        whom = "itself" if other == node else _name(scene, other)
        lines.append(f"{edges.mass[number]:.3f}  {_head(edges.head[number])}  {whom}")
    return "\n".join(lines)


def _head(head: int) -> str:
    return "mean" if head < 0 else f"head {head}"


def describe_edge(scene: Scene, number: int) -> str:
    """Say what an edge is: layer, head, both weights, lift, contribution, rank in its row."""
    graph, e = scene.graph, scene.graph.edges
    kind = EdgeKind(int(e.kind[number]))
    source, target = _name(scene, int(e.source[number])), _name(scene, int(e.target[number]))
    if kind == EdgeKind.CLASS:
        verb = "raises" if e.weight[number] >= 0 else "lowers"
        return f"{source} {verb} {target}\nby {abs(e.weight[number]):.4f}  ({graph.method})"
    where = f"layer {e.layer[number]}"
    if kind == EdgeKind.RESIDUAL:
        share = e.weight[number]
        known = f"{share:.1%} of what meets here" if np.isfinite(share) else "share not known"
        return f"residual of {source}\n{where}   {known}"
    query, key = (source, target) if kind == EdgeKind.ATTENTION else (target, source)
    lines = [f"{query} attends to {key}" if kind != EdgeKind.VALUE else f"{query} takes from {key}"]
    lines.append(f"{where}   {_head(e.head[number])}   {kind.name.lower()}")
    lines.append(f"weight {_number(e.weight[number])}")
    if kind == EdgeKind.ATTENTION:
        lines[-1] += f"   back {_number(e.reverse[number])}"
    lines.append(f"{e.lift[number]:.2f} x uniform   rank {e.rank[number]} in the row")
    if np.isfinite(e.contribution[number]):
        lines.append(f"adds {e.contribution[number]:.4f} to the residual")
    return "\n".join(lines)


def _number(value: float) -> str:
    return f"{value:.4f}" if np.isfinite(value) else "not kept"
