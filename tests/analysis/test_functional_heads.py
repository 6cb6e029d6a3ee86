"""Heads as nodes: alike is 1, looking elsewhere is 0, and what cannot be compared is a sentence."""

import numpy as np
import pytest

from headscape.analysis.functional_heads import compare_heads, name_heads
from headscape.errors import NotKeptError, OptionError, ShapeError
from headscape.trace.by_hand import trace_of


def random_maps(*shape, seed=0):
    return np.random.default_rng(seed).dirichlet(np.ones(shape[-1]), size=shape[:-1])


def test_divergence_of_two_rows_by_hand():
    # p = (1, 0), q = (1/2, 1/2): m = (3/4, 1/4); JS = (log2(4/3) + (log2(2/3) + log2 2) / 2) / 2
    js = (np.log2(4 / 3) + (np.log2(2 / 3) + np.log2(2)) / 2) / 2
    maps = np.array([[[1, 0], [1, 0]], [[0.5, 0.5], [0.5, 0.5]]])
    np.testing.assert_allclose(
        compare_heads(trace_of(maps)), [[1, 1 - np.sqrt(js)], [1 - np.sqrt(js), 1]], atol=1e-7
    )


def test_divergence_is_scipys():
    distance = pytest.importorskip("scipy.spatial.distance")
    maps = random_maps(2, 3, 5, 5)  # batch, head, query, key
    found = compare_heads(trace_of(maps))
    for a in range(3):
        for b in range(3):
            js = np.mean(distance.jensenshannon(maps[:, a], maps[:, b], axis=-1, base=2) ** 2)
            assert found[a, b] == pytest.approx(1 - np.sqrt(js), abs=1e-6)


def test_layers_with_other_numbers_of_heads_share_one_graph():
    trace = trace_of(random_maps(2, 4, 4), random_maps(3, 4, 4, seed=1))
    found = compare_heads(trace)
    assert found.shape == (5, 5)
    assert name_heads(trace) == [(0, 0), (0, 1), (1, 0), (1, 1), (1, 2)]
    assert (found == found.T).all()
    assert (np.diag(found) == 1).all()
    alone = compare_heads(trace_of(random_maps(3, 4, 4, seed=1)))
    np.testing.assert_allclose(found[2:, 2:], alone)


def test_padded_queries_do_not_count():
    maps = random_maps(2, 2, 4, 4)
    maps[1, 0, 3], maps[1, 1, 3] = [1, 0, 0, 0], [0, 1, 0, 0]  # would be as far apart as can be
    whole = compare_heads(trace_of(maps))
    padded = compare_heads(trace_of(maps, padded=[[0, 0, 0, 0], [0, 0, 0, 1]]))
    assert padded[0, 1] > whole[0, 1]


def test_examples_can_be_chosen():
    maps = random_maps(3, 2, 4, 4)
    one = compare_heads(trace_of(maps[1]))
    np.testing.assert_allclose(compare_heads(trace_of(maps), examples=[1]), one)


def test_correlation_leaves_hidden_keys_out():
    maps = np.tril(random_maps(2, 6, 6))
    maps /= maps.sum(-1, keepdims=True)
    rows = maps[:, np.tril_indices(6)[0], np.tril_indices(6)[1]].astype("f4")
    found = compare_heads(trace_of(maps), by="correlation")
    assert found[0, 1] == pytest.approx(abs(np.corrcoef(rows)[0, 1]), abs=1e-6)


@pytest.mark.parametrize(
    ("trace", "options", "error", "says"),
    [
        (trace_of(random_maps(2, 4, 4), k=2), {}, NotKeptError, 'keep="all"'),
        (trace_of(random_maps(1, 4, 4)), {}, ShapeError, "1 heads"),
        (trace_of(random_maps(2, 4, 4) * 2), {}, ShapeError, "sums to 2"),
        (trace_of(random_maps(2, 4, 4)), {"by": "cosine"}, OptionError, "cosine"),
        (trace_of(random_maps(2, 4, 4)), {"examples": []}, ShapeError, "no query"),
        (trace_of(random_maps(1, 2, 3, 3), padded=[[1, 1, 1]]), {}, ShapeError, "no query"),
    ],
)
def test_what_cannot_be_compared_is_said(trace, options, error, says):
    with pytest.raises(error, match=says):
        compare_heads(trace, **options)


def test_one_token_makes_all_heads_alike():
    assert (compare_heads(trace_of(np.ones((3, 1, 1)))) == 1).all()
