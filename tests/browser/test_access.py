"""The page by keyboard, by touch, in small windows, and as axe-core judges it."""

from pathlib import Path

import pytest

from headscape.trace.synthetic import example_trace
from headscape.view.page import Frame, write_page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

AXE = Path(__file__).parents[2] / "viewer" / "node_modules" / "axe-core" / "axe.min.js"
FOCUSED = """() => {
  let one = document.activeElement;
  while (one?.shadowRoot?.activeElement) one = one.shadowRoot.activeElement;
  return one;
}"""


@pytest.fixture
def page_path(tmp_path):
    traces = [example_trace(layers=3, heads=2, seed=seed) for seed in (0, 1)]
    frames = [Frame(trace, 0, label=name) for trace, name in zip(traces, ("first", "second"), strict=True)]
    return write_page(frames, tmp_path / "x.html", title="Made up", note="a note")


def find_violations(page) -> list[str]:
    """Return what axe-core calls serious or critical, with the elements."""
    if not AXE.exists():
        pytest.fail("axe-core is not installed. Run: npm ci --ignore-scripts, in viewer/")
    if page.evaluate("() => typeof globalThis.axe") == "undefined":
        page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate("() => globalThis.axe.run(document, {resultTypes: ['violations']})")
    return [
        f"{rule['id']}: {node['target']} {node['failureSummary']}"
        for rule in found["violations"]
        if rule["impact"] in ("serious", "critical")
        for node in rule["nodes"]
    ]


def views(opened) -> list[str]:
    return opened.page.get_by_role("group", name="view").get_by_role("button").all_inner_texts()


def choose_view(opened, name: str) -> None:
    opened.page.get_by_role("group", name="view").get_by_role("button", name=name, exact=True).click()
    opened.page.wait_for_timeout(150)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 700, 420])
def test_axe_finds_nothing_serious_in_any_view(open_page, page_path, scheme, width):
    opened = open_page(page_path, width=width, height=800, scheme=scheme)
    found = []
    for name in views(opened):
        choose_view(opened, name)
        found += [f"{name}: {one}" for one in find_violations(opened.page)]
    opened.page.keyboard.press(".")
    opened.wait_for(lambda s: s["selection"] is not None, "a token is selected")
    for name in views(opened):
        choose_view(opened, name)
        found += [f"{name}, a token selected: {one}" for one in find_violations(opened.page)]
    opened.page.keyboard.press("?")
    opened.page.get_by_role("dialog").wait_for()
    found += [f"help: {one}" for one in find_violations(opened.page)]
    assert found == []


@pytest.mark.parametrize(
    ("selector", "spoil", "rule"),
    [
        (".icon:not(.narrow)", "one.ariaLabel = one.title = one.textContent = ''", "button-name"),
        (".title", "one.style.setProperty('color', '#e5e8ec')", "color-contrast"),
        (".table table", "one.setAttribute('role', 'list')", "aria-allowed-attr"),
    ],
)
def test_a_planted_violation_is_found(open_page, page_path, selector, spoil, rule):
    opened = open_page(page_path)
    choose_view(opened, "Table")
    assert find_violations(opened.page) == []
    opened.page.locator(selector).first.evaluate(f"one => {{ {spoil} }}")
    assert rule in " ".join(find_violations(opened.page))


def focused(opened, expression: str):
    return opened.page.evaluate(f"() => {{ const one = ({FOCUSED})(); return {expression}; }}")


def test_tab_goes_through_everything_and_leaves_the_graph(open_page, page_path):
    opened = open_page(page_path)
    seen = []
    for _ in range(80):
        opened.page.keyboard.press("Tab")
        if focused(opened, "one === document.body || one === null"):
            break
        seen.append(focused(opened, "one.getAttribute('aria-label') || one.textContent || one.type"))
        # Whatever has the focus shows it.
        assert focused(opened, "getComputedStyle(one).outlineStyle !== 'none'"), seen[-1]
        assert focused(opened, "one.getClientRects().length > 0"), seen[-1]
    assert len(seen) == len(dict.fromkeys(seen)) or len(seen) < 80
    order = " | ".join(seen)
    assert "Attention graph" in order
    graph = next(n for n, name in enumerate(seen) if name.startswith("Attention graph"))
    assert 0 < graph < len(seen) - 3
    assert "how many edges are shown" in order
    assert "details" in order


