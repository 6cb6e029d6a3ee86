"""Figures of topology, read back artist by artist."""

import io
import itertools
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from matplotlib.colors import to_hex
from tests.analysis.topology.shapes import uniform
from tests.graph.conftest import build_trace

from headscape.analysis.topology.bars import Bars
from headscape.analysis.topology.curves import Curves
from headscape.analysis.topology.graphs import TokenGraphs
from headscape.analysis.topology.of_trace import (
    STEPS,
    HeadTopology,
    LayerTopology,
    StepTopology,
    head_topology,
)
from headscape.draw.theme import DARK, LIGHT
from headscape.draw.topology import draw_head, draw_layers, draw_steps
from headscape.errors import OptionError
from headscape.trace.synthetic import example_trace


@pytest.fixture(scope="module")
def trace():
    return example_trace(layers=3, heads=4)


@pytest.fixture(scope="module")
def found(trace):
    return head_topology(trace)


def with_bars(found, bars):
    """The same topology, each head with these H1 bars."""
    layers = tuple(
        LayerTopology(one.layer, one.site, one.graphs, one.deaths, one.curves, (bars,) * len(one.deaths))
        for one in found.layers
    )
    return HeadTopology(layers, found.example)


def test_each_h0_bar_ends_at_the_weight_at_which_two_parts_meet(found, on_agg, find_artists):
    (bars,) = find_artists(on_agg(draw_head(found, 1, 2)), "bars-h0").values()
    ends = np.array(bars.get_segments())
    np.testing.assert_allclose(ends[:, 1, 0], 1 - found.layers[1].deaths[2], atol=1e-6)
    np.testing.assert_array_equal(ends[:, 0, 0], 1)
    assert len(set(ends[:, 0, 1])) == len(ends)


def test_curves_are_those_that_were_counted(found, on_agg, find_artists):
    figure = on_agg(draw_head(found, 0, 1))
    for name, counts in (("b0", "components"), ("cycle-rank", "cycle_rank")):
        (line,) = find_artists(figure, name).values()
        np.testing.assert_array_equal(line.get_xdata(), STEPS)
        np.testing.assert_array_equal(line.get_ydata(), getattr(found.layers[0].curves, counts)[1])
    assert find_artists(figure, "bars-h1") == find_artists(figure, "b1") == {}


def test_h1_stands_above_with_open_bars_marked_and_its_curve_ends_at_the_cut(
    found, on_agg, find_artists, drawn_texts
):
    bars = Bars(np.array([0.5, 0.6, 0.65]), np.array([0.7, np.inf, 0.8]), 1, longest=0.9)
    figure = on_agg(draw_head(with_bars(found, bars), 0, 0))
    (drawn,) = find_artists(figure, "bars-h1").values()
    ends = np.array(drawn.get_segments())
    np.testing.assert_allclose(ends[:, :, 0], [[0.5, 0.3], [0.4, 0.1], [0.35, 0.2]])
    (marks,) = find_artists(figure, "open").values()
    np.testing.assert_allclose([marks.get_xdata(), marks.get_ydata()], [[0.1], [ends[1, 0, 1]]])
    (curve,) = find_artists(figure, "b1").values()
    weight, alive = curve.get_xdata(), curve.get_ydata()
    assert np.isnan(alive[weight < 0.1 - 1e-9]).all()
    # At distance 1 - weight: bars with birth <= distance < death.
    by_hand = {0.95: 0, 0.45: 1, 0.38: 2, 0.33: 3, 0.25: 2, 0.15: 1}
    for at, count in by_hand.items():
        assert alive[np.abs(weight - at).argmin()] == count, at
    assert any("3 H1 bars, 1 open" in text for text in drawn_texts(figure))


def test_h1_that_is_not_known_is_said_and_not_drawn_as_none(found, on_agg, find_artists, drawn_texts):
    stopped = Bars(np.empty(0), np.empty(0), 1, stopped="time limit of 3 s")
    figure = on_agg(draw_head(with_bars(found, stopped), 0, 0))
    texts = drawn_texts(figure)
    assert "H1: not known" in texts
    assert any("time limit of 3 s" in text for text in texts)
    assert find_artists(figure, "b1") == {}
    none = drawn_texts(on_agg(draw_head(with_bars(found, Bars(np.empty(0), np.empty(0), 1)), 0, 0)))
    assert "H1: no cycles" in none


def test_what_lies_below_the_axis_is_counted_in_words(on_agg, drawn_texts):
    weights = np.eye(5) * 0.9998 + np.roll(np.eye(5), 1, axis=1) * 0.0002
    figure = on_agg(draw_head(head_topology(build_trace(weights)), 0, 0))
    assert any("4 joined below 0.001" in text for text in drawn_texts(figure))


def test_the_graph_stands_in_the_left_half(found, trace, on_agg, find_artists, drawn_texts):
    figure = on_agg(draw_head(found, 2, 1, beside=trace, theme="dark"))
    texts = drawn_texts(figure)
    for token in trace.tokens():
        assert token in texts
    assert find_artists(figure, "edges-")
    half = figure.bbox.width / 2
    renderer = figure.canvas.get_renderer()
    for name, artist in find_artists(figure, "label").items():
        assert artist.get_window_extent(renderer).x1 <= half, name
    (bars,) = find_artists(figure, "bars-h0").values()
    assert bars.axes.get_window_extent(renderer).x0 > half
    assert to_hex(figure.get_facecolor()) == DARK.paper
    assert {to_hex(c) for c in bars.get_colors()} == {DARK.one}


