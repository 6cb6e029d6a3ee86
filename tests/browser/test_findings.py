"""Roles, knock-outs and topology in a real browser, and a widget's knock-outs with Python behind it."""

import base64
import json
from itertools import pairwise

import numpy as np
import pytest
from playwright.sync_api import expect
from tests.browser.test_access import find_violations

from headscape.trace.synthetic import example_trace
from headscape.view.page import write_page
from headscape.view.widget import Widget

pytestmark = [pytest.mark.browser, pytest.mark.slow]

EVIL = '<img src=x onerror="globalThis.pwned=1">\u202e'
ROLES = {
    (0, 0): ("sink", "91 %"), (0, 2): ("previous token", "98 %"), (1, 1): (EVIL, EVIL),
    (2, 3): ("previous token", "72 %"), (2, 0): ("broad", ""),
}  # fmt: skip


def knock_out(kind, change, *, by="zero", after=0.5, **place) -> dict:
    """Return a knock-out as a page holds it."""
    answers = [
        {"name": "yes", "before": 0.75, "after": after, "logit_before": 1.1, "logit_after": -0.4},
        {"name": EVIL, "before": 0.25, "after": 1 - after, "logit_before": 0.0, "logit_after": 0.2},
    ]
    return {"kind": kind, "by": by, "example": 0, "answers": answers, "output_change": change, **place}


OUTS = [
    knock_out("head", 0.25, call=1, head=2),
    knock_out("head", 0.5, call=1, head=2, by="mean", after=0.0625),
    knock_out("edge", 0.125, call=2, head=1, query=5, key=3),
    knock_out("token", 0.75, key=4),
]


@pytest.fixture
def trace():
    """Make a small trace."""
    return example_trace(layers=3, heads=4)


@pytest.fixture
def opened(open_page, trace, tmp_path):
    """Open a page with roles and knock-outs of its first example."""
    return open_page(write_page(trace, tmp_path / "page.html", roles=ROLES, knock_outs=OUTS))


def apply(opened, **state) -> None:
    """Set the state of the viewer; assert that it could follow."""
    assert opened.page.evaluate("s => globalThis.headscapeViews[0].apply(s)", state) == []


def panel(opened):
    """Return the panel at the right."""
    return opened.page.locator(".panel")


def test_heads_are_ordered_and_labelled_by_role(opened):
    apply(opened, view="matrix")
    under = opened.page.locator(".head-cell").nth(2).locator(".under")
    assert under.inner_text() == "previous token"
    opened.page.get_by_role("button", name="role", exact=True).click()
    assert opened.state()["order"] == "role"
    names = opened.page.locator(".role-name").all_inner_texts()
    assert names[0].startswith("<img")
    assert names[1:] == ["broad", "previous token", "sink", "no role"]
    order = opened.page.locator(".head-cell > span:first-of-type").all_inner_texts()
    assert order[:5] == ["1.1", "2.0", "0.2", "2.3", "0.0"]
    assert len(order) == 12
    assert opened.page.locator(".head-cell", has_text="2.3").locator(".under").inner_text() == "72 %"
    assert "previous token (98 %)" in opened.page.locator(".rail .cell").nth(2).get_attribute("title")
    assert opened.page.evaluate("() => globalThis.pwned") is None
    opened.check_behaved()


def test_a_page_without_roles_offers_no_order_by_them(open_page, trace, tmp_path):
    opened = open_page(write_page(trace, tmp_path / "page.html"))
    apply(opened, view="matrix")
    expect(opened.page.get_by_role("button", name="entropy", exact=True)).to_be_visible()
    expect(opened.page.get_by_role("button", name="role", exact=True)).to_have_count(0)
    assert opened.page.locator(".under").count() == 0


def test_a_role_and_its_evidence_stand_in_the_head_s_panel_and_in_the_caption(opened):
    apply(opened, view="front", solo={"call": 2, "head": 3})
    expect(panel(opened).locator("h3")).to_have_text("layer 2, head 3")
    expect(panel(opened).locator(".role")).to_have_text("previous token 72 %")
    assert "previous token (72 %)" in caption(opened)
    apply(opened, solo=None)
    assert "previous token" not in caption(opened)


