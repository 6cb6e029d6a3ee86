"""What a picture says of its weights, read off its pixels: the default beats the paper's, a lie is caught."""

import importlib.util
import re
import sys

import numpy as np
import pytest
from tests.conftest import ROOT

from headscape.trace.synthetic import example_trace
from headscape.view.frames import Frame
from headscape.view.page import write_page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

TOKENS = 24
# Where the shader takes the strength of an edge.
STRENGTH = "float strength=look.r;"
HEAD = 3  # the one that looks around


def load(name: str):
    """Return a module of benchmarks/, which is no package."""
    folder = str(ROOT / "benchmarks")
    if folder not in sys.path:
        sys.path.insert(0, folder)
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def metric():
    return load("readback_metric")


@pytest.fixture(scope="module")
def pages():
    return load("readback_page")


@pytest.fixture(scope="module")
def page_of_heads(tmp_path_factory):
    """Heads that look at the token before, at the first, at neighbours, and around."""
    path = tmp_path_factory.mktemp("readback") / "heads.html"
    trace = example_trace(layers=1, heads=4, tokens=[f"word{n}" for n in range(TOKENS)])
    return write_page([Frame(trace)], path)


@pytest.fixture
def view(open_page, pages, page_of_heads):
    return pages.View(open_page(page_of_heads).page)


def read(view, metric, change):
    """Draw the layer's strongest 2S edges, or all; return scores and what was drawn."""
    view.apply({"view": "layer", "layer": 0, "solo": {"call": 0, "head": HEAD}, "prune": "layer", **change})
    pixels, drawn = view.drawn()
    reach = drawn.width.max() / 2 + 2
    found = metric.read_lines(metric.lab(pixels), metric.lab(view.picture(-1)), drawn.curves, reach)
    return metric.score(drawn.measure, found), found, drawn


def test_strong_edges_are_read_off_the_default_picture_and_not_off_the_papers(view, metric):
    ours, _, drawn = read(view, metric, {"scale": "rank"})
    assert len(drawn.measure) == 2 * TOKENS
    assert ours.rho >= 0.85
    assert ours.auc >= 0.97
    whole, _, drawn = read(view, metric, {"scale": "paper", "slider": 1})
    assert len(drawn.measure) > 250  # every pair of the layer
    assert ours.rho > whole.rho + 0.1
    assert ours.gap > whole.gap
    few, _, drawn = read(view, metric, {"scale": "paper", "slider": view.state()["slider"]})
    assert ours.levels > few.levels
    assert ours.visible > few.visible


def test_an_encoding_that_says_the_contrary_is_caught(open_page, pages, metric, page_of_heads, tmp_path):
    text = page_of_heads.read_text(encoding="utf-8")
    assert text.count(STRENGTH) == 1
    broken = re.sub(
        r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text
    )  # it would refuse the script
    path = tmp_path / "broken.html"
    path.write_text(broken.replace(STRENGTH, "float strength=1.0-look.r;"), encoding="utf-8")
    lie, _, _ = read(pages.View(open_page(path).page), metric, {"scale": "rank"})
    assert lie.rho < 0
    assert lie.auc < 0.5


def test_an_edge_that_is_not_drawn_is_not_read(view, metric):
    read(view, metric, {"scale": "rank"})
    _, drawn = view.drawn()
    blank = view.picture(-1)
    alone = metric.read_lines(metric.lab(view.picture(0)), metric.lab(blank), drawn.curves, 4.0)
    assert alone.steps[0] > 1
    assert np.median(alone.steps[1:]) == 0
    nothing = metric.read_lines(metric.lab(blank), metric.lab(blank), drawn.curves, 4.0)
    assert not nothing.amount.any()


def test_ranks_and_areas_are_as_worked_out_by_hand(metric):
    assert metric.spearman(np.array([1.0, 2, 3, 4]), np.array([10.0, 20, 40, 30])) == pytest.approx(0.8)
    assert metric.auc(np.array([1.0, 2, 3, 2]), np.array([False, True, True, False])) == pytest.approx(0.875)
    assert metric.levels(np.array([0.1, 0.2, 1.5, 1.6])) == pytest.approx(2)
    white, black = metric.lab(np.array([[[255] * 3, [0] * 3]], dtype=np.uint8))[0]
    assert white == pytest.approx([100, 0, 0], abs=0.02)
    assert black == pytest.approx([0, 0, 0], abs=1e-6)
