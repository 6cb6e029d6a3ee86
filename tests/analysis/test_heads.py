"""What heads attend to: planted matrices whose statistics are known by hand."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
from tests.analysis.planted import looking_at, planted_call, planted_trace, uniform

from headscape.analysis.heads import BY_BOTH, BY_WEIGHT, measure_heads
from headscape.analysis.sight import sight_of
from headscape.errors import NoAttentionError, OptionError, ShapeError
from headscape.trace.call import CallArrays
from headscape.trace.sides import Side
from headscape.trace.synthetic import example_trace
from headscape.trace.trace import Trace

S = 8
WORDS = ["[CLS]", "a", "b", ",", "a", "b", ".", "[SEP]"]


def planted(**options):
    heads = [looking_at(-1, S), looking_at(0, S), looking_at(1, S), uniform(S)[0, 0], np.eye(S)[[0] * S]]
    return planted_trace(np.stack(heads)[None], tokens=WORDS, **options)


def test_planted_heads_score_exactly_one():
    stats = measure_heads(planted())
    assert (
        stats["previous"][0, 0] == stats["same"][0, 1] == stats["next"][0, 2] == stats["first"][0, 4] == 1.0
    )
    assert stats["special"][0, 4] == 1.0
    assert stats["separator"][0, 4] == 0.0
    assert stats["entropy"][0, 4] == 0.0
    assert stats.rows["previous"][0, 0] == stats.rows["next"][0, 0] == S - 1
    assert stats.rows["same"][0, 0] == stats.texts[0] * S == S
    assert stats.missing == ()


def test_uniform_attention_scores_what_chance_gives():
    stats = measure_heads(planted())
    for name in (
        "previous",
        "same",
        "next",
        "near",
        "first",
        "special",
        "separator",
        "punctuation",
        *BY_BOTH,
    ):
        assert stats[name][0, 3] == pytest.approx(stats.chances[name][0, 3], rel=1e-6), name
        assert stats.lift(name)[0, 3] == pytest.approx(0, abs=1e-6), name
    assert stats["previous"][0, 3] == pytest.approx(1 / S)
    assert stats["special"][0, 3] == pytest.approx(2 / S)
    assert stats["entropy"][0, 3] == pytest.approx(3)
    assert stats["entropy_nats"][0, 3] == pytest.approx(np.log(8))
    assert stats["evenness"][0, 3] == pytest.approx(1)
    assert stats["distance"][0, 3] == pytest.approx((S - 1 / S) / 3)
    assert stats.chances["distance"][0, 0] == pytest.approx((S - 1 / S) / 3)
    inside = [min(row, 3) + 1 + min(S - 1 - row, 3) for row in range(S)]
    assert stats["near"][0, 3] == pytest.approx(np.mean(inside) / S)


def test_copies_and_the_keys_behind_them_are_counted_by_hand():
    weights = uniform(S)
    weights[0, 0, 1] = np.eye(S)[4]  # "a" to the other "a"
    weights[0, 0, 5] = 0.5 * np.eye(S)[2] + 0.5 * np.eye(S)[3]  # "b" to the other "b" and behind it
    stats = measure_heads(planted_trace(weights, tokens=WORDS))
    # rows with a copy: 1, 2, 4, 5, each with one; behind them stand 5, 6, 2, 3
    assert stats["duplicate"].item() == pytest.approx((1 + 1 / 8 + 1 / 8 + 0.5) / 4)
    assert stats["induction"].item() == pytest.approx((0 + 1 / 8 + 1 / 8 + 0.5) / 4)
    assert stats.rows["duplicate"].item() == 4
    causal = measure_heads(planted_trace(uniform(S, causal=True), tokens=WORDS, mask="causal"))
    assert causal.rows["duplicate"].item() == 2  # later copies are hidden
    assert causal["duplicate"].item() == pytest.approx((1 / 5 + 1 / 6) / 2)


def test_rows_with_one_visible_key_count_for_nothing():
    causal = np.stack([uniform(S, causal=True)[0, 0], looking_at(-1, S, causal=True)])[None]
    stats = measure_heads(planted_trace(causal, tokens=WORDS, mask="causal"))
    assert stats.rows["first"][0].tolist() == [S - 1, S - 1]
    assert stats["first"][0, 0] == pytest.approx(np.mean([1 / n for n in range(2, S + 1)]))
    assert stats["entropy"][0, 0] == pytest.approx(np.mean(np.log2(range(2, S + 1))))
    assert stats["previous"][0].tolist() == pytest.approx(
        [np.mean([1 / n for n in range(2, S + 1)]), 1.0], rel=1e-6
    )
    assert np.isnan(stats["next"]).all()  # no row may see it
    assert np.isnan(stats["first_entropy"]).all()


@pytest.mark.parametrize("before", [True, False])
def test_padding_on_either_side_changes_nothing(before):
    real = np.random.default_rng(1).dirichlet(np.ones(S), size=(1, 3, S))
    alone = measure_heads(planted_trace(real, tokens=WORDS))
    pad = (3, 0) if before else (0, 3)
    wide = np.pad(real, ((0, 0), (0, 0), pad, pad))
    padded = np.pad(np.zeros((1, S), bool), ((0, 0), pad), constant_values=True)
    words = ["[PAD]"] * pad[0] + WORDS + ["[PAD]"] * pad[1]
    found = measure_heads(planted_trace(wide, tokens=words, padded=padded))
    for name in alone.values:
        np.testing.assert_allclose(found[name], alone[name], rtol=1e-5, err_msg=name)
        np.testing.assert_allclose(found.chances[name], alone.chances[name], rtol=1e-5, err_msg=name)
        np.testing.assert_array_equal(found.rows[name], alone.rows[name], err_msg=name)


def test_many_texts_are_the_mean_over_their_rows():
    rng = np.random.default_rng(2)
    short, long = (rng.dirichlet(np.ones(n), size=(1, 2, n)) for n in (5, 9))
    both = measure_heads(iter([planted_trace(short), planted_trace(long)]))
    parts = [measure_heads(planted_trace(one)) for one in (short, long)]
    for name in ("entropy", "previous", "first", "near"):
        rows = [one.rows[name] for one in parts]
        wanted = (parts[0][name] * rows[0] + parts[1][name] * rows[1]) / (rows[0] + rows[1])
        np.testing.assert_allclose(both[name], wanted, rtol=1e-6)
    assert both.texts.tolist() == [2]


def test_lists_of_keys_give_what_is_exact_and_say_what_they_lack():
    whole, lists = (measure_heads(example_trace(padding=3, k=k)) for k in (None, 4))
    for name in whole.values:
        if name in (*BY_WEIGHT, *BY_BOTH):
            assert np.isnan(lists[name]).all(), name
        else:
            np.testing.assert_allclose(lists[name], whole[name], rtol=1e-5, err_msg=name)
    (sentence,) = lists.missing
    assert "previous, same, next, near, duplicate, induction need every weight" in sentence
    assert 'keep="all"' in sentence
    assert whole.missing == ()


def test_lists_that_leave_no_key_out_are_as_good_as_the_matrix():
    whole, lists = (measure_heads(example_trace(k=k)) for k in (None, 16))
    for name in whole.values:
        np.testing.assert_allclose(lists[name], whole[name], rtol=1e-5, err_msg=name)


def test_cross_attention_has_no_previous_token_but_a_first_one():
    rng = np.random.default_rng(3)
    cross = planted_call(rng.dirichlet(np.ones(6), size=(1, 2, 4)), sides=(1, 0))
    sides = (Side("source", 6, 1, (("[CLS]", "a", "b", ".", "c", "</s>"),)), Side("target", 4, 2))
    stats = measure_heads(Trace((cross,), sides))
    for name in ("distance", *BY_WEIGHT, *BY_BOTH):
        assert np.isnan(stats[name]).all(), name
    assert stats["first"][0] == pytest.approx(cross.weights()[:, :, 0].mean(-1), rel=1e-6)
    assert stats["special"][0] == pytest.approx(cross.weights()[:, :, [0, 5]].sum(-1).mean(-1), rel=1e-6)
    assert "different sides" in stats.missing[0]


def test_cached_keys_put_the_last_query_on_the_last_key():
    weights = np.zeros((1, 2, 2, 5))
    weights[0, 0, 0, 2] = weights[0, 0, 1, 3] = 1  # queries stand on keys 3 and 4
    weights[0, 1, :, 1] = 1
    side = Side("tokens", 5, 2, (("a", "b", "c", "d", "b"),))
    stats = measure_heads(Trace((planted_call(weights, mask="causal"),), (side,)))
    assert stats["previous"][0].tolist() == [1, 0]
    assert stats.chances["previous"][0, 0] == pytest.approx((1 / 4 + 1 / 5) / 2)
    assert stats.rows["duplicate"][0].tolist() == [1, 1]  # the last "b"
    assert stats["duplicate"][0].tolist() == [0, 1]


def test_one_token_gives_nan_and_no_number():
    stats = measure_heads(planted_trace(np.ones((1, 2, 1, 1)), tokens=["a"]))
    for name in stats.values:
        assert np.isnan(stats[name]).all(), name


def test_ragged_layers_are_nan_behind_their_last_head():
    stats = measure_heads(planted_trace(uniform(S, heads=3), uniform(S, heads=1)))
    assert stats["first"].shape == (2, 3)
    assert np.isnan(stats["first"]).tolist() == [[False] * 3, [False, True, True]]
    assert stats.heads == (3, 1)


def test_calls_of_one_trace_may_see_differently():
    trace = planted_trace(uniform(S), tokens=WORDS)
    causal = planted_call(uniform(S, causal=True), mask="causal", layer=1)
    stats = measure_heads(Trace((*trace.calls, causal), trace.sides))
    for name in ("previous", "first", "distance"):
        assert stats[name][:, 0] == pytest.approx(stats.chances[name][:, 0], rel=1e-5), name
    assert np.isnan(stats["next"][:, 0]).tolist() == [False, True]


def test_windows_are_judged_against_what_they_may_see():
    window = np.tril(np.ones((S, S), bool)) & ~np.tril(np.ones((S, S), bool), -3)  # itself and two before
    weights = (window / window.sum(-1, keepdims=True))[None, None]
    stats = measure_heads(planted_trace(weights, mask=window))
    assert stats["previous"].item() == pytest.approx((1 / 2 + 6 / 3) / 7)
    assert stats.lift("previous").item() == pytest.approx(0, abs=1e-6)
    assert np.isnan(stats.lift("near").item())  # all that is visible is near: nothing to say
    assert stats.rows["first"].item() == 2  # only two rows that choose may see it


def test_smoothing_is_that_of_the_matrix():
    weights = np.random.default_rng(4).dirichlet(np.full(S, 0.2), size=(1, 2, S))
    stats = measure_heads(planted_trace(weights), smoothing=1e-2)
    p = 0.99 * weights + 0.01 / S
    assert stats["entropy_nats"][0] == pytest.approx(-(p * np.log(p)).sum(-1).mean((0, 2)), rel=1e-5)
    lists = measure_heads(planted_trace(weights, k=2), smoothing=1e-2)
    assert np.isnan(lists["entropy"]).all()
    assert any("smoothed entropy" in sentence for sentence in lists.missing)


def test_own_words_are_measured_and_may_not_hide_a_measure():
    stats = measure_heads(planted(), words={"stops": {".", ","}})
    assert stats["stops"][0, 3] == pytest.approx(2 / S)
    with pytest.raises(OptionError, match="previous"):
        measure_heads(planted(), words={"previous": {"a"}})


def test_rows_the_model_made_nan_are_left_out():
    weights = uniform(S, heads=2)
    weights[0, 1, 3] = np.nan
    stats = measure_heads(planted_trace(weights, tokens=WORDS))
    assert stats.rows["first"][0].tolist() == [S, S - 1]
    for name in ("previous", "first", "near", "duplicate", "entropy"):
        assert stats[name][0, 1] == pytest.approx(stats.chances[name][0, 1], rel=1e-6), name


@pytest.mark.parametrize("k", [None, 3])
def test_rows_that_do_not_sum_to_one_are_named(k):
    weights = uniform(S, heads=2)
    weights[0, 1, 3] *= 0.5
    with pytest.raises(ShapeError, match=r"layers\.0, example 0, head 1.*not 1"):
        measure_heads(planted_trace(weights, k=k))


def test_bad_calls_are_answered():
    with pytest.raises(NoAttentionError, match="no attention call"):
        measure_heads([])
    with pytest.raises(OptionError, match="smoothing=1"):
        measure_heads(planted(), smoothing=1)
    with pytest.raises(ShapeError, match=r"2 heads here and 1 in an earlier trace"):
        measure_heads([planted_trace(uniform(4)), planted_trace(uniform(4, heads=2))])
    with pytest.raises(OptionError, match="Did you mean 'previous'"):
        measure_heads(planted())["previuos"]


@pytest.mark.parametrize("kind", ["all", "causal"])
@pytest.mark.parametrize("cached", [0, 2])
def test_what_rows_may_see_is_counted_as_a_mask_counts(kind, cached):
    rng = np.random.default_rng(5)
    padded = np.array([[False] * S, [True] * 2 + [False] * (S - 2)])
    seen = np.tril(np.ones((S, S), bool)) if kind == "causal" else np.ones((S, S), bool)
    seen = (seen & ~padded[:, None] & ~padded[:, :, None])[:, None, cached:]
    weights = seen / np.maximum(seen.sum(-1, keepdims=True), 1)
    options = {"padded": padded[:, cached:], "padded_keys": padded}
    sight = sight_of(planted_call(weights, mask=kind, **options))
    assert sight.kind == kind
    np.testing.assert_array_equal(sight.mask, seen)
    classes = rng.integers(0, 2, (2, S, 3)).astype("f4")
    rows = seen.any(-1) & (rng.random(seen.shape[:3]) < 0.7)
    counted = np.where(seen.any(-1, keepdims=True), sight.count(classes), 0)
    np.testing.assert_array_equal(counted, np.matmul(seen.astype("f4"), classes[:, None]))
    np.testing.assert_array_equal(sight.seen_by(rows), (seen & rows[..., None]).sum(2))
    gaps = np.abs(np.arange(cached, S)[:, None] - np.arange(S))
    np.testing.assert_allclose(np.where(seen.any(-1), sight.gaps, 0), (weights * gaps).sum(-1), rtol=1e-6)


def test_long_texts_kept_as_lists_need_no_matrix():
    length, ones = 20_000, np.ones((1, 1, 20_000), np.float32)
    seen = np.arange(1, length + 1, dtype=np.int32)[None, None]
    keys = np.stack([np.maximum(seen - 2, 0), np.where(seen > 1, 0, -1)], -1).astype(np.int32)
    weights = np.stack([ones * 0.75, ones * 0.25], -1)
    received = np.bincount(keys[..., 0].ravel(), np.where(seen > 1, 0.75, 1).ravel(), length)
    received[0] += 0.25 * (length - 1)
    none = np.zeros((1, length), bool)
    arrays = CallArrays(
        weights, keys, ones, seen, none, none, None, np.zeros((1, 4, length), np.float32),
        ones, ones, ones, ones, received[None, None].astype(np.float32),
    )  # fmt: skip
    call = replace(planted_call(uniform(2)), shape=(1, 1, length, length), arrays=arrays)
    tokens = ["<s>", *["a", "."] * (length // 2 - 1), "a"]
    tracemalloc.start()
    stats = measure_heads(Trace((call,), (Side("tokens", length, 2, (tuple(tokens),)),)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 200e6  # a matrix of bytes would be 400
    assert stats["special"].item() == pytest.approx(0.25 + 0.75 / (length - 1), rel=1e-4)
    assert stats.chances["first"].item() == pytest.approx(np.mean(1 / np.arange(2, length + 1)), rel=1e-4)
