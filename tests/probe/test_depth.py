"""Depth measures by their identities, and on states into which a label was planted at one layer."""

import math

import numpy as np
import pytest
import torch

from headscape.analysis.rates import Rate
from headscape.errors import LabelError, OptionError, ShapeError
from headscape.probe.depth import (
    LabelledWords,
    MixProbe,
    Training,
    centre_of_gravity,
    divergence_from_even,
    expected_layer,
    measure_depth,
    score_mix_probe,
    train_mix_probe,
)

LAYERS = 4
QUICK = Training(epochs=6, batch=64, rate=0.02)


@pytest.mark.parametrize("last", [1, 6, 12])
def test_an_even_mix_lies_in_the_middle(last):
    even = np.full(last + 1, 1 / (last + 1))
    assert centre_of_gravity(even) == pytest.approx(last / 2)
    assert divergence_from_even(even) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("layer", [0, 2, 6])
def test_a_mix_of_one_layer_lies_there_and_is_as_uneven_as_can_be(layer):
    alone = np.eye(7)[layer]
    assert centre_of_gravity(alone) == layer
    assert divergence_from_even(alone) == pytest.approx(math.log(7))


@pytest.mark.parametrize("layer", [1, 3, 6])
def test_if_all_gain_is_at_one_layer_that_is_the_expected_one(layer):
    scores = np.where(np.arange(7) >= layer, 0.9, 0.4)
    found, gains = expected_layer(scores)
    assert found == pytest.approx(layer)
    assert np.flatnonzero(gains).tolist() == [layer - 1]


def test_a_loss_can_push_the_expected_layer_beyond_the_last():
    # gains +.2, +.3, -.1 at layers 1, 2, 3: (.2 + .6 - .3) / .4
    assert expected_layer([0.4, 0.6, 0.9, 0.8])[0] == pytest.approx(1.25)
    # gains -.1, +.2: (-.1 + .4) / .1 = 3 > 2
    assert expected_layer([0.5, 0.4, 0.6])[0] == pytest.approx(3)
    assert math.isnan(expected_layer([0.5, 0.7, 0.5])[0])


def test_what_is_no_mix_and_no_scores_is_said():
    for bad in ([0.5, 0.6], [1.5, -0.5], [], [[1.0]]):
        with pytest.raises(ShapeError, match="sum to 1"):
            centre_of_gravity(bad)
    for bad in ([0.5], [0.5, np.nan], [[1, 2]]):
        with pytest.raises(ShapeError, match="at least two numbers"):
            expected_layer(bad)


def test_a_probe_mixes_as_the_formula_says():
    probe = MixProbe(2, 3, 2, parts=2)
    with torch.no_grad():
        probe.a.copy_(torch.tensor([0.0, math.log(3)]))
        probe.gamma.fill_(2)
        probe.weight.copy_(torch.arange(12.0).reshape(2, 6))
    states = torch.rand(1, 2, 2, 3)
    mixed = 2 * (0.25 * states[:, :, 0] + 0.75 * states[:, :, 1])
    np.testing.assert_allclose(probe.mix(states).detach(), mixed, rtol=1e-5)
    flat = mixed.flatten().tolist()
    by_hand = [sum(w * x for w, x in zip(row, flat, strict=True)) for row in np.arange(12).reshape(2, 6)]
    np.testing.assert_allclose(probe(states)[0].detach(), by_hand, rtol=1e-5)
    np.testing.assert_allclose(probe.shares, [0.25, 0.75], rtol=1e-6)


def planted(layer, seed, count=600, parts=1, width=8):
    """Noise at every layer; from ``layer`` on, which of three classes an item is."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(3, size=count)
    states = rng.normal(size=(count * parts, LAYERS, width))
    codes = np.random.default_rng(99).normal(size=(3, width)) * 3
    items = rng.permutation(count * parts).reshape(count, parts)
    for deep in range(layer, LAYERS):
        states[items[:, -1], deep] += codes[labels]
    return LabelledWords(
        torch.as_tensor(states, dtype=torch.float32), torch.as_tensor(items), torch.as_tensor(labels)
    )


@pytest.mark.parametrize("parts", [1, 2])
@pytest.mark.parametrize("layer", [1, 2])
def test_a_planted_label_is_found_at_its_layer(layer, parts):
    found = measure_depth(planted(layer, 0, parts=parts), planted(layer, 1, parts=parts), training=QUICK)
    assert found.expected == pytest.approx(layer, abs=0.15)
    assert found.scores[layer - 1].share < 0.45
    assert found.scores[layer].share > 0.9
    assert found.shares[:layer].max() < found.shares[layer:].min()
    assert found.centre > 1.5
    assert found.commonest.share < 0.4
    np.testing.assert_allclose(np.diff([s.share for s in found.scores]), found.gains)


def test_a_probe_of_one_layer_sees_the_embeddings():
    def only_there(seed):
        data = planted(0, seed)
        states = data.states.clone()
        states[:, 1:] = planted(LAYERS, seed + 7).states[:, 1:]
        return LabelledWords(states, data.items, data.labels)

    probe = train_mix_probe(only_there(0), layers=1, training=QUICK)
    assert score_mix_probe(probe, only_there(1)).share > 0.9


def test_noise_has_no_depth_to_speak_of():
    found = measure_depth(planted(LAYERS, 0), planted(LAYERS, 1), training=QUICK)
    assert max(score.share for score in found.scores) < 0.45


def test_the_seed_draws_the_order_and_torchs_own_numbers_are_left_alone():
    data = planted(2, 0)
    before = torch.get_rng_state()
    one, again = (train_mix_probe(data, training=QUICK) for _ in range(2))
    other = train_mix_probe(data, training=Training(6, 64, 0.02, seed=1))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one.weight, again.weight)
    assert not torch.equal(one.weight, other.weight)


def test_it_trains_where_gradients_are_off_and_a_label_never_seen_is_wrong():
    data = planted(0, 0)
    with torch.no_grad():
        probe = train_mix_probe(data, classes=4, training=QUICK)
    unseen = LabelledWords(data.states, data.items, torch.full_like(data.labels, 3))
    assert score_mix_probe(probe, unseen) == Rate(0, 600)
    assert score_mix_probe(probe, data).share > 0.95


def test_what_does_not_fit_is_said():
    data = planted(1, 0, count=5)
    with pytest.raises(LabelError, match="5 items have 4 labels"):
        LabelledWords(data.states, data.items, data.labels[:4])
    with pytest.raises(LabelError, match="states of words 0 to 2"):
        LabelledWords(data.states[:3], data.items, data.labels)
    with pytest.raises(ShapeError, match=r"\(5, 4\) and items \(5, 1\)"):
        LabelledWords(data.states[..., 0], data.items, data.labels)
    with pytest.raises(OptionError, match="4 layers, so a probe cannot see 5"):
        train_mix_probe(data, layers=5)
    thin = LabelledWords(data.states[:, :3], data.items, data.labels)
    with pytest.raises(ShapeError, match="both have to be alike"):
        measure_depth(data, thin)
