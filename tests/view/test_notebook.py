"""A real IPython kernel: what its cells show."""

import pytest

nbclient = pytest.importorskip("nbclient")
nbformat = pytest.importorskip("nbformat")

pytestmark = [
    pytest.mark.slow,
    # jupyter_client and zmq warn of their own affairs
    pytest.mark.filterwarnings("default"),
]


@pytest.fixture
def run_cells(scripts, tmp_path):
    """Return a function that runs cells in one fresh kernel and returns their outputs."""

    def run(*cells: str) -> list[list[dict]]:
        start = f"import pathlib, headscape.view.bundle as b; b.PATH = pathlib.Path({str(scripts)!r})"
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(text) for text in (start, *cells)]
        )
        nbclient.NotebookClient(
            notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}
        ).execute()
        return [cell.outputs for cell in notebook.cells[1:]]

    return run


WIDGET = "application/vnd.jupyter.widget-view+json"
SHOW = "from headscape.trace.synthetic import example_trace\nexample_trace().show()"
NO_ANYWIDGET = "import sys; sys.modules['anywidget'] = None"


def test_showing_a_trace_puts_a_widget_and_a_picture_into_the_cell(run_cells, tmp_path):
    ((live, still),) = run_cells(SHOW)
    assert WIDGET in live.data
    assert "image/png" in still.data
    assert not list(tmp_path.glob("*.html"))


def test_without_anywidget_it_puts_one_sandboxed_frame_into_the_cell(run_cells, tmp_path):
    _, (output,) = run_cells(NO_ANYWIDGET, SHOW)
    assert output.output_type == "display_data"
    shown = output.data["text/html"]
    assert shown.startswith('<iframe sandbox="allow-scripts" srcdoc="&lt;!doctype html&gt;')
    assert shown.count("<iframe") == 1
    assert "<script" not in shown
    assert not list(tmp_path.glob("*.html"))


MODEL = (
    "import torch, headscape\n"
    "torch.manual_seed(0)\n"
    "model = headscape.Wrapper(torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True))\n"
    "optimiser = torch.optim.SGD(model.parameters(), lr=0.1)\n"
    "def train(steps):\n"
    "    for step in range(steps):\n"
    "        loss = model(torch.randn(2, 5, 8), viz=step % 2 == 0).pow(2).mean()\n"
    "        optimiser.zero_grad(); loss.backward(); optimiser.step()\n"
    "train(0)"
)


def test_a_training_loop_with_viz_feeds_one_widget(run_cells):
    _, first, second = run_cells(MODEL, "train(5)", "train(1)")
    for outputs in (first, second):
        assert [WIDGET in output.data for output in outputs] == [True, False]
    assert first[0].data[WIDGET]["model_id"] == second[0].data[WIDGET]["model_id"]
    assert second[0].data["text/plain"].endswith("frames: 4>")


def test_without_anywidget_a_training_loop_gets_one_frame_that_steps(run_cells):
    defined, first, second = run_cells(NO_ANYWIDGET + "\n" + MODEL, "train(5)", "train(1)")
    assert defined == []
    assert [output.output_type for output in first] == ["display_data"]
    assert first[0].data["text/plain"].endswith("frames: 3>")
    assert [output.output_type for output in second] == ["display_data"]
    assert second[0].data["text/plain"].endswith("frames: 4>")
