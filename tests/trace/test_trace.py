"""A trace answers for its examples, survives the disk, and needs no torch."""

import contextlib
import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import headscape
from headscape.errors import FileError, FormatError, LabelError, NotKeptError, OptionError, ShapeError
from headscape.trace.block import pack, unpack
from headscape.trace.call import AttentionCall, CallArrays
from headscape.trace.file import from_bytes, to_bytes
from headscape.trace.listing import select_top
from headscape.trace.measure import Facts, gather_rows, keep_top, row_bits
from headscape.trace.outputs import share_text
from headscape.trace.sides import label_side, picture_patches, square_grid
from headscape.trace.stats import TokenFlow
from headscape.trace.synthetic import example_trace


def facts(batch=1, query=3, key=3, padded=()):
    hidden = np.zeros((batch, query), bool)
    hidden[:, list(padded)] = True
    return Facts(hidden, np.zeros((batch, key), bool), None, np.full((batch, 4, query), np.nan, np.float32))


def rows(*values):
    return np.array([[values]], np.float32)


def test_statistics_worked_out_by_hand():
    weights = rows([1, 0, 0, 0], [0.5, 0.5, 0, 0], [0.25, 0.25, 0.25, 0.25])
    arrays = gather_rows([(0, weights, np.full((1, 1, 3), 4))], (1, 1, 3, 4), None, facts(key=4))
    np.testing.assert_allclose(arrays.entropy[0, 0], [0, 1, 2], atol=1e-6)
    np.testing.assert_allclose(arrays.distance[0, 0], [0, 0.5, (2 + 1 + 0 + 1) / 4])
    np.testing.assert_allclose(arrays.first_key[0, 0], [1, 0.5, 0.25])
    np.testing.assert_allclose(arrays.largest[0, 0], [1, 0.5, 0.25])
    np.testing.assert_allclose(arrays.received[0, 0], [1.75, 0.75, 0.25, 0.25])
    np.testing.assert_allclose(arrays.kept[0, 0], 1)


def test_padded_rows_are_zero_and_their_statistics_nan():
    weights = rows([1, 0, 0], [0, 1, 0], [0, 0.5, 0.5])
    arrays = gather_rows([(0, weights, np.full((1, 1, 3), 3))], (1, 1, 3, 3), None, facts(padded=[2]))
    assert (arrays.weights[0, 0, 2] == 0).all()
    assert (arrays.kept[0, 0, 2], arrays.visible[0, 0, 2]) == (0, 0)
    assert np.isnan([arrays.entropy[0, 0, 2], arrays.distance[0, 0, 2], arrays.largest[0, 0, 2]]).all()
    np.testing.assert_allclose(arrays.received[0, 0], [1, 1, 0])


@given(st.integers(1, 9), st.integers(1, 12), st.integers(0, 2**32 - 1), st.booleans())
def test_top_k_equals_sorting_the_whole_row(key, k, seed, ties):
    rng = np.random.default_rng(seed)
    weights = rng.dirichlet(np.ones(key), size=(2, 3)).astype(np.float32)
    if ties:
        weights = np.round(weights, 1)
    keys, top = select_top(weights, k)
    for head in range(2):
        for query in range(3):
            row = weights[head, query]
            expected = sorted((-w, j) for j, w in enumerate(row) if w > 0)[:k]
            found = [(-w, j) for j, w in zip(keys[head, query], top[head, query], strict=True) if j >= 0]
            assert found == expected


@given(st.integers(0, 2**32 - 1), st.integers(1, 5))
def test_top_k_of_long_rows_has_the_largest_weights(seed, k):
    weights = np.random.default_rng(seed).dirichlet(np.full(40, 0.2), size=4).astype(np.float32)
    keys, top = select_top(weights, k)
    np.testing.assert_array_equal(top, -np.sort(-weights, axis=-1)[:, :k])
    np.testing.assert_array_equal(np.take_along_axis(weights, keys, -1), top)


