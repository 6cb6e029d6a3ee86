import dataclasses

import numpy as np
import pytest
from tests.analysis.topology.shapes import cyclic, parts, random_rows, sink, uniform
from tests.graph.conftest import build_trace

from headscape.analysis.topology.distances import symmetric_weights
from headscape.analysis.topology.graphs import token_graphs
from headscape.analysis.topology.of_trace import STEPS, head_topology, over_steps
from headscape.errors import LabelError, NotKeptError, OptionError, ShapeError
from headscape.trace.synthetic import example_trace


def test_every_head_of_every_layer_has_the_bars_of_its_weights():
    trace = example_trace(layers=2, heads=3)
    found = head_topology(trace)
    assert found.table().shape == (2, 3)
    for layer, call in zip(found.layers, trace.calls, strict=True):
        assert (layer.layer, layer.site) == (call.layer, call.site)
        for head, rows in enumerate(call.weights()):
            weights = symmetric_weights(rows)
            tokens = len(weights)
            heaviest = heaviest_tree(weights)
            assert found.table()[layer.layer, head] == pytest.approx((tokens - 1) - sum(heaviest), abs=1e-5)
            assert found.table("h0_mean")[layer.layer, head] == pytest.approx(1 - np.mean(heaviest), abs=1e-6)
            joined = (weights >= STEPS[40]) & ~np.eye(tokens, dtype=bool)
            assert layer.curves.components[head, 40] == parts(joined)
            assert layer.curves.cycle_rank[head, 40] == joined.sum() // 2 - tokens + parts(joined)


def heaviest_tree(weights):
    """Kruskal's road: strongest pair first, unless it closes a circle."""
    names, chosen = list(range(len(weights))), []
    source, target = np.triu_indices(len(weights), 1)
    for pair in np.argsort(-weights[source, target]):
        a, b = names[source[pair]], names[target[pair]]
        if a != b:
            names = [a if name == b else name for name in names]
            chosen.append(float(weights[source[pair], target[pair]]))
    return chosen


def test_padded_tokens_are_left_out():
    whole, padded = example_trace(layers=1), example_trace(layers=1, padding=3)
    tokens = len(whole.tokens())
    graphs = token_graphs(padded, 0, 1)
    assert graphs.weights.shape == (2, tokens - 3, tokens - 3)
    assert list(graphs.labels) == padded.tokens(1)[:-3]
    assert token_graphs(padded, 0, 0).weights.shape == (2, tokens, tokens)
    np.testing.assert_allclose(
        graphs.weights, symmetric_weights(padded.calls[0].weights(1)[:, :-3, :-3]), atol=1e-7
    )


def test_a_token_that_is_padding_as_a_key_only_is_left_out_too():
    trace = example_trace(layers=1, padding=3)
    call = trace.calls[0]
    seen = dataclasses.replace(call.arrays, padded=np.zeros_like(call.arrays.padded))
    trace = dataclasses.replace(trace, calls=(dataclasses.replace(call, arrays=seen),))
    graphs = token_graphs(trace, 0, 1, expect_sums=False)
    assert graphs.weights.shape[1:] == (13, 13)


def test_cross_attention_is_one_graph_of_both_sides_and_layers_may_differ_in_size():
    trace = example_trace(layers=2, decoder=True, padding=2)
    found = head_topology(trace, 1)
    crossing = [layer for layer in found.layers if layer.graphs.is_cross]
    assert len(crossing) == 2
    graphs = crossing[0].graphs
    keys = len(trace.tokens()) - 2
    assert graphs.queries == 5
    assert graphs.weights.shape == (2, 5 + keys, 5 + keys)
    assert list(graphs.labels) == [*trace.tokens(1, 1), *trace.tokens(1, 0)[:-2]]
    assert not graphs.weights[:, :5, :5].any()
    assert not graphs.weights[:, 5:, 5:].any()
    np.testing.assert_allclose(graphs.weights[:, :5, 5:], trace.calls[3].weights(1)[:, :, :keys], atol=1e-7)
    assert {layer.deaths.shape[1] for layer in found.layers} == {keys - 1, 4, 4 + keys}
    assert np.isfinite(found.table()).all()


def test_a_layer_with_fewer_heads_fills_its_row_with_nan():
    trace = build_trace(np.stack([uniform(4)] * 3), uniform(4))
    table = head_topology(trace).table()
    np.testing.assert_allclose(table, [[2.25] * 3, [2.25, np.nan, np.nan]], rtol=1e-6)


def test_one_token_has_no_bars_and_no_mean():
    found = head_topology(build_trace(np.ones((2, 1, 1))))
    assert found.table("h0_sum").tolist() == [[0, 0]]
    assert np.isnan(found.table("h0_mean")).all()
    assert (found.layers[0].curves.components == 1).all()


def test_a_head_the_model_made_nan_is_nan_and_a_row_that_sees_nothing_is_not():
    weights = np.stack([random_rows(np.random.default_rng(0), 4)] * 2)
    weights[1, 2] = np.nan
    weights[0, 0] = 0  # a strictly causal first row: it may see nothing
    found = head_topology(build_trace(weights))
    assert np.isnan(found.table()[0, 1])
    assert np.isfinite(found.table()[0, 0])
    assert (found.layers[0].curves.components[1] == -1).all()


def test_tokens_are_left_out_by_place_by_label_and_as_sinks():
    weights = 0.7 * sink(6) + 0.3 * cyclic(6)
    trace = build_trace(weights)
    assert token_graphs(trace, 0, without=[0]).labels == tuple("bcdef")
    assert token_graphs(trace, 0, without=["a", 3]).labels == tuple("bcef")
    graphs = token_graphs(trace, 0, without="sinks")
    assert (graphs.labels, graphs.left_out) == (tuple("bcdef"), ("a",))
    np.testing.assert_allclose(graphs.weights[0, 0, 1], 0.3)
    assert token_graphs(build_trace(uniform(5)), 0, without="sinks").left_out == ()


