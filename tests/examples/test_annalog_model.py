"""The encoder-decoder example, on a package that stands in for annalog, and on annalog if installed."""

import importlib.util
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from headscape.view import bundle

HERE = Path(__file__).parent
WORDS = ["<unk>", "<pad>", "<sos>", "<eos>", *"CNO()=1"]
HAS_ANNALOG = importlib.util.find_spec("annalog") is not None


@pytest.fixture(scope="module")
def example():
    path = HERE.parents[1] / "examples" / "annalog_model.py"
    spec = importlib.util.spec_from_file_location("annalog_model", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def package(tmp_path, example, monkeypatch):
    """Write a package in annalog's layout with a small random model, and make the example find it."""
    folder = tmp_path / "annalog"
    (folder / "model_files").mkdir(parents=True)
    (folder / "ckpt_and_vocab").mkdir()
    code = (HERE / "standin_seq2seq.py").read_text(encoding="utf-8")
    (folder / "model_files" / "seq2seq_attention.py").write_text(code, encoding="utf-8")
    (folder / "model_files" / "vocabulary.py").write_text(
        "class SMILESTokenizer:\n    def tokenize(self, text):\n        return list(text)\n", encoding="utf-8"
    )
    (folder / "model_files" / "__init__.py").write_text("from . import seq2seq_attention, vocabulary\n")
    words = folder / "ckpt_and_vocab" / "stereo_experiment_vocab_ttf.pkl"
    words.write_bytes(pickle.dumps({"itos": WORDS, "stoi": {word: n for n, word in enumerate(WORDS)}}))
    monkeypatch.setattr(example, "package_folder", lambda: folder)
    module, _ = example.load_parts(folder)
    torch.manual_seed(0)
    model = example.build(module, len(WORDS), 1)
    torch.save(model.state_dict(), folder / "ckpt_and_vocab" / "Lev_extended.pt")
    yield folder
    for name in [name for name in sys.modules if name.startswith("annalog_model_files")]:
        del sys.modules[name]


@pytest.fixture
def viewer(tmp_path, monkeypatch):
    script = tmp_path / "viewer.js"
    script.write_text("/* stands in for the viewer */", encoding="utf-8")
    monkeypatch.setattr(bundle, "PATH", script)


def check_said(said, out):
    assert "9 attention calls" in said
    assert said.count("(cross)") == 3
    assert float(said.split("the model returns: ")[1].split()[0]) < 2e-5
    assert said.count("by head: ") == 3
    assert (out / "attention.html").stat().st_size > 1000


def test_the_script_captures_counts_and_writes_the_page(example, package, viewer, tmp_path, capsys):
    example.main(["CC(=O)N", "--out", str(tmp_path / "out")])
    check_said(capsys.readouterr().out, tmp_path / "out")


@pytest.mark.skipif(not HAS_ANNALOG, reason="annalog is not installed")
def test_the_real_model_rewrites_aspirin_as_its_ethyl_ester(example, viewer, tmp_path, capsys):
    example.main(["--out", str(tmp_path / "out")])
    said = capsys.readouterr().out
    assert said.startswith("CC(=O)Oc1ccccc1C(=O)O becomes CC(=O)Oc1ccccc1C(=O)OCC")
    check_said(said, tmp_path / "out")


def test_the_runner_up_is_taken_where_the_model_is_least_sure(example):
    """A model that copies, and is least sure at its third token, where 7 is its second choice."""

    def model(source, written):
        scores = torch.full((1, written.shape[1], 9), -9.0)
        for place in range(written.shape[1]):
            scores[0, place, source[0, min(place + 1, source.shape[1] - 1)]] = 5
            scores[0, place, 7] = 4 if place == 2 else 0
        return scores, None

    source = torch.tensor([[2, 4, 5, 6, 3]])
    assert example.write_on(model, source, torch.tensor([[2]]), 3).tolist() == [[2, 4, 5, 6, 3]]
    assert example.write_another(model, source, 2, 3).tolist() == [[2, 4, 5, 7, 3]]


def test_copies_are_counted_by_the_token_that_is_written_next(example):
    source, written = ["<sos>", "C", "N", "<eos>"], ["<sos>", "C", "O", "<eos>"]
    at_next = np.eye(4)[[1, 2, 3]]
    assert example.count_copies(at_next, source, written) == pytest.approx(2 / 3)


def test_a_vocabulary_that_would_run_code_is_refused(example, tmp_path):
    class Evil:
        def __reduce__(self):
            return print, ("ran",)

    path = tmp_path / "words.pkl"
    path.write_bytes(pickle.dumps({"itos": [Evil()]}))
    with pytest.raises(pickle.UnpicklingError, match=r"asks for builtins\.print"):
        example.read_words(path)


def test_a_missing_package_is_answered_with_the_command(example, monkeypatch):
    monkeypatch.setattr(example.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="pip install --no-deps annalog"):
        example.package_folder()