def test_keeping_fewer_later_equals_keeping_fewer_at_once():
    whole, cut = example_trace(seed=4, padding=3), example_trace(seed=4, padding=3, k=4)
    for a, b in zip(whole.calls, cut.calls, strict=True):
        for name, array in keep_top(a.arrays, 4).present().items():
            np.testing.assert_allclose(array, b.arrays.present()[name], atol=1e-6, err_msg=name)


def test_entropy_is_nan_for_nan_and_zero_for_empty_rows():
    bits = row_bits(np.array([[np.nan, 0.5], [0, 0], [0.5, 0.5]], np.float32))
    np.testing.assert_allclose(bits, [np.nan, 0, 1])


def test_flow_shares_are_parts_of_what_meets():
    flow = TokenFlow(*np.array([[3.0], [1.0], [2.0], [6.0]], np.float32))
    assert flow.attention_share.item() == 0.25
    assert flow.feed_forward_share.item() == 0.75


def test_contribution_is_weight_times_value_norm():
    call = example_trace(k=3).calls[0]
    keys, weights = call.top(1)
    expected = weights * call.value_norms(1)[np.arange(2)[:, None, None], keys]
    np.testing.assert_allclose(call.contribution(1), expected)
    dense = example_trace().calls[0]
    np.testing.assert_allclose(dense.contribution(1), dense.weights(1) * dense.value_norms(1)[:, None])


def test_representations_are_short():
    trace = example_trace(decoder=True)
    for thing in (trace, trace.outputs, trace.calls[0], trace.calls[0].arrays):
        assert len(repr(thing)) < 600
    assert "7 attention calls, 2 examples, source of 16, target of 5" in repr(trace)


def test_shares_are_rounded_but_never_to_all_or_nothing():
    shares = {
        0: "0 %",
        1e-9: "< 1 %",
        0.0099: "< 1 %",
        0.01: "1 %",
        0.96: "96 %",
        0.9901: "> 99 %",
        1: "100 %",
    }
    assert {share: share_text(share) for share in shares} == shares


@pytest.mark.parametrize("example", [2, -3, 99])
def test_example_that_does_not_exist_is_answered_with_how_many_there_are(example):
    trace = example_trace()
    for ask in (
        trace.tokens,
        trace.calls[0].weights,
        trace.calls[0].top,
        trace.calls[0].flow,
        trace.outputs.names,
    ):
        with pytest.raises(OptionError, match="2 of"):
            ask(example)


def test_negative_example_counts_from_the_end():
    trace = example_trace()
    np.testing.assert_array_equal(trace.calls[0].weights(-1), trace.calls[0].weights(1))


def test_top_refuses_no_keys_and_more_than_were_kept():
    with pytest.raises(OptionError, match="at least 1"):
        example_trace().calls[0].top(k=0)
    with pytest.raises(NotKeptError, match="kept 4 keys"):
        example_trace(k=4).calls[0].top(k=5)


def test_labels_fit_tokens_or_real_tokens_or_are_refused():
    padded = np.array([[False, False, True], [False, False, False]])
    assert label_side(["a", "b", "c"], padded) == (("a", "b", "c"),) * 2
    assert label_side([["a", "b"], ["a", "b", "c"]], padded)[0] == ("a", "b", "")
    assert label_side([[1, 2, 3]] * 2, padded)[0] == ("1", "2", "3")
    with pytest.raises(LabelError, match=r"text\.split"):
        label_side("abc", padded)


def test_pictures_take_grey_and_colour_integers_and_floats():
    grey = picture_patches(np.full((1, 4, 2, 2), 0.5), batch=1, length=5)
    assert grey.shape == (1, 4, 2, 2, 3)
    assert np.unique(grey).tolist() == [128]
    colour = np.arange(12, dtype=np.uint8).reshape(1, 1, 2, 2, 3)
    np.testing.assert_array_equal(picture_patches(colour, batch=1, length=1), colour)
    with pytest.raises(ShapeError, match=r"patches has shape \(2, 2\)"):
        picture_patches(np.zeros((2, 2)), batch=1, length=1)
    assert [square_grid(n) for n in (0, 1, 16, 17)] == [None, (1, 1), (4, 4), None]