def caption(opened) -> str:
    """Return the caption that the menu copies, without backslashes."""
    opened.page.evaluate("""() => { navigator.clipboard.writeText = (text) => {
        globalThis.copied = text;
        return Promise.resolve();
    }; }""")
    opened.page.get_by_role("button", name="save or copy").click()
    opened.page.get_by_role("button", name="Markdown caption").click()
    opened.page.keyboard.press("Escape")
    return opened.page.evaluate("() => globalThis.copied").replace("\\", "")


def test_a_head_is_knocked_out_by_key_and_put_back(opened):
    apply(opened, view="front", solo={"call": 1, "head": 2}, residual=False, answers=False)
    button = panel(opened).get_by_role("button", name="Knock out (k)")
    expect(button).to_have_attribute("aria-pressed", "false")
    opened.page.locator("canvas.graph").focus()
    opened.page.keyboard.press("k")
    bars = panel(opened).locator(".knock .bars")
    expect(bars.locator(".number").first).to_have_text("75\u202f% → 50\u202f%")
    expect(panel(opened).locator(".knock .facts")).to_contain_text("+1.100 → −0.4000")
    expect(panel(opened).locator(".knock .facts")).to_contain_text("0.2500")
    expect(panel(opened).locator(".knock .code")).to_have_text(
        "headscape.knock_out(model, inputs, heads=[(1, 2)])"
    )
    assert "75\u202f% to 50\u202f%" in opened.page.locator("[aria-live=polite]").inner_text()
    assert opened.state()["knockOut"] == "zero"
    assert opened.page.locator(".rail .cell[data-out=true]").count() == 1
    dashed = dashes(opened)
    assert dashed
    assert all(dashed)
    panel(opened).get_by_role("button", name="mean", exact=True).click()
    expect(bars.locator(".number").first).to_have_text("75\u202f% → 6.3\u202f%")
    assert panel(opened).get_by_role("button", name="renormalise").is_disabled()
    opened.page.locator("canvas.graph").focus()
    opened.page.keyboard.press("k")
    expect(bars).to_have_count(0)
    assert not any(dashes(opened))
    assert opened.page.evaluate("() => globalThis.pwned") is None
    opened.check_behaved()


def dashes(opened) -> list[bool]:
    """Return which of the drawn edges are dashed, from the picture as SVG."""
    opened.page.get_by_role("button", name="save or copy").click()
    with opened.page.expect_download() as waiting:
        opened.page.get_by_role("button", name="SVG", exact=True).click()
    opened.page.keyboard.press("Escape")
    paths = waiting.value.path().read_text().split('<path class="edge"')[1:]
    return ["stroke-dasharray" in path.split(">")[0] for path in paths]


def test_the_largest_knock_outs_are_listed_and_a_click_shows_one(opened):
    items = panel(opened).locator("ol.edges").first.locator("button")
    assert [text.split()[0] for text in items.all_inner_texts()] == ["token", "layer", "layer", "5"]
    items.nth(0).click()
    state = opened.wait_for(lambda s: s["selection"], "the token is selected")
    assert (state["selection"]["kind"], state["selection"]["token"]) == ("token", 4)
    assert state["knockOut"] == "zero"
    expect(panel(opened).locator(".knock .facts")).to_contain_text("0.7500")
    opened.page.keyboard.press("Escape")
    opened.wait_for(lambda s: s["selection"] is None and s["knockOut"] is None, "nothing is selected")
    panel(opened).locator("ol.edges").first.locator("button").nth(3).click()
    state = opened.wait_for(lambda s: s["selection"], "the edge is selected")
    edge = state["selection"]["edge"]
    assert (edge["call"], edge["head"], {edge["query"], edge["key"]}) == (2, 1, {5, 3})
    expect(panel(opened).locator(".knock .code")).to_have_text(
        "headscape.knock_out(model, inputs, edges=[(2, 1, 5, 3)])"
    )
    opened.page.keyboard.press("Escape")
    panel(opened).locator("ol.edges").first.locator("button").nth(1).click()
    state = opened.wait_for(lambda s: s["solo"], "the head is shown alone")
    assert (state["solo"], state["knockOut"]) == ({"call": 1, "head": 2}, "mean")
    opened.check_behaved()


