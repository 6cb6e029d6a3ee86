"""The widget in a real marimo."""

import sys

import pytest
from tests.hosts.conftest import free_port, start, stop

pytestmark = [pytest.mark.slow, pytest.mark.browser]

APP = """
import marimo
app = marimo.App()

@app.cell
def _():
    import json, pathlib
    import marimo as mo
    from headscape.trace.synthetic import example_trace
    widget = mo.ui.anywidget(example_trace().widget())
    return json, mo, pathlib, widget

@app.cell
def _(widget):
    widget
    return

@app.cell
def _(json, pathlib, widget):
    selected = widget.value["selection"]
    pathlib.Path("selected.json").write_text(json.dumps(selected))
    if selected and selected["kind"] == "token" and selected["token"] == 3:
        widget.widget.view = {"view": "front"}
    return

@app.cell
def _():
    from headscape.trace.synthetic import example_trace as make
    make(seed=1).show()
    return


if __name__ == "__main__":
    app.run()
"""


@pytest.fixture
def marimo(tmp_path):
    """Start marimo with one notebook, as an app."""
    (tmp_path / "notebook.py").write_text(APP)
    port = free_port()
    command = [
        sys.executable, "-m", "marimo", "run", "notebook.py", "--headless", "--no-token", "--port", str(port),
        "--host", "127.0.0.1",
    ]  # fmt: skip
    process = start(command, tmp_path, "URL", MARIMO_SKIP_UPDATE_CHECK="1")
    yield f"http://127.0.0.1:{port}", tmp_path
    stop(process)


def test_a_selection_runs_the_cells_that_read_it_and_python_moves_the_view(marimo, open_address):
    url, folder = marimo
    host = open_address(url, folder=folder, height=2000)
    host.wait_for(lambda: len(host.states()) == 2, "the widget, and what show() put below it")
    for n in range(2):
        host.wait_for_state(lambda state: True, "a picture", n=n)
    assert host.told("selected.json") is None
    host.page.wait_for_timeout(500)
    host.click_token(0, 1, 3)
    seen = host.wait_for(lambda: host.told("selected.json"), "the dependent cell ran")
    assert (seen["kind"], seen["token"]) == ("token", 3)
    host.wait_for(
        lambda: "front" in [state.get("view") for state in host.states()], "the view that Python asked for"
    )
    assert not [text for text in host.complaints if "WebGL" in text or "headscape" in text]
