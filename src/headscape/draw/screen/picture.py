"""A state of the viewer as a Matplotlib figure: the same edges, nodes and planes from the same camera."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import PathCollection, PolyCollection
from matplotlib.font_manager import FontProperties
from matplotlib.path import Path
from matplotlib.textpath import text_to_path

from headscape.draw.canvas import AttentionFigure, open_figure
from headscape.draw.planes import shrink
from headscape.draw.screen.camera import Margins, ScreenCamera, fit_camera, read_camera
from headscape.draw.screen.casing import Casing
from headscape.draw.screen.curves import build_curves, find_lanes
from headscape.draw.screen.edges import Held, NodeNumbers, ScreenEdges, find_edges, fixed_edges
from headscape.draw.screen.labels import Seen, place_labels, wish_labels
from headscape.draw.screen.looks import (
    THEMES,
    EdgeLooks,
    edge_looks,
    edge_styles,
    node_radii,
    received_shares,
)
from headscape.draw.screen.order import MOST_DRAWN, count_shown, order_edges, scale_shown
from headscape.draw.screen.places import START_PITCH, START_YAW, Places, place_nodes, sides_in_order
from headscape.draw.screen.state import Chosen
from headscape.trace.trace import Trace

Points = npt.NDArray[np.float64]

# Canvas of a state without a camera, CSS pixels.
USUAL_SIZE = (1000.0, 640.0)
# CSS pixels are 1/100 inch in a figure, so that a figure at 100 dpi has the page's pixels.
PX = 0.72
# Width of a letter, on average; margins need no more than an estimate.
LETTER_PX = 7.3
MOST_LETTERS = 16
# Edges that a fitted camera looks at, and where on their curves.
MOST_FITTED = 4000
FITTED_AT = (0.25, 0.5, 0.75)
# Sheets reach beyond the middle of their outermost patches, by this share of the distance between patches.
SHEET_RIM = 0.6
PICTURE_HALF = 0.44
CORNER = 0.08
TAPER_PIECES = 12
# Edges that keep room free around them: in denser pictures none is left.
MOST_CASED = 4000


@dataclass(frozen=True, eq=False)
class Picture:
    """All that is drawn: edges in order of strength, places, and how one looks at them."""

    trace: Trace
    chosen: Chosen
    nodes: NodeNumbers
    held: Held
    limit: float
    shown: int  # edges that pass the threshold
    edges: ScreenEdges  # of them those that are drawn, the strongest first
    fixed: ScreenEdges
    carried_shown: float
    places: Places
    camera: ScreenCamera

    @property
    def heads(self) -> int:
        """Largest number of heads of a layer."""
        return max((call.shape[1] for call in self.trace.calls), default=1)

    def curves(self, edges: ScreenEdges) -> Points:
        """Return control points on the screen, (edge, 4, 2), CSS pixels from the top left."""
        lanes = find_lanes(edges) if edges is self.edges else np.zeros(len(edges), np.int64)
        world = build_curves(edges, lanes, self.places, self.chosen, self.nodes)
        return self.camera.project(world)[..., :2]


def make_picture(trace: Trace, chosen: Chosen, size: tuple[float, float] | None = None) -> Picture:
    """Work out what a state shows on a canvas of some size (CSS pixels; default the state's own)."""
    if size is None:
        said = chosen.camera or {}
        size = (float(said.get("width", USUAL_SIZE[0])), float(said.get("height", USUAL_SIZE[1])))
    nodes = NodeNumbers(trace, chosen.example)
    found, held = find_edges(trace, chosen, nodes)
    order, key = order_edges(found, chosen.prune)
    shown, limit = count_shown(trace, chosen, found, key)
    margins = _margins(trace, chosen, nodes, size)
    aspect = (size[0] - margins.left - margins.right) / max(size[1] - margins.top - margins.bottom, 50)
    places = place_nodes(trace, chosen, nodes, min(4, max(0.4, aspect)))
    if chosen.camera is not None:
        camera = read_camera(chosen.camera, size)
    else:
        strongest = found.select(order[:MOST_FITTED])
        curves = build_curves(strongest, find_lanes(strongest), places, chosen, nodes)
        view = (START_YAW, START_PITCH, 7.0) if chosen.view == "3d" else (0.0, 0.0, math.inf)
        camera = fit_camera(_fit_points(places, curves), view, size, margins)
    part = found.select(order[:shown])
    carried = float(np.nansum(np.where(part.kind > 0, part.contribution, 0), dtype=float))
    return Picture(
        trace, chosen, nodes, held, limit, shown, part.select(np.arange(min(shown, MOST_DRAWN))),
        fixed_edges(trace, chosen, nodes), carried, places, camera,
    )  # fmt: skip


def _margins(trace: Trace, chosen: Chosen, nodes: NodeNumbers, size: tuple[float, float]) -> Margins:
    """Room for labels around the graph."""
    longest = max(
        (min(len(t), MOST_LETTERS) for t in trace.tokens(chosen.example, sides_in_order(trace)[0])[:400]),
        default=0,
    )
    tokens = min(longest * LETTER_PX + 20, size[0] * 0.24)
    answers = tokens
    if nodes.answers and trace.outputs is not None:
        names = trace.outputs.names(chosen.example)[: nodes.answers]
        answers = min(max(min(len(n), 18) + 7 for n in names) * 7.4 + 18, size[0] * 0.26)
    if chosen.view == "layer":
        return Margins(tokens, tokens, 26, 26)
    if chosen.view == "front":
        return Margins(tokens, answers, 32, 16)
    return Margins(tokens * 0.9, answers, 28, 30)


def _fit_points(places: Places, curves: Points) -> Points:
    """Points that a fitted picture must show: nodes, planes, and the curves on which edges run."""
    parts = [places.at]
    turn = np.arange(8) * np.pi / 4
    for place in places.planes:
        if place.shape == "column":
            continue
        rim = SHEET_RIM * places.spacing if place.shape == "sheet" else 0
        around = np.column_stack([np.cos(turn), np.sin(turn)])
        if rim:
            around = np.array([[-1.0, -1], [1, -1], [-1, 1], [1, 1]])
        parts.append(np.array(place.centre) + (around * (np.array(place.half) + rim)) @ places.axes)
    t = np.array(FITTED_AT)
    parts.append(np.einsum("pt,epx->etx", _bernstein(t), curves).reshape(-1, 3))
    return np.concatenate(parts)


def _bernstein(t: Points) -> Points:
    s = 1 - t
    return np.stack([s**3, 3 * s * s * t, 3 * s * t * t, t**3])


def draw_picture(picture: Picture, title: str | None = None) -> AttentionFigure:
    """Draw a picture; under it stands in words what it shows of what."""
    from headscape.draw.screen.caption import foot_height, write_foot

    width, height = picture.camera.size
    theme = THEMES[picture.chosen.theme]
    foot = foot_height(picture)
    figure = open_figure((width / 100, (height + foot) / 100), theme.paper)
    axes = figure.add_axes((0, foot / (height + foot), 1, height / (height + foot)))
    axes.set_axis_off()
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    if picture.chosen.view != "front":
        _draw_planes(axes, picture)
    _draw_pictures(axes, picture)
    chosen = picture.chosen
    main, fixed = edge_styles(len(picture.edges), min(width, height), chosen.scale)
    strength = scale_shown(chosen.scale, picture.edges)
    for name, edges, style, how in (
        ("fixed", picture.fixed, fixed, np.full(len(picture.fixed), 0.5, np.float32)),
        ("main", picture.edges, main, strength),
    ):
        looks = edge_looks(picture.trace, chosen, edges, how, style)
        ground = theme.paper if chosen.view == "front" else theme.plane
        _draw_edges(axes, name, picture.curves(edges), looks, (style.casing, ground))
    screen = picture.camera.project(picture.places.at)
    radii = node_radii(picture.trace, chosen, picture.nodes, picture.places, picture.camera.scale)
    _draw_nodes(axes, picture, screen, radii)
    _draw_labels(axes, picture, screen, radii)
    write_foot(figure, picture, title, foot)
    return figure


def _draw_planes(axes: Axes, picture: Picture) -> None:
    theme, places = THEMES[picture.chosen.theme], picture.places
    angle = (np.arange(48) + 0.5) * np.pi / 24
    cos, sin = np.cos(angle), np.sin(angle)
    shapes = [place for place in places.planes if place.shape != "column"]
    shapes.sort(key=lambda place: float(picture.camera.axes[2] @ np.array(place.centre)))
    outlines = []
    for place in shapes:
        wide, high = np.array(place.half) + (0 if place.shape == "disc" else SHEET_RIM * places.spacing)
        around = np.column_stack([wide * cos, high * sin])
        if place.shape == "sheet":
            r = min(CORNER, wide, high)
            around = np.column_stack(
                [np.sign(cos) * (wide - r) + r * cos, np.sign(sin) * (high - r) + r * sin]
            )
        outlines.append(picture.camera.project(np.array(place.centre) + around @ places.axes)[:, :2])
    if outlines:
        sheets = PolyCollection(outlines, facecolors=theme.plane, edgecolors=theme.rim, linewidths=PX)
        sheets.set_alpha(0.75)
        sheets.set_gid("planes")
        axes.add_collection(sheets, autolim=False)


def _draw_pictures(axes: Axes, picture: Picture) -> None:
    """Patches where they lie in their planes, the farthest first, each as squares of one colour."""
    places, trace = picture.places, picture.trace
    polygons, colours, depths = [], [], []
    half = PICTURE_HALF * places.spacing
    for place in places.planes:
        side = trace.sides[place.side]
        patches = side.patches(picture.chosen.example)
        if patches is None:
            continue
        small = shrink(patches)
        _, rows, columns, _ = small.shape
        y, x = np.mgrid[0:rows, 0:columns].reshape(2, -1)
        corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]])
        at = (np.stack([x, y], -1)[:, None] + corners) / (columns, rows) * 2 - 1  # (pixel, corner, 2), y down
        offsets = (at * (half, -half)) @ places.axes
        first = picture.nodes.first_of(place.side, place.plane)
        for token in np.setdiff1d(np.arange(side.length), side.unpictured):
            centre = places.at[first + token]
            if np.isfinite(centre[0]):
                seen = picture.camera.project(centre + offsets)
                polygons.append(seen[..., :2])
                depths.append(np.full(len(seen), seen[..., 2].mean()))
                colours.append(small[token].reshape(-1, 3) / 255)
    if not polygons:
        return
    order = np.argsort(np.concatenate(depths), kind="stable")
    fill = np.concatenate(colours)[order]
    squares = PolyCollection(
        list(np.concatenate(polygons)[order]), facecolors=fill, edgecolors=fill, linewidths=0.3
    )
    squares.set_gid("pictures")
    axes.add_collection(squares, autolim=False)