def test_a_row_of_buttons_is_one_stop_and_arrows_choose_in_it(open_page, page_path):
    opened = open_page(page_path)
    opened.page.get_by_role("button", name="3D", exact=True).focus()
    opened.page.keyboard.press("ArrowRight")
    opened.wait_for(lambda s: s["view"] == "front", "the front view")
    assert focused(opened, "one.textContent") == "Front"
    opened.page.keyboard.press("ArrowLeft")
    opened.page.keyboard.press("ArrowLeft")
    last = views(opened)[-1]
    assert focused(opened, "one.textContent") == last
    assert opened.page.get_by_role("group", name="view").locator("button[tabindex='0']").count() == 1


def comes_true(page, element, claim):
    """Wait until a claim on an element is true: a panel scrolls smoothly, and a busy machine slowly."""
    for _ in range(100):
        if element.evaluate(claim):
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"never came true: {claim}")


def test_the_panel_scrolls_by_keys_and_the_graph_stays(open_page, page_path):
    opened = open_page(page_path, height=420)
    opened.page.keyboard.press(".")
    opened.wait_for(lambda s: s["selection"] is not None, "a token is selected")
    panel = opened.page.get_by_role("complementary", name="details")
    panel.focus()
    camera = opened.state()["camera"]
    opened.page.keyboard.press("PageDown")
    comes_true(opened.page, panel, "one => one.scrollTop > 50")
    opened.page.keyboard.press("ArrowDown")
    opened.page.keyboard.press("End")
    comes_true(opened.page, panel, "one => one.scrollTop + one.clientHeight >= one.scrollHeight - 2")
    assert opened.state()["camera"] == camera
    assert opened.state()["layer"] == 0
    opened.page.locator("canvas.graph").focus()
    opened.page.keyboard.press("ArrowRight")
    assert opened.state()["camera"] != camera


def test_the_focus_stays_where_the_person_is(open_page, page_path):
    opened = open_page(page_path)
    opened.page.keyboard.press(".")
    partner = opened.page.locator(".partner").nth(2)
    partner.focus()
    opened.page.keyboard.press("Enter")
    opened.wait_for(lambda s: s["selection"]["token"] != 0, "another token")
    assert focused(opened, "one.className") == "panel"
    word = opened.page.locator(".word").nth(3)
    word.focus()
    opened.page.keyboard.press("]")
    opened.wait_for(lambda s: s["frame"] == 1, "the second picture")
    assert focused(opened, "one.className") == "word"
    opened.page.locator("canvas.graph").focus()
    for name in range(len(views(opened)), 0, -1):
        opened.page.keyboard.press(str(name))
        opened.page.wait_for_timeout(100)
        assert not focused(opened, "one === document.body"), f"view {name} lost the focus"
    search = opened.page.get_by_role("searchbox", name="find a token")
    search.focus()
    opened.page.keyboard.press("Escape")
    assert focused(opened, "one.className") == "graph"


def test_a_drawer_that_closes_gives_the_focus_to_the_view(open_page, page_path):
    opened = open_page(page_path, width=700, height=500)
    opened.page.keyboard.press(".")
    opened.wait_for(lambda s: s["open"]["panel"], "the panel is open")
    opened.page.get_by_role("button", name="back (Esc)").focus()
    opened.page.keyboard.press("Enter")
    opened.wait_for(lambda s: not s["open"]["panel"], "the panel is closed")
    assert focused(opened, "one.className") == "graph"


def test_help_lists_the_keys_and_escape_closes_only_it(open_page, page_path):
    opened = open_page(page_path)
    opened.page.locator("canvas.graph").focus()
    opened.page.keyboard.press(".")
    opened.page.keyboard.press("?")
    help_ = opened.page.get_by_role("dialog", name="keys and gestures")
    for key in ("Tab", "Home", "Page Up, Page Down", "Esc", "/", "?"):
        assert help_.locator("kbd", has_text=key).count() >= 1
    state = opened.state()
    opened.page.keyboard.press("2")
    opened.page.keyboard.press("ArrowLeft")
    assert opened.state() == state
    opened.page.keyboard.press("Escape")
    help_.wait_for(state="hidden")
    assert opened.state()["selection"] is not None
    assert focused(opened, "one.className") == "graph"


