"""Rollout: identities of its definition, two sides, caches, padding, and the way down from the answer."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from headscape.analysis.answer import answer_rows, find_answer
from headscape.analysis.rollout import edge_share, rollout, rollout_between, trace_passage
from headscape.errors import NotKeptError, OptionError, ShapeError
from headscape.intercept.run import capture
from headscape.trace.by_hand import trace_of
from headscape.trace.synthetic import example_trace


def random_trace(*, layers=4, heads=3, length=7, seed=0, causal=False, **options):
    rng = np.random.default_rng(seed)
    matrices = rng.dirichlet(np.full(length, 0.5), size=(layers, heads, length))
    if causal:
        matrices = np.tril(matrices + 1e-3)
        matrices /= matrices.sum(-1, keepdims=True)
    return trace_of(*matrices, **options)


def mean_of(call):
    return call.weights().astype(np.float64).mean(0)


def test_rollout_is_the_product_of_half_attention_half_residual():
    trace = random_trace()
    wanted = np.eye(7)
    for call in trace.calls:
        wanted = (0.5 * mean_of(call) + 0.5 * np.eye(7)) @ wanted
    np.testing.assert_allclose(rollout(trace).of(), wanted, atol=1e-6)
    np.testing.assert_allclose(
        rollout(trace).of(plane=1), 0.5 * mean_of(trace.calls[0]) + 0.5 * np.eye(7), atol=1e-6
    )


def test_two_tokens_worked_out_by_hand():
    trace = trace_of([[[1, 0], [0.5, 0.5]]], [[[0.5, 0.5], [0, 1]]])
    # layer 0: [[1, 0], [.25, .75]]; layer 1: [[.75, .25], [0, 1]]; product row 0: .75 + .25 * .25
    np.testing.assert_allclose(rollout(trace).of(), [[0.8125, 0.1875], [0.25, 0.75]])


@pytest.mark.parametrize("heads", ["mean", "max"])
def test_rows_sum_to_one_and_causal_attention_stays_triangular(heads):
    found = rollout(random_trace(causal=True), heads=heads).of()
    np.testing.assert_allclose(found.sum(-1), 1, atol=1e-9)
    assert np.triu(found, 1).max() == 0


def test_identity_attention_gives_the_identity_and_uniform_attention_converges_as_halves():
    np.testing.assert_array_equal(rollout(trace_of(*[np.eye(5)[None]] * 3)).of(), np.eye(5))
    for layers in (1, 3, 6):
        found = rollout(trace_of(*[np.full((2, 5, 5), 0.2)] * layers)).of()
        np.testing.assert_allclose(found - 0.2, 0.5**layers * (np.eye(5) - 0.2), atol=1e-7)


def test_joining_by_the_largest_weight_takes_it_and_sums_to_one_again():
    trace = trace_of([[[1, 0], [0.5, 0.5]], [[0.2, 0.8], [0.5, 0.5]]])
    np.testing.assert_allclose(
        rollout(trace, heads="max", share=1.0).of(), [[1 / 1.8, 0.8 / 1.8], [0.5, 0.5]], atol=1e-6
    )


def test_the_measured_share_is_the_attention_norms_part():
    trace = example_trace(layers=1)
    share = trace.calls[0].flow().attention_share[:, None]
    np.testing.assert_allclose(
        rollout(trace, share="measured").of(),
        share * mean_of(trace.calls[0]) + (1 - share) * np.eye(16),
        atol=1e-6,
    )
    with pytest.raises(NotKeptError, match=r"share=0\.5"):
        rollout(random_trace(), share="measured")


def test_the_parts_of_a_rollout_multiply_to_the_whole():
    trace = random_trace()
    whole = rollout_between(trace, 2, -1) @ rollout_between(trace, 0, 2)
    np.testing.assert_allclose(whole, rollout(trace).of(), atol=1e-9)
    np.testing.assert_array_equal(rollout_between(trace, 3, 3), np.eye(7))
    with pytest.raises(OptionError, match="later planes only"):
        rollout_between(trace, 3, 1)


def test_cross_attention_takes_the_other_sides_last_states():
    trace = example_trace(decoder=True, layers=2)
    found = rollout(trace)
    encoder, target = np.eye(16), np.hstack([np.zeros((5, 16)), np.eye(5)])
    for call in trace.calls:
        mean = mean_of(call)
        if call.query_side == 0:
            encoder = (mean + np.eye(16)) / 2 @ encoder
        else:
            keys = target if call.kind == "self" else np.hstack([encoder, np.zeros((16, 5))])
            target = (mean @ keys + target) / 2
    np.testing.assert_allclose(found.of(1), target, atol=1e-6)
    np.testing.assert_allclose(found.of(1, source=0), target[:, :16], atol=1e-6)
    np.testing.assert_allclose(found.of(1).sum(-1), 1)
    down = trace_passage(trace)
    np.testing.assert_allclose(down.inputs[0], answer_rows(trace) @ encoder, atol=1e-6)


def test_padding_gives_nan_rows_and_changes_nothing_else():
    bare = random_trace(length=5)
    wide = np.zeros((4, 3, 7, 7))
    wide[..., :5, :5] = [call.weights() for call in bare.calls]
    wide[..., 5:, :] = 1 / 7
    padded = rollout(trace_of(*wide, padded=[[False] * 5 + [True] * 2])).of()
    np.testing.assert_allclose(padded[:5, :5], rollout(bare).of(), atol=1e-6)
    assert np.isnan(padded[5:]).all()


def test_attention_to_padding_is_not_followed():
    trace = trace_of([[[0.5, 0.5], [0.5, 0.5]]], padded=[[False, True]])
    np.testing.assert_allclose(rollout(trace).of()[0], [0.75, 0])


def test_a_nan_row_spoils_only_what_rests_on_it():
    weights = np.eye(3)[None].repeat(2, 0)
    weights[1] = [[0.5, 0.5, 0], [0, 1, 0], [0, 0, 1]]
    weights[0, 1] = np.nan
    trace = trace_of(weights[:1], weights[1:])
    call = trace.calls[0]  # a NaN row sees its keys: only the model's numbers are gone
    seen = call.arrays.visible.copy()
    seen[..., 1] = 3
    trace = replace(trace, calls=(replace(call, arrays=replace(call.arrays, visible=seen)), trace.calls[1]))
    found = rollout(trace).of()
    assert np.isnan(found[:2]).all()
    np.testing.assert_array_equal(found[2], [0, 0, 1])


def test_a_query_that_sees_nothing_keeps_its_own_state():
    trace = trace_of([[[0, 0], [0.5, 0.5]]])
    np.testing.assert_allclose(rollout(trace).of(), [[1, 0], [0.25, 0.75]])
    np.testing.assert_allclose(trace_passage(trace).inputs[0], [0.625, 0.375])


def test_one_token_and_layers_with_other_numbers_of_heads():
    assert rollout(trace_of([[[1.0]]])).of().tolist() == [[1.0]]
    ragged = trace_of(np.full((1, 3, 3), 1 / 3), np.full((4, 3, 3), 1 / 3))
    np.testing.assert_allclose(rollout(ragged).of().sum(-1), 1)
    assert [one.shape for one in edge_share(ragged)] == [(1, 3, 3), (4, 3, 3)]


def test_what_is_missing_is_said():
    with pytest.raises(NotKeptError, match='keep="all"'):
        rollout(random_trace(k=2))
    with pytest.raises(ShapeError, match="sums to"):
        rollout(trace_of(np.full((1, 3, 3), 0.2)))
    with pytest.raises(OptionError, match=r"no heads 'median'"):
        rollout(random_trace(), heads="median")
    with pytest.raises(OptionError, match=r"0 .*to 1"):
        rollout(random_trace(), share=2.0)


def test_keys_without_tokens_are_refused_in_words():
    layer = nn.MultiheadAttention(8, 2, add_bias_kv=True, batch_first=True)
    with torch.no_grad(), capture(layer, keep="all") as run:
        x = torch.randn(1, 4, 8)
        layer(x, x, x)
    with pytest.raises(ShapeError, match="no token stands behind"):
        rollout(run.trace)


def test_tokens_behind_a_cache_count_as_inputs_in_every_plane():
    whole = random_trace(layers=2, length=5, causal=True)
    last = slice(3, None)
    calls = []
    for call in whole.calls:
        arrays = call.arrays
        rows = {
            name: getattr(arrays, name)[:, :, last]
            for name in ("weights", "kept", "visible", "entropy", "distance", "first_key", "largest")
        }
        rows["padded"], rows["flow"] = arrays.padded[:, last], arrays.flow[:, :, last]
        calls.append(replace(call, arrays=replace(arrays, **rows), shape=(1, 3, 2, 5)))
    found = rollout(replace(whole, calls=tuple(calls))).of()
    np.testing.assert_array_equal(found[:3], np.eye(5)[:3])
    wanted = np.eye(5)
    for call in whole.calls:
        wanted[last] = 0.5 * mean_of(call)[last] @ wanted + 0.5 * wanted[last]
    np.testing.assert_allclose(found, wanted, atol=1e-6)


@pytest.mark.parametrize("options", [{}, {"padding": 4}, {"decoder": True}])
def test_the_way_down_ends_where_the_rollout_begins(options):
    trace = example_trace(**options)
    down, up = trace_passage(trace, 1), rollout(trace, 1)
    rows, side = down.answer.rows, down.answer.side
    wanted = np.where(rows > 0, rows, 0) @ np.nan_to_num(up.of(side))
    found = np.concatenate(down.inputs)
    np.testing.assert_allclose(np.nan_to_num(found), wanted, atol=1e-9)
    assert np.nansum(found) == pytest.approx(1, abs=1e-6)
    for call, edges in zip(trace.calls, down.edges, strict=True):
        if call.query_side == side:
            assert edges.shape == call.shape[1:]


def test_an_edges_share_is_what_the_layers_above_make_of_it():
    trace = random_trace()
    rows = answer_rows(trace)
    for n, (call, found) in enumerate(zip(trace.calls, edge_share(trace), strict=True)):
        above = rows @ rollout_between(trace, n + 1, -1)
        wanted = above[None, :, None] * 0.5 * call.weights() / 3
        np.testing.assert_allclose(found, wanted, atol=1e-7)


def test_the_answer_is_read_where_it_is_known_to_be_read():
    trace = example_trace(padding=3)
    parts = np.abs(trace.outputs.contributions[1, 0].astype(float))
    np.testing.assert_allclose(answer_rows(trace, 1), parts / parts.sum())
    assert answer_rows(trace, 1)[-3:].tolist() == [0, 0, 0]
    bare = replace(
        trace, outputs=replace(trace.outputs, contributions=None, kind="next tokens", method="none")
    )
    assert answer_rows(bare, 1).tolist() == [0.0] * 12 + [1.0] + [0.0] * 3
    unknown = find_answer(replace(trace, outputs=None), 1)
    np.testing.assert_allclose(unknown.rows, [1 / 13] * 13 + [0] * 3)
    assert "alike" in unknown.says
