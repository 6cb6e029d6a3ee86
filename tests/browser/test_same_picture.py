"""A figure of a viewer's state shows the edges that the page shows, where the page shows them."""

import matplotlib as mpl
import numpy as np
import pytest

from headscape.draw.screen.picture import make_picture
from headscape.draw.screen.state import read_state
from headscape.trace.synthetic import example_trace
from headscape.view.page import write_page

mpl.use("Agg")
pytestmark = [pytest.mark.browser, pytest.mark.slow]

# CSS pixels: the page keeps places as 32-bit numbers.
NEAR_PX = 0.5
STATES = {
    "fresh": {},
    "front": {"view": "front", "scale": "log"},
    "layer": {"view": "layer", "layer": 1, "direction": "forward", "scale": "lift"},
    "backward": {"view": "layer", "layer": 2, "direction": "backward", "prune": "row", "slider": 0.4},
    "difference": {"direction": "asymmetry", "prune": "strength", "slider": 0.2},
    "by token": {"prune": "row", "slider": 0.3, "layout": "line"},
    "by strength": {"prune": "strength", "slider": 0.15, "scale": "contribution", "layout": "grid"},
    "mean without a layer": {"merge": "mean", "layers": [0, 2], "slider": 0.6, "scale": "paper"},
    "one head": {"solo": {"call": 1, "head": 1}},
    "some heads": {"heads": [0, 2], "coloured": True, "values": False},
    "no sinks": {"sinks": "folded", "attention": True, "residual": False},
    "no sinks by token": {"sinks": "folded", "prune": "row", "slider": 0.5},
    "turned": {"camera": {"yaw": -0.7, "pitch": 0.9, "centre": [1, 0, 0], "scale": 160, "panX": 30,
                          "panY": -20, "lens": 9, "width": 900, "height": 600}},
}  # fmt: skip
TRACES = {
    "padded": lambda: example_trace(layers=3, heads=3, padding=3),
    "two towers": lambda: example_trace(layers=3, heads=3, decoder=True),
    "top-k": lambda: example_trace(layers=3, heads=3, k=6),
}


@pytest.fixture(scope="module", params=TRACES)
def case(request, tmp_path_factory):
    trace = TRACES[request.param]()
    return trace, write_page(trace, tmp_path_factory.mktemp("same") / "page.html")


def shown_on_page(opened) -> list[tuple[int, ...]]:
    """Return kind, call, head, query and key of each edge that the page shows."""
    edges = opened.page.evaluate("() => globalThis.headscapeViews[0].drawn().edges")
    return [tuple(edge[name] for name in ("kind", "call", "head", "query", "key")) for edge in edges]


def test_same_edges_at_the_same_places(open_page, case):
    trace, path = case
    opened = open_page(path)
    for name, state in STATES.items():
        usual = {"solo": None, "heads": [0, 1, 2], "layers": list(range(len(trace.calls))), "slider": 0.5}
        switches = dict.fromkeys(("attention", "values", "residual", "answers", "coloured"), True)
        words = {"view": "3d", "layout": "ring", "scale": "rank", "prune": "layer", "direction": "sum"}
        fresh = {**usual, **switches, **words, "merge": "each", "sinks": "shown", "frame": 1, "layer": 0}
        apply = fresh | state if state else {"frame": 1}
        assert opened.page.evaluate("s => globalThis.headscapeViews[0].apply(s)", apply) == []
        check_same(opened, trace, opened.state(), name)


def check_same(opened, trace, state, name):
    picture = make_picture(trace, read_state(trace, state))
    edges = picture.edges
    columns = (edges.kind, edges.call, edges.head, edges.query, edges.key)
    ours = list(zip(*(column.tolist() for column in columns), strict=True))
    page = shown_on_page(opened)
    assert len(page) == state["shown"], name
    assert set(ours) == set(page), f"{name}: {len(set(ours) ^ set(page))} of {len(page)} edges differ"
    screen = picture.camera.project(picture.places.at)
    box = opened.page.locator("#headscape canvas.graph").bounding_box()
    for side in range(len(trace.sides)):
        for plane, token in ((0, 0), (1, 3), (trace.sides[side].planes - 1, 4)):
            node = {"side": side, "plane": plane, "token": token}
            there = opened.page.evaluate("n => globalThis.headscapeViews[0].screenOf(n)", node)
            at = screen[picture.nodes.first_of(side, plane) + token, :2]
            assert (there is None) == bool(np.isnan(at[0])), (name, node)
            if there is not None:
                off = np.hypot(there["x"] - box["x"] - at[0], there["y"] - box["y"] - at[1])
                assert off < NEAR_PX, (name, node, off)


@pytest.mark.parametrize("view", ["3d", "front", "layer"])
def test_a_state_without_a_camera_is_seen_as_the_page_opens(open_page, case, view):
    trace, path = case
    opened = open_page(path, width=1100, height=760)
    assert opened.page.evaluate("s => globalThis.headscapeViews[0].apply(s)", {"view": view}) == []
    camera = opened.state()["camera"]
    size = (camera["width"], camera["height"])
    ours = make_picture(trace, read_state(trace, {"view": view}), size).camera
    # Margins are estimates from the letters of labels, which Python counts in its own way.
    assert ours.scale == pytest.approx(camera["scale"], rel=0.01)
    assert ours.pan == pytest.approx((camera["panX"], camera["panY"]), abs=3)
    assert ours.centre == pytest.approx(camera["centre"], abs=0.01)


def test_another_pass_does_not_have_the_same_edges(open_page, case):
    trace, path = case
    opened = open_page(path)
    other = example_trace(layers=3, heads=3, seed=1, decoder=len(trace.sides) > 1)
    with pytest.raises(AssertionError, match="edges differ"):
        check_same(opened, other, opened.state(), "another pass")
