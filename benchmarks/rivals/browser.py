"""A page opened in Chromium on software GL and watched: first picture, memory, cost of a moving picture."""

import asyncio
import base64
import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from playwright.async_api import CDPSession, Error, Page, async_playwright
from playwright.async_api import TimeoutError as LateError

from rivals.picture import LEAST_INK, Box, Pixels, find_ink, first_there, is_same, read_frame
from rivals.processes import Meter, find_browser

# The same as in tests/browser/conftest.py; a test compares them.
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
WINDOW = (1280, 800)
# A picture that has not changed for so long, while the page answers, is the one that stays.
QUIET_S = 2.0
# Processor share of all renderers and the GPU process below which they do nothing.
IDLE_SHARE = 0.05
STEPS = 20
STEP_PX = 12
# A page is moved for so long at most, and this many steps at least.
MOVING_S = 10.0
LEAST_STEPS = 3
ANSWER = "() => new Promise((done) => requestAnimationFrame(() => setTimeout(() => done(true))))"


@dataclass
class Asked:
    """What to measure: a page, what it draws, and how it is moved."""

    path: str
    region: str
    script: str
    still: str = ""
    more: str = ""  # JavaScript, called with ``edges`` before the page is moved
    edges: int | None = None
    addresses: dict[str, str] = field(default_factory=dict)
    limit_s: float = 120.0
    idle_s: float = 8.0  # a page that shows nothing and does nothing for so long will never draw
    shot: str = ""  # where to put a picture of it


@dataclass
class Found:
    """What was measured; ``failed`` says why there is no more."""

    failed: str = ""
    first_picture_s: float | None = None
    first_cpu_s: float | None = None  # of the renderer and the GPU process until then
    resident_mb: float | None = None
    peak_mb: float | None = None
    empty_mb: float | None = None
    step_cpu_ms: float | None = None
    step_wall_ms: float | None = None
    steps: int = 0
    shown: int | None = None  # edges that headscape's page drew
    refused: list[str] = field(default_factory=list)  # requests that nothing answered
    browser: str = ""


class FailedPageError(Exception):
    """The page crashed, hung, or drew nothing; the message says which."""


def find_chromium() -> str | None:
    """Return a Chromium of this machine; None leaves the choice to Playwright."""
    for name in (os.environ.get("HEADSCAPE_CHROMIUM", ""), *CHROMIUM_NAMES):
        path = shutil.which(name) if name else None
        if path and subprocess.run([path, "--version"], capture_output=True).returncode == 0:
            return path
    return None


def measure_page(asked: Asked) -> Found:
    """Open a page in a fresh browser and measure it."""
    return asyncio.run(_measure(asked))


async def _measure(asked: Asked) -> Found:
    is_root = hasattr(os, "geteuid") and os.geteuid() == 0
    found = Found()
    with tempfile.TemporaryDirectory(prefix="headscape-profile-", ignore_cleanup_errors=True) as profile:
        async with async_playwright() as playwright:
            context = await playwright.chromium.launch_persistent_context(
                profile,
                executable_path=find_chromium(),
                args=[*FLAGS, "--no-sandbox"] if is_root else FLAGS,
                viewport={"width": WINDOW[0], "height": WINDOW[1]},
                color_scheme="light",
                reduced_motion="reduce",
                offline=True,
            )
            try:
                page = context.pages[0]
                version = await (await context.new_cdp_session(page)).send("Browser.getVersion")
                found.browser = "Chromium " + version["product"].partition("/")[2]
                watch = Watch(page, await context.new_cdp_session(page), Meter(find_browser(profile)), found)
                await watch.measure(asked)
            except FailedPageError as fault:
                found.failed = str(fault)
            except (Error, LateError) as fault:
                found.failed = str(fault).splitlines()[0]
            finally:
                with contextlib.suppress(Exception):
                    await asyncio.wait_for(context.close(), 20)
    return found


