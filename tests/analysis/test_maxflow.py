"""Attention flow: a graph worked out by hand, bounds, a second library, and two sides."""

import sys
from dataclasses import replace

import networkx as nx
import numpy as np
import pytest

from headscape.analysis.answer import answer_rows
from headscape.analysis.maxflow import Pipes, attention_flow, largest_flows
from headscape.analysis.rollout import rollout
from headscape.errors import MissingExtraError, NotKeptError, ShapeError
from headscape.trace.by_hand import trace_of
from headscape.trace.synthetic import example_trace


def test_a_network_worked_out_by_hand():
    # 0 sends .6 to 1 and .4 to 2; 1 sends .5 to 3 and .3 to 2; 2 sends .5 to 3: to 3 at most .5 + .5.
    pipes = Pipes(
        np.array([0, 0, 1, 1, 2]), np.array([1, 2, 3, 2, 3]), np.array([0.6, 0.4, 0.5, 0.3, 0.5]), 4
    )
    np.testing.assert_allclose(largest_flows(pipes, 0, [1, 2, 3]), [0.6, 0.7, 1.0], atol=1e-8)


def test_two_layers_worked_out_by_hand():
    # Layer 1 sends token 0's half to 0 and 1 alike: capacities .75 and .25. Layer 0: row 0 keeps itself,
    # row 1 gives .25 to 0 and keeps .75. To input 0: .75 + min(.25, .25); to input 1: min(.25, .75).
    trace = trace_of([[[1, 0], [0.5, 0.5]]], [[[0.5, 0.5], [0, 1]]])
    found = attention_flow(trace, token=0).inputs[0]
    np.testing.assert_allclose(found, [1.0, 0.25], atol=1e-8)


def by_networkx(trace, token, share=0.5):
    """Work out the flows on a network built anew, with NetworkX and float capacities."""
    graph, length = nx.DiGraph(), trace.sides[0].length
    for plane, call in enumerate(trace.calls):
        matrix = share * call.weights().astype(float).mean(0) + (1 - share) * np.eye(length)
        for query, key in zip(*np.nonzero(matrix), strict=True):
            graph.add_edge((plane + 1, query), (plane, key), capacity=matrix[query, key])
    top = (len(trace.calls), token)
    return [
        nx.maximum_flow_value(graph, top, (0, key)) if (0, key) in graph else 0.0 for key in range(length)
    ]


@pytest.mark.parametrize("causal", [False, True])
def test_a_second_library_agrees(causal):
    rng = np.random.default_rng(1)
    matrices = rng.dirichlet(np.full(9, 0.15), size=(4, 2, 9))
    if causal:
        matrices = np.tril(matrices + 1e-3)
        matrices /= matrices.sum(-1, keepdims=True)
    trace = trace_of(*matrices)
    for token in (0, 5, 8):
        found = attention_flow(trace, token=token).inputs[0]
        np.testing.assert_allclose(found, by_networkx(trace, token), atol=1e-6)
    assert found.min() < 0.9


def test_flow_is_at_least_the_rollout_and_at_most_what_leaves_the_source():
    trace = example_trace(padding=3)
    for example in (0, 1):
        flow = attention_flow(trace, example).inputs[0]
        part = answer_rows(trace, example) @ np.nan_to_num(rollout(trace, example).of())
        real = np.isfinite(flow)
        assert real.sum() == (16, 13)[example]
        assert (flow[real] >= part[real] - 1e-6).all()
        assert (flow[real] <= 1 + 1e-6).all()
    shares = attention_flow(trace, 1).shares[0]
    assert np.nansum(shares) == pytest.approx(1)


def test_the_order_of_heads_does_not_matter():
    matrices = np.random.default_rng(2).dirichlet(np.full(6, 0.2), size=(3, 4, 6))
    turned = attention_flow(trace_of(*matrices[:, [2, 0, 3, 1]])).inputs[0]
    np.testing.assert_allclose(turned, attention_flow(trace_of(*matrices)).inputs[0], atol=1e-6)


def test_a_decoders_answer_reaches_both_sides():
    trace = replace(example_trace(decoder=True, layers=2), outputs=None)
    flow = attention_flow(trace)
    assert flow.answer.side == 1
    part = flow.answer.rows @ rollout(trace).of(1)
    assert (np.concatenate(flow.inputs) >= part - 1e-6).all()
    assert flow.inputs[0].shape == (16,)
    assert flow.inputs[0].min() > 0


def test_one_token_gets_all():
    assert attention_flow(trace_of([[[1.0]]])).inputs[0].tolist() == [1.0]


def test_what_is_missing_is_said(monkeypatch):
    with pytest.raises(NotKeptError, match='keep="all"'):
        attention_flow(example_trace(k=2))
    trace = example_trace(layers=1)
    call = trace.calls[0]
    weights = call.arrays.weights.copy()
    weights[:, :, 2] = np.nan
    with pytest.raises(ShapeError, match="NaN"):
        attention_flow(replace(trace, calls=(replace(call, arrays=replace(call.arrays, weights=weights)),)))
    monkeypatch.setitem(sys.modules, "scipy.sparse.csgraph", None)
    with pytest.raises(MissingExtraError, match=r"headscape\[flow\]"):
        attention_flow(trace)
