"""Attention sinks as Gu et al. define them."""

import numpy as np
import pytest
from tests.analysis.planted import planted_trace, uniform

from headscape.analysis.sinks import find_sinks
from headscape.errors import NoAttentionError, OptionError, ShapeError

S = 8


def sink_head(place, length=S, *, share=0.8, causal=True):
    """Return a head that puts ``share`` on one place from there on, the rest on all it sees alike."""
    rows = uniform(length, causal=causal)[0, 0]
    first = place if causal else 0
    rows[first:] *= 1 - share
    rows[first:, place] += share
    return rows


def test_alpha_is_the_mean_over_the_rows_from_the_key_on():
    weights = np.random.default_rng(0).random((1, 2, S, S)) * np.tril(np.ones((S, S)))
    weights /= weights.sum(-1, keepdims=True)
    sinks = find_sinks(planted_trace(weights, mask="causal"))
    for place in range(S // 2 + 1):  # half the rows see place 4
        wanted = weights[0, :, place:, place].mean(-1)
        np.testing.assert_allclose(sinks.alpha[0, :, place], wanted, rtol=1e-5)
    assert np.isnan(sinks.alpha[0, :, S // 2 + 1 :]).all()


def test_the_share_of_sink_heads_and_the_best_place_are_those_planted():
    heads = [sink_head(0), sink_head(0), sink_head(2), uniform(S, causal=True)[0, 0]]
    sinks = find_sinks(planted_trace(np.stack(heads)[None], mask="causal"))
    assert (sinks.best, sinks.share(0), sinks.share(2), sinks.share(1)) == (0, 0.75, 0.25, 0.0)
    assert sinks.rate[0, :, 0].tolist() == [1, 1, 0, 1]  # the first of 8 gets 0.34 by chance
    longer = find_sinks(planted_trace(uniform(64, causal=True), mask="causal"))
    assert longer.share() == 0.0


def test_a_sink_at_the_end_is_found_where_all_rows_see_it():
    weights = np.stack([sink_head(S - 1, causal=False), uniform(S)[0, 0]])[None]
    sinks = find_sinks(planted_trace(weights))
    assert (sinks.best, sinks.share(S - 1), sinks.share(0)) == (S - 1, 0.5, 0.0)
    assert sinks.alpha[0, 0, S - 1] == pytest.approx(0.8 + 0.2 / S)


def test_texts_are_averaged_and_the_threshold_is_the_callers():
    strong, weak = (
        planted_trace(sink_head(0, 32, share=share)[None, None], mask="causal") for share in (0.9, 0.4)
    )
    assert find_sinks([strong, weak]).share() == 1.0
    assert find_sinks([strong, weak], threshold=0.6).share() == 0.5
    assert find_sinks([strong, weak]).texts[0, 0] == 2


def test_places_count_real_tokens_whatever_was_kept():
    rows = sink_head(0, causal=False)
    wide = np.pad(rows, ((2, 0), (2, 0)))[None, None]
    padded = [[True, True] + [False] * S]
    for k in (None, 3):
        sinks = find_sinks(planted_trace(wide, padded=padded, k=k))
        np.testing.assert_allclose(sinks.alpha[0, 0], rows.mean(0), rtol=1e-5)


def test_one_token_and_ragged_layers_and_bad_calls_are_answered():
    assert find_sinks(planted_trace(np.ones((1, 1, 1, 1)))).alpha.tolist() == [[[1.0]]]
    assert find_sinks(planted_trace(uniform(4, heads=3), uniform(4))).alpha.shape == (2, 3, 4)
    with pytest.raises(NoAttentionError):
        find_sinks([])
    with pytest.raises(OptionError, match="threshold=0"):
        find_sinks(planted_trace(uniform(4)), threshold=0)
    with pytest.raises(ShapeError, match="not 1"):
        find_sinks(planted_trace(uniform(4) * 0.7))
