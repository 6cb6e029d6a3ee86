import itertools

import numpy as np
import pytest

from headscape.analysis.topology.bottleneck import h0_bottleneck
from headscape.errors import ShapeError


def cheapest(first, second):
    """Try every matching: each bar of the first with one of the second or with nothing."""
    best = np.inf
    for size in range(min(len(first), len(second)) + 1):
        for chosen in itertools.combinations(range(len(first)), size):
            for partners in itertools.permutations(range(len(second)), size):
                costs = [abs(first[i] - second[j]) for i, j in zip(chosen, partners, strict=True)]
                costs += [first[i] / 2 for i in range(len(first)) if i not in chosen]
                costs += [second[j] / 2 for j in range(len(second)) if j not in partners]
                best = min(best, max(costs, default=0))
    return best


@pytest.mark.parametrize("seed", range(60))
def test_no_matching_at_all_is_cheaper(seed):
    rng = np.random.default_rng(seed)
    first, second = (rng.random(rng.integers(0, 5)) ** 2 for _ in range(2))
    assert h0_bottleneck(first, second) == pytest.approx(cheapest(first, second), abs=1e-12)


@pytest.mark.parametrize("seed", range(20))
def test_gudhi_finds_the_same(seed):
    gudhi = pytest.importorskip("gudhi")
    rng = np.random.default_rng(seed)
    first, second = (rng.random(rng.integers(1, 60)) ** 3 for _ in range(2))
    want = gudhi.bottleneck_distance(*(np.stack([np.zeros(len(d)), d], 1) for d in (first, second)))
    assert h0_bottleneck(first, second) == pytest.approx(want, abs=1e-9)


def test_matching_in_order_can_cost_more_than_matching_nothing():
    assert h0_bottleneck(np.array([0.1]), np.array([1.0])) == 0.5


def test_bars_that_never_end_are_matched_with_one_another():
    assert h0_bottleneck(np.array([0.5, np.inf]), np.array([np.inf, 0.4])) == pytest.approx(0.1)
    assert h0_bottleneck(np.array([np.inf]), np.array([0.4])) == np.inf


def test_odd_input():
    assert h0_bottleneck(np.empty(0), np.empty(0)) == 0
    assert np.isnan(h0_bottleneck(np.array([np.nan]), np.array([1.0])))
    with pytest.raises(ShapeError, match=r"second has shape \(1, 2\)"):
        h0_bottleneck(np.empty(0), np.zeros((1, 2)))
