"""Streaming selection and statistics against a full softmax, a stable sort and float64 NumPy."""

import math

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.intercept.rows_by_hand import facts, kept_keys, scores_of, softmax, statistics

from headscape.intercept import compiled_rows, plain_rows, stream
from headscape.intercept.keeping import Keeping
from headscape.intercept.rows import Scores, Written, sample_rows

ROADS = {"plain": plain_rows.take_blocks, "compiled": compiled_rows.take_compiled}
KEEPS = ("all", 1, 3, 16, 40, {"threshold": 0.02}, {"threshold": 0.3}, {"nucleus": 0.5}, {"nucleus": 0.95})
BLOCKS = ((plain_rows, "BLOCK_FLOATS"), (compiled_rows, "SCORE_FLOATS"), (compiled_rows, "TURNED_FLOATS"),
          (compiled_rows, "LIST_ROOM"))  # fmt: skip
DRAWN = settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True, params=[None, 1, 700], ids=["whole", "least", "small"])
def blocks(request, monkeypatch):
    """Cut the work into blocks of several sizes."""
    if request.param is not None:
        for module, name in BLOCKS:
            monkeypatch.setattr(module, name, request.param)
    return request.param


@pytest.fixture(params=ROADS)
def gather(request):
    def run(source, keep, given):
        with torch.no_grad():
            return ROADS[request.param](source, Keeping.of(keep), given)

    return run


def draw_mask(draw, shape, make):
    batch, head, query, key = shape
    kind = draw(st.sampled_from(["none", "bool", "added", "lowest", "half"]))
    if kind == "none":
        return None
    axes = [n if draw(st.booleans()) else 1 for n in (batch, head, query)]
    axes = axes[draw(st.integers(0, 2)) :] if set(axes[:2]) == {1} else axes
    hidden = torch.rand(*axes, key, generator=make) < draw(st.sampled_from([0.1, 0.5, 0.95]))
    if kind == "bool":
        return ~hidden
    dtype = torch.float32 if kind != "half" else draw(st.sampled_from([torch.float16, torch.bfloat16]))
    low = -math.inf if kind != "lowest" else torch.finfo(dtype).min
    added = torch.randn(*axes, key, generator=make).to(dtype)
    return torch.where(hidden, low, added)


@st.composite
def scores(draw):
    make = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    batch, groups, key_heads = (draw(st.integers(1, n)) for n in (2, 3, 2))
    query = draw(st.sampled_from([1, 2, 5, 37, 70]))
    key = draw(st.sampled_from([1, 2, 15, 64, 65, 130, 300]))
    width = draw(st.sampled_from([1, 3, 8]))
    dtype = draw(st.sampled_from([torch.float32, torch.float32, torch.bfloat16, torch.float16]))
    q = torch.randn(batch, query, groups * key_heads, width, generator=make).transpose(1, 2)
    k = torch.randn(batch, key, key_heads, width + 2, generator=make)[..., :width].transpose(1, 2)
    q, k = (q * draw(st.sampled_from([0.1, 1.0, 6.0]))).to(dtype), k.to(dtype)
    causal = draw(st.booleans())
    first = draw(st.sampled_from([0, 0, key - query, 1, -1])) if causal else 0
    mask = draw_mask(draw, (batch, groups * key_heads, query, key), make)
    return Scores(q, k, mask, causal, draw(st.sampled_from([None, 0.5])), first_query=first)


@st.composite
def written(draw):
    make = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    batch, head = draw(st.integers(1, 2)), draw(st.integers(1, 3))
    query, key = draw(st.sampled_from([1, 4, 33])), draw(st.sampled_from([1, 7, 64, 65, 200, 300]))
    weights = torch.rand(batch, head, query, key, generator=make)
    if draw(st.booleans()):  # few values, so that rows are full of ties
        weights = (weights * 4).floor() / 8
    if draw(st.booleans()):
        weights = weights / weights.sum(-1, keepdim=True).clamp_min(0.1) * 0.9
    dtype = draw(
        st.sampled_from([torch.float32, torch.float32, torch.bfloat16, torch.float16, torch.float64])
    )
    layout = draw(st.sampled_from(["plain", "queries first", "keys first", "cut"]))
    if layout == "queries first":
        weights = weights.permute(2, 0, 1, 3).contiguous().permute(1, 2, 0, 3)
    elif layout == "keys first":
        weights = weights.transpose(2, 3).contiguous().transpose(2, 3)
    elif layout == "cut":
        weights = torch.cat([weights, weights], 3)[..., 1 : 1 + key]
    return Written(weights.to(dtype), draw_mask(draw, (batch, head, query, key), make))