@pytest.mark.parametrize("options", [{}, {"k": 3}, {"decoder": True, "padding": 2}])
def test_saved_trace_is_the_same_when_loaded(options, tmp_path):
    trace = example_trace(**options)
    assert trace.save(tmp_path / "x.headscape") == tmp_path / "x.headscape"
    loaded = headscape.load(tmp_path / "x.headscape")
    assert [side.labels for side in loaded.sides] == [side.labels for side in trace.sides]
    for a, b in zip(trace.calls, loaded.calls, strict=True):
        assert (a.site, a.shape, a.kind, a.plane, a.k) == (b.site, b.shape, b.kind, b.plane, b.k)
        for name, array in a.arrays.present().items():
            np.testing.assert_array_equal(array, b.arrays.present()[name])
    np.testing.assert_array_equal(trace.outputs.contributions, loaded.outputs.contributions)
    assert [path.name for path in tmp_path.iterdir()] == ["x.headscape"]
    (tmp_path / "other").touch()
    assert (tmp_path / "x.headscape").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_loading_needs_no_torch_and_no_matplotlib(tmp_path):
    example_trace().save(tmp_path / "x.headscape")
    code = (
        "import sys\n"
        "for name in ('torch', 'matplotlib', 'networkx', 'IPython'): sys.modules[name] = None\n"
        f"import headscape; trace = headscape.load({str(tmp_path / 'x.headscape')!r})\n"
        "print(trace.calls[0].weights().shape, trace.tokens()[:2])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(2, 16, 16) ['the', 'crew']"


def test_path_that_cannot_be_written_or_read_is_named_and_the_trace_stays(tmp_path):
    trace = example_trace()
    with pytest.raises(FileError, match=r"no[/\\]folder.*still in memory"):
        trace.save(tmp_path / "no" / "folder" / "x.headscape")
    with pytest.raises(FileError, match=r"NUL|null"):
        trace.save(tmp_path / "a\0b")
    with pytest.raises(FileError, match=r"missing\.headscape could not be read"):
        headscape.load(tmp_path / "missing.headscape")
    (tmp_path / "text.headscape").write_text("hello, this is no trace")
    with pytest.raises(FormatError, match=r"text\.headscape is not a headscape trace"):
        headscape.load(tmp_path / "text.headscape")


def damaged(change):
    arrays, meta = unpack(to_bytes(example_trace(k=3)))
    arrays = dict(arrays)
    change(arrays, meta)
    return pack(arrays, meta)


def set_array(name, change):
    return lambda arrays, _: arrays.update({name: change(arrays[name])})


DAMAGE = {
    "other kind": (lambda a, m: m.update(kind="scene"), "holds a 'scene'"),
    "newer format": (lambda a, m: m.update(format=99), "format 99.*Update"),
    "array gone": (lambda a, m: a.pop("call.0.visible"), "no array 'visible'"),
    "array of another shape": (set_array("call.1.kept", lambda a: a[:1]), "call 1 has kept"),
    "array of another dtype": (set_array("call.0.kept", lambda a: a.astype(np.float64)), "float64"),
    "key past the end": (set_array("call.0.keys", lambda a: a + 99), "outside 0 to 15"),
    "side that is not there": (lambda a, m: m["calls"][0].update(query_side=7), "does not fit"),
    "labels of another length": (lambda a, m: m["sides"][0].update(labels=[["a"]]), "another number"),
    "description of the wrong form": (lambda a, m: m.update(calls="all of them"), "does not fit"),
    "answers of another shape": (set_array("outputs.contributions", lambda a: a[:, :1]), "contributions"),
    "class without a name": (lambda a, m: m["outputs"].update(class_names=["one"]), "no name"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGE)
def test_damaged_trace_is_refused_with_what_is_wrong(name):
    change, message = DAMAGE[name]
    with pytest.raises(FormatError, match=message):
        from_bytes(damaged(change))


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_description_is_a_trace_or_a_format_error(data):
    arrays, meta = unpack(to_bytes(example_trace(layers=1)))
    junk = st.recursive(
        st.none() | st.integers() | st.text(max_size=3) | st.booleans(), st.lists, max_leaves=3
    )
    holder = data.draw(st.sampled_from([meta, meta["calls"][0], meta["sides"][0], meta["outputs"]]))
    holder[data.draw(st.sampled_from(sorted(holder)))] = data.draw(junk)
    with contextlib.suppress(FormatError):
        from_bytes(pack(arrays, json.loads(json.dumps(meta))))


def test_lists_that_a_threshold_cut_are_not_the_whole_matrix():
    weights = np.array([[[[0.25, 0.25, 0.25, 0.25], [0.9, 0.05, 0.03, 0.02]]]], np.float32)
    keys = np.where(weights > 0.1, np.arange(4, dtype=np.int32), -1)
    kept = np.array([[[1, 0.9]]], np.float32)
    rows = {name: np.zeros((1, 1, 2), np.float32) for name in ("entropy", "distance", "first_key", "largest")}
    arrays = CallArrays(
        weights=np.where(keys < 0, 0, weights), keys=keys, kept=kept, visible=np.full((1, 1, 2), 4, np.int32),
        padded=np.zeros((1, 2), bool), padded_keys=np.zeros((1, 4), bool), value_norms=None,
        flow=np.zeros((1, 4, 2), np.float32), received=np.zeros((1, 1, 4), np.float32), **rows,
    )  # fmt: skip
    call = AttentionCall("a", "a", 0, "self", "sdpa", 0, 0, 0, (1, 1, 2, 4), arrays)
    assert not call.is_whole
    with pytest.raises(NotKeptError, match="kept the top 4"):
        call.weights()


@pytest.mark.parametrize("known", [True, False])
def test_gradients_stay_with_their_weights_when_rows_are_cut(known):
    weights = np.array([[[[0.1, 0.6, 0.3], [1, 0, 0]]]], np.float32)
    whole = gather_rows([(0, weights, np.full((1, 1, 2), 3, np.int32))], (1, 1, 2, 3), None, facts(query=2))
    gradient = np.array([[[[7, 8, 9], [5, 4, 3]]]], np.float32) if known else np.full_like(weights, np.nan)
    cut = keep_top(replace(whole, gradient=gradient), 2)
    np.testing.assert_array_equal(cut.keys, [[[[1, 2], [0, -1]]]])
    expected = [[[[8, 9], [5, 0]]]] if known else np.full((1, 1, 2, 2), np.nan)
    np.testing.assert_array_equal(cut.gradient, expected)


@pytest.mark.parametrize("keep", [None, 3])
def test_one_weight_is_the_matrix_s_or_nan_where_it_was_not_kept(keep):
    trace, whole = example_trace(k=keep), example_trace()
    call, full = trace.calls[1], whole.calls[1]
    seen = np.array([[call.weight(-1, q, k, 1) for k in range(call.shape[3])] for q in range(call.shape[2])])
    kept = ~np.isnan(seen)
    np.testing.assert_array_equal(seen[kept], full.weights(1)[-1][kept])
    assert kept.all() == (keep is None)
    mean = call.weight(None, 3, int(np.argmax(full.weights(1).mean(0)[3])), 1)
    if keep is None:
        np.testing.assert_allclose(mean, full.weights(1).mean(0)[3].max(), rtol=1e-6)
    with pytest.raises(OptionError):
        call.weight(99, 0, 0)
