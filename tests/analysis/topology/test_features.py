import numpy as np
import pytest
from tests.analysis.topology.shapes import cyclic, identity, random_rows, sink, uniform

from headscape.analysis.topology.bars import Bars
from headscape.analysis.topology.curves import threshold_curves
from headscape.analysis.topology.cycles import token_cycles
from headscape.analysis.topology.distances import symmetric_weights
from headscape.analysis.topology.features import barcode_features, pattern_distances, threshold_features
from headscape.errors import LabelError, OptionError, ShapeError

LABELS = ["[CLS]", "well", ",", "no", "##.", "[SEP]"]


def reachable(adjacency):
    """Which nodes each node reaches, by squaring until nothing changes."""
    reach = adjacency | np.eye(len(adjacency), dtype=bool)
    while not np.array_equal(further := reach @ reach, reach):
        reach = further
    return reach


def test_strong_components_are_tokens_that_reach_one_another():
    weights = random_rows(np.random.default_rng(0), 14, (4,), sharpness=3)
    table = threshold_features(weights, [0.1, 0.3])
    for head in range(4):
        for threshold in (0.1, 0.3):
            reach = reachable(weights[head] >= threshold)
            classes = np.unique(reach & reach.T, axis=0)
            assert table[f"strong_t{threshold}"][head] == len(classes)


def test_counts_of_a_head_worked_out_by_hand():
    """0 and 1 look at one another, 2 looks at 1 and itself, 3 at itself only."""
    weights = np.array([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0.5, 0.5, 0], [0, 0, 0, 1.0]])
    names = ("strong", "edges", "degree", "cycles", "components", "cycle_rank")
    without = threshold_features(weights, [0.5])
    assert [without[f"{name}_t0.5"] for name in names] == [3, 3, 1.5, 1, 2, 0]
    published = threshold_features(weights, [0.5], loops=True)
    assert [published[f"{name}_t0.5"] for name in names] == [3, 5, 2.5, 3, 2, 2]


def test_simple_cycles_are_counted_up_to_500():
    assert threshold_features(uniform(5), [0.1])["cycles_t0.1"] == 84  # sum over k of C(5, k) (k - 1)!, k > 1
    assert threshold_features(uniform(9), [0.05])["cycles_t0.05"] == 500


def test_components_and_cycle_rank_are_those_of_the_curves():
    weights = random_rows(np.random.default_rng(1), 12, (2, 3))
    table, curves = threshold_features(weights), threshold_curves(symmetric_weights(weights))
    for step, threshold in enumerate((0.025, 0.05, 0.1, 0.25, 0.5, 0.75)):
        np.testing.assert_array_equal(table[f"components_t{threshold}"], curves.components[..., step])
        np.testing.assert_array_equal(table[f"cycle_rank_t{threshold}"], curves.cycle_rank[..., step])


def test_bars_of_known_heads():
    table = barcode_features(np.stack([uniform(4), identity(4), sink(4)]))
    np.testing.assert_allclose(table["h0_s"], [3 * 0.75, 3, 0])
    np.testing.assert_allclose(table["h0_e"], [np.log(3), np.log(3), 0])
    np.testing.assert_allclose(table["h0_t_d"], [0.75, 1, 0])
    assert table["h0_n_d_m_t0.75"].tolist() == [3, 3, 0]
    assert table["h0_n_d_l_t0.25"].tolist() == [0, 0, 3]


def test_faint_weights_count_as_none():
    weights = np.array([[0.9995, 0.0005], [0, 1]])
    assert barcode_features(weights)["h0_s"] == 1


@pytest.mark.usefixtures("ripser")
def test_numbers_of_h1_by_hand_and_from_ripser():
    bars = Bars(np.array([0.2, 0.3, 0.8]), np.array([0.6, 0.5, np.inf]), 1)
    table = barcode_features(cyclic(5)[None], [bars])
    want = {"h1_t_b": 0.2, "h1_n_b_m_t0.25": 1, "h1_n_b_l_t0.95": 2, "h1_n_b_l_t0.7": 2, "h1_s": 0.6}
    want |= {"h1_v": 0.1, "h1_nb": 2, "h1_e": -(2 / 3 * np.log(2 / 3) + 1 / 3 * np.log(1 / 3))}
    for name, value in want.items():
        assert table[name] == pytest.approx(value), name
    found = barcode_features(cyclic(5), token_cycles(symmetric_weights(cyclic(5)), share=0))
    assert (found["h1_s"], found["h1_nb"]) == (1, 1)


def test_bars_that_are_not_known_are_nan_and_not_zero():
    stopped = Bars(np.empty(0), np.empty(0), 1, stopped="time limit of 1 s")
    table = barcode_features(np.stack([uniform(4)] * 2), [stopped, Bars(np.empty(0), np.empty(0), 1)])
    assert np.isnan(table["h1_s"][0])
    assert table["h1_nb"][1] == 0


def test_patterns_are_at_distance_0_and_heads_with_nothing_in_common_at_1():
    previous = np.eye(6, k=-1)
    table = pattern_distances(np.stack([identity(6), sink(6), previous, cyclic(6)]), LABELS)
    assert table.names == ("self", "first", "previous", "next", "comma", "period")
    assert table["self"].tolist()[0] == table["first"].tolist()[1] == table["previous"].tolist()[2] == 0
    assert table["self"][2] == table["next"][2] == 1
    # |A - T|² = 1 (the last row looks back to the first token), |A|² = 6, |T|² = 5
    assert table["next"][3] == pytest.approx(np.sqrt(1 / 11))


def test_punctuation_is_found_behind_the_marks_of_tokenizers():
    looks = np.zeros((6, 6))
    looks[:, 4] = 1
    table = pattern_distances(looks, LABELS)
    assert (table["period"], table["comma"]) == (0, 1)
    assert pattern_distances(looks, ["a"] * 6)["period"] == 1  # no such token


def test_a_head_with_nan_is_nan():
    weights = random_rows(np.random.default_rng(2), 5, (2,))
    weights[0, 1] = np.nan
    for table in (threshold_features(weights), barcode_features(weights), pattern_distances(weights)):
        assert np.isnan(table.values[0]).all()
        assert not np.isnan(table.values[1]).any()


def test_wrong_input_is_said():
    with pytest.raises(OptionError, match=r"no feature 'h0'; there is 'h0_s'"):
        barcode_features(uniform(3))["h0"]
    with pytest.raises(ShapeError, match="bars of 1 heads for 2 heads"):
        barcode_features(np.stack([uniform(3)] * 2), [Bars(np.empty(0), np.empty(0), 1)])
    with pytest.raises(LabelError, match="2 labels for 3 tokens"):
        pattern_distances(uniform(3), ["a", "b"])
