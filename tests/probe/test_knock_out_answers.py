"""What knock-outs answer: sentences for what cannot be removed, plain findings for a viewer."""

import json

import pytest
import torch
from torch import nn

import headscape
import headscape.probe
from headscape.errors import OptionError, ShapeError
from headscape.view.findings import answer_knock_out

STATES = torch.randn(2, 6, 12, generator=torch.Generator().manual_seed(1))


class Classifier(nn.Module):
    def __init__(self, *, norm_first=False, batch_first=True):
        super().__init__()
        torch.manual_seed(0)
        layer = nn.TransformerEncoderLayer(
            12, 3, 20, batch_first=batch_first, norm_first=norm_first, dropout=0.0
        )
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.tokens = 1 if batch_first else 0
        self.head = nn.Linear(12, 4)

    def forward(self, x, mask=None, padding=None):
        return self.head(self.encoder(x, mask, padding).mean(self.tokens))


def classifier(**options):
    return Classifier(**options).eval().requires_grad_(False)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({}, "exactly one of"),
        ({"heads": "each", "tokens": "each"}, "exactly one of"),
        ({"heads": "all"}, '"each"'),
        ({"edges": "each"}, "too many edges"),
        ({"heads": [(5, 0)]}, "no layer 5"),
        ({"heads": [(0, 9)]}, "no head 9"),
        ({"heads": [3]}, r"each is \(layer, head\)"),
        ({"edges": [(0, 0, 1)]}, "layer, head or None, query, key"),
        ({"edges": [(0, 0, 1, 17)]}, "no key 17"),
        ({"tokens": [11]}, "no token 11"),
        ({"heads": "each", "by": "renormalise"}, "no key is left"),
        ({"heads": "each", "by": "noise"}, "there is 'zero', 'renormalise'"),
        ({"heads": "each", "most": 3}, "no option 'most'"),
        ({"heads": "each", "target": 9}, "no class 9"),
    ],
)
def test_what_cannot_be_removed_is_answered(options, says):
    with pytest.raises(OptionError, match=says):
        headscape.knock_out(classifier(), STATES, **options)


def test_training_mode_and_odd_targets_are_answered():
    with pytest.raises(OptionError, match=r"model\.eval\(\)"):
        headscape.knock_out(classifier().train(), STATES, heads="each")
    with pytest.raises(ShapeError, match="one number an example"):
        headscape.knock_out(classifier(), STATES, heads="each", target=lambda y: y)
    with pytest.raises(ShapeError, match="one class of 4"):
        headscape.knock_out(classifier(), STATES, heads="each", labels=[1, 7])


def test_findings_are_plain_and_one_for_each_example():
    found = headscape.knock_out(classifier(), STATES, heads=[(1, 2), [(0, 0), (0, 1)]], classes="abcd")
    plain = json.loads(json.dumps(found.findings()))
    assert [(one["kind"], one["call"], one["head"], one["example"]) for one in plain] == [
        ("head", 1, 2, 0),
        ("head", 1, 2, 1),
    ]
    before = classifier()(STATES).softmax(-1)[1]
    best = plain[1]["answers"][0]
    assert best["name"] == "abcd"[int(before.argmax())]
    assert best["before"] == pytest.approx(float(before.max()), abs=1e-6)
    assert best["after"] != best["before"]
    assert "layer 1 head 2" in found.table()


def test_a_viewers_question_is_answered_from_one_plain_pass():
    model = classifier()
    asked = {"kind": "head", "call": 1, "head": 2, "query": None, "key": None, "example": 1, "by": "zero"}
    told = answer_knock_out(headscape.probe.Knocker(model, STATES, classes="abcd"), asked)
    want = headscape.knock_out(model, STATES, heads=[(1, 2)], classes="abcd").findings()[1]
    assert told["answers"] == want["answers"]
    assert told["example"] == 1
    assert "error" in answer_knock_out(headscape.probe.Knocker(model, STATES), asked | {"head": 40})


class Pooled(Classifier):
    """Pools real tokens only, so that padding may change nothing."""

    def forward(self, x, padding):
        kept = (~padding).unsqueeze(-1).float()
        states = self.encoder(x, src_key_padding_mask=padding)
        return self.head((states * kept).sum(1) / kept.sum(1))


@pytest.mark.parametrize(
    ("unit", "what", "by"),
    [
        ("edges", [(1, 2, 0, 3), (0, None, 3, 1)], "mean"),
        ("edges", [(1, 2, 0, 3), (0, None, 3, 1)], "renormalise"),
        ("edges", [(1, 2, 0, 3)], "zero"),
        ("tokens", [0, 3], "mean"),
        ("tokens", [0, 3], "renormalise"),
        ("heads", "each", "mean"),
    ],
)
def test_padding_changes_no_knock_out(unit, what, by):
    model = Pooled().eval().requires_grad_(False)
    short = STATES[1:, :4]
    alone = headscape.knock_out(model, (short, torch.zeros(1, 4, dtype=torch.bool)), **{unit: what, "by": by})
    padded = torch.cat([short, STATES[1:, :2] * 9], dim=1)
    padding = torch.tensor([[False] * 4 + [True] * 2])
    found = headscape.knock_out(model, (padded, padding), **{unit: what, "by": by})
    torch.testing.assert_close(torch.tensor(found.change), torch.tensor(alone.change), atol=3e-6, rtol=0)
    assert abs(alone.change).max() > 1e-5


@pytest.mark.parametrize("by", ["zero", "renormalise", "mean"])
def test_an_edge_behind_a_cache_is_the_edge_of_the_whole_text(by):
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    model = LlamaForCausalLM(
        LlamaConfig(vocab_size=30, hidden_size=16, intermediate_size=20, num_hidden_layers=2,
                    num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=12)
    ).eval()  # fmt: skip
    ids = torch.tensor([[3, 1, 4, 1, 5, 9]])
    whole = headscape.knock_out(model, {"input_ids": ids}, edges=[(1, 2, 5, 1), (0, None, 5, 4)], by=by)
    with torch.no_grad():
        cache = model(input_ids=ids[:, :4]).past_key_values
    given = {"input_ids": ids[:, 4:], "past_key_values": cache}
    found = headscape.knock_out(model, given, edges=[(1, 2, 1, 1), (0, None, 1, 4)], by=by)
    torch.testing.assert_close(torch.tensor(found.change), torch.tensor(whole.change), atol=2e-6, rtol=0)
    assert abs(whole.change).min() > 1e-6
    assert cache.get_seq_length() == 4  # the caller's cache is as it was
