"""The written page in a real browser: what is drawn, clicked and read is what the trace holds."""

import re

import numpy as np
import pytest

from headscape.trace.synthetic import example_trace
from headscape.view.frames import Frame
from headscape.view.notebook import iframe
from headscape.view.page import write_page
from headscape.view.show import LivePage

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# Share of a canvas that a drawing covers at least; labels alone cover more.
LEAST_DRAWN = 0.004
# Digits that the panel writes: four.
ROUNDING = 6e-4
ATTENTION, VALUE = 0, 1


def check_drawn(pixels: np.ndarray) -> None:
    """Assert that a picture is more than one even background."""
    colours, counts = np.unique(pixels.reshape(-1, 3), axis=0, return_counts=True)
    background = colours[counts.argmax()].astype(int)
    differs = (np.abs(pixels.astype(int) - background) > 16).any(-1)
    assert differs.mean() > LEAST_DRAWN, f"the canvas is blank: {differs.mean():.3%} differ from {background}"


def number(text: str) -> float:
    """Read a number as the page writes it."""
    return float(text.replace("−", "-").replace("× ", "").replace("\u202f", ""))


def read_facts(opened) -> dict[str, str]:
    """Return names and values of the list of facts in the details panel."""
    names = opened.page.locator(".panel dl.facts dt").all_inner_texts()
    values = opened.page.locator(".panel dl.facts dd").all_inner_texts()
    return dict(zip(names, values, strict=True))


def read_bars(opened, title: str) -> dict[str, str]:
    """Return names and values of the bars under a heading that starts with ``title``."""
    section = opened.page.locator(".panel section", has=opened.page.locator("h2", has_text=title))
    names = section.locator(".bars .label").all_inner_texts()
    return dict(zip(names, section.locator(".bars .number").all_inner_texts(), strict=True))


def read_status(opened) -> str:
    """Return the line that says what is shown, without the spaces within numbers."""
    return " ".join(opened.page.locator(".status .counts").inner_text().replace("\u202f", "").split())


def click_edge(opened, kind: int) -> dict:
    """Click the strongest shown edge of a kind that no other edge covers; return it as the page names it."""
    shown = opened.state()["shown"]
    for k in range(min(shown, 60)):
        spot = opened.page.evaluate("k => globalThis.headscapeViews[0].screenOfEdge(k)", k)
        if not spot or not spot["isFree"]:
            continue
        opened.page.mouse.click(spot["x"], spot["y"])
        state = opened.wait_for(lambda s: s["selection"] is not None, "an edge is selected")
        if state["selection"]["kind"] == "edge" and state["selection"]["edge"]["kind"] == kind:
            return state["selection"]["edge"]
        opened.page.keyboard.press("Escape")
        opened.wait_for(lambda s: s["selection"] is None, "nothing is selected")
    raise AssertionError(f"none of the strongest edges is a free edge of kind {kind}")


@pytest.fixture
def trace():
    """Make a small trace whose two examples differ."""
    return example_trace(layers=3, heads=2, padding=3)


@pytest.fixture
def page_path(trace, tmp_path):
    """Write the trace as a page."""
    return write_page(
        trace, tmp_path / "a page.html", labels=["first", "second"], title="Made up", note="a note"
    )


def test_a_page_from_disk_draws_and_asks_for_nothing_but_itself(open_page, page_path):
    opened = open_page(page_path)
    check_drawn(opened.pixels())
    assert "Made up" in opened.page.locator("h1").inner_text()
    opened.check_behaved()


def test_a_blank_canvas_is_noticed(open_page, page_path):
    with pytest.raises(AssertionError, match="the canvas is blank"):
        check_drawn(np.full((100, 100, 3), 250, np.uint8))
    opened = open_page(page_path)
    box = opened.page.locator("#headscape canvas.graph").bounding_box()
    opened.page.evaluate("() => globalThis.headscapeViews[0].destroy()")
    with pytest.raises(AssertionError, match="the canvas is blank"):
        check_drawn(opened.pixels(box))
    assert (
        opened.page.evaluate("() => document.getElementById('headscape').shadowRoot.childElementCount") == 0
    )


@pytest.mark.parametrize(
    "addition",
    [
        "<script>window.pwned=1</script>",
        "<img src='absent.png'>",
        "<p style='color:red'>x</p>",
        "<b onclick='x()'>x</b>",
    ],
)
def test_a_page_that_misbehaves_is_noticed(open_page, page_path, addition):
    text = page_path.read_text(encoding="utf-8")
    page_path.write_text(text.replace("<noscript>", f"{addition}<noscript>"), encoding="utf-8")
    opened = open_page(page_path)
    assert opened.page.evaluate("() => typeof window.pwned") == "undefined"
    with pytest.raises(AssertionError):
        opened.check_behaved()


