"""Take the README's picture from the page that `make demo` wrote.

    .venv/bin/python scripts/readme_picture.py [PAGE] [PICTURE]

The demo's generated tweets are on it, never real ones: those belong to the people who wrote them.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

import environment

SIZE = {"width": 1280, "height": 800}
# Colours of the stored picture: enough for hues and shades, and a third of the bytes.
COLOURS = 256
PATIENCE_MS = 60_000
SOFTWARE_GL = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]


def take_picture(page_path: Path, picture_path: Path) -> None:
    """Open a page offline, wait until it is drawn, and store what it looks like."""
    flags = [*SOFTWARE_GL, "--no-sandbox"] if os.geteuid() == 0 else SOFTWARE_GL
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=environment.find_chromium(), args=flags)
        page = browser.new_page(viewport=SIZE, color_scheme="light", reduced_motion="reduce")
        page.goto(page_path.resolve().as_uri(), wait_until="commit")
        page.locator("#headscape[data-ready=true]").wait_for(timeout=PATIENCE_MS)
        picture_path.parent.mkdir(parents=True, exist_ok=True)
        page.screenshot(path=picture_path)
        browser.close()
    with Image.open(picture_path) as picture:
        picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(picture_path, optimize=True)


if __name__ == "__main__":
    page, picture, *_ = [
        *sys.argv[1:],
        *("demo/attention.html", "docs/img/attention.png")[len(sys.argv) - 1 :],
    ]
    take_picture(Path(page), Path(picture))