class Watch:
    """One page while it is measured."""

    def __init__(self, page: Page, devtools: CDPSession, meter: Meter, found: Found) -> None:
        self.page, self.devtools, self.meter, self.found = page, devtools, meter, found
        self.frames: list[tuple[float, bytes]] = []  # seconds since 1970, JPEG
        self.samples: list[tuple[float, float]] = []  # seconds since 1970, processor seconds
        self.crashed = asyncio.Event()
        self.answers: dict[str, str] = {}
        self.limit_s = 0.0
        self.jobs: set[asyncio.Task[Any]] = set()

    async def measure(self, asked: Asked) -> None:
        """Fill in what is found, as far as the page lets it."""
        self.answers, self.limit_s = asked.addresses, asked.limit_s
        self.page.on("crash", lambda _: self.crashed.set())
        self.devtools.on("Page.screencastFrame", self._keep_frame)
        self.devtools.on("Fetch.requestPaused", self._answer)
        await self.devtools.send("Fetch.enable", {"patterns": [{"urlPattern": "http*://*"}]})
        self.found.empty_mb = self.meter.read().resident / 1e6
        await self.devtools.send("Page.startScreencast", {"format": "jpeg", "quality": 85})
        sampling = asyncio.create_task(self._sample())
        try:
            box = await self._open(asked)
        finally:
            sampling.cancel()
        if asked.more and asked.edges:
            end = time.monotonic() + asked.limit_s
            await self._before(end, self.page.evaluate(asked.more, asked.edges))
            await self._settle(end, asked)
        use = self.meter.read()
        self.found.resident_mb = use.resident / 1e6
        await self.devtools.send("Page.stopScreencast")
        if asked.shot:
            Path(asked.shot).write_bytes(self.frames[-1][1])
        with contextlib.suppress(Error):
            self.found.shown = await self.page.evaluate("globalThis.headscapeViews?.[0].state().shown")
        with contextlib.suppress(FailedPageError):  # it has opened; without steps the table says so
            await self._move(asked, box)

    async def _open(self, asked: Asked) -> Box:
        """Wait for the picture that stays; note when it was there."""
        begin = time.monotonic()
        end = begin + asked.limit_s
        opening = asyncio.create_task(
            self.page.goto(Path(asked.path).as_uri(), wait_until="commit", timeout=asked.limit_s * 1000)
        )
        await self._before(end, opening)
        box = await self._settle(end, asked)
        origin = await self._before(end, self.page.evaluate("performance.timeOrigin")) / 1000
        kept = [(at, read_frame(data)) for at, data in self.frames if at >= origin]
        there = first_there(kept, box)
        if there is None:  # the picture went away while this was being asked
            raise FailedPageError("no picture that stays")
        self.found.first_picture_s = there - origin
        at, spent = zip(*self.samples, strict=True)
        before, until = np.interp([origin, there], at, spent)
        self.found.first_cpu_s = float(until - before)
        return box

    async def _settle(self, end: float, asked: Asked) -> Box:
        """Wait until the region shows something that no longer changes, and the page answers."""
        last: Pixels | None = None
        box = Box(0, 0, 0, 0)
        changed = busy = cpu_at = time.monotonic()
        cpu = self.meter.read().cpu_s
        while time.monotonic() < end:
            await self._before(end, self.page.evaluate(ANSWER))
            box = await self._before(end, self._place(asked.region))
            now = time.monotonic()
            pixels = box.of(read_frame(self.frames[-1][1])) if self.frames else None
            if pixels is not None and (last is None or not is_same(pixels, last)):
                last, changed = pixels, now
            spent = self.meter.read().cpu_s
            if spent - cpu > IDLE_SHARE * (now - cpu_at):
                busy = now
            cpu, cpu_at = spent, now
            has_ink = last is not None and find_ink(last).sum() >= LEAST_INK
            if has_ink and now - changed >= QUIET_S:
                return box
            if not has_ink and now - max(changed, busy) >= asked.idle_s:
                raise FailedPageError(f"drew nothing, and did nothing for {asked.idle_s:.0f} s")
            await asyncio.sleep(0.25)
        drew = "no picture" if last is None or find_ink(last).sum() < LEAST_INK else "no picture that stays"
        raise FailedPageError(f"{drew} within {asked.limit_s:.0f} s")

    async def _place(self, region: str) -> Box:
        """Return the part of the window that a region has; an empty box where there is none."""
        found = self.page.locator(region)
        place = await found.first.bounding_box(timeout=1e3 * self.limit_s) if await found.count() else None
        return Box(0, 0, 0, 0) if place is None else _clip(place)

    async def _before(self, end: float, work: Any) -> Any:
        """Wait for something of the page's, unless the page crashes or the time is over."""
        task, crash = asyncio.ensure_future(work), asyncio.create_task(self.crashed.wait())
        try:
            left = max(0.1, end - time.monotonic())
            await asyncio.wait({task, crash}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
            if self.crashed.is_set():
                raise FailedPageError("the tab crashed")
            if not task.done():
                drew = " " if self.frames else " nothing was drawn and "
                raise FailedPageError(f"hung:{drew}the page did not answer within {self.limit_s:.0f} s")
            return task.result()
        finally:
            crash.cancel()
            if not task.done():
                task.cancel()

    async def _move(self, asked: Asked, box: Box) -> None:
        """Move the picture by a fixed script, and note what a step costs."""
        mouse = self.page.mouse
        x, y = box.x + box.width / 2, box.y + box.height / 2
        if asked.script == "hover":
            x, y = box.x + 40, box.y + 60
        end = time.monotonic() + MOVING_S * 2
        await self._before(end, mouse.move(x, y))
        if asked.script == "drag":
            await self._before(end, mouse.down())
        await self._rest(2.0)
        before, begin = self.meter.read().cpu_s, time.monotonic()
        steps = 0
        while steps < STEPS and time.monotonic() - begin < MOVING_S:
            way = 1 if steps % STEPS < STEPS // 2 else -1
            if asked.script == "wheel":
                await self._before(end, mouse.wheel(0, way * 4 * STEP_PX))
            else:
                x += way * STEP_PX if asked.script == "drag" else 0
                y += STEP_PX / 4 * way if asked.script == "drag" else way * STEP_PX
                await self._before(end, mouse.move(x, y))
            await self._before(end, self.page.evaluate(ANSWER))
            steps += 1
        took = time.monotonic() - begin
        if asked.still:
            await self._before(end, self.page.evaluate(asked.still))
        await self._rest(5.0)
        spent = self.meter.read().cpu_s - before
        self.found.steps = steps
        if steps < LEAST_STEPS:
            return
        self.found.step_cpu_ms, self.found.step_wall_ms = 1e3 * spent / steps, 1e3 * took / steps

    async def _rest(self, limit_s: float) -> None:
        """Wait until the browser does nothing, so that all work is counted, or for ``limit_s``."""
        end = time.monotonic() + limit_s
        spent = self.meter.read().cpu_s
        while time.monotonic() < end:
            await asyncio.sleep(0.3)
            now = self.meter.read().cpu_s
            if now - spent <= IDLE_SHARE * 0.3:
                return
            spent = now

    async def _sample(self) -> None:
        """Note the largest memory and the processor time while the page opens."""
        while True:
            use = self.meter.read()
            self.samples.append((time.time(), use.cpu_s))
            self.found.peak_mb = max(self.found.peak_mb or 0, use.resident / 1e6)
            await asyncio.sleep(0.2)  # looking through all processes takes some 10 ms

    def _keep_frame(self, event: dict[str, Any]) -> None:
        at = event["metadata"].get("timestamp", time.time())
        self.frames.append((at, base64.b64decode(event["data"])))
        self._later(self.devtools.send("Page.screencastFrameAck", {"sessionId": event["sessionId"]}))

    def _answer(self, event: dict[str, Any]) -> None:
        address, request = event["request"]["url"], {"requestId": event["requestId"]}
        if address in self.answers:
            body = base64.b64encode(Path(self.answers[address]).read_bytes()).decode()
            kind = [
                {"name": "Content-Type", "value": "text/javascript"},
                {"name": "Access-Control-Allow-Origin", "value": "*"},
            ]
            answer = request | {"responseCode": 200, "responseHeaders": kind, "body": body}
            self._later(self.devtools.send("Fetch.fulfillRequest", answer))
            return
        self.found.refused.append(address)
        self._later(
            self.devtools.send("Fetch.failRequest", request | {"errorReason": "InternetDisconnected"})
        )

    def _later(self, work: Any) -> None:
        async def quietly() -> None:
            with contextlib.suppress(Error):
                await work

        job = asyncio.create_task(quietly())
        self.jobs.add(job)
        job.add_done_callback(self.jobs.discard)


def _clip(place: Any) -> Box:
    """Return the part of a place that the window shows."""
    left, top = max(0, int(place["x"])), max(0, int(place["y"]))
    right = min(WINDOW[0], int(place["x"] + place["width"]))
    bottom = min(WINDOW[1], int(place["y"] + place["height"]))
    return Box(left, top, max(0, right - left), max(0, bottom - top))


def as_dict(found: Found) -> dict[str, Any]:
    """Return what was found for JSON."""
    return asdict(found)
