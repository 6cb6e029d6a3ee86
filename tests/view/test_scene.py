import dataclasses
import gzip

import numpy as np
import pytest

from headscape.errors import OptionError
from headscape.trace.block import unpack
from headscape.trace.call import AttentionCall
from headscape.trace.measure import Facts, gather_rows
from headscape.trace.sides import Side
from headscape.trace.synthetic import example_trace
from headscape.trace.trace import Trace
from headscape.view import scene
from headscape.view.scene import scene_block


def with_weights(trace: Trace, change) -> Trace:
    """Return the trace with the arrays of its first call changed by ``change``."""
    first = trace.calls[0]
    changed = dataclasses.replace(first, arrays=change(first.arrays))
    return dataclasses.replace(trace, calls=(changed, *trace.calls[1:]))


def test_a_dense_scene_holds_the_very_weights_of_its_example():
    trace = example_trace(layers=2, heads=3)
    arrays, meta = unpack(scene_block(trace, 1))
    for n, call in enumerate(trace.calls):
        np.testing.assert_array_equal(arrays[f"weight.{n}"], call.weights(1))
        np.testing.assert_array_equal(arrays[f"visible.{n}"], call.visible(1))
        np.testing.assert_array_equal(arrays[f"entropy.{n}"], call.stats.entropy[1])
        np.testing.assert_array_equal(arrays[f"value_norm.{n}"], call.value_norms(1))
        np.testing.assert_array_equal(arrays[f"flow.{n}"][1], call.flow(1).attention)
        assert meta["calls"][n]["k"] is None
        assert meta["calls"][n]["code"] == "f32"
    np.testing.assert_array_equal(arrays["class"], trace.outputs.contribution(1))
    assert meta["outputs"]["names"] == trace.outputs.names(1)
    assert meta["sides"][0]["tokens"] == trace.tokens(1)
    assert meta["warnings"] == []


def test_a_sparse_scene_holds_keys_weights_and_kept_mass():
    trace = example_trace(k=4)
    arrays, meta = unpack(scene_block(trace))
    keys, weights = trace.calls[0].top()
    np.testing.assert_array_equal(arrays["key.0"], keys)
    np.testing.assert_array_equal(arrays["weight.0"], weights)
    np.testing.assert_array_equal(arrays["kept.0"], trace.calls[0].kept_mass())
    assert meta["calls"][0]["k"] == 4


def test_cross_attention_names_both_sides_and_its_plane():
    _, meta = unpack(scene_block(example_trace(layers=2, decoder=True)))
    cross = [c for c in meta["calls"] if c["kind"] == "cross"]
    assert [(c["query_side"], c["key_side"], c["plane"]) for c in cross] == [(1, 0, 1), (1, 0, 3)]
    assert [side["planes"] for side in meta["sides"]] == [3, 5]


def test_padded_tokens_are_listed_for_their_example_only():
    trace = example_trace(padding=3)
    length = len(trace.tokens())
    assert unpack(scene_block(trace, 0))[1]["sides"][0]["padded"] == []
    assert unpack(scene_block(trace, 1))[1]["sides"][0]["padded"] == [length - 3, length - 2, length - 1]


def decoded(arrays, number=0):
    """Read coded weights back, one by one."""
    codes = arrays[f"weight.{number}"]
    strong = iter(arrays[f"strong.{number}"].astype(np.float64))
    values = [
        (next(strong) / 65535) ** 2 if byte == scene.IS_STRONG else (byte / scene.WEAK_STEPS) ** 2
        for byte in codes.ravel().tolist()
    ]
    assert not list(strong)
    return np.array(values).reshape(codes.shape)


def test_many_weights_are_coded_within_the_stated_errors_and_it_is_said(monkeypatch):
    monkeypatch.setattr(scene, "EXACT_WEIGHTS", 10)
    trace = example_trace()
    arrays, meta = unpack(scene_block(trace))
    weights = trace.calls[0].weights()
    error = np.abs(decoded(arrays) - weights)
    strong = weights >= scene.STRONG
    assert strong.any()
    assert not strong.all()
    assert error[strong].max() <= scene.CODE_ERROR
    assert error[~strong].max() <= scene.WEAK_ERROR
    assert arrays["weight.0"].dtype == np.uint8
    assert "rounded: from 0.0625 up within 1.6e-05" in meta["warnings"][0]


