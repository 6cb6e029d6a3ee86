"""The widget in real JupyterLab and Notebook 7."""

import numpy as np
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.browser]

START = (
    "from headscape.trace.synthetic import example_trace\n"
    "import json, pathlib\n"
    "def tell(name, value):\n"
    "    pathlib.Path(name).write_text(json.dumps(value))\n"
)
WIDGET = (
    START + "w = example_trace().widget()\n"
    "stop = w.on_select(lambda selection: tell('selected.json', selection))\n"
    "w"
)


def run_cell(host, number: int) -> None:
    """Run one cell of the open notebook."""
    cell = host.page.locator(".jp-Notebook .jp-CodeCell").nth(number)
    cell.locator(".cm-content").click()
    host.page.keyboard.press("Shift+Enter")


def check_nothing_left_this_machine(host) -> None:
    """Assert that every request went to the server."""
    own = host.url.split("/")[2]
    others = {url for url in host.requests if url.split(":")[0] in ("http", "https", "ws")}
    assert {url.split("/")[2] for url in others} == {own}


@pytest.mark.parametrize("place", ["lab/workspaces/own/tree", "notebooks"])
def test_a_selection_reaches_python_and_python_moves_the_view(jupyter, open_host, write_notebook, place):
    name = f"{place.split('/')[0]}.ipynb"
    write_notebook(
        name,
        [
            WIDGET,
            "tell('view.json', w.view)",
            "w.view = {'view': 'front', 'scale': 'lift'}\n"
            "w.selection = {'kind': 'token', 'side': 0, 'token': 5, 'plane': 0}",
        ],
    )
    host = open_host(jupyter, f"/{place}/{name}?token=t")
    (host.folder / "selected.json").unlink(missing_ok=True)
    (host.folder / "view.json").unlink(missing_ok=True)
    run_cell(host, 0)
    host.wait_for_state(lambda state: state["view"] == "3d", "a picture")
    host.page.wait_for_timeout(500)
    host.click_token(0, 1, 3)
    seen = host.wait_for(lambda: host.told("selected.json"), "Python hears of the selection")
    assert (seen["kind"], seen["side"], seen["token"]) == ("token", 0, 3)
    for _ in range(5):  # the view is told once nothing has moved for a moment
        host.page.wait_for_timeout(1000)
        (host.folder / "view.json").unlink(missing_ok=True)
        run_cell(host, 1)
        view = host.wait_for(lambda: host.told("view.json"), "Python knows the view")
        if "selection" in view:
            break
    assert view["view"] == "3d"
    assert view.get("selection") == seen
    run_cell(host, 2)
    state = host.wait_for_state(lambda state: state["view"] == "front", "the view that Python asked for")
    assert state["scale"] == "lift"
    host.wait_for_state(lambda state: (state["selection"] or {}).get("token") == 5, "Python's selection")
    check_nothing_left_this_machine(host)


def test_updates_at_ten_hertz_arrive_while_the_cell_runs_and_the_newest_wins(
    jupyter, open_host, write_notebook
):
    write_notebook(
        "live.ipynb",
        [
            WIDGET,
            "import time\n"
            "sent, heard = [], []\n"
            "w.on_msg(lambda widget, content, buffers: heard.append(content))\n"
            "send = w.send\n"
            "w.send = lambda content, buffers=None: (sent.append(content), send(content, buffers))\n"
            "for n in range(30):\n"
            "    w.update(example_trace(seed=n), labels=[f'at {n}', 'b'])\n"
            "    time.sleep(0.1)\n"
            "tell('sent.json', [len(sent), len(heard)])",
        ],
    )
    host = open_host(jupyter, "/notebooks/live.ipynb?token=t")
    run_cell(host, 0)
    host.wait_for_state(lambda state: True, "a picture")
    host.page.evaluate("() => globalThis.headscapeViews[0].apply({view: 'front'})")
    host.page.evaluate(
        """() => {
          globalThis.labels = new Set();
          const view = document.querySelector('.jp-OutputArea-output [data-ready]').shadowRoot;
          new MutationObserver(() => labels.add(view.querySelector('nav.frames button')?.textContent))
            .observe(view, {childList: true, subtree: true});
        }"""
    )
    run_cell(host, 1)
    host.wait_for(lambda: "at 29" in host.page.evaluate("() => [...globalThis.labels]"), "the newest page")
    count, heard = host.wait_for(lambda: host.told("sent.json"), "the cell ends")
    print(f"{count} pages sent, {heard} answers heard while the cell ran")
    seen = [label for label in host.page.evaluate("() => [...globalThis.labels]") if label]
    assert 2 < len(seen) <= count + 1 < 30  # the newest may wait for the cell's end
    assert host.states()[0]["view"] == "front"


