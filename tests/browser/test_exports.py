"""Pictures that leave the viewer: they open elsewhere, and show what the page shows."""

import io
import json
from collections import Counter
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from headscape.trace.synthetic import example_trace
from headscape.view.page import write_page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SVG = "{http://www.w3.org/2000/svg}"
# Share of a picture that differs from its background at least.
LEAST_DRAWN = 0.004
SCRIPT = "</text><script>alert(1)</script>"
HOSTILE = (SCRIPT, "&lt;", "]]>", "a\x01\x85b", "\ud800", "\ufffe", "'\"`$_{^}%#~\\")


def check_drawn(pixels: np.ndarray) -> None:
    """Assert that a picture is more than one even background."""
    colours, counts = np.unique(pixels.reshape(-1, 3), axis=0, return_counts=True)
    differs = (np.abs(pixels.astype(int) - colours[counts.argmax()].astype(int)) > 16).any(-1)
    assert differs.mean() > LEAST_DRAWN, f"the picture is blank: {differs.mean():.3%} of it differ"


def save(opened, button: str, scale: float = 1) -> bytes:
    """Open the menu, press a button, and return the file that comes."""
    if not opened.page.get_by_role("dialog", name="save or copy").is_visible():
        opened.page.get_by_role("button", name="save or copy").click()
    opened.page.get_by_label("times as large").fill(str(scale))
    with opened.page.expect_download() as waiting:
        opened.page.get_by_role("button", name=button, exact=True).click()
    return waiting.value.path().read_bytes()


def picture(file: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(file)).convert("RGB"))


@pytest.fixture
def page_path(tmp_path):
    return write_page(example_trace(layers=3, heads=2), tmp_path / "page.html", title="Made up: a/b")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_png_has_the_scale_that_was_asked_for_and_is_not_blank(open_page, page_path, scheme):
    opened = open_page(page_path, scheme=scheme)
    camera = opened.state()["camera"]
    for scale in (1, 3):
        pixels = picture(save(opened, "PNG", scale))
        assert pixels.shape == (round(camera["height"] * scale), round(camera["width"] * scale), 3)
        check_drawn(pixels)
    opened.page.keyboard.press("Escape")
    # What the page shows itself, labels apart, is the same picture.
    shown = opened.pixels()
    same = picture(save(opened, "PNG"))
    assert (np.abs(shown.astype(int) - same) > 40).any(-1).mean() < 0.01
    opened.check_behaved()


def test_a_blank_canvas_does_not_pass_for_a_picture(open_page, page_path):
    opened = open_page(page_path)
    # Nothing is drawn any more, as when a context is lost on the way.
    opened.page.evaluate(
        "() => { WebGL2RenderingContext.prototype.drawArrays = () => {};"
        " CanvasRenderingContext2D.prototype.fillText = () => {};"
        " CanvasRenderingContext2D.prototype.strokeText = () => {}; }"
    )
    with pytest.raises(AssertionError, match="blank"):
        check_drawn(picture(save(opened, "PNG")))


@pytest.mark.parametrize("view", ["3d", "front", "layer"])
@pytest.mark.parametrize("direction", ["sum", "forward"])
def test_svg_has_an_edge_for_each_shown_and_its_text_is_text(open_page, page_path, view, direction):
    opened = open_page(page_path)
    apply(opened, {"view": view, "direction": direction})
    root = ET.fromstring(save(opened, "SVG"))
    shown = opened.state()["shown"]
    assert shown > 20
    edges = root.findall(f".//{SVG}g[@class='edges main']/{SVG}path[@class='edge']")
    assert len(edges) == shown
    texts = [text.text for text in root.iter(f"{SVG}text")]
    words = Counter(example_trace().tokens())
    assert sum(text in words for text in texts) >= len(words)
    assert root.get("width") == str(opened.state()["camera"]["width"])
    opened.check_behaved()


def apply(opened, state: dict) -> None:
    assert opened.page.evaluate("s => globalThis.headscapeViews[0].apply(s)", state) == []