@pytest.mark.parametrize("weight", [0, 1e-30, 1e-7, 0.0624, 0.0625, 0.06251, 0.5, 1])
def test_a_coded_weight_is_within_its_error_and_0_only_where_it_was(weight):
    codes, strong = scene._code(np.array([[[weight]]], np.float32))
    value = decoded({"weight.0": codes, "strong.0": strong}).item()
    assert (value == 0) == (weight == 0)
    assert value == pytest.approx(
        weight, abs=scene.CODE_ERROR if weight >= scene.STRONG else scene.WEAK_ERROR
    )


def test_a_page_of_the_size_of_a_base_model_holds_a_byte_a_weight():
    scores = np.random.default_rng(0).normal(scale=3, size=(4, 12, 128, 128))
    weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    codes, strong = scene._code(weights.astype(np.float32))
    size = len(gzip.compress(codes.tobytes() + strong.tobytes(), 6))
    assert size / weights.size < 0.8


def test_too_many_weights_are_cut_to_the_strongest_and_it_is_said(monkeypatch):
    trace = example_trace(layers=2, heads=2)
    rows = 2 * 2 * len(trace.tokens())
    monkeypatch.setattr(scene, "MOST_WEIGHTS", rows * 3 * scene.KEPT_COST + 1)
    arrays, meta = unpack(scene_block(trace))
    assert arrays["weight.0"].shape[-1] == meta["calls"][0]["k"] == 3
    by_hand = np.sort(trace.calls[0].weights(), axis=-1)[..., -3:].sum(-1)
    np.testing.assert_allclose(arrays["kept.0"], by_hand, atol=1e-6)
    assert f"{by_hand.mean():.1%} of the attention" in meta["warnings"][0]


def test_whole_rows_may_be_more_than_cut_ones_as_they_store_no_keys(monkeypatch):
    trace = example_trace(layers=2, heads=2)
    weights = sum(call.weights().size for call in trace.calls)
    monkeypatch.setattr(scene, "MOST_WEIGHTS", weights)
    assert unpack(scene_block(trace))[1]["calls"][0]["k"] is None
    monkeypatch.setattr(scene, "MOST_WEIGHTS", weights - 1)
    assert unpack(scene_block(trace))[1]["calls"][0]["k"] == len(trace.tokens()) // 3


def test_cutting_a_sparse_trace_again_counts_its_mass_against_the_whole_row(monkeypatch):
    dense, sparse = example_trace(layers=1, heads=2), example_trace(layers=1, heads=2, k=6)
    monkeypatch.setattr(scene, "MOST_WEIGHTS", 2 * len(dense.tokens()) * 2 * scene.KEPT_COST)
    arrays, _ = unpack(scene_block(sparse))
    by_hand = np.sort(dense.calls[0].weights(), axis=-1)[..., -2:].sum(-1)
    np.testing.assert_allclose(arrays["kept.0"], by_hand, atol=1e-6)


def test_rows_with_nan_are_counted_said_and_weigh_nothing():
    def break_rows(arrays):
        weights, entropy = arrays.weights.copy(), arrays.entropy.copy()
        weights[0, 1, 2:4], entropy[0, 1, 2:4] = np.nan, np.nan
        return dataclasses.replace(arrays, weights=weights, entropy=entropy)

    arrays, meta = unpack(scene_block(with_weights(example_trace(), break_rows)))
    assert meta["calls"][0]["nan_rows"] == 2
    assert meta["calls"][1]["nan_rows"] == 0
    assert np.isfinite(arrays["weight.0"]).all()
    assert (arrays["weight.0"][1, 2:4] == 0).all()
    assert "2 rows hold NaN" in meta["warnings"][0]


def test_padded_rows_do_not_count_as_nan():
    assert unpack(scene_block(example_trace(padding=3), 1))[1]["calls"][0]["nan_rows"] == 0


@pytest.mark.parametrize(
    "token",
    [
        "</script><script>alert(1)</script>",
        "",
        "\0",
        "👩‍👩‍👧",
        "مرحبا",
        "\u202etxet",
        "\u2028",
        "<!--<script>",
    ],
)
def test_any_text_comes_through_as_it_is(token):
    _, meta = unpack(scene_block(example_trace(tokens=(token, "b"))))
    assert meta["sides"][0]["tokens"] == [token, "b"]


def test_a_lone_surrogate_becomes_the_replacement_character():
    _, meta = unpack(scene_block(example_trace(tokens=("a\ud800b", "c"))))
    assert meta["sides"][0]["tokens"][0] == "a\ufffdb"


