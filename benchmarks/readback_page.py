"""A written page in a real Chromium on software GL: views set by state, pixels of its graph without labels."""

import base64
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

FLAGS = (
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
)
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
PATIENCE_MS = 120_000

# Draws (all, none or one of the main edges) and reads the canvas within one task, before it is cleared.
READ_CANVAS = """
(only) => {
  const drawn = globalThis.headscapeViews[0].drawn(only);
  const graph = document.querySelector("#headscape").shadowRoot.querySelector("canvas.graph");
  const copy = document.createElement("canvas");
  [copy.width, copy.height] = [graph.width, graph.height];
  const context = copy.getContext("2d");
  context.fillStyle = drawn.paper;
  context.fillRect(0, 0, copy.width, copy.height);
  context.drawImage(graph, 0, 0);
  return { drawn: only === null ? drawn : null, url: copy.toDataURL("image/png") };
}
"""


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start Chromium, found by name on this machine or by Playwright."""
    found = [
        shutil.which(name) for name in (os.environ.get("HEADSCAPE_CHROMIUM", ""), *CHROMIUM_NAMES) if name
    ]
    path = next((one for one in found if one), None)
    flags = [*FLAGS, *(["--no-sandbox"] if os.geteuid() == 0 else [])]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=flags)
        yield browser
        browser.close()


@dataclass(frozen=True)
class Drawn:
    """What the page says of the main edges that it draws, in the order of drawing."""

    size: tuple[int, int]
    curves: npt.NDArray[np.float64]
    strength: npt.NDArray[np.float64]
    width: npt.NDArray[np.float64]
    measure: npt.NDArray[np.float64]
    group: npt.NDArray[np.int64]


class View:
    """One open page."""

    def __init__(self, page: Page) -> None:
        self.page = page

    def apply(self, state: dict[str, Any]) -> dict[str, Any]:
        """Set choices; return the state that came of them."""
        self.page.evaluate("(state) => void globalThis.headscapeViews[0].apply(state)", state)
        self.page.wait_for_timeout(350)  # a dragged threshold scales its edges once it rests
        return self.state()

    def state(self) -> dict[str, Any]:
        """Return what the viewer says of itself."""
        found: dict[str, Any] = self.page.evaluate("() => globalThis.headscapeViews[0].state()")
        return found

    def picture(self, only: int | None = None) -> npt.NDArray[np.uint8]:
        """Return the graph's pixels (height, width, 3) with all edges, one of them alone, or none (-1)."""
        return self._read(only)[0]

    def drawn(self) -> tuple[npt.NDArray[np.uint8], Drawn]:
        """Return the pixels with all edges, and what is drawn."""
        pixels, said = self._read(None)
        edges = said["edges"]
        numbers = {(one["call"], one["kind"]): n for n, one in enumerate(edges)}
        return pixels, Drawn(
            size=(said["width"], said["height"]),
            curves=np.array(said["curves"], dtype=float).reshape(-1, 4, 2),
            strength=np.array(said["strength"], dtype=float),
            width=np.array(said["drawn"], dtype=float),
            measure=np.array(said["measure"], dtype=float),
            group=np.array([numbers[one["call"], one["kind"]] for one in edges], dtype=np.int64),
        )

    def _read(self, only: int | None) -> tuple[npt.NDArray[np.uint8], Any]:
        found = self.page.evaluate(READ_CANVAS, only)
        png = base64.b64decode(found["url"].split(",", 1)[1])
        return np.asarray(Image.open(BytesIO(png)).convert("RGB")), found["drawn"]


@contextmanager
def open_view(
    browser: Browser, path: Path, size: tuple[int, int] = (1280, 800), scheme: str = "light"
) -> Iterator[View]:
    """Open a page that was written to disk, with the network off and nothing moving."""
    context = browser.new_context(
        offline=True,
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if scheme == "dark" else "light",
        reduced_motion="reduce",
    )
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(path.as_uri(), wait_until="commit")
    page.locator("#headscape[data-ready=true]").wait_for(state="attached")
    yield View(page)
    context.close()
