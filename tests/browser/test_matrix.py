"""The Matrix view in a real browser: pictures of heads, their order, and one head cell by cell."""

import dataclasses

import numpy as np
import pytest
from playwright.sync_api import expect

from headscape.trace.synthetic import example_trace
from headscape.view.page import write_page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# Digits that the page writes: four.
ROUNDING = 6e-4


def number(text: str) -> float:
    """Read a number as the page writes it."""
    return float(text.split(maxsplit=1)[0].rstrip(",").replace("−", "-").replace("\u202f", ""))


def show(opened, **state) -> None:
    """Set the state of the viewer, in its Matrix view."""
    opened.page.evaluate("s => globalThis.headscapeViews[0].apply(s)", {"view": "matrix", **state})
    opened.wait_for(lambda s: s["view"] == "matrix", "the Matrix view is shown")


def names_of(opened) -> list[str]:
    """Return the names under the pictures in their order, as layer.head."""
    return opened.page.locator(".head-cell > span:first-of-type").all_inner_texts()


# Finds the box of the cells: the first column and the last row hide no key, so both are filled.
CELL_BOX = """() => {
  const canvas = document.querySelector("#headscape").shadowRoot.querySelector("canvas.cells");
  const { width, height } = canvas;
  const copy = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  copy.drawImage(canvas, 0, 0);
  const { data } = copy.getImageData(0, 0, width, height);
  const filled = (x, y) => data[4 * (y * width + x) + 3] === 255;
  const xs = [...Array(width).keys()], ys = [...Array(height).keys()];
  const left = xs.find((x) => ys.filter((y) => filled(x, y)).length > 0.4 * height);
  const last = ys.findLast((y) => xs.filter((x) => filled(x, y)).length > 0.3 * width);
  if (left === undefined || last === undefined) return null;
  const right = xs.findLast((x) => filled(x, last - 3)) + 1;
  const top = ys.find((y) => filled(left + 3, y));
  return [left, right, top, last + 1].map((n) => (n * canvas.clientWidth) / width);
}"""


def cell_places(opened, rows: int) -> np.ndarray:
    """Return page coordinates of the centre of each cell of a square matrix, (row, column, 2)."""
    for _ in range(400):
        found = opened.page.evaluate(CELL_BOX)
        if found:
            break
        opened.page.wait_for_timeout(50)
    left, right, top, bottom = found
    box = opened.page.locator("canvas.cells").bounding_box()
    steps = (np.arange(rows) + 0.5) / rows
    x, y = box["x"] + left + steps * (right - left), box["y"] + top + steps * (bottom - top)
    return np.stack(np.broadcast_arrays(x[None, :], y[:, None]), -1)


def tip_at(opened, place) -> list[str]:
    """Point at a place; return the lines of the tip."""
    opened.page.mouse.move(float(place[0]), float(place[1]))
    tip = opened.page.locator(".heads-view > .tip")
    expect(tip).to_be_visible()
    return tip.inner_text().split("\n")


@pytest.fixture
def trace():
    """Make a small trace whose two examples differ."""
    return example_trace(layers=3, heads=4)


@pytest.fixture
def opened(open_page, trace, tmp_path):
    """Open the trace as a page."""
    return open_page(write_page(trace, tmp_path / "page.html"))


def test_the_overview_shows_every_head_with_its_measures(opened, trace):
    opened.page.get_by_role("button", name="Matrix").click()
    assert names_of(opened) == [f"{layer}.{head}" for layer in range(3) for head in range(4)]
    stats = trace.calls[1].stats
    title = opened.page.locator(".head-cell").nth(4 + 2).get_attribute("title").split("\n")
    assert title[0] == "layer 1, head 2"
    said = {
        line.rsplit(" ", 2)[0] if line.startswith("sink") else line.split()[0]: line for line in title[1:]
    }
    values = [number(line.split(maxsplit=1)[1]) for line in said.values()]
    carried = trace.calls[1].contribution(0).sum(-1).mean(-1)
    wanted = [
        stats.entropy[0, 2].mean(),
        stats.distance[0, 2].mean(),
        stats.first_key[0, 2].mean(),
        carried[2],
    ]
    assert values == pytest.approx(wanted, rel=ROUNDING)
    opened.check_behaved()


@pytest.mark.parametrize("order", ["entropy", "distance", "sink", "contribution"])
def test_heads_are_ordered_by_what_python_says_of_them(opened, trace, order):
    show(opened)
    per_head = {
        "entropy": lambda call: call.stats.entropy[0].mean(-1),
        "distance": lambda call: call.stats.distance[0].mean(-1),
        "sink": lambda call: call.stats.first_key[0].mean(-1),
        "contribution": lambda call: call.contribution(0).sum(-1).mean(-1),
    }[order]
    values = np.array([per_head(call) for call in trace.calls])
    opened.page.get_by_role("button", name=order, exact=True).click()
    within = [f"{layer}.{head}" for layer in range(3) for head in np.argsort(-values[layer])]
    assert names_of(opened) == within
    opened.page.get_by_role("button", name="over all").click()
    assert names_of(opened) == [f"{n // 4}.{n % 4}" for n in np.argsort(-values.ravel())]
    state = opened.state()
    assert (state["order"], state["ranked"]) == (order, "all")