def seen_by(source, weights):
    if source.mask is None:
        return np.ones(weights.shape, bool)
    if source.mask.dtype == torch.bool:
        return np.broadcast_to(source.mask.numpy(), weights.shape)
    added = source.mask.double().numpy()
    return ~((added <= -1000) & ((weights == 0) | (added == -np.inf)))


def check_arrays(found, weights, seen, keep, given, atol):
    """Assert that what was gathered is what float64 weights say."""
    for name, expected in statistics(weights, seen, given).items():
        np.testing.assert_allclose(
            getattr(found, name), expected, rtol=2e-5, atol=max(20 * atol, 1e-6), err_msg=name
        )
    weights = np.where(given.padded[:, None, :, None], 0, weights)
    total = weights.sum(-1)
    keeping = Keeping.of(keep)
    if keeping.rule == "all":
        assert found.keys is None
        np.testing.assert_allclose(found.weights, weights, atol=atol)
        np.testing.assert_array_equal(found.kept, total > 0)
        return
    assert found.keys.dtype == np.int32
    assert found.weights.dtype == np.float32
    np.testing.assert_array_equal(found.keys < 0, found.weights == 0)
    for row in np.ndindex(weights.shape[:3]):
        check_list(found.keys[row], found.weights[row], weights[row], keeping, atol)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(total > 0, found.weights.sum(-1) / total, 0)
    np.testing.assert_allclose(found.kept, share, atol=1e-5)


def check_list(keys, listed, row, keeping, atol):
    count = int((keys >= 0).sum())
    assert (keys[count:] == -1).all()
    keys, listed = keys[:count], listed[:count]
    assert len(set(keys.tolist())) == count
    np.testing.assert_allclose(listed, row[keys], atol=atol)
    assert all(
        a > b or (a == b and i < j) for a, b, i, j in zip(listed, listed[1:], keys, keys[1:], strict=False)
    )
    expected = kept_keys(row, keeping)
    if atol == 0:
        np.testing.assert_array_equal(keys, expected)
        return
    # Where weights are alike to rounding, another of them may have been taken, or one more or less.
    shorter = min(count, len(expected))
    np.testing.assert_allclose(listed[:shorter], row[expected[:shorter]], atol=atol)
    rest = [*listed[shorter:], *row[expected[shorter:]]]
    edge = np.float32(keeping.amount) if keeping.rule == "threshold" else 0
    if keeping.rule == "nucleus":
        assert len(rest) <= 1 or max(rest) <= 2 * atol
    else:
        assert all(abs(weight - edge) <= 2 * atol for weight in rest)


@DRAWN
@given(data=st.data())
def test_scores_are_kept_and_measured_as_a_full_softmax_says(gather, data):
    source = data.draw(scores())
    batch, _, query, key = source.shape
    keep = data.draw(st.sampled_from(KEEPS))
    padded = data.draw(st.lists(st.tuples(st.integers(0, batch - 1), st.integers(0, query - 1)), max_size=3))
    positions = None
    if data.draw(st.booleans()):
        positions = [np.arange(n, dtype=np.float32)[None] * step + 3 for n, step in ((query, 2), (key, 1))]
    told = facts(batch, query, key, padded=padded, positions=positions)
    found = gather(source, keep, told)
    values, seen = scores_of(source)
    weights = softmax(values, seen) if source.mask is None or source.mask.dtype == torch.bool else None
    if weights is None:  # an additive mask hides nothing by itself: a row of lowest floats is uniform
        causal = np.arange(key) <= np.arange(query)[:, None] + source.first_query
        seen = np.broadcast_to(causal if source.is_causal else np.ones((query, key), bool), values.shape)
        low = np.finfo(np.float32).min
        values = np.where(np.isfinite(values), np.maximum(values, low).astype(np.float32), values)
        weights = softmax(values, seen)
        seen = seen & seen_by(source, np.where(weights < 1e-40, 0, weights))
        weights = np.where(seen.any(-1, keepdims=True), weights, 0)
    check_arrays(found, weights, seen, keep, told, atol=2e-6)


@DRAWN
@given(source=written(), keep=st.sampled_from(KEEPS), pad=st.booleans())
def test_written_weights_are_kept_bit_for_bit(gather, source, keep, pad):
    batch, _, query, key = source.shape
    told = facts(batch, query, key, padded=[(0, 0)] if pad else ())
    weights = source.weights.float().double().numpy()
    found = gather(source, keep, told)
    check_arrays(found, weights, seen_by(source, weights), keep, told, atol=0)