def test_the_sink_of_cross_attention_is_a_key():
    trace = example_trace(layers=1, heads=4, decoder=True)
    call = trace.calls[2]
    weights = call.arrays.weights.copy()
    weights[:] = np.eye(1, weights.shape[-1], 2)
    arrays = dataclasses.replace(call.arrays, weights=weights)
    calls = (*trace.calls[:2], dataclasses.replace(call, arrays=arrays))
    graphs = token_graphs(dataclasses.replace(trace, calls=calls), 2, without=["sinks"])
    assert graphs.left_out == (trace.tokens()[2],)
    assert graphs.queries == 5


@pytest.mark.usefixtures("ripser")
def test_h1_with_and_without_the_sink():
    trace = build_trace(*[_with_ring()] * 2)
    whole, rest = (head_topology(trace, h1=True, without=out) for out in ((), "sinks"))
    assert whole.table("h1_count").tolist() == [[0], [0]]
    assert rest.table("h1_count").tolist() == [[1], [1]]
    assert rest.layers[0].h1[0].is_open.tolist() == [True]
    closed = head_topology(trace, h1=True, without="sinks", share=0)
    np.testing.assert_allclose(closed.table("h1_sum"), [[0.4], [0.4]], atol=1e-6)
    np.testing.assert_allclose(closed.table("h1_midlife"), [[0.8], [0.8]], atol=1e-6)


def _with_ring():
    """Six tokens look at the next one of them with 0.4 and at the seventh, the first, with 0.6."""
    weights = np.zeros((7, 7))
    weights[1:, 1:] = 0.4 * cyclic(6)
    weights[:, 0] = 0.6
    weights[0, 0] = 1
    return weights


def test_steps_of_a_run_are_read_one_by_one():
    traces = (dataclasses.replace(example_trace(seed=n), step=10 * n) for n in range(3))
    found = over_steps(traces)
    assert found.values.shape == (3, 3, 2)
    assert found.steps.tolist() == [0, 10, 20]
    for n in range(3):
        np.testing.assert_array_equal(found.values[n], head_topology(example_trace(seed=n)).table("h0_mean"))


@pytest.mark.usefixtures("ripser")
def test_h1_over_steps():
    trace = build_trace(_with_ring())
    found = over_steps([trace, trace], measure="h1_sum", without=[0], share=0)
    np.testing.assert_allclose(found.values, [[[0.4]], [[0.4]]], atol=1e-6)


def test_runs_that_cannot_be_compared_are_refused():
    one, longer = example_trace(), example_trace(tokens="abcdef")
    assert over_steps([one, longer]).values.shape == (2, 3, 2)  # means may be compared
    with pytest.raises(ShapeError, match=r'grows with the tokens.*measure="h0_mean"'):
        over_steps([one, longer], measure="h0_sum")
    with pytest.raises(ShapeError, match=r"trace 1 has \(2, 2\).*one model"):
        over_steps([one, example_trace(layers=2)])
    with pytest.raises(OptionError, match="no trace"):
        over_steps([])
    with pytest.raises(OptionError, match="h0_sum"):
        over_steps([one], measure="h0")


def test_what_is_missing_names_what_gives_it():
    with pytest.raises(NotKeptError, match='keep="all"'):
        head_topology(example_trace(k=2))
    with pytest.raises(OptionError, match="h1=True"):
        head_topology(example_trace()).table("h1_sum")
    with pytest.raises(OptionError, match="Pass h1=True"):
        head_topology(example_trace(), limit_s=3)
    with pytest.raises(OptionError, match=r"no option 'limit'.*Did you mean 'limit_s'"):
        head_topology(example_trace(), h1=True, limit=3)
    with pytest.raises(OptionError, match="no layer 9"):
        token_graphs(example_trace(), 9)


def test_a_trace_whose_lists_leave_nothing_out_is_enough():
    whole, lists = example_trace(), example_trace(k=99)
    np.testing.assert_allclose(head_topology(lists).table(), head_topology(whole).table(), atol=1e-6)


def test_rows_that_do_not_sum_to_one_are_named_unless_they_are_meant():
    trace = build_trace(0.5 * uniform(4))
    with pytest.raises(ShapeError, match=r"query 0: the row sums to 0\.5.*expect_sums=False"):
        head_topology(trace)
    assert head_topology(trace, expect_sums=False).table()[0, 0] == pytest.approx(3 * (1 - 1 / 8))
    with pytest.raises(ShapeError, match="after softmax"):
        head_topology(build_trace(9 * uniform(4)), expect_sums=False)


def test_queries_of_an_earlier_pass_are_missed_in_words():
    trace = example_trace(layers=1, decoder=True)
    cached = dataclasses.replace(trace.calls[2], kind="self")
    with pytest.raises(ShapeError, match=r"5 queries for 16 keys.*capture one pass over the whole text"):
        token_graphs(dataclasses.replace(trace, calls=(cached,)), 0)


def test_tokens_that_are_not_there_are_said():
    trace = example_trace(layers=1, decoder=True, padding=1)
    with pytest.raises(LabelError, match=r"no token '\[CLS\]'.*it has 'the'"):
        token_graphs(trace, 0, without=["[CLS]"])
    with pytest.raises(OptionError, match="no token at place 15; padding"):
        token_graphs(trace, 0, 1, without=[15])
    with pytest.raises(OptionError, match="leave out by label"):
        token_graphs(trace, 2, without=[0])
    with pytest.raises(OptionError, match="leave at least one"):
        token_graphs(trace, 0, without=range(16))
