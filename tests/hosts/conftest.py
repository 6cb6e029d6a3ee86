"""Real notebook servers on this machine, driven by the Chromium of the other tests."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import nbformat
import numpy as np
import pytest
from PIL import Image

# A kernel and a page of JupyterLab start in some ten seconds; on a busy machine of two cores in a minute.
PATIENCE_S = 120
NO_NEWS = {"fetchNews": "false", "checkForUpdates": False, "doNotDisturbMode": True}


@dataclass
class Host:
    """A notebook server, and the page of it that is open."""

    url: str
    folder: Path
    page: object = None
    complaints: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def wait_for(self, look, what: str, patience_s: float = PATIENCE_S):
        """Wait until ``look()`` gives something true; return it."""
        end = time.monotonic() + patience_s
        while time.monotonic() < end:
            found = look()
            if found:
                return found
            self.page.wait_for_timeout(100)
        raise AssertionError(f"never came to: {what}. The page said: {self.complaints}")

    def states(self) -> list[dict]:
        """Return what each viewer of the page says of itself."""
        return self.page.evaluate("() => (globalThis.headscapeViews ?? []).map((view) => view.state())")

    def wait_for_state(self, is_right, what: str, n: int = 0) -> dict:
        """Wait until the n-th viewer's state is right; return the state."""

        def look():
            found = self.states()[n : n + 1]
            return found[0] if found and found[0].get("frame", -1) >= 0 and is_right(found[0]) else None

        return self.wait_for(look, what)

    def click_token(self, side: int, plane: int, token: int, n: int = 0) -> None:
        """Click a token's node in the n-th viewer."""
        at = self.page.evaluate(
            "([n, node]) => globalThis.headscapeViews[n].screenOf(node)",
            [n, {"side": side, "plane": plane, "token": token}],
        )
        self.page.mouse.click(at["x"], at["y"])

    def pixels(self, locator) -> np.ndarray:
        """Return what an element shows, (height, width, 3) uint8."""
        shot = locator.screenshot(animations="disabled")
        return np.asarray(Image.open(BytesIO(shot)).convert("RGB"))

    def told(self, name: str):
        """Return what a cell wrote to a JSON file, or None."""
        path = self.folder / name
        try:
            return json.loads(path.read_text())
        except (OSError, ValueError):
            return None


def save_notebook(path: Path, cells: list[str]) -> None:
    """Write a notebook of code cells for the kernel of this environment."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(text) for text in cells])
    notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
    nbformat.write(notebook, path)


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start(command: list[str], folder: Path, ready: str, **more: str):
    """Start a server and wait until its log says ``ready`` (a pattern); return the process."""
    log = folder / "server.log"
    variables = os.environ | {"JUPYTER_PLATFORM_DIRS": "1", "PYTHONWARNINGS": "ignore"} | more
    with log.open("wb") as out:
        process = subprocess.Popen(command, cwd=folder, env=variables, stdout=out, stderr=subprocess.STDOUT)
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end and process.poll() is None:
        if re.search(ready, log.read_text(errors="replace")):
            return process
        time.sleep(0.1)
    process.kill()
    raise AssertionError(f"{command[2]} did not start: {log.read_text(errors='replace')[-2000:]}")


def stop(process) -> None:
    """End a server that :func:`start` started."""
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait(20)


@pytest.fixture(scope="session")
def jupyter(tmp_path_factory):
    """Start one Jupyter server, which serves both JupyterLab and Notebook 7."""
    folder = tmp_path_factory.mktemp("jupyter")
    settings = folder / "settings" / "@jupyterlab" / "apputils-extension"
    settings.mkdir(parents=True)
    (settings / "notification.jupyterlab-settings").write_text(json.dumps(NO_NEWS))
    port = free_port()
    command = [
        sys.executable, "-m", "jupyterlab", "--no-browser", "--allow-root", f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0", "--IdentityProvider.token=t", "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.root_dir={folder}", "--LabApp.news_url=None", "--ServerApp.disable_check_xsrf=False",
    ]  # fmt: skip
    process = start(
        command, folder, r"is running at", JUPYTERLAB_SETTINGS_DIR=str(folder / "settings"),
        JUPYTER_CONFIG_DIR=str(folder / "config"), JUPYTER_RUNTIME_DIR=str(folder / "runtime"),
        JUPYTER_DATA_DIR=str(folder / "data"),
    )  # fmt: skip
    yield Host(f"http://127.0.0.1:{port}", folder)
    stop(process)


@pytest.fixture
def open_address(chromium):
    """Return a function that opens an address in a page of its own."""
    contexts = []

    def opened(url: str, *, width=1400, height=1000, folder=None) -> Host:
        context = chromium.new_context(viewport={"width": width, "height": height}, reduced_motion="reduce")
        contexts.append(context)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_S * 1000)
        found = Host(url, folder, page)
        page.on("request", lambda request: found.requests.append(request.url))
        page.on("pageerror", lambda error: found.complaints.append(str(error)))
        page.on(
            "console",
            lambda message: (
                found.complaints.append(message.text) if message.type in ("error", "warning") else None
            ),
        )
        page.goto(url, wait_until="commit")
        return found

    yield opened
    for context in contexts:
        context.close()


@pytest.fixture
def open_host(open_address):
    """Return a function that opens a page of a server."""
    return lambda host, path, **more: open_address(f"{host.url}{path}", folder=host.folder, **more)


@pytest.fixture
def write_notebook(jupyter):
    """Return a function that writes a notebook into the server's folder."""
    return lambda name, cells: save_notebook(jupyter.folder / name, cells)


def pytest_collection_modifyitems(items):
    """Give tests that drive real servers a second try: a server's start and saving race with the test."""
    for item in items:
        if Path(item.fspath).parent == Path(__file__).parent:
            item.add_marker(pytest.mark.flaky(reruns=1))
