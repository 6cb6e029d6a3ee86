"""Planes, nodes and pictures as artists."""

import numpy as np
import numpy.typing as npt
from matplotlib.colors import to_rgb
from mpl_toolkits.mplot3d.art3d import Poly3DCollection

from headscape.draw.canvas import PlanesAxes
from headscape.draw.scene import GRID_MARGIN, MARGIN, Scene
from headscape.draw.theme import edge_colours, fade
from headscape.graph.columns import EdgeKind

Points = npt.NDArray[np.float64]

# Points of a disc's rim.
RIM = 72
# Squares per side of a patch at most: larger patches are averaged down, or a plane would be 50 000 polygons.
MOST_SQUARES = 6
# Share of the distance between patches that a picture fills.
PICTURE_SHARE = 0.9
# How much of a picture's own colour is drawn in the first plane, and in the others.
FIRST_PICTURE, LATER_PICTURE = 0.85, 0.3


def draw_planes(axes: PlanesAxes, scene: Scene) -> None:
    """Draw every plane's sheet, pictures, nodes and the marks of attention to oneself."""
    for side, plane, members in scene.planes():
        at = scene.at[members]
        _draw_sheet(axes, scene, at)
        if side in scene.pictures:
            _draw_pictures(axes, scene, side, members)
        _draw_nodes(axes, scene, members, f"nodes-{side}-{plane}")
        _draw_loops(axes, scene, members)
    _draw_classes(axes, scene)


def rim(scene: Scene, at: Points) -> Points:
    """Return the outline of a plane's sheet, (point, 3); its nodes' own places where it has no sheet."""
    low, high = at[:, 1:].min(axis=0), at[:, 1:].max(axis=0)
    middle = (low + high) / 2
    if scene.layout == "line":
        return at
    if scene.layout in ("grid", "spring"):
        margin = GRID_MARGIN if scene.layout == "grid" else MARGIN
        outline = middle + np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * ((high - low) / 2 + margin)
    else:
        if len(at) > 1:
            middle = np.array([0.0, high[1] - 1])  # the first token stands at the top
        radius = float(np.linalg.norm(at[:, 1:] - middle, axis=1).max()) + MARGIN
        angle = np.linspace(0, 2 * np.pi, RIM, endpoint=False)
        outline = middle + max(radius, 0.3) * np.column_stack([np.sin(angle), np.cos(angle)])
    return np.column_stack([np.full(len(outline), at[0, 0]), outline])


def rims(scene: Scene) -> Points:
    """Outermost points of everything drawn, (point, 3)."""
    parts = [rim(scene, scene.at[members]) for _, _, members in scene.planes()]
    return np.concatenate([*parts, scene.at[scene.classes()]])


def _draw_sheet(axes: PlanesAxes, scene: Scene, at: Points) -> None:
    if scene.layout == "line":
        return
    sheet = Poly3DCollection(
        [rim(scene, at)],
        facecolors=[(*to_rgb(scene.theme.plane), 0.72)],
        edgecolors=scene.theme.rim,
        linewidths=0.7,
    )
    sheet.set_gid("sheet")
    axes.add_collection(sheet, autolim=False)
    axes.put(sheet, float(at[0, 0]), 0)


def _draw_nodes(axes: PlanesAxes, scene: Scene, members: npt.NDArray[np.intp], gid: str) -> None:
    nodes, theme = scene.graph.nodes, scene.theme
    # Area grows with the attention a token gets; 1 is what it gives away itself.
    received = np.nan_to_num(nodes.received[members], nan=0.6)
    size = scene.font**2 * crowding(len(members)) * (0.06 + 0.16 * np.clip(received, 0, 6))
    if scene.layout == "grid" and scene.pictures:
        size = size * 0.6
    colours = np.where(nodes.nan[members], theme.mark, theme.node)
    dots = axes.scatter(
        *scene.at[members].T,
        s=size,
        c=colours.tolist(),
        edgecolors=theme.paper,
        linewidths=0.5,
        depthshade=False,
        marker="o",
    )
    dots.set_gid(gid)
    axes.put(dots, float(scene.at[members[0], 0]), 6)


