"""Divergence between heads, on an independent road in float64, and the map of planar points."""

import numpy as np
import pytest
from tests.analysis.planted import planted_call, planted_trace, uniform

from headscape.analysis import similarity
from headscape.analysis.similarity import classical_map, head_divergence, jensen_shannon
from headscape.errors import NotKeptError, OptionError, ShapeError
from headscape.trace.sides import Side
from headscape.trace.trace import Trace

RNG = np.random.default_rng(0)
S = 12


def by_hand(p, q):
    """Return the mean of the two Kullback-Leibler divergences to the middle."""
    middle = (p + q) / 2
    return ((p * np.log(p / middle)).sum(-1) + (q * np.log(q / middle)).sum(-1)) / 2


def test_jensen_shannon_is_zero_for_equals_and_log_two_for_strangers():
    assert jensen_shannon([0.3, 0.7], [0.3, 0.7]).item() == 0
    assert jensen_shannon([1, 0], [0, 1]).item() == pytest.approx(np.log(2))
    assert jensen_shannon([1, 0], [0.5, 0.5]).item() == pytest.approx(
        (np.log(4 / 3) + 0.5 * np.log(2 / 3) + 0.5 * np.log(2)) / 2
    )
    p, q = RNG.dirichlet(np.ones(5), size=(2, 7))
    np.testing.assert_allclose(jensen_shannon(p, q), by_hand(p, q))


@pytest.mark.parametrize("at_once", [1, 100, 10**9])
def test_divergences_are_those_of_the_plain_formula(monkeypatch, at_once):
    monkeypatch.setattr(similarity, "AT_ONCE", at_once)
    layers = [RNG.dirichlet(np.full(S, 0.1), size=(3, heads, S)) for heads in (2, 3)]
    found = head_divergence(planted_trace(*layers))
    p = 0.999 * np.concatenate(layers, 1) + 0.001 / S
    wanted = by_hand(p[:, :, None], p[:, None]).mean((0, 3))
    np.testing.assert_allclose(found.divergence, wanted, atol=2e-6)
    assert found.layers.tolist() == [0, 0, 1, 1, 1]
    assert found.heads.tolist() == [0, 1, 0, 1, 2]
    assert found.rows == 3 * S
    assert found.mean(1) == pytest.approx(wanted[2:, 2:][np.triu_indices(3, 1)].mean(), abs=2e-6)


def test_copies_are_nearest_and_the_diagonal_is_zero():
    one, other = RNG.dirichlet(np.ones(S), size=(2, S))
    found = head_divergence(planted_trace(np.stack([one, other])[None], np.stack([other, one])[None]))
    assert found.nearest(0, 0) == (1, 1)
    assert found.nearest(1, 0) == (0, 1)
    assert found.divergence[0, 3] < 1e-6
    assert (np.diag(found.divergence) == 0).all()
    assert (found.divergence == found.divergence.T).all()


def test_padding_changes_nothing_and_rows_without_a_choice_are_left_out():
    weights = RNG.dirichlet(np.ones(S), size=(1, 2, S))
    alone = head_divergence(planted_trace(weights), smoothing=0.3)
    wide = np.pad(weights, ((0, 0), (0, 0), (2, 1), (2, 1)))
    padded = [[True] * 2 + [False] * S + [True]]
    found = head_divergence(planted_trace(wide, padded=padded), smoothing=0.3)
    np.testing.assert_allclose(found.divergence, alone.divergence, atol=1e-6)
    assert found.rows == S
    causal = uniform(S, heads=2, causal=True)
    assert head_divergence(planted_trace(causal, mask="causal")).rows == S - 1


def test_some_rows_stand_for_all():
    weights = RNG.dirichlet(np.ones(S), size=(1, 2, S))
    found = head_divergence(planted_trace(weights), every=3)
    p = 0.999 * weights[0, :, ::3] + 0.001 / S
    assert found.divergence[0, 1] == pytest.approx(by_hand(p[0], p[1]).mean(), abs=2e-6)
    assert found.rows == 4


def test_heads_on_other_tokens_are_not_compared():
    own = planted_call(uniform(5, heads=2))
    cross = planted_call(RNG.dirichlet(np.ones(7), size=(1, 3, 5)), sides=(0, 1), layer=1)
    found = head_divergence(Trace((own, cross), (Side("target", 5, 2), Side("source", 7, 1))))
    assert np.isnan(found.divergence[:2, 2:]).all()
    assert not np.isnan(found.divergence[2:, 2:]).any()
    where = found.map()
    assert where.left_out == (0, 1)
    assert np.isnan(where.points[:2]).all()
    assert not np.isnan(where.points[2:]).any()
    with pytest.raises(OptionError, match="no head 5 in layer 0"):
        found.nearest(0, 5)
    single = head_divergence(planted_trace(np.ones((1, 1, 1, 1))))
    assert np.isnan(single.mean())
    with pytest.raises(OptionError, match="no row in common"):
        single.nearest(0, 0)


def test_lists_of_keys_and_bad_sums_are_answered():
    with pytest.raises(NotKeptError, match=r'layers\.0 kept the top 2 of 12 .*keep="all"'):
        head_divergence(planted_trace(uniform(S), k=2))
    with pytest.raises(ShapeError, match="not 1"):
        head_divergence(planted_trace(uniform(S) * 0.5))
    with pytest.raises(OptionError, match="smoothing=0"):
        head_divergence(planted_trace(uniform(S)), smoothing=0)


def test_points_of_a_plane_keep_their_distances():
    points = RNG.normal(size=(9, 2))
    distances = np.linalg.norm(points[:, None] - points, axis=-1)
    found, share = classical_map(distances)
    np.testing.assert_allclose(np.linalg.norm(found[:, None] - found, axis=-1), distances, atol=1e-9)
    assert share == pytest.approx(1)
    np.testing.assert_allclose(found.mean(0), 0, atol=1e-12)
    solid = RNG.normal(size=(9, 5))
    assert classical_map(np.linalg.norm(solid[:, None] - solid, axis=-1))[1] < 0.9
    np.testing.assert_array_equal(classical_map(distances)[0], found)
    with pytest.raises(ShapeError, match="holds NaN"):
        classical_map([[0, np.nan], [np.nan, 0]])


def test_roots_of_divergences_fit_into_a_euclidean_space():
    p = RNG.dirichlet(np.full(6, 0.3), size=20)
    roots = np.sqrt(jensen_shannon(p[:, None], p))
    squared = roots**2
    centred = squared - squared.mean(0) - squared.mean(1)[:, None] + squared.mean()
    assert np.linalg.eigvalsh(-centred / 2).min() > -1e-12