def test_a_clicked_token_tells_what_the_trace_holds(open_page, page_path, trace):
    opened = open_page(page_path)
    token = 4
    spot = opened.page.evaluate(
        "n => globalThis.headscapeViews[0].screenOf(n)", {"side": 0, "plane": 1, "token": token}
    )
    opened.page.mouse.click(spot["x"], spot["y"])
    state = opened.wait_for(lambda s: s["selection"] is not None, "a token is selected")
    assert state["selection"] == {"kind": "token", "side": 0, "plane": 1, "token": token}
    assert opened.page.locator(".panel h3").inner_text() == trace.tokens()[token]
    adds = read_bars(opened, "Adds to the scores (exact)")
    assert list(adds) == trace.outputs.names()
    for value, text in zip(trace.outputs.contribution()[:, token], adds.values(), strict=True):
        assert number(text) == pytest.approx(float(value), rel=ROUNDING)
    flow = trace.calls[0].flow()
    said = opened.page.locator(".panel .story .layer").first.inner_text()
    assert f"attention {flow.attention_share[token]:.0%}".replace("%", "\u202f%") in said
    opened.check_behaved()


@pytest.mark.parametrize(("view", "kind"), [("3D", ATTENTION), ("Front", VALUE)])
def test_a_clicked_edge_tells_what_the_trace_holds(open_page, page_path, trace, view, kind):
    opened = open_page(page_path)
    opened.page.get_by_role("button", name=view).or_(
        opened.page.get_by_role("radio", name=view)
    ).first.click()
    opened.wait_for(lambda s: s["view"] == {"3D": "3d", "Front": "front"}[view], f"the view is {view}")
    edge = click_edge(opened, kind)
    call, q, k = trace.calls[edge["call"]], edge["query"], edge["key"]
    weights = call.weights()
    head = edge["head"]
    weight = float(weights[head, q, k])
    facts = read_facts(opened)
    assert number(facts["weight, query → key"]) == pytest.approx(weight, rel=ROUNDING)
    if q != k:
        assert number(facts["weight, key → query"]) == pytest.approx(float(weights[head, k, q]), rel=ROUNDING)
    visible = int(call.visible()[head, q])
    assert number(facts["lift over uniform"]) == pytest.approx(weight * visible, rel=ROUNDING)
    assert number(facts["contribution"]) == pytest.approx(
        float(call.contribution()[head, q, k]), rel=ROUNDING
    )
    rank = 1 + int((weights[head, q] > weight).sum())
    assert facts["rank in its row"] == f"{rank} of {visible}"
    opened.check_behaved()


def test_escape_gives_the_answer_back(open_page, page_path, trace):
    opened = open_page(page_path)
    click_edge(opened, ATTENTION)
    opened.page.keyboard.press("Escape")
    opened.wait_for(lambda s: s["selection"] is None, "nothing is selected")
    share = trace.outputs.probabilities[0, 0]
    assert f"{share:.0%}".replace("%", "\u202f%") in opened.page.locator(".panel").inner_text()


def test_keys_work_before_anything_was_clicked(open_page, page_path):
    opened = open_page(page_path)
    keys = opened.page.keyboard
    assert opened.page.evaluate("() => document.activeElement === document.body")
    keys.press(".")
    opened.wait_for(
        lambda s: s["selection"] == {"kind": "token", "side": 0, "token": 0, "plane": 0}, "a token"
    )
    keys.press("2")
    opened.wait_for(lambda s: s["view"] == "front", "the front view")
    keys.press("/")
    keys.type("1.]")
    assert opened.page.get_by_role("searchbox").input_value() == "1.]"
    state = opened.state()
    assert (state["view"], state["selection"]["token"], state["frame"]) == ("front", 0, 0)


def test_keys_work_while_a_button_has_the_focus_and_leave_sliders_theirs(open_page, page_path):
    opened = open_page(page_path)
    opened.page.get_by_role("button", name="Layer", exact=True).click()
    opened.page.keyboard.press("PageDown")
    opened.wait_for(lambda s: s["layer"] == 1, "the second layer")
    opened.page.keyboard.press(".")
    opened.wait_for(lambda s: s["selection"] is not None, "a token is selected")
    slider = opened.page.get_by_role("slider", name="how many edges are shown")
    before = opened.state()["slider"]
    slider.press("PageDown")
    state = opened.wait_for(lambda s: s["slider"] < before, "the slider moved")
    assert state["layer"] == 1
    slider.press("PageUp")
    slider.press("3")
    assert opened.state()["layer"] == 1
    slider.press("1")
    opened.wait_for(lambda s: s["view"] == "3d", "the stack")


