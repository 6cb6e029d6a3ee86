"""Measures of one matrix, against numbers worked out by hand."""

import numpy as np
import pytest

from headscape.analysis.patterns import (
    CLARK_ENTROPY,
    diagonal,
    duplicate_pattern,
    induction_pattern,
    mean_distance,
    pattern_score,
    prefix_matching,
    row_entropy,
)
from headscape.errors import OptionError, ShapeError

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(
    ("row", "bits"),
    [([1, 0, 0, 0], 0.0), ([0.5, 0.5, 0, 0], 1.0), ([0.25] * 4, 2.0), ([0.5, 0.25, 0.25, 0], 1.5)],
)
def test_entropy_is_that_worked_out_by_hand_in_both_units(row, bits):
    assert row_entropy(np.array([row])).item() == pytest.approx(bits)
    assert row_entropy(np.array([row]), unit="nats").item() == pytest.approx(bits * np.log(2))


def test_smoothed_entropy_is_clarks_formula():
    row = np.array([0.7, 0.3, 0.0, 0.0])
    smooth = 0.9999 * row + 0.0001 / 4
    wanted = -(smooth * np.log(smooth)).sum()
    got = row_entropy(row[None], smoothing=CLARK_ENTROPY, unit="nats").item()
    assert got == pytest.approx(wanted)
    assert got != pytest.approx(row_entropy(row[None], unit="nats").item(), rel=1e-5)


def test_nan_rows_stay_nan_and_other_units_are_refused():
    assert np.isnan(row_entropy(np.array([[np.nan, 1.0]]))).all()
    with pytest.raises(OptionError, match="no unit 'hartleys'"):
        row_entropy(np.ones((1, 1)), unit="hartleys")


def test_distance_counts_from_the_last_key_for_the_last_query():
    square = np.array([[0.5, 0.5, 0], [1, 0, 0], [0.25, 0.25, 0.5]])
    assert mean_distance(square).tolist() == [0.5, 1.0, 0.75]
    cached = np.array([[0.5, 0, 0, 0.5]])  # one query on the last of four keys
    assert mean_distance(cached).tolist() == [1.5]


def test_diagonals_have_only_rows_that_have_such_a_key():
    square = np.arange(9.0).reshape(3, 3)
    assert diagonal(square, -1).tolist() == [3, 7]
    assert diagonal(square, 0).tolist() == [0, 4, 8]
    assert diagonal(square, 1).tolist() == [1, 5]
    cached = np.arange(6.0).reshape(2, 3)  # queries stand on keys 1 and 2
    assert diagonal(cached, -1).tolist() == [0, 4]
    assert diagonal(cached, 1).tolist() == [2]


def test_patterns_of_a_text_that_repeats_are_transformerlens():
    ids = [5, 7, 5, 5, 7]
    duplicates = np.zeros((5, 5), bool)
    duplicates[2, 0] = duplicates[3, 0] = duplicates[3, 2] = duplicates[4, 1] = True
    behind = np.zeros((5, 5), bool)
    behind[2, 1] = behind[3, 1] = behind[3, 3] = behind[4, 2] = True
    assert (duplicate_pattern(ids) == duplicates).all()
    assert (induction_pattern(ids) == behind).all()
    assert (duplicate_pattern(["x", "y", "x", "x", "y"]) == duplicates).all()
    with pytest.raises(ShapeError, match=r"\(token,\)"):
        duplicate_pattern(np.zeros((2, 2)))


def test_pattern_score_is_the_share_of_all_attention_in_the_pattern():
    weights = np.array([[[1, 0, 0], [0.5, 0.5, 0], [0.2, 0.5, 0.3]]])
    pattern = [[0, 0, 0], [1, 0, 0], [0, 1, 0]]
    assert pattern_score(weights, pattern).tolist() == pytest.approx([(0.5 + 0.5) / 3])
    weights[0, 0] = np.nan  # a padded row counts as nothing
    assert pattern_score(weights, pattern).tolist() == pytest.approx([(0.5 + 0.5) / 2])
    assert np.isnan(pattern_score(np.full((1, 3, 3), np.nan), pattern)).all()
    with pytest.raises(ShapeError, match=r"pattern has shape \(2, 2\).*3 queries and 3 keys"):
        pattern_score(weights, np.zeros((2, 2)))


@pytest.mark.parametrize("before", [0, 1])
def test_prefix_matching_is_one_for_a_head_that_does_it_and_chance_for_uniform(before):
    period = 4
    length = before + 2 * period
    head = np.tril(np.ones((length, length)))
    for query in range(before + period, length):
        head[query] = np.eye(length)[query - period + 1]
    head /= head.sum(-1, keepdims=True)
    assert prefix_matching(head, period, before=before).item() == 1.0
    even = np.tril(np.ones((length, length)))
    even /= even.sum(-1, keepdims=True)
    wanted = np.mean([1 / (row + 1) for row in range(before + period, length)])
    assert prefix_matching(even, period, before=before).item() == pytest.approx(wanted)


def test_prefix_matching_needs_two_rounds():
    with pytest.raises(ShapeError, match="two rounds of 4 behind 1 tokens: 9"):
        prefix_matching(np.eye(8), 4, before=1)


def test_prefix_matching_lies_in_the_induction_pattern():
    ids = np.tile(np.arange(6), 2)
    weights = RNG.dirichlet(np.ones(12), size=12)
    inside = (weights * induction_pattern(ids)).sum()  # nothing repeats within a round
    assert prefix_matching(weights, 6).item() * 6 == pytest.approx(inside)
