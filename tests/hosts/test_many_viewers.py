"""Many viewers in one page: Chromium keeps 16 graphics contexts and takes the oldest away."""

import base64
import re

import numpy as np
import pytest

from headscape.trace.synthetic import example_trace
from headscape.view.bundle import read_script
from headscape.view.page import page_html

pytestmark = [pytest.mark.slow, pytest.mark.browser]

COUNT = 20
HEIGHT_PX = 400
PAGE = """<!doctype html><meta charset="utf-8"><body style="margin:0">
<script>{script}</script>
<script>
globalThis.bytes = Uint8Array.from(atob("{data}"), (letter) => letter.charCodeAt(0));
globalThis.handles = [];
function add() {{
  const element = document.createElement("div");
  element.className = "host";
  element.style.height = "{height}px";
  document.body.append(element);
  handles.push(headscape.mount(element, bytes));
}}
for (let n = 0; n < {count}; n++) add();
</script>"""
OPEN = "() => globalThis.headscapeSurfaces.size"


@pytest.fixture
def many(tmp_path, open_address):
    """Open a page that holds COUNT viewers below each other."""
    trace = example_trace(layers=1)
    data = re.search(r'id="headscape-data">([^<]*)<', page_html(trace))[1]
    assert len(base64.b64decode(data)) > 1000
    path = tmp_path / "many.html"
    path.write_text(PAGE.format(script=read_script(), data=data, height=HEIGHT_PX, count=COUNT))
    return open_address(path.as_uri(), width=1000, height=800)


def picture(host, n: int) -> np.ndarray:
    """Return the pixels of the n-th viewer's graph, alone: its labels are drawn elsewhere."""
    canvas = host.page.locator(".host").nth(n).locator("canvas.graph, canvas.still").locator("visible=true")
    canvas.first.scroll_into_view_if_needed()
    return host.pixels(host.page.locator(".host").nth(n).locator(".stage"))


def has_edges(pixels: np.ndarray) -> bool:
    """Tell whether colours of edges are there: more than the greys of planes, labels and residual."""
    spread = pixels.max(-1).astype(int) - pixels.min(-1)
    return (spread > 60).sum() > 200


def test_every_viewer_shows_its_picture_when_scrolled_to_and_few_hold_a_context(many):
    opened = []
    for n in [*range(COUNT), 12, 5, 0]:
        many.page.locator(".host").nth(n).scroll_into_view_if_needed()
        many.wait_for(lambda n=n: has_edges(picture(many, n)), f"viewer {n} shows edges", patience_s=20)
        opened.append(many.page.evaluate(OPEN))
    assert max(opened) <= 8
    assert many.complaints == []


def test_what_is_out_of_sight_keeps_a_still_picture_and_gives_its_context_back(many):
    many.wait_for(lambda: has_edges(picture(many, 0)), "the first viewer shows edges")
    before = picture(many, 0)
    many.page.locator(".host").nth(COUNT - 1).scroll_into_view_if_needed()
    first = many.page.locator(".host").first
    many.wait_for(lambda: not first.locator("canvas.still").evaluate("(c) => c.hidden"), "a still picture")
    painted = first.locator("canvas.still").evaluate(
        "(c) => c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some((v) => v > 0)"
    )
    assert painted
    assert first.locator("canvas.graph").evaluate("(c) => c.getContext('webgl2').isContextLost()")
    many.wait_for(lambda: (picture(many, 0).astype(int) - before).any() == 0, "the same picture again")
    many.wait_for(
        lambda: not first.locator("canvas.graph").evaluate("(c) => c.getContext('webgl2').isContextLost()"),
        "its context back",
    )
    assert many.complaints == []


def test_a_viewer_that_is_taken_down_fifty_times_leaves_no_context_behind(many):
    many.page.evaluate("() => { for (const handle of handles) handle.destroy(); }")
    assert many.page.evaluate(OPEN) == 0
    many.page.evaluate("() => { for (const host of document.querySelectorAll('.host')) host.remove(); }")
    for _ in range(50):
        many.page.evaluate("async () => { add(); await handles.at(-1).shown; }")
        many.wait_for(lambda: many.page.evaluate(OPEN) == 1, "a context")
        many.page.evaluate("() => { handles.at(-1).destroy(); document.querySelector('.host').remove(); }")
    many.page.evaluate("add")
    many.wait_for(lambda: has_edges(picture(many, 0)), "the fifty-first viewer shows edges")
    assert many.complaints == []


def test_a_context_that_the_browser_takes_is_said_and_comes_back(many):
    many.wait_for(lambda: has_edges(picture(many, 0)), "the first viewer shows edges")
    first = many.page.locator(".host").first
    first.locator("canvas.graph").evaluate(
        "(c) => (globalThis.taker = c.getContext('webgl2').getExtension('WEBGL_lose_context')).loseContext()"
    )
    first.locator(".fault", has_text="was lost").wait_for()
    many.page.evaluate("() => taker.restoreContext()")
    many.wait_for(lambda: has_edges(picture(many, 0)), "edges again")
    assert first.locator(".fault").is_hidden()