def test_a_tooltip_goes_when_what_it_tells_of_changes(open_page, page_path):
    opened = open_page(page_path)
    tip = opened.page.locator(".tip")
    for key in ("3", "PageDown", "PageUp", "]"):
        spot = opened.page.evaluate(
            "n => globalThis.headscapeViews[0].screenOf(n)",
            {"side": 0, "plane": opened.state()["layer"], "token": 2},
        )
        opened.page.mouse.move(spot["x"] - 90, spot["y"] - 90)
        opened.page.mouse.move(spot["x"], spot["y"])
        tip.wait_for(state="visible")
        opened.page.keyboard.press(key)
        tip.wait_for(state="hidden")


@pytest.mark.parametrize("name", ["heads, threshold and drawing", "answer and details"])
def test_escape_closes_a_drawer_over_the_graph(open_page, page_path, name):
    opened = open_page(page_path, width=700, height=500)
    opened.page.get_by_role("button", name=name).click()
    opened.wait_for(lambda s: s["open"]["rail"] or s["open"]["panel"], "a drawer is open")
    opened.page.keyboard.press("Escape")
    opened.wait_for(lambda s: not s["open"]["rail"] and not s["open"]["panel"], "no drawer is open")


def test_the_threshold_moves_at_once_and_says_what_it_leaves_out(open_page, page_path):
    opened = open_page(page_path)
    before = opened.state()
    slider = opened.page.get_by_role("slider", name="how many edges are shown")
    few = opened.pixels()
    slider.press("End")
    after = opened.state()
    assert before["shown"] < after["shown"] == after["total"]
    assert after["mass"] == pytest.approx(1)
    opened.page.wait_for_timeout(300)
    assert np.abs(opened.pixels().astype(int) - few).mean() > 0.3
    slider.press("Home")
    least = opened.state()
    assert least["shown"] < before["shown"]
    counts = re.findall(r"(\d+) of (\d+) (attention|value) edges", read_status(opened))
    assert [kind for _, _, kind in counts] == ["attention", "value"]
    assert sum(int(shown) for shown, _, _ in counts) == least["shown"]
    assert sum(int(total) for _, total, _ in counts) == least["total"]
    opened.check_behaved()


def test_the_status_line_names_what_is_drawn_and_nothing_else(open_page, page_path):
    opened = open_page(page_path)
    assert "of the attention" in read_status(opened)
    assert "of what values carry" in read_status(opened)
    opened.page.keyboard.press("2")
    state = opened.wait_for(lambda s: s["view"] == "front", "the front view")
    assert "attention" not in read_status(opened)
    assert f"{state['shown']} of {state['total']} value edges" in read_status(opened)
    opened.page.keyboard.press("3")
    state = opened.wait_for(lambda s: s["view"] == "layer", "one layer")
    assert "value" not in read_status(opened)
    assert f"{state['shown']} of {state['total']} attention edges" in read_status(opened)


def test_the_other_example_is_one_click_away(open_page, page_path, trace):
    opened = open_page(page_path)
    opened.page.get_by_role("button", name="second").click()
    opened.wait_for(lambda s: s["frame"] == 1, "the second example")
    padded = len(trace.tokens()) - 1
    nowhere = opened.page.evaluate(
        "n => globalThis.headscapeViews[0].screenOf(n)", {"side": 0, "plane": 1, "token": padded}
    )
    assert nowhere is None
    edge = click_edge(opened, ATTENTION)
    weight = float(trace.calls[edge["call"]].weights(1)[edge["head"], edge["query"], edge["key"]])
    assert number(read_facts(opened)["weight, query → key"]) == pytest.approx(weight, rel=ROUNDING)
    opened.check_behaved()


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (700, 500)])
@pytest.mark.parametrize(("scheme", "is_dark"), [("light", False), ("dark", True)])
def test_it_follows_light_and_dark_at_both_sizes(open_page, page_path, width, height, scheme, is_dark):
    opened = open_page(page_path, width=width, height=height, scheme=scheme)
    assert opened.state()["theme"] == scheme
    pixels = opened.pixels()
    check_drawn(pixels)
    assert (np.median(pixels) < 80) == is_dark
    size = opened.page.evaluate("() => [document.body.scrollWidth, document.body.scrollHeight]")
    assert size == [width, height]
    opened.check_behaved()


