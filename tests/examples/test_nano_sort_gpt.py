"""The sorting GPT: the model, what is counted, and the script from end to end, on a tiny random model."""

import base64
import importlib.util
import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from headscape.view import bundle

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("nano_sort_gpt", ROOT / "examples" / "nano_sort_gpt.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def stored(example, tmp_path):
    """Write a random model of two layers in the JSON form of the public one."""
    torch.manual_seed(0)
    config = {"n_layer": 2, "n_head": 2, "n_embd": 8, "vocab_size": 3, "block_size": 11}
    model = example.GPT(**config)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.4)
    entries = {
        name: {
            "shape": list(tensor.shape),
            "dtype": str(tensor.dtype),
            "data": base64.b64encode(tensor.numpy().astype("<f4").tobytes()).decode(),
        }
        for name, tensor in model.state_dict().items()
    }
    path = tmp_path / "model.json"
    path.write_text(
        json.dumps({"config": {**config, "model_type": "gpt-nano", "attn_pdrop": 0.1}, **entries})
    )
    return path


def test_the_model_is_the_one_that_transformers_makes_of_the_same_numbers(example, stored):
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    ours = example.load(stored)
    config = transformers.GPT2Config(
        vocab_size=3, bos_token_id=0, eos_token_id=0, n_positions=11, n_embd=8, n_layer=2, n_head=2,
        activation_function="gelu_new",
        tie_word_embeddings=False, attn_implementation="eager",
    )  # fmt: skip
    theirs = transformers.GPT2LMHeadModel(config).eval()
    turned = ("c_attn.weight", "c_proj.weight", "c_fc.weight")
    state = {
        k: v.T if k.endswith(turned) else v for k, v in ours.state_dict().items() if ".attn.bias" not in k
    }
    theirs.load_state_dict(state)
    ids = torch.tensor([[2, 0, 1, 2, 1, 0, 0, 1, 1, 2, 2]])
    with torch.no_grad():
        torch.testing.assert_close(ours(ids), theirs(ids).logits, rtol=1e-4, atol=1e-5)


def test_every_input_is_there_once_and_sorting_is_judged_by_all_six_digits(example, monkeypatch):
    digits = example.every_input()
    assert len({tuple(row) for row in digits.tolist()}) == 729
    right = torch.cat([digits, digits.sort(dim=1).values], 1)
    wrong = right.clone()
    wrong[:100, -1] += 1
    for written, share in ((right, 1.0), (wrong, 629 / 729)):
        monkeypatch.setattr(example, "write_on", lambda *_, w=written: w)
        assert example.share_sorted(None, digits) == pytest.approx(share)


def test_a_head_is_taken_out_and_put_back(example, stored, monkeypatch):
    model = example.load(stored)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    seen = []

    def note(model, _):
        seen.append([block.attn.c_proj.weight.clone() for block in model.transformer["h"]])
        return len(seen) / 4

    monkeypatch.setattr(example, "share_sorted", note)
    found = example.shares_without_a_head(model, None)
    assert found.tolist() == [[0.25, 0.5], [0.75, 1.0]]
    empty = [[[not w[:, c].any() for c in (slice(0, 4), slice(4, 8))] for w in layers] for layers in seen]
    assert empty == [
        [[layer == n // 2 and head == n % 2 for head in range(2)] for layer in range(2)] for n in range(4)
    ]
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())


def planted(example, look):
    """Return weights of one layer and head in which every writing row looks at one key, and the ids."""
    digits = np.array([[2, 0, 1, 2, 1, 0], [1, 1, 2, 0, 2, 2]])
    ids = np.concatenate([digits, np.sort(digits, 1)], 1)
    weights = np.zeros((2, 1, 1, 11, 11))
    for n in range(2):
        for query in range(11):
            weights[n, 0, 0, query, look(ids[n], query)] = 1
    return weights, ids


def test_a_planted_head_that_looks_at_the_digit_it_writes_is_counted_as_one(example):
    def at_what_it_writes(ids, query):
        return int(np.flatnonzero(ids[:6] == ids[query + 1])[0]) if query >= 5 else 0

    weights, ids = planted(example, at_what_it_writes)
    counts = example.count_heads(weights, ids)
    assert counts["mass"] == pytest.approx(1)
    assert counts["inputs"] == pytest.approx(1)
    assert (counts["top"] == 1).all()
    # the first digit written is 0 in both: 2 of 6 and 1 of 6 visible digits are 0, a quarter on average
    assert counts["lift"][0, 0, 0] == pytest.approx([4, 0, 0])


def test_a_planted_head_that_looks_at_the_first_digit_is_counted_as_that(example):
    weights, ids = planted(example, lambda ids, query: 0)
    counts = example.count_heads(weights, ids)
    assert counts["mass"] == pytest.approx((2 + 2) / 12)  # 2 is written twice, 1 is written twice
    assert counts["inputs"] == pytest.approx(1)
    assert counts["top"][0, 0].tolist() == [0, 0.5, 0.5, 0, 0.5, 0.5]
    # even attention: input by input and digit by digit, how many of the visible digits equal the one written
    even = [np.mean(row[: 6 + t] == row[6 + t]) for row in ids for t in range(6)]
    assert counts["chance"] == pytest.approx(np.mean(even))


def test_an_example_is_told_digit_by_digit(example):
    weights, ids = planted(example, lambda ids, query: max(0, query - 1))
    told = example.tell_example(weights[0], ids[0])
    assert told[0] == "The input 2 0 1 2 1 0:"
    assert told[1].endswith("looks hardest (1.00), at given digit 5, a 1 (it writes 0)")
    assert told[4].endswith("looks hardest (1.00), at written digit 2, a 0 (it writes 1)")


def test_the_script_counts_draws_and_writes_the_page(example, stored, tmp_path, capsys, monkeypatch):
    script = tmp_path / "viewer.js"
    script.write_text("/* stands in for the viewer */", encoding="utf-8")
    monkeypatch.setattr(bundle, "PATH", script)
    example.main([str(stored), "--out", str(tmp_path / "out")])
    said = capsys.readouterr().out
    assert "of 729 inputs come out sorted" in said
    assert "looks most for the digit being written" in said
    assert (tmp_path / "out" / "heads.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "out" / "attention.html").stat().st_size > 1000


def test_the_models_attention_is_causal(example, stored, monkeypatch):
    model, softmax, seen = example.load(stored), F.softmax, []
    monkeypatch.setattr(example.F, "softmax", lambda x, dim: seen.append(softmax(x, dim=dim)) or seen[-1])
    model(torch.tensor([[2, 0, 1, 2, 1, 0, 0, 1, 1, 2, 2]]))
    ours = torch.stack(seen)
    assert ours.shape == (2, 1, 2, 11, 11)
    assert (ours.triu(1) == 0).all()
    torch.testing.assert_close(ours.sum(-1), torch.ones(2, 1, 2, 11))


@pytest.mark.skipif("HEADSCAPE_NANO_SORT" not in os.environ, reason="HEADSCAPE_NANO_SORT names no file")
def test_the_public_model_sorts_every_input(example):
    model = example.load(Path(os.environ["HEADSCAPE_NANO_SORT"]))
    assert example.share_sorted(model, example.every_input()) == 1
