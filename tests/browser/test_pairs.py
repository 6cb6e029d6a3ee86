"""Head view and neuron view in a real browser: what they show and select is what the trace holds."""

import re

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import headscape
from headscape.view.page import write_page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

TOKENS = ["[CLS]", "the", "cat", "sat", "[SEP]", "it", "slept", "[SEP]"]
COUNT, HEADS, DEEP = len(TOKENS), 3, 6
SECOND = 5  # first token of the second sentence
# Where the columns of the head view begin, CSS pixels, and how tall their rows are at most.
HEADROOM, EDGE, TALLEST_ROW = 24, 10, 28
# Rows of the neuron view: the query and the titles come first.
ROW, ROWS_AHEAD = 22, 2
ROUNDING = 6e-4  # of four digits


class Attention(nn.Module):
    """Self-attention with an optional bias on its scores."""

    def __init__(self, bias):
        super().__init__()
        width = HEADS * DEEP
        self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))
        self.bias = torch.randn(HEADS, COUNT, COUNT) if bias else None

    def forward(self, x):
        q, k, v = (part(x).unflatten(-1, (HEADS, DEEP)).transpose(1, 2) for part in (self.q, self.k, self.v))
        mixed = F.scaled_dot_product_attention(q, k, v, self.bias)
        return x + self.o(mixed.transpose(1, 2).flatten(2))


def capture(*, bias=False, vectors=True):
    torch.manual_seed(4)
    model = nn.Sequential(Attention(bias), Attention(bias)).eval().requires_grad_(False)
    for parameter in model.parameters():
        parameter.mul_(2)
    with headscape.capture(model, tokens=TOKENS, vectors=vectors, strict=True) as run:
        model(torch.randn(1, COUNT, HEADS * DEEP))
    return run.trace


@pytest.fixture(scope="module")
def trace():
    return capture()


@pytest.fixture
def shown(open_page, tmp_path):
    """Return a function that opens a trace's page in a state."""

    def open_trace(trace, **state):
        opened = open_page(write_page(trace, tmp_path / "pairs.html"))
        opened.page.evaluate("s => globalThis.headscapeViews[0].apply(s)", state)
        opened.wait_for(lambda s: all(s[name] == value for name, value in state.items()), f"{state}")
        return opened

    return open_trace


def place(opened, end, token):
    """Return the point of a token's label in the head view."""
    box = opened.page.locator(".pane-canvas").bounding_box()
    step = min(TALLEST_ROW, (box["height"] - HEADROOM - EDGE) / COUNT)
    x = 20 if end == "query" else box["width"] - 20
    return box["x"] + x, box["y"] + HEADROOM + (token + 0.5) * step


def number(text):
    return float(text.replace("−", "-").replace("\u202f", "").replace("%", "").replace("+", ""))


def expected_row(call, head, query):
    """Return scores, float64, of one query."""
    q, k = (v[head].astype(np.float64) for v in (call.query_vectors(), call.key_vectors()))
    return call.scale * (k @ q[query])


@pytest.mark.parametrize("end", ["query", "key"])
def test_a_click_on_a_token_of_a_column_selects_it(trace, shown, end):
    opened = shown(trace, view="heads", layer=1)
    opened.page.mouse.click(*place(opened, end, 2))
    state = opened.wait_for(lambda s: s["selection"] is not None, "a token is selected")
    assert (state["selection"]["kind"], state["selection"]["token"]) == ("token", 2)
    opened.check_behaved()


def test_pointing_at_a_token_leaves_only_its_lines(trace, shown):
    opened = shown(trace, view="heads", layer=1)
    box = opened.page.locator(".pane-canvas").bounding_box()
    middle = {**box, "x": box["x"] + 0.4 * box["width"], "width": 0.2 * box["width"]}
    before = opened.pixels(middle)
    opened.page.mouse.move(*place(opened, "query", 3))
    opened.page.wait_for_timeout(300)
    during = opened.pixels(middle)
    opened.page.mouse.move(box["x"] + 5, box["y"] - 60)
    opened.page.wait_for_timeout(300)

    def drawn(pixels):
        return (np.abs(pixels.astype(int) - 255).max(-1) > 8).mean()

    assert 0 < drawn(during) < drawn(before)
    np.testing.assert_array_equal(opened.pixels(middle), before)


def test_a_click_on_a_line_selects_its_edge_with_the_traces_number(trace, shown):
    opened = shown(trace, view="heads", layer=0)
    weights = trace.calls[0].weights()
    _, query, key = np.unravel_index(weights.argmax(), weights.shape)
    (_, start), (_, end) = place(opened, "query", query), place(opened, "key", key)
    box = opened.page.locator(".pane-canvas").bounding_box()
    # Lines meet in the middle of the canvas and are a good part of it wide.
    opened.page.mouse.click(box["x"] + box["width"] / 2, (start + end) / 2)
    state = opened.wait_for(lambda s: s["selection"] is not None, "an edge is selected")
    edge = state["selection"]["edge"]
    assert edge["call"] == 0
    found = weights[edge["head"], edge["query"], edge["key"]]
    assert edge["weight"] == pytest.approx(found, rel=1e-6)
    names = opened.page.locator(".panel dl.facts dt").all_inner_texts()
    values = opened.page.locator(".panel dl.facts dd").all_inner_texts()
    facts = dict(zip(names, values, strict=True))
    assert number(facts["weight, query → key"]) == pytest.approx(found, rel=ROUNDING)


