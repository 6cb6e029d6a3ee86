"""Measures get rows that are whole and sum to 1, or a sentence."""

import numpy as np
import pytest

from headscape.analysis.rows import whole_rows
from headscape.errors import NotKeptError, ShapeError
from headscape.trace.by_hand import trace_of

ROWS = np.array([[[1.0, 0, 0], [0.5, 0.5, 0], [0.2, 0.3, 0.5]]])


def test_rows_are_the_weights_and_padded_ones_nan():
    trace = trace_of(np.stack([ROWS, ROWS]), padded=[[0, 0, 0], [0, 0, 1]])
    np.testing.assert_allclose(whole_rows(trace.calls[0]), ROWS, rtol=1e-6)
    assert np.isnan(whole_rows(trace.calls[0], 1)[0, 2]).all()
    assert not np.isnan(whole_rows(trace.calls[0], 1)[0, :2]).any()


def test_a_row_that_does_not_sum_to_one_is_named():
    trace = trace_of(ROWS * [[[1], [1], [0.7]]])
    with pytest.raises(ShapeError, match=r"layers\.0, head 0, query 2: the row sums to 0\.7"):
        whole_rows(trace.calls[0])
    assert whole_rows(trace.calls[0], expect_sums=False)[0, 2].sum() == pytest.approx(0.7)


def test_lists_of_keys_say_what_they_lack_unless_they_are_whole():
    with pytest.raises(NotKeptError, match='keep="all"'):
        whole_rows(trace_of(ROWS, k=2).calls[0])
    np.testing.assert_allclose(whole_rows(trace_of(ROWS, k=3).calls[0]), ROWS, rtol=1e-6)


def test_a_trace_by_hand_refuses_other_shapes():
    for bad in ([np.ones((3, 3))], [], [ROWS, np.eye(2)[None]], [np.ones((1, 2, 3))]):
        with pytest.raises(ShapeError):
            trace_of(*bad)