def test_where_nothing_was_worked_out_the_line_of_python_stands_in_the_button_s_place(opened):
    apply(opened, view="front", solo={"call": 0, "head": 1})
    expect(panel(opened).locator(".knock")).to_contain_text("needs a live notebook")
    expect(panel(opened).locator(".knock .code")).to_have_text(
        "headscape.knock_out(model, inputs, heads=[(0, 1)])"
    )
    expect(panel(opened).get_by_role("button", name="Knock out (k)")).to_have_count(0)
    opened.page.keyboard.press("k")
    assert opened.state()["knockOut"] is None


def test_another_example_has_none_of_the_first_one_s_knock_outs(opened):
    apply(opened, frame=1)
    opened.wait_for(lambda s: s["frame"] == 1, "the second example is shown")
    expect(panel(opened)).not_to_contain_text("Largest knock-outs")


def betti(weights: np.ndarray, limit: float) -> tuple[int, int]:
    """Return components and cycle rank of one head's graph, from powers of its matrix."""
    joined = np.maximum(weights, weights.T) >= limit
    size = len(joined)
    reach = np.linalg.matrix_power((joined | np.eye(size, dtype=bool)).astype(float), size) > 0
    components = len({tuple(row) for row in reach.tolist()})
    return components, int(np.triu(joined, 1).sum()) - size + components


def h0_sum(weights: np.ndarray) -> float:
    """Return the sum of H0 bars: the area under components less one, over all thresholds."""
    levels = np.unique(np.append(np.maximum(weights, weights.T), [0.0, 1.0]))
    return sum((betti(weights, b)[0] - 1) * (b - a) for a, b in pairwise(levels))


@pytest.mark.parametrize(("call", "head"), [(0, 0), (2, 1)])
def test_topology_is_what_numpy_says_of_the_weights(opened, trace, call, head):
    weights = trace.calls[call].weights(0)[head].astype(float)
    apply(opened, view="front", solo={"call": call, "head": head})
    section = panel(opened).locator(".topology")
    said = section.locator("p.number").first.inner_text()
    assert float(said.split("H0 sum ")[1].split()[0]) == pytest.approx(h0_sum(weights), rel=6e-4)
    slider = section.get_by_role("slider", name="threshold")
    for step in (8, 20, 29, 45, 77):
        slider.fill(str(128 - step))
        text = section.locator("p.number").nth(1).inner_text()
        numbers = text.replace("\u202f", "").split("b₀ ")[1]
        components, rank = (int(n) for n in numbers.split(", cycle rank "))
        assert (components, rank) == betti(weights, (step / 128) ** 2)
    opened.check_behaved()


def test_topology_of_a_capture_that_dropped_weights_says_what_it_lacks(open_page, tmp_path):
    opened = open_page(write_page(example_trace(layers=2, heads=2, k=3), tmp_path / "page.html"))
    apply(opened, view="front", solo={"call": 0, "head": 0})
    expect(panel(opened).locator(".topology")).to_contain_text('lower bound only: capture with keep="all"')


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious_in_roles_knock_outs_and_topology(open_page, trace, tmp_path, scheme):
    path = write_page(trace, tmp_path / "page.html", roles=ROLES, knock_outs=OUTS)
    opened = open_page(path, scheme=scheme)
    found = []
    for state in (
        {"view": "matrix", "order": "role"},
        {"view": "front", "solo": {"call": 1, "head": 2}, "knockOut": "mean"},
        {"solo": None, "selection": {"kind": "token", "side": 0, "token": 4, "plane": 0}, "knockOut": "zero"},
    ):
        apply(opened, **state)
        found += find_violations(opened.page)
    assert found == [], "\n".join(found)