def _draw_edges(axes: Axes, name: str, curves: Points, looks: EdgeLooks, casing: tuple[float, str]) -> None:
    """Draw edges, the last and weakest first; those that end where nothing is drawn are left out.

    ``casing`` is the room that each keeps free around it, in CSS pixels, and the colour of that room.
    """
    there = np.flatnonzero(np.isfinite(curves).all((1, 2)))[::-1]
    codes = [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4]
    paths = []
    for n in there:
        if looks.tapers[n]:
            paths.append(Path(_tapered(curves[n], looks.width[n]), closed=True))
        else:
            paths.append(Path(curves[n], codes))
    tapers = looks.tapers[there]
    fill, stroke = looks.colour[there].copy(), looks.colour[there].copy()
    fill[~tapers, 3] = 0
    stroke[tapers, 3] = 0
    lines = PathCollection(
        paths,
        facecolors=fill,
        edgecolors=stroke,
        linewidths=np.where(tapers, 0, looks.width[there] * PX),
        linestyles=[(0, (3.0, 2.0)) if dashed else "solid" for dashed in looks.dashed[there]] or "solid",
    )
    if casing[0] > 0 and len(paths) <= MOST_CASED:
        lines.set_path_effects([Casing(casing[0] * PX, casing[1])])
    lines.set_gid(f"edges-{name}")
    axes.add_collection(lines, autolim=False)


