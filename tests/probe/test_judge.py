"""Measures are ranked by what knock-outs do, not by what they promise."""

import copy

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

import headscape
from headscape.errors import OptionError
from headscape.probe.evidence import judging_trace
from headscape.probe.ranks import ranks, spearman

STATES = torch.randn(3, 5, 12, generator=torch.Generator().manual_seed(1))


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        layer = nn.TransformerEncoderLayer(12, 3, 20, batch_first=True, dropout=0.0)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(12, 4)
        for parameter in self.parameters():
            nn.init.normal_(parameter, 0, 0.4)

    def forward(self, x):
        return self.head(self.encoder(x).mean(1))


@pytest.fixture(scope="module")
def model():
    return Classifier().eval()


@pytest.mark.parametrize("values", [[3, 1, 2], [1, 1, 2, 2, 2, 0], [5.0, 5.0, 5.0, 1.0]])
def test_equal_numbers_share_their_ranks(values):
    want = [np.mean([sorted(values).index(v) + i for i in range(values.count(v))]) for v in values]
    np.testing.assert_allclose(ranks(np.array(values)), want)


def test_rank_correlation_is_scipys():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 9, (2, 40)).astype(float)
    assert spearman(a, b) == pytest.approx(spearmanr(a, b).statistic)
    a[3] = np.nan
    keep = np.arange(40) != 3
    assert spearman(a, b) == pytest.approx(spearmanr(a[keep], b[keep]).statistic)
    assert np.isnan(spearman(np.ones(5), np.arange(5)))
    assert np.isnan(spearman(np.arange(2), np.arange(2)))


def test_heads_are_judged_by_their_knock_outs(model):
    found = headscape.judge(None, model, STATES)
    alone = headscape.knock_out(model, STATES, heads="each")
    np.testing.assert_allclose(found.effects, np.abs(alone.change), atol=1e-6)
    assert set(found.measures) == {
        "weight", "rollout", "contribution", "contribution rollout", "gradient", "routes", "direct", "random"
    }  # fmt: skip
    assert found.missing == {}
    for name in found.measures:
        want = [spearmanr(found.scores[name][:, e], found.effects[:, e]).statistic for e in range(3)]
        np.testing.assert_allclose(found.spearman[name], want, atol=1e-9)
    means = [np.nanmean(found.spearman[name]) for name in found.measures]
    assert means == sorted(means, reverse=True)
    assert "6 heads" in found.table()


def test_curves_begin_and_end_where_they_must(model):
    found = headscape.judge(None, model, STATES, measures=["weight", "direct"])
    plain = model(STATES).max(-1).values.detach()
    best = model(STATES).argmax(-1)
    bare = copy.deepcopy(model)
    with torch.no_grad():
        for layer in bare.encoder.layers:
            layer.self_attn.out_proj.weight.zero_()
    gone = bare(STATES)[torch.arange(3), best].detach()
    for name in ("weight", "direct"):
        np.testing.assert_allclose(found.deletion[name][0], plain, atol=1e-5)
        np.testing.assert_allclose(found.deletion[name][-1], gone, atol=1e-5)
        np.testing.assert_allclose(found.insertion[name][0], gone, atol=1e-5)
        np.testing.assert_allclose(found.insertion[name][-1], plain, atol=1e-5)


def test_a_measure_that_knows_the_effects_comes_first_and_deletes_best(model, monkeypatch):
    alone = headscape.knock_out(model, STATES, heads="each")
    effects = -alone.change  # how much each helps

    def scores(trace, measure, example=0):
        one = effects[:, example] if measure == "weight" else -effects[:, example]
        return one[:3].astype(float), one[3:].astype(float)

    monkeypatch.setattr("headscape.probe.judge.head_scores", scores)
    found = headscape.judge(None, model, STATES, measures=["contribution", "weight"])
    assert found.drop("weight") > found.drop("contribution")


def test_the_gradient_is_that_of_the_score_and_the_models_own_is_left(model):
    for parameter in model.parameters():
        parameter.grad = torch.full_like(parameter, 2.0)
    trace = judging_trace(model, STATES, target=1)
    assert all((p.grad == 2).all() for p in model.parameters())
    with headscape.capture(model, keep="all", gradients=True) as run:
        output = model(STATES)
    output[:, 1].sum().backward()
    for one, other in zip(trace.calls, run.trace.calls, strict=True):
        np.testing.assert_allclose(one.gradient(2), other.gradient(2), atol=1e-6)
    frozen = copy.deepcopy(model).requires_grad_(False)
    assert np.abs(judging_trace(frozen, STATES).calls[0].gradient()).max() > 0
    assert not any(p.requires_grad for p in frozen.parameters())
    model.zero_grad(set_to_none=True)


def test_edges_and_tokens_are_judged_too(model):
    edges = headscape.judge(None, model, STATES, units="edges", edges=30, curves=False)
    assert len(edges.parts) == 30
    layer, head, query, key = edges.parts[7]
    alone = headscape.knock_out(model, STATES, edges=[edges.parts[7]])
    np.testing.assert_allclose(edges.effects[7], np.abs(alone.change[0]), atol=1e-6)
    trace = judging_trace(model, STATES)
    assert edges.scores["weight"][7, 1] == pytest.approx(trace.calls[layer].weights(1)[head, query, key])
    tokens = headscape.judge(None, model, STATES, units="tokens", by="renormalise", curves=False)
    assert tokens.parts == tuple((0, n) for n in range(5))
    assert {"chefer", "flow"} <= {*tokens.measures, *tokens.missing}


def test_what_the_trace_lacks_is_said(model):
    with headscape.capture(model, keep="all", values=False) as run, torch.no_grad():
        model(STATES)
    found = headscape.judge(run.trace, model, STATES, curves=False)
    assert "gradients=True" in found.missing["gradient"]
    assert "states=True" in found.missing["routes"]
    assert "values=True" in found.missing["contribution"]
    assert "weight" in found.measures
    assert "gradient: " in found.table()


def test_wrong_questions_are_answered(model):
    with pytest.raises(OptionError, match="measure of heads"):
        headscape.judge(None, model, STATES, measures=["wieght"])
    with pytest.raises(OptionError, match="unit"):
        headscape.judge(None, model, STATES, units="layers")
    with pytest.raises(OptionError, match="option"):
        headscape.judge(None, model, STATES, edge=3)
    with pytest.raises(OptionError, match="very pass"):
        headscape.judge(judging_trace(model, STATES), model, STATES[:2])