@pytest.mark.parametrize("keep", ["all", 3, {"threshold": 0.1}, {"nucleus": 0.8}], ids=str)
@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_nan_and_infinity_in_a_row_stay_in_that_row(gather, keep, odd):
    torch.manual_seed(0)
    query, key = torch.randn(1, 2, 9, 4), torch.randn(1, 2, 80, 4)
    query[0, 1, 4, 2] = odd
    found = gather(Scores(query, key), keep, facts(1, 9, 80))
    query[0, 1, 4, 2] = 0
    clean = gather(Scores(query, key), keep, facts(1, 9, 80))
    for name in ("entropy", "distance", "first_key", "largest"):
        expected = getattr(clean, name).copy()
        expected[0, 1, 4] = np.nan
        np.testing.assert_allclose(getattr(found, name), expected, atol=1e-5, err_msg=name)
    assert found.visible[0, 1, 4] == 80
    assert found.kept[0, 1, 4] == 0
    assert np.isnan(found.weights[0, 1, 4]).all() if keep == "all" else (found.keys[0, 1, 4] == -1).all()
    left = clean.received[0, 1] - gather(Scores(query, key), "all", facts(1, 9, 80)).weights[0, 1, 4]
    np.testing.assert_allclose(found.received[0, 1], left, atol=1e-5)


@pytest.mark.parametrize("odd", [math.nan, math.inf])
def test_one_key_that_is_nan_makes_every_row_that_sees_it_nan(gather, odd):
    torch.manual_seed(0)
    query, key = torch.rand(1, 2, 9, 4), torch.randn(1, 2, 80, 4)
    key[0, 1, 70] = odd
    seen = torch.ones(9, 80, dtype=torch.bool)
    seen[4, 70] = False
    for mask in (seen, torch.where(seen, 0.0, -math.inf) if odd != odd else seen):
        found = gather(Scores(query, key, mask), 3, facts(1, 9, 80))
        rows = np.isnan(found.entropy)
        assert not rows[0, 0].any()
        assert rows[0, 1].sum() == (9 if mask.dtype != torch.bool else 8)
        assert (found.keys[rows] == -1).all()
        np.testing.assert_allclose(found.received[0, 1].sum(), (~rows[0, 1]).sum(), atol=1e-5)


@pytest.mark.parametrize("odd", [math.nan, math.inf, -0.5])
@pytest.mark.parametrize("keep", ["all", 2], ids=str)
def test_odd_written_weights_are_told_as_they_are(gather, keep, odd):
    weights = torch.tensor([[[[0.5, odd, 0.25, 0.125], [0.25, 0.25, 0.25, 0.25]]]])
    found = gather(Written(weights), keep, facts(1, 2, 4))
    row = weights.numpy()[0, 0, 0]
    bits = 0.5 + 0.5 + 0.375
    assert found.first_key[0, 0, 0] == 0.5
    expected = {"nan": (np.nan, np.nan), "inf": (np.inf, np.inf), "-0.5": (bits, 0.5)}[str(odd)]
    np.testing.assert_allclose([found.entropy[0, 0, 0], found.largest[0, 0, 0]], expected, rtol=1e-5)
    np.testing.assert_allclose(found.distance[0, 0, 0], (row * np.arange(4)).sum(), rtol=1e-5)
    np.testing.assert_allclose(found.received[0, 0, 1], np.nan_to_num(np.float32(odd)) + 0.25, rtol=1e-6)
    if keep == "all":
        np.testing.assert_array_equal(found.weights[0, 0, 0], row)
    else:
        assert found.keys[0, 0, 0].tolist() == ([1, 0] if odd == math.inf else [0, 2])
    assert found.entropy[0, 0, 1] == 2


def test_a_key_that_no_query_sees_cannot_spoil_a_row_with_nan(gather):
    query, key = torch.randn(1, 1, 6, 4), torch.randn(1, 1, 70, 4)
    key[0, 0, 6:] = math.nan
    for source in (Scores(query, key, is_causal=True), Scores(query, key, torch.arange(70) < 6)):
        found = gather(source, 4, facts(1, 6, 70))
        assert not np.isnan(found.entropy).any()
        np.testing.assert_allclose(found.received.sum(), 6, rtol=1e-6)


def test_a_row_hidden_from_every_key_is_zero_and_its_statistics_are_nan(gather):
    mask = torch.ones(1, 1, 3, 70, dtype=torch.bool)
    mask[0, 0, 1] = False
    added = torch.where(mask, 0.0, -math.inf)
    for given_mask in (mask, added):
        found = gather(
            Scores(torch.randn(1, 2, 3, 4), torch.randn(1, 2, 70, 4), given_mask), 2, facts(1, 3, 70)
        )
        assert (found.visible[0, 0] == [70, 0, 70]).all()
        assert np.isnan(found.entropy[:, :, 1]).all()
        assert (found.keys[:, :, 1] == -1).all()
        np.testing.assert_allclose(found.received.sum(-1), 2, rtol=1e-6)


def test_equal_scores_are_listed_in_order_of_key(gather):
    source = Scores(torch.zeros(1, 1, 5, 4), torch.randn(1, 1, 300, 4))
    found = gather(source, 7, facts(1, 5, 300))
    assert (found.keys == np.arange(7)).all()
    np.testing.assert_allclose(found.weights, 1 / 300, rtol=1e-6)
    np.testing.assert_allclose(found.entropy, np.log2(300), rtol=1e-6)


