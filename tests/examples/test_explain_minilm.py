"""The gallery's explanation of MiniLM, from end to end, with its known heads."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from headscape.demo.minilm import WEIGHTS_PACKAGE

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec(WEIGHTS_PACKAGE) is None, reason="the weights of MiniLM are not installed"
)


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("explain_minilm", ROOT / "examples" / "explain_minilm.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_minilm_is_explained(example, tmp_path, capsys, built_viewer):
    found = example.main(["--out", str(tmp_path)])
    assert {path.name for path in tmp_path.iterdir()} == {
        "explanation.png", "explanation.pdf", "explanation.txt", "explanation.html",
    }  # fmt: skip
    said = capsys.readouterr().out
    assert said.strip().startswith("What each attention head of all-MiniLM-L6-v2 is for")
    assert found.found.roles.of(0, 2).name == "previous token"
    assert found.found.direct.method == "exact"
    # Heads of the last layer give the sentence vector most of what it is: without one it mostly shrinks.
    assert found.strongest(1)[0][0] == 5
    assert min(change.mean() for change in found.changes()) == found.changes()[5].mean() < 0
    assert np.nanmean(found.found.judged.spearman["gradient"]) > 0.8
    assert found.found.judged.measures[0] == "gradient"
