"""Figures of a viewer's state: what they take, what they draw, and what they say under it."""

import io
import json
import re
from pathlib import Path
from urllib.parse import quote
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from headscape.draw.screen.edges import VALUE, NodeNumbers, find_edges
from headscape.draw.screen.labels import HEIGHT, Wish, place_labels
from headscape.draw.screen.looks import THEMES
from headscape.draw.screen.order import order_edges, scale_shown
from headscape.draw.screen.picture import make_picture
from headscape.draw.screen.state import read_state
from headscape.errors import OptionError
from headscape.trace.synthetic import example_trace

VIEWER = Path(__file__).parents[2] / "viewer" / "src"
SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def trace():
    return example_trace(layers=3, heads=2)


def test_a_state_may_be_a_dict_its_json_or_a_link(trace, find_artists):
    state = {"view": "front", "slider": 0.4, "from a newer viewer": 1}
    link = f"file:///tmp/a%20page.html#headscape={quote(json.dumps(state))}"
    counts = {
        len(find_artists(trace.figure(view=view), "edges-main")["edges-main"].get_paths())
        for view in (state, json.dumps(state), link)
    }
    shown = make_picture(trace, read_state(trace, state)).shown
    assert counts == {shown}
    assert 0 < shown < make_picture(trace, read_state(trace, {"view": "front", "slider": 1})).shown


def test_names_of_views_still_draw_planes_in_3d(trace):
    assert hasattr(trace.figure(view="front").axes[0], "get_proj")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"view": {"view": "matrix"}}, "matrix.*3d.*front.*layer"),
        ({"view": {"solo": {"call": 9, "head": 0}}}, "solo.call 9.*0 to 2.*another trace"),
        ({"view": {"heads": [2]}}, "heads 2"),
        ({"view": '{"view": "3d'}, "no viewer's state"),
        ({"view": {}, "heads": "mean", "layers": [0]}, "heads, layers cannot stand beside"),
        ({"view": {"camera": {"yaw": 1}}}, "camera lacks .*pitch"),
        ({"view": 3}, "type int"),
    ],
)
def test_what_does_not_fit_is_answered(trace, options, said):
    with pytest.raises(OptionError, match=said):
        trace.figure(**options)


def test_size_is_the_cameras_unless_another_is_asked_for(trace):
    camera = {"yaw": 0.4, "pitch": 0.3, "centre": [1, 0, 0], "scale": 150, "panX": 0, "panY": 0, "lens": None}
    state = {"camera": camera | {"width": 700, "height": 500}}
    figure = trace.figure(view=state)
    assert figure.get_size_inches()[0] == pytest.approx(7)
    box = figure.axes[0].get_position()
    assert box.height * figure.get_size_inches()[1] == pytest.approx(5)
    assert tuple(trace.figure(view=state, figsize=(9, 6)).get_size_inches()) == pytest.approx((9, 6))


def test_text_stays_text_in_svg_and_fonts_travel_in_pdf(trace):
    figure = trace.figure(view={"view": "front"}, title="<Made & up>")
    file = io.BytesIO()
    figure.savefig(file, format="svg")
    texts = [element.text for element in ET.fromstring(file.getvalue()).iter(f"{SVG}text")]
    assert set(trace.tokens()) <= set(texts)
    assert "<Made & up>" in texts
    figure.savefig(file := io.BytesIO(), format="pdf")
    assert b"/FontFile2" in file.getvalue()  # TrueType
    assert b"/Type3" not in file.getvalue()


def test_the_foot_says_what_is_shown_of_what(trace, find_artists):
    figure = trace.figure(view={"view": "layer", "layer": 2, "scale": "lift", "slider": 0.5})
    picture = make_picture(trace, read_state(trace, {"view": "layer", "layer": 2, "slider": 0.5}))
    words = find_artists(figure, "shown")["shown"].get_text()
    total = 2 * 16 * 17 // 2
    assert words.startswith(f"{picture.shown} of {total} attention edges")
    texts = [text.get_text() for text in figure.texts]
    assert any("layer 2" in text and "lift" in text for text in texts)


def test_every_edge_is_shown_without_a_threshold(trace):
    picture = make_picture(trace, read_state(trace, {"slider": 1, "direction": "forward", "layers": [1]}))
    weights = trace.calls[1].weights()
    assert picture.shown == 2 * (weights > 0).sum()  # within the plane, and what values carry
    assert picture.held.mass == pytest.approx(2 * 16)
    assert picture.edges.mass[picture.edges.kind == VALUE].sum() == pytest.approx(2 * 16, rel=1e-5)


