import numpy as np

from headscape.graph.sorting import falling_order, order_of, places


def test_orders_are_those_of_a_comparing_sort():
    rng = np.random.default_rng(0)
    for group_limit in (3, 70_000, 2**40):
        group = rng.integers(0, group_limit, 5_000)
        values = rng.choice(np.array([-1, -0.0, 0, 1e-30, 0.5, 0.5, 3], dtype="f4"), 5_000)
        values[::7] = rng.normal(size=len(values[::7]))
        expected = np.lexsort((np.arange(5_000), -values, group))
        np.testing.assert_array_equal(falling_order(group, values), expected)
        np.testing.assert_array_equal(order_of(group), np.argsort(group, kind="stable"))


def test_nan_counts_as_zero_and_nothing_has_an_order():
    assert falling_order(np.zeros(3, int), np.array([-1, np.nan, 1])).tolist() == [2, 1, 0]
    assert order_of(np.zeros(0, int)).tolist() == []
    assert places(np.array([0, 0, 3, 3, 3])).tolist() == [0, 1, 0, 1, 2]