def test_cells_hold_their_numbers_and_heads_that_are_not_there_are_empty(on_agg, find_artists):
    found = head_topology(build_trace(np.stack([uniform(4)] * 3), uniform(4)))
    figure = on_agg(draw_layers(found, "h0_sum"))
    (image,) = find_artists(figure, "table").values()
    np.testing.assert_array_equal(image.get_array().filled(np.nan), found.table("h0_sum"))
    numbers = [text for text in figure.axes[0].texts if text.get_gid() == "number"]
    assert [text.get_text() for text in numbers] == ["2.25"] * 4
    assert [text.get_position() for text in numbers] == [(0, 0), (1, 0), (2, 0), (0, 1)]


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_numbers_stand_out_from_their_cells(found, on_agg, theme):
    figure = on_agg(draw_layers(found, theme=theme))
    image = figure.axes[0].images[0]
    for text in figure.axes[0].texts:
        head, layer = (round(at) for at in text.get_position())
        cell = np.array(image.to_rgba(found.table("h0_mean")[layer, head]))[:3]
        ink = np.array([int(to_hex(text.get_color())[i : i + 2], 16) / 255 for i in (1, 3, 5)])
        assert _contrast(cell, ink) >= 3, (layer, head)


def _contrast(one, other):
    """WCAG's contrast ratio of two sRGB colours."""
    linear = [np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4) for c in (one, other)]
    light = sorted(float(c @ [0.2126, 0.7152, 0.0722]) + 0.05 for c in linear)
    return light[1] / light[0]


def test_large_tables_go_without_numbers_and_layers_keep_their_own(on_agg, drawn_texts):
    trace = example_trace(layers=12, heads=20, tokens="abcd")
    figure = on_agg(draw_layers(head_topology(trace, layers=range(1, 12))))
    assert not figure.axes[0].texts
    assert "11" in drawn_texts(figure)
    labels = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert (labels[0], labels[-1]) == ("1", "11")


def test_a_table_without_any_known_number_says_so(on_agg, drawn_texts):
    found = head_topology(build_trace(np.ones((2, 1, 1))))
    assert any("no head has a known value" in text for text in drawn_texts(on_agg(draw_layers(found))))


def test_steps_show_each_head_thin_and_each_layers_mean_bold(on_agg, find_artists, drawn_texts):
    values = np.random.default_rng(0).random((5, 3, 4))
    values[:, 2, 2:] = np.nan  # a layer with two heads
    values[0, 0, 0] = np.nan
    steps = np.array([1, 10, 20, 50, 90])
    figure = on_agg(draw_steps(StepTopology("h0_mean", steps, values)))
    for layer in range(3):
        (line,) = find_artists(figure, f"layer-{layer}").values()
        np.testing.assert_array_equal(line.get_xdata(), steps)
        np.testing.assert_allclose(line.get_ydata(), np.nanmean(values[:, layer], axis=1))
    assert len(figure.axes[0].lines) == 3 + 4 + 4 + 2
    assert {"layer 0", "layer 1", "layer 2", "training step"} <= set(drawn_texts(figure))


def test_names_of_lines_that_end_together_do_not_cover_one_another(on_agg):
    values = np.linspace(0.5, 0.501, 9)[None, :, None].repeat(4, axis=0)
    values[0] = np.linspace(0, 1, 9)[:, None]
    figure = on_agg(draw_steps(StepTopology("h0_mean", np.arange(4), values)))
    figure.canvas.draw()
    renderer = figure.canvas.get_renderer()
    boxes = sorted((t.get_window_extent(renderer) for t in figure.axes[0].texts), key=lambda box: box.y0)
    assert len(boxes) == 9
    assert all(low.y1 <= high.y0 + 2 for low, high in itertools.pairwise(boxes))


def test_one_token_is_drawn_without_bars(on_agg):
    on_agg(draw_head(head_topology(build_trace(np.ones((1, 1, 1)))), 0, 0)).canvas.draw()


def test_svg_keeps_text_as_text(found):
    file = io.BytesIO()
    draw_head(found, 0, 0).savefig(file, format="svg")
    words = " ".join("".join(node.itertext()) for node in ET.fromstring(file.getvalue()).iter())
    assert "H0: components" in words
    assert LIGHT.one in file.getvalue().decode()


def test_what_cannot_be_drawn_is_said(found):
    with pytest.raises(OptionError, match="no layer 7"):
        draw_head(found, 7, 0)
    with pytest.raises(OptionError, match="no head 9"):
        draw_head(found, 0, 9)
    with pytest.raises(OptionError, match="theme 'blue'"):
        draw_layers(found, theme="blue")
    one = np.zeros((1, 0))
    graphs = TokenGraphs(np.zeros((1, 2, 2), "f4"), ("a", "b"), np.arange(2), 2, False, ())
    curves = Curves(one, one.astype(int), one.astype(int), one.astype(int), 2)
    layer = LayerTopology(0, "x", graphs, np.full((1, 1), np.nan), curves, None)
    with pytest.raises(OptionError, match="holds NaN"):
        draw_head(HeadTopology((layer,), 0), 0, 0)