def test_a_picture_is_the_head_that_it_names(opened, trace):
    show(opened)
    pixels = opened.page.wait_for_selector(
        ".head-cell[aria-label^='layer 2, head 1'] canvas"
    ).evaluate_handle("canvas => canvas")
    for _ in range(200):
        size = pixels.evaluate("c => c.width")
        if size == len(trace.tokens()):
            break
        opened.page.wait_for_timeout(50)
    alpha_and_red = pixels.evaluate(
        "c => Array.from(c.getContext('2d').getImageData(0, 0, c.width, c.height).data)"
    )
    red = np.array(alpha_and_red).reshape(size, size, 4)[..., 0].astype(float)
    weights = trace.calls[2].weights()[1]
    # A stronger weight is darker: the reds are in the order of the weights, but for equal steps.
    order = np.argsort(weights.ravel())
    assert (np.diff(red.ravel()[order]) <= 0.5).all()
    assert red.min() < red.max() - 40


def test_a_click_opens_a_head_and_escape_leads_back(opened):
    show(opened)
    opened.page.locator(".head-cell", has_text="2.3").click()
    state = opened.wait_for(lambda s: s["matrix"] == "head", "a head is open")
    assert (state["layer"], state["head"]) == (2, 3)
    expect(opened.page.locator(".tools b")).to_have_text("layer 2, head 3")
    opened.page.keyboard.press("Escape")
    opened.wait_for(lambda s: s["matrix"] == "heads", "all heads are shown")
    opened.page.locator(".rail .cell").nth(5).click()  # layer 1, head 1
    state = opened.wait_for(lambda s: s["matrix"] == "head", "the navigator opens a head")
    assert (state["layer"], state["head"], state["solo"]) == (1, 1, None)
    opened.check_behaved()


def test_hovering_a_cell_tells_the_numbers_of_the_trace(opened, trace):
    show(opened, matrix="head", layer=1, head=2)
    weights = trace.calls[1].weights()[2]
    tokens = trace.tokens()
    places = cell_places(opened, len(tokens))
    for query, key in ((0, 0), (3, 2), (7, 9), (len(tokens) - 1, 5)):
        first, weight, rank, row = tip_at(opened, places[query, key])
        assert (
            first.replace("\u2068", "").replace("\u2069", "")
            == f"{tokens[query]} ({query}) → {tokens[key]} ({key})"
        )
        assert number(weight.removeprefix("weight ")) == pytest.approx(weights[query, key], rel=ROUNDING)
        lift = number(weight.split("× ")[1])
        assert lift == pytest.approx(weights[query, key] * len(tokens), rel=ROUNDING)
        place = 1 + (weights[query] > weights[query, key]).sum()
        assert rank == f"rank {place} of the {len(tokens)} keys that the row sees"
        assert number(row.removeprefix("the row sums to ")) == pytest.approx(1, abs=1e-4)


def test_a_click_on_a_cell_selects_its_edge_and_one_on_a_label_its_token(opened, trace):
    show(opened, matrix="head", layer=1, head=2)
    places = cell_places(opened, len(trace.tokens()))
    opened.page.mouse.click(*places[7, 9].tolist())
    edge = opened.wait_for(lambda s: s["selection"], "an edge is selected")["selection"]["edge"]
    assert (edge["call"], edge["head"], edge["query"], edge["key"]) == (1, 2, 7, 9)
    assert edge["weight"] == pytest.approx(float(trace.calls[1].weights()[2, 7, 9]), rel=1e-6)
    assert "attends to" in opened.page.locator(".panel .sentence").inner_text()
    left = opened.page.locator("canvas.cells").bounding_box()["x"] + 20
    opened.page.mouse.click(left, float(places[7, 0, 1]))
    state = opened.wait_for(lambda s: s["selection"]["kind"] == "token", "a token is selected")
    assert state["selection"]["token"] == 7
    opened.check_behaved()


def test_arrow_keys_move_through_heads_and_cells_and_say_where_they_are(opened, trace):
    show(opened)
    opened.page.locator(".head-cell").first.focus()
    for key in ("ArrowRight", "ArrowDown", "ArrowDown", "ArrowLeft", "ArrowRight", "ArrowRight"):
        opened.page.keyboard.press(key)
    opened.page.keyboard.press("Enter")
    state = opened.wait_for(lambda s: s["matrix"] == "head", "a head is open")
    assert (state["layer"], state["head"]) == (2, 2)
    for key in ("ArrowDown", "ArrowDown", "ArrowRight"):
        opened.page.keyboard.press(key)
    weight = trace.calls[2].weights()[2, 1, 1]
    spoken = opened.page.locator("[aria-live=polite]").inner_text()
    assert "crew" in spoken
    assert number(spoken.split("weight ")[1]) == pytest.approx(weight, rel=ROUNDING)
    opened.page.keyboard.press("Enter")
    edge = opened.wait_for(lambda s: s["selection"], "an edge is selected")["selection"]["edge"]
    assert (edge["query"], edge["key"]) == (1, 1)
    opened.page.keyboard.press("Escape")
    opened.page.keyboard.press("Escape")
    opened.wait_for(lambda s: s["matrix"] == "heads", "all heads are shown")
    focused = opened.page.evaluate(
        "() => document.querySelector('#headscape').shadowRoot.activeElement.textContent"
    )
    assert focused.startswith("2.2")