HOST = """([esm, page, knocks]) => {
  const listeners = new Set();
  const bytes = Uint8Array.from(atob(page), (c) => c.charCodeAt(0));
  const values = { _page: bytes, _page_version: 1, _asks: 0, _seen: {}, _knocks: knocks, selection: null };
  const host = {
    get: (name) => values[name],
    set: (name, value) => { values[name] = value; },
    save_changes() {},
    on: (event, listener) => { if (event === "msg:custom") listeners.add(listener); },
    off: (event, listener) => listeners.delete(listener),
    send: (content) => globalThis.toPython(JSON.stringify(content)),
  };
  globalThis.fromPython = (content) => { for (const listener of listeners) listener(content, []); };
  const url = URL.createObjectURL(new Blob([esm], { type: "text/javascript" }));
  return import(url).then((module) => module.default().render({ model: host, el: document.body }));
}"""


@pytest.fixture
def live(chromium, trace, monkeypatch):
    """Return a function that shows a widget whose messages reach Python, and what Python was told."""
    contexts = []

    def shown(answer):
        widget = Widget(trace, knock_out=answer)
        context = chromium.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
        contexts.append(context)
        page = context.new_page()
        waiting = []
        page.expose_function("toPython", lambda text: waiting.append(json.loads(text)))
        sent = []
        monkeypatch.setattr(widget, "send", lambda content, buffers=None: sent.append(content))

        def deliver() -> list[dict]:
            asked = [one for one in waiting if one["kind"] == "knock_out"]
            for content in waiting:
                widget._handle_custom_msg(content, [])
            waiting.clear()
            for content in sent:
                page.evaluate("c => globalThis.fromPython(c)", content)
            sent.clear()
            return asked

        block = base64.b64encode(widget.get_state()["_page"]).decode()
        page.evaluate(HOST, [widget._esm, block, widget.get_state()["_knocks"]])
        expect(page.locator("canvas.graph")).to_be_visible()
        for _ in range(1200):
            if page.evaluate("() => globalThis.headscapeViews?.[0]?.state().frame === 0"):
                break
            page.wait_for_timeout(50)
        return page, deliver

    yield shown
    for context in contexts:
        context.close()


def press(page) -> None:
    """Press the key that knocks out."""
    page.locator("canvas.graph").focus()
    page.keyboard.press("k")


def test_a_live_widget_asks_python_and_shows_its_answer(live):
    heard = []

    def answer(request):
        heard.append(request)
        return knock_out("head", 0.5, call=0, head=1, after=0.125)

    page, deliver = live(answer)
    page.evaluate("() => globalThis.headscapeViews[0].apply({view: 'front', solo: {call: 0, head: 1}})")
    section = page.locator(".panel .knock")
    assert section.get_by_role("button", name="renormalise").is_disabled()
    section.get_by_role("button", name="Knock out (k)").click()
    expect(section).to_contain_text("The kernel is asked…")
    deliver()
    expect(section.locator(".bars .number").first).to_have_text("75\u202f% → 13\u202f%")
    assert heard[0]["options"] == {"heads": [(0, 1)], "by": "zero"}
    assert (heard[0]["example"], heard[0]["frame"]) == (0, 0)
    press(page)
    press(page)
    page.wait_for_timeout(100)
    assert deliver() == []  # what is known is not asked again
    assert len(heard) == 1


def test_of_questions_that_wait_only_the_newest_is_asked(live):
    heard = []

    def answer(request):
        heard.append(request["head"])
        return knock_out("head", 0.5, call=0, head=request["head"])

    page, deliver = live(answer)
    for head in range(4):
        state = {"view": "front", "solo": {"call": 0, "head": head}, "knockOut": "zero"}
        page.evaluate("state => globalThis.headscapeViews[0].apply(state)", state)
    for _ in range(3):
        page.wait_for_timeout(100)
        deliver()
    assert heard == [0, 3]
    expect(page.locator(".panel .knock .bars")).to_be_visible()


def test_what_goes_wrong_in_python_is_a_sentence_in_the_panel(live):
    def answer(request):
        raise ValueError(f"no such head {EVIL}")

    page, deliver = live(answer)
    page.evaluate(
        "() => globalThis.headscapeViews[0].apply({selection: {kind: 'token', side: 0, token: 2, plane: 0}})"
    )
    press(page)
    page.wait_for_timeout(100)
    deliver()
    expect(page.locator(".panel .wrong")).to_contain_text("ValueError: no such head <img")
    assert page.evaluate("() => globalThis.pwned") is None
