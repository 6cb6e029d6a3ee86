"""The widget in real JupyterLab and Notebook 7."""

import pytest
from playwright.sync_api import expect

pytestmark = [pytest.mark.slow, pytest.mark.browser]

TRACE = "from headscape.trace.synthetic import example_trace\nimport json, pathlib\n"
WIDGET = (
    TRACE + "def tell(name, value):\n    pathlib.Path(name).write_text(json.dumps(value))\n"
    "w = example_trace().widget()\n"
    "stop = w.on_select(lambda selection: tell('selected.json', selection))\n"
    "w"
)


def run_all(host) -> None:
    """Run all cells of the open notebook, once its kernel is there."""
    page = host.page
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()


def test_what_is_selected_in_lab_is_known_in_python_and_python_moves_the_view(
    jupyter, open_host, write_notebook
):
    write_notebook("two_way.ipynb", [WIDGET])
    host = open_host(jupyter, "/lab/tree/two_way.ipynb?token=t&reset")
    run_all(host)
    host.page.wait_for_timeout(15000); host.page.screenshot(path="/tmp/lab0.png")
    host.wait_for_state(lambda state: True, "a picture")
    host.page.screenshot(path="/tmp/lab.png")
    host.click_token(0, 1, 3)
    seen = host.wait_for(lambda: host.told("selected.json"), "Python hears of the selection")
    assert seen["kind"] == "token"