HOSTILE = (
    "</script><script>window.pwned=1</script>",
    "<img src=x onerror=window.pwned=1>",
    "<!--<script>",
    "👩‍👩‍👧‍👦",
    "مرحبا بالعالم",
    "\u202egnirts",
    "",
    "\0\x1b",
    "a\ud800",
    "{{7*7}}${7*7}",
    "x" * 1_000_000,
)


def test_hostile_text_is_shown_and_nothing_of_it_runs(open_page, tmp_path):
    trace = example_trace(layers=2, tokens=HOSTILE)
    frames = [Frame(trace, n, label=HOSTILE[n], truth=HOSTILE[1]) for n in range(2)]
    path = write_page(frames, tmp_path / "x.html", title=HOSTILE[0], note=HOSTILE[1])
    assert path.stat().st_size < 1_000_000
    opened = open_page(path)
    for token in range(len(HOSTILE)):
        spot = opened.page.evaluate(
            "n => globalThis.headscapeViews[0].screenOf(n)", {"side": 0, "plane": 0, "token": token}
        )
        opened.page.mouse.click(spot["x"], spot["y"])
        state = opened.wait_for(lambda s: s["selection"] is not None, "something is selected")
        if token < 2 and state["selection"].get("token") == token:
            assert opened.page.locator(".panel h3").inner_text() == HOSTILE[token]
        opened.page.keyboard.press("Escape")
        opened.wait_for(lambda s: s["selection"] is None, "nothing is selected")
    assert opened.page.evaluate("() => typeof window.pwned") == "undefined"
    assert opened.page.locator("img, iframe, object").count() == 0
    assert opened.page.locator("h1").inner_text() == HOSTILE[0]
    opened.check_behaved()


def test_a_training_run_opens_on_its_newest_step_and_steps_through_all(open_page, tmp_path):
    live = LivePage(tmp_path / "run.html", strict=True)
    for n in range(3):
        live.add(example_trace(layers=2, seed=n), label=f"loss {n}")
    opened = open_page(tmp_path / "run.html")
    scrubber = opened.page.get_by_role("slider", name="step")
    opened.wait_for(lambda s: s["frame"] == 2, "the last step")
    assert "loss 2" in scrubber.get_attribute("aria-valuetext")
    scrubber.press("Home")
    opened.wait_for(lambda s: s["frame"] == 0, "the first step")
    assert "loss 0" in scrubber.get_attribute("aria-valuetext")
    opened.check_behaved()


def test_it_works_inside_the_frame_of_a_notebook(open_page, page_path, tmp_path):
    host = tmp_path / "notebook.html"
    page = page_path.read_text(encoding="utf-8")
    host.write_text(f"<!doctype html><body>{iframe(page, 'Made up')}</body>", encoding="utf-8")
    opened = open_page(host, ready=False)
    inside = opened.page.frame_locator("iframe")
    inside.locator("#headscape[data-ready=true]").wait_for()
    assert "Made up" in inside.locator("h1").inner_text()
    assert inside.locator("[role=alert]:visible").count() == 0
    assert opened.complaints == []


def test_a_page_that_is_cut_off_says_so(open_page, page_path, tmp_path):
    text = page_path.read_text(encoding="utf-8")
    start = text.index('id="headscape-data">') + 2000
    broken = tmp_path / "broken.html"
    broken.write_text(text[:start] + text[text.index("</script>", start) :], encoding="utf-8")
    opened = open_page(broken)
    assert "cannot" in opened.page.locator("[role=alert]").inner_text()
    assert opened.page.evaluate("() => globalThis.violations") == []


def test_an_answer_that_is_not_a_number_says_so_and_the_truth_is_named(open_page, tmp_path):
    trace = example_trace(layers=1, heads=1, tokens=("alone",))
    truth = trace.outputs.names()[-1]
    trace.outputs.probabilities[:] = np.nan
    opened = open_page(write_page([Frame(trace, 0, label="x", truth=truth)], tmp_path / "x.html"))
    assert "1 layer × 1 head · 1 token" in opened.page.locator(".subtitle").inner_text()
    answer = opened.page.locator(".panel .bars").first.inner_text()
    assert "NaN" in answer
    assert "not captured" not in answer
    assert f"{truth} true" in " ".join(answer.split())
    assert "✓" not in opened.page.locator(".panel").inner_text()