def _tapered(curve: Points, width: float) -> Points:
    """Outline of a line that is wide where it starts."""
    t = np.linspace(0, 1, TAPER_PIECES + 1)
    at = _bernstein(t).T @ curve
    along = _bernstein(np.minimum(t + 0.02, 1)).T @ curve - _bernstein(np.maximum(t - 0.02, 0)).T @ curve
    aside = (
        np.column_stack([-along[:, 1], along[:, 0]])
        / np.maximum(np.linalg.norm(along, axis=1), 1e-9)[:, None]
    )
    aside *= (width * (1.45 - 0.95 * t) / 2)[:, None]
    return np.concatenate([at + aside, (at - aside)[::-1], (at + aside)[:1]])


def _draw_nodes(axes: Axes, picture: Picture, screen: Points, radii: Points) -> None:
    theme, nodes = THEMES[picture.chosen.theme], picture.nodes
    there = np.isfinite(screen[:, 0])
    for n, side in enumerate(picture.trace.sides):  # a picture keeps no dot
        if side.pictures is not None:
            pictured = ~np.isin(np.arange(side.length), side.unpictured)
            there[nodes.first[n] : nodes.first[n + 1]] &= ~np.tile(pictured, side.planes)
    colours = np.full(nodes.count, theme.node, dtype=object)
    if nodes.answers:
        colours[nodes.first[-1]] = theme.plus
    at = np.flatnonzero(there)[::-1]
    halo = np.minimum(1.75, 0.6 * radii[at])
    dots = axes.scatter(
        screen[at, 0],
        screen[at, 1],
        s=((radii[at] + halo / 2) * 2 * PX) ** 2,
        c=colours[at].tolist(),
        edgecolors=theme.paper,
        linewidths=(halo * PX).tolist(),
        zorder=2,
    )
    dots.set_gid("nodes")


def _draw_labels(axes: Axes, picture: Picture, screen: Points, radii: Points) -> None:
    chosen, theme = picture.chosen, THEMES[picture.chosen.theme]
    received = received_shares(picture.trace, chosen, picture.nodes)
    seen = Seen(picture.trace, chosen, picture.nodes, picture.places, screen, radii, received, measure_text)
    for wish, left, top in place_labels(wish_labels(seen), *picture.camera.size):
        text = axes.text(
            left,
            top + 7.5,
            wish.text,
            fontsize=wish.size_px * PX,
            weight="bold" if wish.bold else "normal",
            color=wish.colour,
            va="center",
            ha="left",
            parse_math=False,
            usetex=False,
            zorder=3,
            bbox={"boxstyle": "square,pad=0.08", "facecolor": theme.paper, "edgecolor": "none", "alpha": 0.6},
        )
        text.set_gid(wish.name)


def measure_text(text: str, size_px: float, bold: bool) -> float:
    """Return the width of a text in CSS pixels."""
    font = FontProperties(size=size_px * PX, weight="bold" if bold else "normal")
    width, _, _ = text_to_path.get_text_width_height_descent(text, font, ismath=False)
    return float(width) / PX