def test_fifty_outputs_replaced_and_a_cell_run_again_keep_working_and_give_contexts_back(
    jupyter, open_host, write_notebook
):
    write_notebook(
        "again.ipynb",
        [
            START + "import time\nfrom IPython.display import clear_output, display",
            "for n in range(50):\n"
            "    clear_output(wait=True)\n"
            "    display(example_trace().widget().live()[0], raw=True)\n"
            "    time.sleep(0.1)\n"
            "tell('fifty.json', n)",
            "example_trace().show()",
        ],
    )
    host = open_host(jupyter, "/notebooks/again.ipynb?token=t", height=1800)
    for n in range(3):
        run_cell(host, n)
    host.wait_for(lambda: host.told("fifty.json"), "fifty widgets were shown")
    cell = host.page.locator(".jp-Notebook .jp-CodeCell").nth(2)
    for n in range(4, 7):
        host.wait_for(
            lambda n=n: cell.locator(".jp-InputPrompt").inner_text() == f"[{n - 1}]:", "the cell ran"
        )
        cell.locator(".cm-content").click()
        host.page.keyboard.press("Control+Enter")
    host.wait_for(lambda: len(host.states()) == 2, "two viewers are left")
    for n in range(2):
        host.wait_for_state(lambda state: True, "its picture", n=n)
    host.wait_for(lambda: host.page.evaluate("() => globalThis.headscapeSurfaces.size") <= 2, "two contexts")
    assert not [text for text in host.complaints if "WebGL" in text or "headscape" in text]


def test_two_views_of_one_widget_keep_what_they_look_at(jupyter, open_host, write_notebook):
    write_notebook("two.ipynb", [WIDGET, "w"])
    host = open_host(jupyter, "/notebooks/two.ipynb?token=t", height=1800)
    run_cell(host, 0)
    host.wait_for_state(lambda state: True, "the first view")
    run_cell(host, 1)
    host.wait_for_state(lambda state: True, "the second view", n=1)
    host.page.evaluate("() => globalThis.headscapeViews[1].apply({view: 'front'})")
    host.wait_for_state(lambda state: state["view"] == "front", "the second view in front", n=1)
    host.page.wait_for_timeout(1000)
    assert [state["view"] for state in host.states()] == ["3d", "front"]


def test_the_picture_stands_in_where_no_kernel_runs_and_is_hidden_where_one_does(
    jupyter, open_host, write_notebook
):
    write_notebook("still.ipynb", [START, "example_trace().show()"])
    host = open_host(jupyter, "/notebooks/still.ipynb?token=t")
    run_cell(host, 0)
    run_cell(host, 1)
    host.wait_for_state(lambda state: True, "a picture")
    still = host.page.locator('.jp-OutputArea img[width="800"]')
    host.wait_for(lambda: still.count() == 1 and still.is_hidden(), "the still picture is hidden")
    host.page.keyboard.press("Control+s")
    saved = host.folder / "still.ipynb"
    host.wait_for(lambda: "image/png" in saved.read_text(), "the notebook is saved")
    copy = host.folder / "copied.ipynb"
    copy.write_text(saved.read_text())
    later = open_host(jupyter, "/notebooks/copied.ipynb?token=t")
    later.wait_for(lambda: later.page.locator('.jp-OutputArea img[width="800"]').is_visible(), "the picture")
    shown = later.pixels(later.page.locator('.jp-OutputArea img[width="800"]'))
    assert np.unique(shown.reshape(-1, 3), axis=0).shape[0] > 50
