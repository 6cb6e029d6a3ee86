"""What the graphics programs draw is what they drew before, within a tolerance; labels and fonts left out.

HEADSCAPE_WRITE_SCREENSHOTS=1 writes the stored pictures anew: look at them before they are committed.
"""

import os
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from headscape.trace.synthetic import example_trace
from headscape.view.page import write_page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

GOLDEN = Path(__file__).parents[1] / "golden"
SIZE = (420, 300)
# Neighbouring shades of a line's rim differ between versions of the software renderer.
MOST_DIFFERING = 0.01
A_DIFFERENCE = 40
VIEWS = ["3d", "front", "layer"]


def take(opened, view: str) -> np.ndarray:
    """Return the graph alone, without labels, on a canvas of fixed size, (height, width, 3)."""
    opened.page.evaluate("view => globalThis.headscapeViews[0].apply({view})", view)
    opened.page.evaluate(
        """([width, height]) => {
            const root = document.querySelector("#headscape").shadowRoot;
            root.querySelector(".labels").style.visibility = "hidden";
            const stage = root.querySelector(".stage");
            stage.style.width = `${width}px`;
            stage.style.height = `${height}px`;
            const main = root.querySelector("main");
            main.style.paddingBottom = main.style.paddingBottom ? "" : "1px";
        }""",
        SIZE,
    )
    box = opened.page.locator("#headscape canvas.graph").bounding_box()
    assert (box["width"], box["height"]) == SIZE
    opened.page.wait_for_timeout(1500)
    shot = opened.page.screenshot(clip=box, animations="disabled")
    return np.asarray(Image.open(BytesIO(shot)).convert("RGB"))


def differing(seen: np.ndarray, stored: np.ndarray) -> float:
    """Return the share of all pixels that differ visibly."""
    assert seen.shape == stored.shape
    apart = np.abs(seen.astype(int) - stored).max(-1)
    return float((apart > A_DIFFERENCE).mean())


@pytest.mark.parametrize("view", VIEWS)
def test_the_picture_is_the_stored_one(tmp_path, open_page, view):
    trace = example_trace(layers=3, heads=4)
    opened = open_page(write_page(trace, tmp_path / "page.html", examples=[0]))
    seen = take(opened, view)
    path = GOLDEN / f"graph-{view}.png"
    if os.environ.get("HEADSCAPE_WRITE_SCREENSHOTS"):
        Image.fromarray(seen).save(path, optimize=True)
    stored = np.asarray(Image.open(path).convert("RGB"))
    assert differing(seen, stored) <= MOST_DIFFERING
    assert np.ptp(stored.reshape(-1, 3), axis=0).min() > 100  # no blank picture was stored


def test_another_picture_is_not_the_stored_one(tmp_path, open_page):
    trace = example_trace(layers=3, heads=4, seed=7)
    opened = open_page(write_page(trace, tmp_path / "page.html", examples=[0]))
    seen = take(opened, "3d")
    stored = np.asarray(Image.open(GOLDEN / "graph-3d.png").convert("RGB"))
    assert differing(seen, stored) > 3 * MOST_DIFFERING
    assert differing(np.full_like(stored, 255), stored) > 3 * MOST_DIFFERING