def test_a_token_of_a_megabyte_is_cut_and_it_is_said():
    _, meta = unpack(scene_block(example_trace(tokens=("x" * 1_000_000, "b"))))
    assert len(meta["sides"][0]["tokens"][0]) == scene.LONGEST_TOKEN
    assert "1,000,000 characters" in meta["warnings"][0]


def test_a_masked_class_with_a_score_of_minus_infinity_is_no_number():
    trace = example_trace()
    scores = trace.outputs.scores.copy()
    scores[0, 2] = -np.inf
    trace = dataclasses.replace(trace, outputs=dataclasses.replace(trace.outputs, scores=scores))
    _, meta = unpack(scene_block(trace))
    assert meta["outputs"]["scores"][2] is None


def test_an_example_that_is_not_there_is_named():
    with pytest.raises(OptionError, match=r"trace has 2 of example \(0 to 1\), so there is no example 2"):
        scene_block(example_trace(), 2)


def test_measures_of_heads_are_those_worked_out_by_hand():
    words, none = ("a", "b"), np.zeros((1, 2), bool)
    weights = np.array([[[[1, 0], [0.25, 0.75]], [[0.5, 0.5], [0.5, 0.5]]]], np.float32)
    norms = np.array([[[2, 4], [1, 3]]], np.float32)
    facts = Facts(none, none, norms, np.ones((1, 4, 2), np.float32))
    rows = gather_rows([(0, weights, np.full((1, 2, 2), 2, np.int32))], weights.shape, None, facts)
    call = AttentionCall("attn", "attn", 0, "self", "sdpa", 0, 0, 0, weights.shape, rows)
    trace = Trace((call,), (Side("tokens", 2, 2, (words,)),), None, (), "M", None)
    entropy, distance, first, contribution = unpack(scene_block(trace))[0]["measures.0"]
    quarter = 0.25 * 2 + 0.75 * np.log2(4 / 3)  # bits of (1/4, 3/4)
    np.testing.assert_allclose(entropy, [quarter / 2, 1], rtol=1e-6)
    np.testing.assert_allclose(distance, [0.25 / 2, 0.5], rtol=1e-6)
    np.testing.assert_allclose(first, [1.25 / 2, 0.5], rtol=1e-6)
    np.testing.assert_allclose(contribution, [(2 + 0.25 * 2 + 0.75 * 4) / 2, 2], rtol=1e-6)


@pytest.mark.parametrize("k", [None, 4])
def test_measures_of_heads_are_means_of_the_exact_statistics_over_real_rows(k):
    trace, dense = (example_trace(k=keep, padding=3, decoder=True) for keep in (k, None))
    arrays, _ = unpack(scene_block(trace, 1))
    for n, call in enumerate(trace.calls):
        found = arrays[f"measures.{n}"]
        np.testing.assert_allclose(found[0], np.nanmean(call.stats.entropy[1], -1), rtol=1e-5)
        np.testing.assert_allclose(found[1], np.nanmean(call.stats.distance[1], -1), rtol=1e-5)
        np.testing.assert_allclose(found[2], np.nanmean(call.stats.first_key[1], -1), rtol=1e-5)
        carried = dense.calls[n].contribution(1).sum(-1)[:, ~call.padded(1)]  # all keys, whatever was kept
        np.testing.assert_allclose(found[3], carried.mean(-1), rtol=1e-5)


def test_the_sink_of_a_left_padded_text_is_its_first_real_token():
    trace = example_trace(layers=1)

    def pad_left(arrays):
        weights, padded = arrays.weights.copy(), arrays.padded_keys.copy()
        weights[..., 0], padded[:, 0] = 0, True
        return dataclasses.replace(arrays, weights=weights, padded_keys=padded, received=weights.sum(2))

    found = unpack(scene_block(with_weights(trace, pad_left)))[0]["measures.0"]
    np.testing.assert_allclose(found[2], trace.calls[0].weights()[..., 1].mean(-1), rtol=1e-5)


def test_measures_that_were_not_captured_are_nan():
    trace = example_trace(layers=1)
    found = unpack(scene_block(with_weights(trace, lambda a: dataclasses.replace(a, value_norms=None))))[0]
    assert np.isnan(found["measures.0"][3]).all()
    assert np.isfinite(found["measures.0"][:3]).all()
