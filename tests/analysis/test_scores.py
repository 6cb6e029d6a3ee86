"""Scores of heads, edges and tokens: one layout, values from the measures' own definitions."""

import numpy as np
import pytest
import torch
from torch import nn

import headscape
from headscape.analysis.answer import answer_rows
from headscape.analysis.maxflow import attention_flow
from headscape.analysis.relevance import chefer
from headscape.analysis.rollout import rollout
from headscape.analysis.routes import find_routes
from headscape.analysis.scores import (
    EDGE_MEASURES,
    HEAD_MEASURES,
    TOKEN_MEASURES,
    edge_scores,
    head_scores,
    token_scores,
)
from headscape.errors import NotKeptError, OptionError
from headscape.trace.by_hand import trace_of
from headscape.trace.synthetic import example_trace


class Classifier(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.TransformerEncoder(
            nn.TransformerEncoderLayer(12, 3, 16, dropout=0.0, batch_first=True),
            2,
            enable_nested_tensor=False,
        )
        self.head = nn.Linear(12, 3)

    def forward(self, x, hidden=None):
        return self.head(self.encoder(x, src_key_padding_mask=hidden)[:, 0])


@pytest.fixture(scope="module")
def trace():
    torch.manual_seed(0)
    model, x = Classifier(), torch.randn(2, 6, 12)
    hidden = torch.zeros(2, 6, dtype=torch.bool)
    hidden[1, 4:] = True
    with headscape.capture(model, keep="all", values=True, gradients=True, states=True) as run:
        out = model(x, hidden)
    out.max(-1).values.sum().backward()
    return run.trace


@pytest.mark.parametrize("example", [0, 1])
def test_every_measure_gives_one_layout(trace, example):
    real = 6 - 2 * example
    for measure in EDGE_MEASURES:
        for call, found in zip(trace.calls, edge_scores(trace, measure, example), strict=True):
            assert found.shape == call.shape[1:]
            assert (found[:, :real] >= 0).all()
            assert np.isnan(found[:, real:]).all()
    for measure in HEAD_MEASURES:
        found = head_scores(trace, measure, example)
        assert [one.shape for one in found] == [(3,), (3,)]
        assert min(one.min() for one in found) >= 0
        assert max(one.max() for one in found) > 0
    for measure in TOKEN_MEASURES:
        found = token_scores(trace, measure, example)
        assert np.isnan(found).tolist() == [False] * real + [True] * (6 - real)
        assert np.nanmin(found) >= 0
        assert np.nanmax(found) > 0


def test_token_scores_are_those_of_the_measures(trace):
    np.testing.assert_allclose(
        token_scores(trace, "rollout"), answer_rows(trace) @ rollout(trace).of(), atol=1e-9
    )
    np.testing.assert_array_equal(token_scores(trace, "flow"), attention_flow(trace).inputs[0])
    np.testing.assert_array_equal(token_scores(trace, "chefer"), chefer(trace).of())
    np.testing.assert_array_equal(token_scores(trace, "routes"), find_routes(trace, tau=0).inputs[0])
    last = trace.calls[-1]
    np.testing.assert_allclose(token_scores(trace, "weight"), last.weights()[:, 0].mean(0), atol=1e-6)
    np.testing.assert_allclose(
        token_scores(trace, "contribution"), last.contribution()[:, 0].sum(0), rtol=1e-5
    )
    wanted = sum(np.abs(call.weights() * call.gradient()).sum((0, 1)) for call in trace.calls)
    np.testing.assert_allclose(token_scores(trace, "gradient"), wanted, rtol=1e-4)


def test_contribution_rollout_shares_the_answer_by_norms(trace):
    top, below = answer_rows(trace), {}
    for n in (1, 0):
        norms = trace.calls[n].contribution().astype(float)
        below[n] = top[None, :, None] * 0.5 * norms / norms.sum((0, 2))[None, :, None]
        top = 0.5 * top + below[n].sum((0, 1))
    found = edge_scores(trace, "contribution rollout")
    np.testing.assert_allclose(found[1], below[1], atol=1e-7)
    np.testing.assert_allclose(found[0], below[0], atol=1e-7)
    np.testing.assert_allclose(token_scores(trace, "contribution rollout"), top, atol=1e-7)
    assert head_scores(trace, "contribution rollout")[0].sum() == pytest.approx(0.5)


def test_head_scores_worked_out_by_hand():
    weights = [[[1, 0], [0.5, 0.5]], [[0.2, 0.8], [0.3, 0.7]]]
    trace = trace_of(weights, value_norms=[[[[2.0, 4.0], [1.0, 10.0]]]])
    np.testing.assert_allclose(head_scores(trace, "weight")[0], [0.75, 0.75], atol=1e-6)
    np.testing.assert_allclose(
        head_scores(trace, "contribution")[0], [(2 + 3) / 2, (8.2 + 7.3) / 2], rtol=1e-6
    )
    np.testing.assert_allclose(head_scores(trace, "rollout")[0], [0.25, 0.25], atol=1e-9)


def test_routes_of_edges_are_what_they_bring_of_the_answer(trace):
    routes, edges = find_routes(trace, tau=0), edge_scores(trace, "routes")
    attention = routes.edges.select(routes.edges.kind == 0)
    for call, found in zip(trace.calls, edges, strict=True):
        wanted = np.zeros((6, 6))
        here = attention.select(attention.layer == call.layer)
        wanted[here.query, here.key] = here.importance
        np.testing.assert_allclose(found.sum(0), wanted, atol=1e-12)
    assert np.nansum(edges[1][:, 1:]) == 0  # only [0] feeds the answer


def test_two_sides_have_scores_each():
    trace = example_trace(decoder=True)
    for measure in ("weight", "rollout", "contribution", "contribution rollout", "flow"):
        for side, length in ((0, 16), (1, 5)):
            assert token_scores(trace, measure, side=side).shape == (length,)
    both = [token_scores(trace, "rollout", side=side).sum() for side in (0, 1)]
    assert sum(both) == pytest.approx(1)


@pytest.mark.parametrize(
    ("measure", "option"),
    [("gradient", "gradients=True"), ("routes", "states=True"), ("chefer", "gradients=True")],
)
def test_what_a_measure_lacks_is_named(measure, option):
    with pytest.raises(NotKeptError, match=option):
        token_scores(example_trace(), measure)
    with pytest.raises(NotKeptError, match='keep="all"'):
        token_scores(example_trace(k=2), "weight")
    with pytest.raises(NotKeptError, match="values=True"):
        head_scores(trace_of(np.eye(2)[None]), "contribution rollout")


def test_measures_of_tokens_only_are_no_measures_of_edges():
    for measure in ("flow", "chefer"):
        with pytest.raises(OptionError, match="there is 'weight'"):
            edge_scores(example_trace(), measure)
        with pytest.raises(OptionError, match="there is 'weight'"):
            head_scores(example_trace(), measure)