def _draw_loops(axes: PlanesAxes, scene: Scene, members: npt.NDArray[np.intp]) -> None:
    """Attention of tokens to themselves: a ring round the node in the edge's colour; the strongest head's."""
    edges = scene.graph.edges
    chosen = np.flatnonzero(
        edges.is_loop & np.isin(edges.source, members) & (edges.kind == EdgeKind.ATTENTION)
    )
    if not len(chosen) or scene.view == "front":
        return
    chosen = chosen[np.argsort(edges.strength[chosen], kind="stable")]
    strength = edges.strength[chosen].astype(float)
    received = np.nan_to_num(scene.graph.nodes.received[edges.source[chosen]])
    rings = axes.scatter(
        *scene.at[edges.source[chosen]].T,
        s=scene.font**2 * crowding(len(members)) * (0.55 + 0.2 * np.clip(received, 0, 6)),
        facecolors="none",
        edgecolors=edge_colours(scene.theme, edges.head[chosen], strength, by_head=scene.by_head),
        linewidths=0.4 + 1.1 * strength,
        depthshade=False,
    )
    rings.set_gid("loops")
    axes.put(rings, float(scene.at[members[0], 0]), 5)


def _draw_classes(axes: PlanesAxes, scene: Scene) -> None:
    classes = scene.classes()
    if not len(classes):
        return
    theme = scene.theme
    probability = np.nan_to_num(scene.graph.nodes.probability[classes])
    boxes = axes.scatter(
        *scene.at[classes].T,
        s=scene.font**2 * (0.6 + 1.8 * probability),
        c=np.where(classes == scene.answer, theme.mark, theme.soft).tolist(),
        edgecolors=theme.paper,
        linewidths=0.6,
        depthshade=False,
        marker="s",
    )
    boxes.set_gid("classes")
    axes.put(boxes, float(scene.at[classes[0], 0]), 6)


def _draw_pictures(axes: PlanesAxes, scene: Scene, side: int, members: npt.NDArray[np.intp]) -> None:
    """Each patch as squares in its plane, so that pictures turn with it."""
    tokens = scene.graph.nodes.token[members]
    has_picture = ~np.isin(tokens, scene.graph.sides[side].unpictured)
    at = scene.at[members[has_picture]]
    if not len(at):
        return
    pictures = shrink(scene.pictures[side][tokens[has_picture]])
    _, rows, columns, _ = pictures.shape
    edge = PICTURE_SHARE * spacing(at[:, 1:]) / max(rows, columns)
    row, column = np.divmod(np.arange(rows * columns), columns)
    left = (column - columns / 2) * edge
    top = (rows / 2 - row) * edge
    y = at[:, 1, None, None] + np.stack([left, left + edge, left + edge, left], axis=-1)
    z = at[:, 2, None, None] + np.stack([top, top, top - edge, top - edge], axis=-1)
    squares = np.stack([np.broadcast_to(at[:, 0, None, None], y.shape), y, z], axis=-1).reshape(-1, 4, 3)
    first = int(scene.graph.nodes.plane[members].min()) == 0
    # The input itself, and behind it a reminder of it that leaves the edges in front.
    colours = fade(scene.theme, pictures.reshape(-1, 3) / 255, FIRST_PICTURE if first else LATER_PICTURE)
    # Seams of antialiased neighbours would show the paper: each square is outlined in its own colour.
    patches = Poly3DCollection(squares, facecolors=colours, edgecolors=colours, linewidths=0.4)
    patches.set_gid("pictures")
    axes.add_collection(patches, autolim=False)
    axes.put(patches, float(at[0, 0]), 1)


def crowding(tokens: int) -> float:
    """Return how much smaller nodes are drawn in a plane of many tokens, 1 up to 25 of them."""
    return float(np.clip(25 / tokens, 0.3, 1))


def shrink(pictures: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Average pictures (token, height, width, 3) down to at most ``MOST_SQUARES`` a side."""
    height, width = pictures.shape[1:3]
    rows, columns = min(height, MOST_SQUARES), min(width, MOST_SQUARES)
    if (rows, columns) == (height, width):
        return pictures
    row_of, column_of = np.arange(height) * rows // height, np.arange(width) * columns // width
    total = np.zeros((len(pictures), rows, columns, 3))
    count = np.zeros((rows, columns, 1))
    for row, column in np.ndindex(height, width):
        total[:, row_of[row], column_of[column]] += pictures[:, row, column]
        count[row_of[row], column_of[column]] += 1
    return np.rint(total / count).astype(np.uint8)


def spacing(at: Points) -> float:
    """Return the smallest distance between two of some positions, 0.5 where there is one."""
    if len(at) < 2:
        return 0.5
    distance = np.linalg.norm(at[:, None] - at[None], axis=-1)
    return float(distance[~np.eye(len(at), dtype=bool)].min())
