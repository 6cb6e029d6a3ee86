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
def run_cells(script, tmp_path):
    """Return a function that runs cells in one fresh kernel and returns their outputs."""

    def run(*cells: str) -> list[list[dict]]:
        start = f"import pathlib, headscape.view.bundle as b; b.PATH = pathlib.Path({str(script)!r})"
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(text) for text in (start, *cells)]
        )
        nbclient.NotebookClient(
            notebook, timeout=120, resources={"metadata": {"path": str(tmp_path)}}
        ).execute()
        return [cell.outputs for cell in notebook.cells[1:]]

    return run


def test_showing_a_trace_puts_one_sandboxed_frame_into_the_cell(run_cells, tmp_path):
    ((output,),) = run_cells("from headscape.trace.synthetic import example_trace\nexample_trace().show()")
    assert output.output_type == "display_data"
    shown = output.data["text/html"]
    assert shown.startswith('<iframe sandbox="allow-scripts" srcdoc="&lt;!doctype html&gt;')
    assert shown.count("<iframe") == 1
    assert "<script" not in shown
    assert not list(tmp_path.glob("*.html"))


def test_a_training_loop_with_viz_gets_one_frame_that_steps(run_cells):
    model = (
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
    defined, first, second = run_cells(model, "train(5)", "train(1)")
    assert defined == []
    assert [output.output_type for output in first] == ["display_data"]
    assert first[0].data["text/plain"].endswith("frames: 3>")
    assert [output.output_type for output in second] == ["display_data"]
    assert second[0].data["text/plain"].endswith("frames: 4>")