def test_nodes_of_the_svg_stand_where_the_page_shows_them(open_page, page_path):
    opened = open_page(page_path)
    root = ET.fromstring(save(opened, "SVG"))
    circles = [(float(c.get("cx")), float(c.get("cy"))) for c in root.iter(f"{SVG}circle")]
    box = opened.page.locator("#headscape canvas.graph").bounding_box()
    for token in (0, 7, 14):
        node = {"side": 0, "plane": 1, "token": token}
        at = opened.page.evaluate("n => globalThis.headscapeViews[0].screenOf(n)", node)
        there = (at["x"] - box["x"], at["y"] - box["y"])
        assert min(np.hypot(x - there[0], y - there[1]) for x, y in circles) < 0.02


def test_hostile_tokens_stay_text_in_an_svg_that_parses(open_page, tmp_path):
    tokens = [*HOSTILE, *(f"word{n}" for n in range(5))]
    path = write_page(example_trace(layers=1, heads=1, tokens=tokens), tmp_path / "h.html", title="<b>&amp;")
    opened = open_page(path)
    file = save(opened, "SVG")
    root = ET.fromstring(file)
    assert root.find(f"{SVG}title").text == "<b>&amp;"
    names = {element.tag for element in root.iter()}
    assert names <= {SVG + n for n in ("svg", "title", "desc", "rect", "g", "path", "circle", "text")}
    texts = "".join(text.text for text in root.iter(f"{SVG}text"))
    assert SCRIPT[:10] in texts
    assert "&lt;" in texts
    opened.check_behaved()


def test_pictures_of_patches_are_in_the_svg(open_page, tmp_path):
    from dataclasses import replace

    trace = example_trace(layers=2, heads=2, tokens=["[cls]"] + [""] * 16)
    patches = np.random.default_rng(0).integers(0, 256, (2, 16, 2, 2, 3)).astype(np.uint8)
    trace = replace(trace, sides=(replace(trace.sides[0], grid=(4, 4), pictures=patches),))
    opened = open_page(write_page(trace, tmp_path / "p.html"))
    root = ET.fromstring(save(opened, "SVG"))
    (image,) = root.iter(f"{SVG}image")
    assert image.get("href").startswith("data:image/png;base64,")
    opened.check_behaved()


def test_a_frame_that_forbids_downloads_says_so_and_shows_the_picture(open_page, page_path, tmp_path):
    outer = tmp_path / "outer.html"
    html = page_path.read_text().replace("&", "&amp;").replace('"', "&quot;")
    outer.write_text(f'<iframe sandbox="allow-scripts" width=1200 height=700 srcdoc="{html}"></iframe>')
    opened = open_page(outer, ready=False)
    frame = opened.page.frame_locator("iframe")
    frame.locator("#headscape[data-ready=true]").wait_for()
    frame.get_by_role("button", name="save or copy").click()
    frame.get_by_role("button", name="PNG", exact=True).click()
    frame.get_by_text("forbids downloads").wait_for()
    shown = frame.locator("img.saved")
    shown.wait_for()
    for _ in range(100):
        width = shown.evaluate("image => image.naturalWidth")
        if width:
            break
        opened.page.wait_for_timeout(50)
    assert width > 800
    frame.get_by_role("button", name="state", exact=True).click()
    frame.get_by_text("Copied: state.").or_(frame.get_by_text("The browser forbids")).wait_for()


def test_state_link_and_captions_are_copied(open_page, page_path):
    opened = open_page(page_path)
    apply(opened, {"view": "front", "scale": "lift"})
    opened.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    copied = {}
    opened.page.get_by_role("button", name="save or copy").click()
    for name in ("state", "link", "Markdown caption", "LaTeX caption"):
        opened.page.get_by_role("button", name=name, exact=True).click()
        opened.page.get_by_text(f"Copied: {name}.").wait_for()
        copied[name] = opened.page.evaluate("() => navigator.clipboard.readText()")
    assert json.loads(copied["state"])["view"] == "front"
    assert copied["LaTeX caption"].startswith("\\caption{Attention of MadeUp")
    shown = opened.state()["shown"]
    assert f"{shown} of " in copied["Markdown caption"]
    opened.check_behaved()
    again = open_page(page_path)
    again.page.goto("about:blank")
    again.page.goto(copied["link"])
    again.wait_for(lambda s: s.get("scale") == "lift" and s["view"] == "front", "the link's view is shown")
