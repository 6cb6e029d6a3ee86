import numpy as np
import pytest
from tests.analysis.topology.shapes import random_rows

from headscape.analysis.topology.distances import attention_distances, symmetric_weights
from headscape.analysis.topology.divergence import mtop_div, rtd, rtd_bars
from headscape.analysis.topology.forest import h0_deaths
from headscape.errors import ShapeError


def heads(seed, tokens=20, count=3):
    return symmetric_weights(random_rows(np.random.default_rng(seed), tokens, (count,), causal=True))


def test_without_a_prompt_it_is_the_sum_of_h0():
    weights = heads(0)
    want = h0_deaths(np.where(np.eye(20), 0, 1 - weights)).sum(-1)
    np.testing.assert_allclose(mtop_div(weights, np.zeros(20, bool)), want)


def test_a_response_that_looks_at_one_prompt_token_costs_the_rest_of_each_weight():
    weights, prompt = np.zeros((9, 9)), np.arange(9) < 4
    weights[4:, 2] = weights[2, 4:] = 0.7
    assert mtop_div(weights, prompt) == pytest.approx(5 * 0.3)


def test_more_prompt_never_makes_it_longer():
    rng = np.random.default_rng(1)
    weights, prompt = heads(1), np.zeros(20, bool)
    before = np.full(3, np.inf)
    for token in rng.permutation(20):
        prompt[token] = True
        now = mtop_div(weights, prompt)
        assert (now <= before + 1e-12).all()
        before = now
    np.testing.assert_array_equal(before, 0)  # nothing is left to tie


def test_it_is_the_tree_of_the_graph_whose_prompt_is_one_point():
    weights, prompt = heads(2), np.arange(20) < 8
    distances = np.where(np.eye(20), 0, 1 - weights)
    distances[:, prompt[:, None] & prompt] = 0
    np.testing.assert_allclose(mtop_div(weights, prompt), h0_deaths(distances).sum(-1))


def test_wrong_prompts_are_said():
    with pytest.raises(ShapeError, match="one bool for each of the 20 tokens"):
        mtop_div(heads(0), np.arange(8))
    with pytest.raises(ShapeError, match="not symmetric"):
        mtop_div(np.triu(heads(0)), np.zeros(20, bool))


@pytest.fixture
def pair(ripser):
    rng = np.random.default_rng(3)
    return [attention_distances(random_rows(rng, 14)) for _ in range(2)]


def test_equal_graphs_do_not_diverge(pair):
    assert rtd(pair[0], pair[0]) == 0
    assert rtd(*pair) > 0


def test_order_of_tokens_does_not_matter_and_order_of_graphs_does(pair):
    order = np.ix_(*[np.random.default_rng(4).permutation(14)] * 2)
    assert rtd(pair[0][order], pair[1][order]) == pytest.approx(rtd(*pair), abs=1e-5)
    assert rtd(*pair) != pytest.approx(rtd(*pair[::-1]), abs=1e-3)


@pytest.mark.usefixtures("ripser")
def test_two_far_pairs_that_the_second_graph_joins_leave_one_bar():
    """First graph: two tokens 0.9 apart. Second: 0.2. The pair is joined at 0.2 there, at 0.9 in both."""
    far, near = (np.array([[0, d], [d, 0]]) for d in (0.9, 0.2))
    bars = rtd_bars(far, near)
    assert [*bars.birth, *bars.death] == pytest.approx([0.2, 0.9], abs=1e-6)
    assert rtd(near, far) == 0


def test_other_token_counts_are_refused(pair):
    with pytest.raises(ShapeError, match="merge pieces to words"):
        rtd(pair[0], pair[1][:5, :5])
