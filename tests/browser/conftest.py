"""Pages opened without a network, and everything that they did wrong."""

from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Page, expect

# Software GL on a busy machine of two cores draws a first frame in seconds.
PATIENCE_MS = 60_000

WATCH = """
globalThis.violations = [];
document.addEventListener("securitypolicyviolation", (e) => globalThis.violations.push(e.violatedDirective));
"""


@dataclass
class Opened:
    """A page that is open, and everything it asked for or complained about."""

    page: Page
    path: Path
    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def state(self) -> dict:
        """Return what the viewer says of itself."""
        return self.page.evaluate("() => globalThis.headscapeViews[0].state()")

    def wait_for(self, predicate, what: str) -> dict:
        """Wait until the viewer's state satisfies ``predicate``; return the state."""
        for _ in range(PATIENCE_MS // 50):
            state = self.state()
            if predicate(state):
                return state
            self.page.wait_for_timeout(50)
        raise AssertionError(f"the viewer never came to: {what}; its state is {state}")

    def pixels(self, box: dict | None = None) -> np.ndarray:
        """Return the picture of the viewer's canvas, or of a box, (height, width, 3) uint8."""
        box = box or self.page.locator("#headscape canvas.graph").bounding_box()
        shot = self.page.screenshot(clip=box, animations="disabled")
        return np.asarray(Image.open(BytesIO(shot)).convert("RGB"))

    def check_behaved(self) -> None:
        """Assert that nothing was asked for but the file itself, and that nobody complained."""
        assert self.requests == [self.path.as_uri()]
        assert self.complaints == []
        assert self.page.evaluate("() => globalThis.violations") == []


@pytest.fixture
def open_page(chromium):
    """Return a function that opens a written page from disk, with the network off."""
    contexts = []

    def opened(path: Path, *, width=1280, height=800, scheme="light", ready=True) -> Opened:
        context = chromium.new_context(
            offline=True,
            viewport={"width": width, "height": height},
            color_scheme=scheme,
            reduced_motion="reduce",
        )
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        page.add_init_script(WATCH)
        found = Opened(page, path)
        page.on("request", lambda request: found.requests.append(request.url))
        page.on("pageerror", lambda error: found.complaints.append(str(error)))
        page.on(
            "console",
            lambda message: (
                found.complaints.append(message.text) if message.type in ("error", "warning") else None
            ),
        )
        page.goto(path.as_uri(), wait_until="commit")
        if ready:
            expect(page.locator("#headscape")).to_have_attribute("data-ready", "true", timeout=PATIENCE_MS)
        return found

    yield opened
    for context in contexts:
        context.close()


def pytest_collection_modifyitems(items):
    """Give tests in a browser a second try: a busy machine can be too late for one of hundreds."""
    for item in items:
        if Path(item.fspath).parent == Path(__file__).parent:
            item.add_marker(pytest.mark.flaky(reruns=1))
