"""Several passes in one page: a generation that grows, a change between two, links, and lines of Python."""

import json
import re
from dataclasses import replace
from types import SimpleNamespace
from urllib.parse import unquote

import numpy as np
import pytest

from headscape.trace.synthetic import WORDS, example_trace
from headscape.view.page import write_page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

APPLY = "state => globalThis.headscapeViews[0].apply(state)"


def grown(tokens):
    """Return a pass over the first ``tokens`` words."""
    return example_trace(layers=2, tokens=WORDS[:tokens])


def test_tokens_appear_where_they_stay(tmp_path, open_page):
    seen = open_page(write_page([grown(n) for n in (4, 5, 7)], tmp_path / "page.html"))
    assert seen.state()["frame"] == 2
    where = "n => globalThis.headscapeViews[0].screenOf({side: 0, plane: 0, token: n})"
    assert seen.page.evaluate(APPLY, {"view": "front"}) == []
    last = [seen.page.evaluate(where, n) for n in range(7)]
    assert seen.page.evaluate(APPLY, {"frame": 0}) == []
    first = [seen.page.evaluate(where, n) for n in range(4)]
    for before, after in zip(first, last[:4], strict=True):
        assert abs(before["y"] - after["y"]) < 2
        assert abs(before["x"] - after["x"]) < 12
    assert seen.page.locator(".word").count() == 4
    seen.check_behaved()


def test_numbers_over_the_steps_are_those_of_the_traces(tmp_path, open_page):
    traces = [replace(example_trace(layers=1, seed=n), step=n + 1) for n in range(3)]
    seen = open_page(write_page(traces, tmp_path / "page.html"))
    rows = [trace.calls[0].stats.entropy[0] for trace in traces]
    shown = seen.page.locator(".spark .number").inner_text()
    assert float(shown) == pytest.approx(float(rows[2].mean()), rel=1e-3)
    points = seen.page.locator(".spark polyline").get_attribute("points").split()
    heights = np.array([float(point.split(",")[1]) for point in points])
    assert np.argsort(-heights).tolist() == np.argsort([row.mean() for row in rows]).tolist()


def test_the_change_between_two_passes_is_their_difference(tmp_path, open_page):
    now, before = example_trace(layers=2, seed=1), example_trace(layers=2, seed=2)
    seen = open_page(write_page(now, tmp_path / "page.html", against=before, examples=[0]))
    state = seen.wait_for(lambda state: state["against"] == "other", "the change")
    assert "biggest movers" in seen.page.locator("aside.panel").inner_text().lower()
    new, old = (np.stack([call.weights(0) for call in trace.calls]) for trace in (now, before))
    assert state["total"] == 2 * int((new != old).sum())  # within planes, and as ribbons
    layer, head, query, key = np.unravel_index(np.abs(new - old).argmax(), new.shape)
    edge = {"call": int(layer), "head": int(head), "query": int(query), "key": int(key), "kind": 0}
    assert seen.page.evaluate(APPLY, {"selection": {"kind": "edge", "edge": edge}}) == []
    panel = seen.page.locator("aside.panel").inner_text()
    both = [float(re.search(rf"{name}\s+([0-9.]+)", panel)[1]) for name in ("query → key", "other pass")]
    np.testing.assert_allclose(
        both, [new.flat[np.abs(new - old).argmax()], old[layer, head, query, key]], 1e-3
    )
    seen.page.get_by_role("button", name="other", exact=True).click()
    seen.wait_for(lambda state: state["frame"] == 1 and state["against"] is None, "the other pass")
    seen.check_behaved()


def test_passes_over_other_tokens_are_not_compared(tmp_path, open_page):
    now, other = example_trace(layers=2), example_trace(layers=2, tokens=WORDS[::-1])
    seen = open_page(write_page(now, tmp_path / "page.html", against=other, examples=[0]))
    assert "different tokens" in seen.page.locator("nav.frames").inner_text()
    assert seen.state()["total"] > 0


def test_the_python_line_gives_the_number_that_is_shown(tmp_path, open_page):
    trace = example_trace(layers=2)
    seen = open_page(write_page(trace, tmp_path / "page.html", examples=[1]))
    for k in (0, 3):
        edge = seen.page.evaluate(
            "async k => {const v = globalThis.headscapeViews[0]; const at = v.screenOfEdge(k); return at}", k
        )
        seen.page.mouse.click(edge["x"], edge["y"])
        selection = seen.wait_for(lambda state: state["selection"] is not None, "a selection")["selection"]
        line = seen.page.locator("pre.code", has_text="trace.").inner_text()
        value = eval(line, {"trace": trace, "run": SimpleNamespace(traces=[trace])})
        assert value == pytest.approx(selection["edge"]["weight"], rel=1e-6)
        seen.page.keyboard.press("Escape")
    seen.check_behaved()


def test_a_link_opens_the_same_view_elsewhere(tmp_path, open_page):
    path = write_page(example_trace(layers=2), tmp_path / "page.html", examples=[0, 1])
    seen = open_page(path)
    wanted = {
        "frame": 1, "view": "front", "scale": "lift", "slider": 0.5, "layers": [1],
        "selection": {"kind": "token", "side": 0, "token": 3, "plane": 0},
    }  # fmt: skip
    assert seen.page.evaluate(APPLY, wanted) == []
    for _ in range(100):
        address = seen.page.evaluate("() => location.hash")
        if address:
            break
        seen.page.wait_for_timeout(50)
    told = json.loads(unquote(address.removeprefix("#headscape=")))
    assert {name: told[name] for name in wanted} == wanted
    seen.page.goto("about:blank")
    seen.page.goto(path.as_uri() + address, wait_until="commit")
    again = seen.wait_for(lambda state: state.get("view") == "front", "the same view")
    assert {name: again[name] for name in wanted} == wanted


@pytest.mark.parametrize(
    "bad", [{"view": "nonsense"}, {"solo": {"call": 99, "head": 0}}, {"heads": [-1]}, {"camera": {"yaw": 1}},
            {"frame": 12}, {"selection": {"kind": "token", "side": 0, "token": 10**6}}, {"layers": "all"}],
)  # fmt: skip
def test_a_state_that_does_not_fit_is_refused_in_words(tmp_path, open_page, bad):
    seen = open_page(write_page(example_trace(layers=2), tmp_path / "page.html", examples=[0]))
    before = seen.state()
    (said,) = seen.page.evaluate(APPLY, bad)
    assert said.startswith(next(iter(bad)))
    assert {**seen.state(), "camera": None} == {**before, "camera": None}
    seen.check_behaved()