def test_filters_count_the_lines_between_sentences(trace, shown):
    opened = shown(trace, view="heads", layer=0, slider=1)
    note = opened.page.locator(".pane-bar .note")
    sizes = {"A": SECOND, "B": COUNT - SECOND}
    for name, lines in [(f"{a} → {b}", HEADS * sizes[a] * sizes[b]) for a in "AB" for b in "AB"]:
        opened.page.get_by_role("button", name=name, exact=True).click()
        text = note.inner_text().replace("\u202f", "")
        assert text == f"{lines} lines, {HEADS * COUNT * COUNT - lines} more between other sentences"
    opened.page.get_by_role("group", name="sentences").get_by_role("button", name="all", exact=True).click()
    assert note.inner_text().replace("\u202f", "") == f"{HEADS * COUNT * COUNT} lines"


def test_a_click_hides_a_head_and_a_double_click_shows_it_alone(trace, shown):
    opened = shown(trace, view="heads", layer=0)
    chips = opened.page.locator(".head-chip")
    chips.nth(1).click()
    assert opened.wait_for(lambda s: len(s["heads"]) == 2, "a head is hidden")["heads"] == [0, 2]
    opened.page.wait_for_timeout(600)  # a new click, not the second of a double one
    chips.nth(1).dblclick()
    assert opened.wait_for(lambda s: len(s["heads"]) == 1, "a head is alone")["heads"] == [1]
    opened.page.get_by_title("all heads").click()
    opened.wait_for(lambda s: sorted(s["heads"]) == [0, 1, 2], "all heads are back")


def test_keys_step_through_tokens_and_layers(trace, shown):
    opened = shown(trace, view="heads", layer=0)
    opened.page.locator(".pane-canvas").focus()
    for key, token in (("ArrowDown", 0), ("ArrowDown", 1), ("ArrowUp", 0), ("ArrowUp", COUNT - 1)):
        opened.page.keyboard.press(key)
        opened.wait_for(lambda s, t=token: s["selection"] and s["selection"]["token"] == t, f"token {token}")
    opened.page.keyboard.press("PageDown")
    opened.wait_for(lambda s: s["layer"] == 1, "the next layer")


def test_a_pair_in_the_neuron_view_adds_up_to_the_traces_score(trace, shown):
    opened = shown(trace, view="neuron", layer=1, head=2)
    call, query, key = trace.calls[1], 6, 3
    opened.page.get_by_label("query token").select_option(index=query)
    opened.wait_for(lambda s: s["selection"] and s["selection"]["token"] == query, "the query is chosen")
    assert (
        "the softmax of these scores gives these weights" in opened.page.locator(".neuron .note").inner_text()
    )
    box = opened.page.locator(".pane-canvas").bounding_box()
    opened.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + (ROWS_AHEAD + key + 0.5) * ROW)
    edge = opened.wait_for(lambda s: s["selection"]["kind"] == "edge", "a pair")["selection"]["edge"]
    assert (edge["head"], edge["query"], edge["key"]) == (2, query, key)
    assert edge["weight"] == pytest.approx(call.weights()[2, query, key], rel=1e-6)
    score = expected_row(call, 2, query)[key]
    said = opened.page.locator(".parts .sentence").inner_text()
    assert number(re.search(r"score ([+−\d.e]+)", said)[1]) == pytest.approx(score, rel=ROUNDING)
    values = opened.page.locator(".parts .bars .number").all_inner_texts()
    parts, shares = zip(*(map(number, value.split(" · ")) for value in values), strict=True)
    assert len(parts) == DEEP
    assert sum(parts) == pytest.approx(score, abs=2e-3)
    assert sum(shares) == pytest.approx(100, abs=DEEP)
    products = call.scale * call.query_vectors()[2, query] * call.key_vectors()[2, key]
    np.testing.assert_allclose(parts, sorted(products, key=abs, reverse=True), rtol=ROUNDING, atol=1e-6)
    opened.check_behaved()


def test_a_bias_that_scores_do_not_hold_is_said_with_its_size(shown):
    trace = capture(bias=True)
    opened = shown(trace, view="neuron", layer=0, head=1)
    call, query = trace.calls[0], COUNT - 1
    raised = np.exp(expected_row(call, 1, query))
    gap = np.abs(raised / raised.sum() - call.weights()[1, query]).max()
    said = opened.page.locator(".neuron .note").inner_text()
    assert "do not explain" in said
    assert number(re.search(r"up to ([\d.e−]+):", said)[1]) == pytest.approx(gap, rel=ROUNDING)


def test_without_vectors_the_view_says_which_option_brings_them(shown):
    opened = shown(capture(vectors=False), view="neuron", layer=0)
    assert "headscape.capture(model, vectors=True)" in opened.page.locator(".neuron .note").inner_text()
    assert not opened.page.locator(".pane-canvas").is_visible()
    opened.check_behaved()
