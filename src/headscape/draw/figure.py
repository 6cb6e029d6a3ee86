"""From a trace to a Matplotlib figure."""

from collections.abc import Mapping, Sequence
from typing import Any, TypedDict, Unpack

from headscape.analysis.routes import Routes
from headscape.draw.canvas import AttentionFigure, fit_view, open_axes, open_figure
from headscape.draw.edges import draw_edges
from headscape.draw.labels import Labels
from headscape.draw.legend import draw_legend, draw_title
from headscape.draw.pick import Picker
from headscape.draw.planes import draw_planes, rims
from headscape.draw.scene import Scene
from headscape.draw.screen.caption import foot_height
from headscape.draw.screen.picture import draw_picture, make_picture
from headscape.draw.screen.state import parse_state, read_state
from headscape.draw.setting import Camera, choose_heads, prune_graph, set_scene
from headscape.draw.theme import choose_theme
from headscape.errors import OptionError, expect_index, expect_option
from headscape.graph.build import build_graph
from headscape.graph.layouts import LAYOUTS
from headscape.trace.trace import Trace

VIEWS = ("3d", "front", "layer")

Pruning = str | tuple[str, Mapping[str, float]] | Routes | None


class Look(TypedDict, total=False):
    """Further options of :func:`draw_figure`."""

    direction: str
    layers: Sequence[int] | None
    view: str | Mapping[str, Any]
    theme: str
    figsize: tuple[float, float]
    title: str | None
    seed: int


LOOK = tuple(Look.__annotations__)
# Options that go with a viewer's state, which says all others itself.
WITH_STATE = ("view", "theme", "figsize", "title")


def draw_figure(
    trace: Trace,
    example: int | None = None,
    *,
    heads: str | Sequence[int] = "auto",
    scale: str = "rank",
    prune: Pruning = "auto",
    layout: str = "auto",
    **look: Unpack[Look],
) -> AttentionFigure:
    """Draw one example as planes of tokens in 3D.

    Drag to rotate, right-drag to zoom, click a node or an edge to read what it is (in a window or under
    ipympl). Width and lightness tell an edge's strength, hue its head, a ring round a node its attention
    to itself, a node's size the attention it gets. The figure says what share of the edges it shows.

    Parameters
    ----------
    trace : Trace
    example : int, optional
        Which example of the batch. Default: the one that a viewer's state shows, else the first.
    heads : str or sequence of int
        ``"each"``, ``"mean"``, numbers of heads, or ``"auto"``: each of up to eight, the mean of more.
    scale : str
        How weights become strengths; see :func:`headscape.graph.build.build_graph`.
    prune : str, (str, options), Routes, or None
        A pruning of ``Graph.prune``, as ``"skeleton"`` or ``("nucleus", {"p": 0.5})``. ``"auto"``: the
        largest nucleus that leaves a plane readable. None: every edge. Routes of
        :func:`headscape.analysis.routes.find_routes`: the edges on them, and no others.
    layout : str
        ``"ring"``, ``"line"``, ``"grid"``, ``"spring"``, or ``"auto"``: a grid for images, a line in the
        front view, else a ring.
    **look
        ``direction="sum"``; ``layers=None`` (all, or numbers); ``view="3d"`` (``"front"``: planes side by
        side and what values carry between them, ``"layer"``: the first chosen layer face on, or what a
        viewer shows: its state as a dict or JSON text, or a link to it, with the same edges, camera, scale
        and looks; then only ``theme``, ``figsize`` and ``title`` may stand beside it);
        ``theme="light"`` or ``"dark"``; ``figsize=(12.8, 8.0)`` in inches; ``title=None``; ``seed=0``.

    Returns
    -------
    Figure
        A Matplotlib Figure. ``savefig`` writes PNG, SVG (text stays text) and PDF.

    Raises
    ------
    OptionError
        An option, or its value, does not exist; the message lists what there is.
    NotKeptError
        ``scale="contribution"`` on a trace without values.
    """
    for name in look:
        expect_option("figure", "option", name, ("heads", "scale", "prune", "layout", *LOOK))
    state = parse_state(look.get("view", "3d"))
    if state is not None:
        usual = {"heads": (heads, "auto"), "scale": (scale, "rank"), "prune": (prune, "auto")}
        usual["layout"] = (layout, "auto")
        given = [name for name, (value, default) in usual.items() if value != default]
        return draw_state(trace, state, example, look, given)
    view = str(look.get("view", "3d"))
    expect_option("figure", "view", view, VIEWS)
    expect_option("figure", "layout", layout, ("auto", *LAYOUTS))
    theme = choose_theme(look.get("theme", "light"))
    layers = look.get("layers")
    graph = build_graph(
        trace,
        0 if example is None else example,
        direction=look.get("direction", "sum"),
        heads=choose_heads(trace, heads),
        scale=scale,
        layers=layers[:1] if view == "layer" and layers else [0] if view == "layer" else layers,
    )
    graph = prune_graph(graph, prune)
    size = look.get("figsize", (12.8, 8.0))
    figure = open_figure(size, theme.paper)
    pictures = {n: p for n, side in enumerate(trace.sides) if (p := side.patches(example or 0)) is not None}
    size_px = (size[0] * 100, size[1] * 100)
    scene, camera = set_scene(graph, layout, view, theme, pictures, size_px, seed=look.get("seed", 0))
    compose(figure, scene, camera, look.get("title"))
    return figure


def compose(figure: AttentionFigure, scene: Scene, camera: Camera, title: str | None) -> None:
    """Put all artists of a scene on an empty figure."""
    points = scene.at[scene.drawn]
    axes = open_axes(figure, points, azim=camera.azim, elev=camera.elev)
    draw_planes(axes, scene)
    drawn = draw_edges(axes, scene)
    Labels(axes, scene)
    draw_title(figure, scene, title)
    caption = 2.2 * scene.font / 72 / figure.get_size_inches()[1]
    bottom = draw_legend(figure, scene) + caption
    left, _, right, top = camera.room
    fit_view(axes, rims(scene), (left, bottom, right, max(top, bottom + 0.2)))
    figure.picker = Picker(figure, axes, scene, drawn)


def draw_state(
    trace: Trace,
    state: Mapping[str, Any],
    example: int | None,
    look: Look,
    given: Sequence[str] = (),
) -> AttentionFigure:
    """Draw what a viewer with this state shows; ``given`` are further options that were set."""
    wrong = [*given, *(name for name in look if name not in WITH_STATE)]
    if wrong:
        raise OptionError(
            f"{', '.join(wrong)} cannot stand beside a viewer's state, which says it itself. Change it in "
            f"the state (view={{**state, ...}}); beside it may stand {', '.join(WITH_STATE[1:])}."
        )
    if "theme" in look:
        state = {**state, "theme": look["theme"]}
    if example is not None:
        example = expect_index("trace", "example", example, trace.batch)
    chosen = read_state(trace, state, example)
    picture = make_picture(trace, chosen)
    if "figsize" in look:
        width, height = look["figsize"][0] * 100, look["figsize"][1] * 100
        foot = foot_height(make_picture(trace, chosen, (width, height)))
        picture = make_picture(trace, chosen, (width, max(height - foot, 100)))
    return draw_picture(picture, look.get("title"))