@pytest.mark.parametrize("width", [1280, 981, 761, 700, 560, 420, 360])
def test_nothing_sticks_out_at_any_width(open_page, page_path, width):
    opened = open_page(page_path, width=width, height=600)
    for name in views(opened):
        choose_view(opened, name)
        out = opened.page.evaluate(
            """() => {
              const root = document.getElementById('headscape').shadowRoot;
              const wide = innerWidth;
              const isOut = ({ left, right }) => right > wide + 0.5 || left < -0.5;
              return [...root.querySelectorAll('.head *, .status, .strip, .table .tools > *')]
                .filter((one) => one.checkVisibility() && isOut(one.getBoundingClientRect()))
                .filter((one) => !one.closest('.segments') || one.matches('.segments'))
                .map((one) => one.className || one.tagName);
            }"""
        )
        assert out == [], name
        assert opened.page.evaluate("() => document.documentElement.scrollWidth") == width
        graph = opened.page.locator(".centre").bounding_box()
        assert graph["height"] > 200
    assert all(
        opened.page.get_by_role("button", name=name, exact=True).bounding_box()["width"] > 20
        for name in views(opened)
    )


def touch_page(chromium, path):
    context = chromium.new_context(
        offline=True, viewport={"width": 700, "height": 500}, has_touch=True, reduced_motion="reduce"
    )
    page = context.new_page()
    page.goto(path.as_uri())
    page.locator("#headscape[data-ready=true]").wait_for()
    return context, page


def test_two_fingers_zoom_and_shift_and_a_tap_selects(chromium, page_path):
    context, page = touch_page(chromium, page_path)
    state = lambda: page.evaluate("() => globalThis.headscapeViews[0].state()")  # noqa: E731
    box = page.locator("canvas.graph").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    session = context.new_cdp_session(page)

    def touch(kind, *points):
        session.send(
            "Input.dispatchTouchEvent",
            {"type": kind, "touchPoints": [{"x": px, "y": py, "id": n} for n, (px, py) in enumerate(points)]},
        )

    before = state()["camera"]
    touch("touchStart", (x - 30, y), (x + 30, y))
    for step in range(1, 6):
        touch("touchMove", (x - 30 - 6 * step, y), (x + 30 + 6 * step, y))
    page.wait_for_timeout(200)
    pinched = state()["camera"]
    assert pinched["scale"] == pytest.approx(2 * before["scale"], rel=0.15)
    assert pinched["yaw"] == before["yaw"]
    for step in range(1, 6):
        touch("touchMove", (x - 60, y + 8 * step), (x + 60, y + 8 * step))
    touch("touchEnd")
    page.wait_for_timeout(200)
    moved = state()["camera"]
    assert moved["panY"] == pytest.approx(pinched["panY"] - 40, abs=12)
    assert moved["scale"] == pytest.approx(pinched["scale"], rel=0.05)
    assert state()["selection"] is None
    touch("touchStart", (x, y))
    for step in range(1, 6):
        touch("touchMove", (x + 10 * step, y))
    touch("touchEnd")
    assert state()["camera"]["yaw"] != before["yaw"]
    page.evaluate("c => globalThis.headscapeViews[0].apply({camera: c})", before)
    spot = page.evaluate("n => globalThis.headscapeViews[0].screenOf(n)", {"side": 0, "plane": 0, "token": 3})
    page.touchscreen.tap(spot["x"], spot["y"])
    page.wait_for_timeout(200)
    assert state()["selection"] is not None
    context.close()


def test_forced_colours_keep_bars_and_marks(chromium, page_path):
    context = chromium.new_context(
        offline=True, forced_colors="active", viewport={"width": 1280, "height": 800}
    )
    page = context.new_page()
    page.goto(page_path.as_uri())
    page.locator("#headscape[data-ready=true]").wait_for()
    fill = page.locator(".panel .bar i").first.evaluate("one => getComputedStyle(one).backgroundColor")
    ground = page.locator(".panel").evaluate("one => getComputedStyle(one).backgroundColor")
    assert fill != ground
    pressed = page.get_by_role("button", name="3D", exact=True)
    assert pressed.evaluate("one => getComputedStyle(one).outlineStyle") == "solid"
    context.close()


def test_without_motion_a_fit_is_at_once(open_page, page_path):
    opened = open_page(page_path)
    opened.page.keyboard.press("+")
    opened.page.keyboard.press("Home")
    camera = opened.state()["camera"]
    opened.page.wait_for_timeout(400)
    assert opened.state()["camera"] == camera
    assert (
        opened.page.locator(".chip").first.evaluate("one => getComputedStyle(one).transitionDuration") == "0s"
    )
