"""One real Chromium on software GL for all tests of a worker."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
# The same names as in scripts/environment.py, which installs one where there is none.
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = [
    "--use-gl=angle",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-quic",
    "--disable-sync",
    "--no-first-run",
]


def find_chromium() -> str | None:
    """Return a Chromium of this machine; None leaves the choice to Playwright."""
    for name in (os.environ.get("HEADSCAPE_CHROMIUM", ""), *CHROMIUM_NAMES):
        path = shutil.which(name) if name else None
        if path and subprocess.run([path, "--version"], capture_output=True).returncode == 0:
            return path
    return None


@pytest.fixture(scope="session")
def built_viewer():
    """See to it that the page under test is made of the viewer's sources as they are."""
    spec = importlib.util.spec_from_file_location("viewer_build", ROOT / "scripts" / "viewer_build.py")
    viewer_build = importlib.util.module_from_spec(spec)
    sys.modules["viewer_build"] = viewer_build
    spec.loader.exec_module(viewer_build)
    if not viewer_build.is_fresh(ROOT):
        pytest.fail("The built viewer is older than viewer/, or was never built. Run: make viewer")


@pytest.fixture(scope="session")
def chromium(built_viewer):
    """Start one browser for all tests of a worker."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        is_root = hasattr(os, "geteuid") and os.geteuid() == 0
        flags = [*FLAGS, "--no-sandbox"] if is_root else FLAGS
        browser = playwright.chromium.launch(executable_path=find_chromium(), args=flags)
        yield browser
        browser.close()