def test_edges_of_threshold_and_nucleus_are_kept(gather):
    row = torch.tensor([[[[0.5, 0.125, 0.25, 0.125, 0.0]]]])
    assert gather(Written(row), {"threshold": 0.125}, facts(1, 1, 5)).keys.ravel().tolist() == [0, 2, 1, 3]
    assert gather(Written(row), {"threshold": 1.0}, facts(1, 1, 5)).keys.shape[3] == 0
    assert gather(Written(row), {"nucleus": 0.75}, facts(1, 1, 5)).keys.ravel().tolist() == [0, 2]
    assert gather(Written(row), {"nucleus": 0.7500001}, facts(1, 1, 5)).keys.ravel().tolist() == [0, 2, 1]
    assert gather(Written(row), {"nucleus": 1.0}, facts(1, 1, 5)).keys.ravel().tolist() == [0, 2, 1, 3]
    assert gather(Written(row * 0.5), {"nucleus": 0.75}, facts(1, 1, 5)).keys.ravel().tolist() == [0, 2]


@pytest.mark.parametrize("keep", ["all", 4, {"threshold": 0.1}, {"nucleus": 0.8}], ids=str)
def test_a_call_without_examples_or_queries_gives_empty_arrays(gather, keep):
    for batch, query in ((0, 3), (1, 0)):
        source = Scores(torch.randn(batch, 2, query, 4), torch.randn(batch, 2, 5, 4))
        found = gather(source, keep, facts(batch, query, 5))
        assert found.entropy.shape == (batch, 2, query)
        assert found.received.shape == (batch, 2, 5)


def test_statistics_hold_at_eight_thousand_keys(gather, blocks):
    if blocks == 1:
        pytest.skip("thousands of one-row blocks show nothing more")
    torch.manual_seed(1)
    source = Scores(torch.randn(1, 1, 24, 8), torch.randn(1, 1, 8192, 8), is_causal=True, first_query=8168)
    found = gather(source, 16, facts(1, 24, 8192))
    weights = softmax(*scores_of(source))
    check_arrays(found, weights, scores_of(source)[1], 16, facts(1, 24, 8192), atol=2e-7)


def test_plain_values_and_keys_are_those_of_softmax_and_stable_sort_bit_for_bit():
    torch.manual_seed(0)
    query, key = torch.randn(2, 3, 50, 8), torch.randn(2, 3, 90, 8)
    weights = torch.softmax(torch.matmul(query * 0.5, key.transpose(2, 3)), -1)
    top, keys = weights.sort(dim=-1, descending=True, stable=True)
    found = plain_rows.take_blocks(Scores(query, key, scale=0.5), Keeping.of(9), facts(2, 50, 90))
    same = torch.equal(weights, sample_rows(Scores(query, key, scale=0.5), torch.arange(50)))
    assert same
    np.testing.assert_allclose(found.weights, top[..., :9].numpy(), rtol=1e-6)
    np.testing.assert_array_equal(found.keys, keys[..., :9].numpy())


def test_sampled_rows_are_rows_of_the_full_softmax_whatever_the_source():
    torch.manual_seed(0)
    query, key = torch.randn(1, 4, 20, 8), torch.randn(1, 2, 30, 8)
    rows = torch.tensor([0, 7, 19])
    mask = torch.randn(20, 30)

    def bend(block, first):
        places = torch.arange(first, first + block.shape[2])[:, None] - torch.arange(block.shape[3])
        return block.tanh() - 0.1 * places.abs()

    for more in ({"is_causal": True, "first_query": 5}, {"mask": mask}, {"rescore": bend}):
        source = Scores(query, key, **more)
        values, seen = scores_of(source)
        np.testing.assert_allclose(
            sample_rows(source, rows), softmax(values, seen)[:, :, [0, 7, 19]], atol=1e-6
        )
    weights = torch.rand(1, 2, 20, 5)
    assert torch.equal(sample_rows(Written(weights), rows), weights[:, :, rows])


def test_changed_scores_take_plain_torch_and_are_right(monkeypatch):
    monkeypatch.setattr(stream, "COMPILED_FROM", 1)
    monkeypatch.setattr(compiled_rows, "take_compiled", None)
    source = Scores(torch.randn(1, 2, 8, 4), torch.randn(1, 2, 8, 4), is_causal=True,
                    rescore=lambda block, first: block.tanh() * 3)  # fmt: skip
    found = stream.gather(source, Keeping.of("all"), facts(1, 8, 8))
    np.testing.assert_allclose(found.weights, softmax(*scores_of(source)), atol=1e-6)
