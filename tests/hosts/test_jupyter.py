"""The widget in real JupyterLab and Notebook 7."""

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.browser]

TRACE = "from headscape.trace.synthetic import example_trace\nimport json, pathlib\n"
WIDGET = (
    TRACE + "def tell(name, value):\n    pathlib.Path(name).write_text(json.dumps(value))\n"
    "w = example_trace().widget()\n"
    "stop = w.on_select(lambda selection: tell('selected.json', selection))\n"
    "w"
)


def run_cell(host, number: int) -> None:
    """Run one cell of the open notebook."""
    cell = host.page.locator(".jp-Notebook .jp-CodeCell").nth(number)
    cell.locator(".cm-content").click()
    host.page.keyboard.press("Shift+Enter")


def test_what_is_selected_in_lab_is_known_in_python_and_python_moves_the_view(
    jupyter, open_host, write_notebook
):
    write_notebook("two_way.ipynb", [WIDGET])
    host = open_host(jupyter, "/lab/tree/two_way.ipynb?token=t&reset")
    run_cell(host, 0)
    host.wait_for_state(lambda state: True, "a picture")
    host.click_token(0, 1, 3)
    seen = host.wait_for(lambda: host.told("selected.json"), "Python hears of the selection")
    assert seen["kind"] == "token"