def causal(trace):
    """Return the trace as a model with a causal mask would have it."""
    calls = []
    for call in trace.calls:
        weights = np.tril(call.arrays.weights)
        weights /= weights.sum(-1, keepdims=True)
        visible = np.broadcast_to(np.arange(1, weights.shape[2] + 1, dtype=np.int32), weights.shape[:3])
        calls.append(
            dataclasses.replace(
                call, arrays=dataclasses.replace(call.arrays, weights=weights, visible=visible)
            )
        )
    return dataclasses.replace(trace, calls=tuple(calls))


def test_masked_cells_are_said_to_be_masked_and_are_not_drawn(open_page, trace, tmp_path):
    opened = open_page(write_page(causal(trace), tmp_path / "page.html"))
    show(opened, matrix="head", layer=0, head=0)
    places = cell_places(opened, len(trace.tokens()))
    assert tip_at(opened, places[4, 9])[1] == "masked: the query does not see this key"
    assert tip_at(opened, places[9, 4])[1].startswith("weight ")


def test_a_weight_that_was_not_kept_is_said_to_be_below_those_that_were(open_page, trace, tmp_path):
    cut = example_trace(layers=3, heads=4, k=4)
    opened = open_page(write_page(cut, tmp_path / "page.html"))
    show(opened, matrix="head", layer=1, head=2)
    keys, weights = (found[2] for found in cut.calls[1].top())
    key = next(n for n in range(len(trace.tokens())) if n not in keys[3])
    for _ in range(4):
        opened.page.keyboard.press("ArrowDown")
    for _ in range(key):
        opened.page.keyboard.press("ArrowRight")
    spoken = opened.page.locator("[aria-live=polite]").inner_text()
    assert number(spoken.split("not kept: at most ")[1]) == pytest.approx(weights[3].min(), rel=ROUNDING)
    share = cut.calls[1].kept_mass()[2].mean()
    facts = opened.page.locator(".tools .formula").inner_text()
    assert f"4 of {len(trace.tokens())} keys a row are kept" in facts.replace("\u202f", "")
    assert f"{share:.0%}".rstrip("%") in facts


def test_a_comparison_is_ordered_by_what_moved(open_page, trace, tmp_path):
    opened = open_page(write_page(trace, tmp_path / "page.html"))
    opened.page.evaluate("() => globalThis.headscapeViews[0].apply({frame: 1, against: 0})")
    opened.wait_for(lambda s: s["against"] == 0, "two frames are compared")
    show(opened, order="change", ranked="all")
    moved = np.array([np.abs(call.weights(1) - call.weights(0)).sum(-1).mean(-1) / 2 for call in trace.calls])
    assert names_of(opened) == [f"{n // 4}.{n % 4}" for n in np.argsort(-moved.ravel())]
    show(opened, matrix="head", layer=1, head=2)
    before, after = (trace.calls[1].weights(n)[2] for n in range(2))
    _, change, by = tip_at(opened, cell_places(opened, len(trace.tokens()))[5, 3])
    assert [number(part) for part in change.split(" → ")] == pytest.approx(
        [before[5, 3], after[5, 3]], rel=ROUNDING
    )
    verb, amount = by.split(" by ")
    assert verb == ("rose" if after[5, 3] > before[5, 3] else "fell")
    assert number(amount) == pytest.approx(abs(after[5, 3] - before[5, 3]), rel=ROUNDING)
    opened.check_behaved()


def test_a_long_text_keeps_its_bright_cells_and_zooms_to_its_words(open_page, tmp_path):
    trace = example_trace(layers=2, heads=2, tokens=[f"w{n}" for n in range(300)])
    opened = open_page(write_page(trace, tmp_path / "page.html"))
    show(opened, matrix="head", layer=0, head=0)
    places = cell_places(opened, 300)
    target = places[150, 149]
    opened.page.mouse.move(*target.tolist())
    for _ in range(12):
        opened.page.mouse.wheel(0, -200)
    opened.page.wait_for_timeout(200)
    lines = tip_at(opened, target + 1e-3)
    query, key = (int(part.split("(")[1].rstrip(")")) for part in lines[0].split(" → "))
    # The cell under the pointer stays there.
    assert abs(query - 150) <= 1
    assert abs(key - 149) <= 1
    weight = trace.calls[0].weights()[0, query, key]
    assert number(lines[1].removeprefix("weight ")) == pytest.approx(weight, rel=1e-2)
    opened.check_behaved()