def test_a_row_with_one_visible_key_does_not_top_the_ranking(build_causal):
    trace = build_causal
    chosen = read_state(trace, {"direction": "forward", "values": False, "slider": 1})
    edges, _ = find_edges(trace, chosen, NodeNumbers(trace, 0))
    strength = scale_shown("rank", edges)
    alone = (edges.query == 0) & (edges.key == 0)
    assert alone.any()
    assert strength[alone].max() < np.quantile(strength, 0.8)


@pytest.fixture
def build_causal():
    from headscape.trace.call import AttentionCall
    from headscape.trace.measure import Facts, gather_rows
    from headscape.trace.sides import Side
    from headscape.trace.trace import Trace

    rng = np.random.default_rng(0)
    length = 12
    weights = np.tril(rng.dirichlet(np.full(length, 0.3), size=(1, 2, length)) + 1e-3).astype("f4")
    weights /= weights.sum(-1, keepdims=True)
    visible = np.broadcast_to(np.arange(1, length + 1), (1, 2, length)).astype("i4")
    none = np.zeros((1, length), bool)
    facts = Facts(none, none, None, np.full((1, 4, length), np.nan, "f4"))
    shape = (1, 2, length, length)
    arrays = gather_rows([(0, weights, visible)], shape, None, facts)
    call = AttentionCall("a", "a", 0, "self", "sdpa", 0, 0, 0, shape, arrays)
    side = Side("tokens", length, 2, (tuple("abcdefghijkl"),))
    return Trace((call,), (side,), None, (), "Causal", None)


def test_strongest_come_first_and_each_layer_gets_as_many(trace):
    chosen = read_state(trace, {"values": False})
    edges, _ = find_edges(trace, chosen, NodeNumbers(trace, 0))
    order, key = order_edges(edges, "layer")
    first = edges.select(order[:30])
    assert np.bincount(first.call).tolist() == [10, 10, 10]
    assert (np.diff(key) >= 0).all()
    for call in range(3):
        inside = edges.mass[edges.call == call]
        assert sorted(first.mass[first.call == call]) == sorted(np.sort(inside)[-10:])


def test_labels_that_would_collide_are_left_out():
    wishes = [Wish("a", 40, ((10, 10),), 1, "k"), Wish("b", 40, ((30, 12), (30, 40)), 2, "k"),
              Wish("c", 40, ((45, 14),), 0, "k"), Wish("outside", 40, ((-5, 0),), 9, "k")]  # fmt: skip
    placed = place_labels(wishes, 200, 100)
    assert [(one.text, left, top) for one, left, top in placed] == [("b", 30, 12)]
    assert HEIGHT == 15


@pytest.mark.parametrize("name", ["light", "dark"])
def test_colours_are_the_viewers(name):
    source = (VIEWER / "ui" / "theme.ts").read_text(encoding="utf-8")
    found = source.split(f'name: "{name}", paper')[1].split("};")[0]
    theme = THEMES[name]
    assert found.startswith(f': "{theme.paper}"')
    for word in ("ink", "soft", "plane", "rim", "node", "residual", "one", "plus", "minus", "mark"):
        assert re.search(rf'\b{word}: "(#\w+)"', found)[1] == getattr(theme, word), word
    assert tuple(re.findall(r'"(#\w+)"', found.split("heads:")[1].split("]")[0])) == theme.heads
    assert float(re.search(r"pale: ([\d.]+)", found)[1]) == theme.pale


def test_words_are_those_of_the_viewers_state():
    from headscape.draw.screen.state import WORDS

    source = (
        (VIEWER / "ui" / "state.ts").read_text(encoding="utf-8").split("const WORDS")[1].split("as const")[0]
    )
    for name in ("layout", "prune", "direction", "merge", "sinks"):
        there = re.findall(r'"(\w+)"', re.search(rf"{name}: \[([^\]]*)\]", source)[1])
        assert set(there) - {"spring"} <= set(WORDS[name]), name
    scales = (
        (VIEWER / "scene" / "choice.ts").read_text(encoding="utf-8").split("ScaleName =")[1].split(";")[0]
    )
    assert set(re.findall(r'"(\w+)"', scales)) <= set(WORDS["scale"])


def test_places_that_only_a_page_holds_are_refused_in_words():
    with pytest.raises(OptionError, match="layout"):
        example_trace().figure(view={"layout": "spring"})


def test_patches_are_drawn_where_they_lie(digit, find_artists):
    figure = digit.figure(view={})
    squares = find_artists(figure, "pictures")["pictures"]
    assert len(squares.get_paths()) == 16 * 4 * 3  # patches of 2 x 2 in three planes


def test_a_large_trace_opens_with_its_values_as_its_page_does():
    trace = example_trace(layers=8, heads=12, tokens=[str(n) for n in range(72)])
    assert read_state(trace, {}).values
