import numpy as np
import pytest
from tests.analysis.topology.shapes import random_rows

from headscape.analysis.topology.distances import (
    attention_distances,
    bipartite_weights,
    sink_keys,
    symmetric_weights,
    without_tokens,
)
from headscape.analysis.topology.forest import h0_deaths
from headscape.errors import OptionError, ShapeError


def test_the_three_ways_to_join_both_ways_by_hand():
    weights = np.array([[0.2, 0.8], [0.4, 0.6]])
    assert symmetric_weights(weights)[0, 1] == 0.8
    assert symmetric_weights(weights, by="mean")[1, 0] == pytest.approx(0.6)
    assert symmetric_weights(weights, by="min")[0, 1] == 0.4
    assert attention_distances(weights)[0, 1] == pytest.approx(0.2)


@pytest.mark.parametrize("by", ["max", "mean", "min"])
@pytest.mark.parametrize("causal", [False, True])
def test_each_is_symmetric_with_an_empty_diagonal_whatever_the_shape(by, causal):
    weights = random_rows(np.random.default_rng(0), 9, (2, 3), causal=causal).astype(np.float32)
    before = weights.copy()
    joined, distances = symmetric_weights(weights, by=by), attention_distances(weights, by=by)
    np.testing.assert_array_equal(weights, before)
    assert joined.dtype == distances.dtype == np.float32
    for array in (joined, distances):
        np.testing.assert_array_equal(array, array.swapaxes(-1, -2))
        assert not np.einsum("...ii->...i", array).any()
    off = ~np.eye(9, dtype=bool)
    np.testing.assert_allclose(joined[..., off] + distances[..., off], 1, atol=1e-6)


def test_mean_lies_between_half_of_max_and_max():
    weights = random_rows(np.random.default_rng(1), 12)
    most, mean = symmetric_weights(weights), symmetric_weights(weights, by="mean")
    assert (mean <= most).all()
    assert (mean >= most / 2).all()


def test_cross_attention_becomes_a_graph_without_edges_inside_either_side():
    weights = np.array([[0.5, 0.25, 0.25], [0.1, 0.9, 0.0]])
    square = bipartite_weights(weights)
    np.testing.assert_array_equal(square[:2, 2:], weights)
    np.testing.assert_array_equal(square, square.T)
    assert not square[:2, :2].any()
    assert not square[2:, 2:].any()
    # Heaviest tree over 5 nodes, by hand: .9, .5, .25, .25
    np.testing.assert_allclose(h0_deaths(np.where(np.eye(5), 0, 1 - square)), [0.1, 0.5, 0.75, 0.75])


def test_weights_a_little_above_one_are_rounding_and_far_above_are_scores():
    assert attention_distances(np.array([[0.0, 1.003], [0.5, 0.5]]))[0, 1] == 0
    with pytest.raises(ShapeError, match=r"3 at \(0, 1\), outside 0 to 1.*after softmax"):
        attention_distances(np.array([[0.0, 3.0], [0.5, 0.5]]))
    with pytest.raises(ShapeError, match=r"-0.5 at \(1, 0\)"):
        bipartite_weights(np.array([[0.0, 1.0], [-0.5, 0.5]]))


def test_cross_attention_given_as_self_attention_is_told_what_to_do():
    with pytest.raises(ShapeError, match="bipartite_weights"):
        symmetric_weights(np.full((2, 3), 1 / 3))
    with pytest.raises(OptionError, match="'max', 'mean', 'min'"):
        symmetric_weights(np.eye(2), by="sum")


def test_one_token_has_a_distance_to_itself_and_no_bars():
    distances = attention_distances(np.ones((4, 1, 1)))
    assert not distances.any()
    assert h0_deaths(distances).shape == (4, 0)


def test_a_sink_is_found_by_its_mean_and_padded_rows_do_not_count():
    weights = np.array([[0.2, 0.8, 0.0], [0.3, 0.7, 0.0], [np.nan] * 3])
    assert sink_keys(weights).tolist() == [False, True, False]
    assert sink_keys(weights, least=0.25).tolist() == [True, True, False]


def test_leaving_out_tokens_keeps_the_weights_of_the_others():
    weights = symmetric_weights(random_rows(np.random.default_rng(2), 5, (2,)))
    rest = without_tokens(weights, [0, 3])
    np.testing.assert_array_equal(rest, weights[:, [1, 2, 4]][:, :, [1, 2, 4]])
