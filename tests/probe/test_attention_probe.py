"""The attention-only parser, on planted heads and against its formula written out."""

import numpy as np
import pytest
import torch

from headscape.analysis.rates import Rate
from headscape.analysis.treebank import Sentence
from headscape.errors import OptionError, ShapeError
from headscape.probe.attention_probe import (
    AttentionProbe,
    offset_attachments,
    score_attachments,
    score_attention_probe,
    score_offsets,
    train_attention_probe,
)

RNG = np.random.default_rng(11)


def random_sentence(rng, count=6):
    """A sentence whose words hang from any other word or, one of them, from the root."""
    heads = (np.arange(count) + rng.integers(1, count, count)) % count
    heads[rng.integers(count)] = -1
    relations = ["punct" if n == count - 1 else "root" if heads[n] < 0 else "dep" for n in range(count)]
    return Sentence(("w",) * count, ("X",) * count, heads, tuple(relations))


def planted(sentence, rng, columns=5, column=3):
    """Random heads, and one that puts most of its weight on the head (0 is the root)."""
    size = len(sentence) + 1
    weights = rng.dirichlet(np.ones(size), (columns, size))
    weights[column, 1:] *= 0.3
    weights[column, np.arange(1, size), sentence.heads + 1] += 0.7
    return sentence, weights


def test_probabilities_are_those_of_the_formula():
    probe = AttentionProbe(2)
    with torch.no_grad():
        probe.to_dependent.copy_(torch.tensor([1.5, -0.5]))
        probe.to_head.copy_(torch.tensor([0.25, 2.0]))
    a = RNG.dirichlet(np.ones(4), (2, 4))
    w, u = [1.5, -0.5], [0.25, 2.0]
    found = probe(torch.as_tensor(a, dtype=torch.float32)).exp().detach().numpy()
    assert found.shape == (3, 4)
    for j in range(1, 4):
        raw = np.array(
            [
                0 if i == j else np.exp(sum(w[k] * a[k, i, j] + u[k] * a[k, j, i] for k in range(2)))
                for i in range(4)
            ]
        )
        np.testing.assert_allclose(found[j - 1], raw / raw.sum(), rtol=1e-5)


def test_an_untrained_probe_knows_nothing():
    found = AttentionProbe(3)(torch.rand(3, 5, 5)).exp()
    np.testing.assert_allclose(found[found > 0].detach(), 0.25, rtol=1e-6)
    assert (found > 0).sum() == 16


def test_a_planted_head_is_found_and_random_heads_hold_nothing():
    rng = np.random.default_rng(0)
    train = [planted(random_sentence(rng), rng) for _ in range(300)]
    test = [planted(random_sentence(rng), rng) for _ in range(100)]
    probe = train_attention_probe(train, epochs=4, rate=0.02)
    assert score_attention_probe(probe, test).words.share > 0.97
    assert int(probe.to_head.argmax()) == 3
    blind = [(sentence, weights[:3]) for sentence, weights in train]
    blind_test = [(sentence, weights[:3]) for sentence, weights in test]
    low, _ = score_attention_probe(
        train_attention_probe(blind, epochs=4, rate=0.02), blind_test
    ).words.interval
    assert low < 1 / 5


def test_a_head_that_looks_down_is_read_the_other_way():
    rng = np.random.default_rng(1)
    pairs = []
    for _ in range(300):
        sentence, weights = planted(random_sentence(rng), rng)
        pairs.append((sentence, weights.transpose(0, 2, 1)))
    probe = train_attention_probe(pairs[:200], epochs=4, rate=0.02)
    assert int(probe.to_dependent.argmax()) == 3
    assert score_attention_probe(probe, pairs[200:]).words.share > 0.9


def test_the_seed_draws_the_order_and_torchs_own_numbers_are_left_alone():
    rng = np.random.default_rng(2)
    pairs = [planted(random_sentence(rng), rng) for _ in range(20)]
    before = torch.get_rng_state()
    one, again = (train_attention_probe(pairs, seed=4) for _ in range(2))
    other = train_attention_probe(pairs, seed=5)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one.to_head, again.to_head)
    assert not torch.equal(one.to_head, other.to_head)


def test_it_trains_where_gradients_are_switched_off():
    rng = np.random.default_rng(2)
    pairs = [planted(random_sentence(rng), rng) for _ in range(5)]
    with torch.no_grad():
        assert train_attention_probe(pairs).to_head.abs().max() > 0


def test_attachments_and_baselines_are_those_counted_by_hand():
    # dogs -> bark, bark = root, loudly -> bark, . -> bark
    one = Sentence(
        ("dogs", "bark", "loudly", "."), ("X",) * 4, np.array([1, -1, 1, 1]), ("a", "root", "b", "punct")
    )
    assert offset_attachments(one, 1).tolist() == [1, 2, 3, -1]
    assert offset_attachments(one, -2).tolist() == [-1, -1, 0, 1]
    found = score_offsets([one])
    assert (found[1].words, found[1].but_punct) == (Rate(1, 4), Rate(1, 3))
    assert (found[-1].words, found[-1].but_punct) == (Rate(1, 4), Rate(1, 3))
    assert (found[-2].words, found[-2].but_punct) == (Rate(2, 4), Rate(1, 3))
    assert next(iter(found)) == -2
    assert score_attachments([(one, one.heads)]).words == Rate(4, 4)


def test_what_does_not_fit_is_said():
    rng = np.random.default_rng(2)
    sentence, weights = planted(random_sentence(rng), rng)
    with pytest.raises(OptionError, match="no sentence to train on"):
        train_attention_probe([])
    with pytest.raises(ShapeError, match=r"sentence 1 .*\(5, 6, 6\).*\(5, 7, 7\).*with_root"):
        train_attention_probe([(sentence, weights), (sentence, weights[:, 1:, 1:])])
    with pytest.raises(ShapeError, match=r"\(4, 7, 7\).*\(5, 7, 7\)"):
        score_attention_probe(AttentionProbe(5), [(sentence, weights[:4])])
    weights[2, 3] = np.nan
    with pytest.raises(ShapeError, match=r"sentence 0 .* has NaN"):
        train_attention_probe([(sentence, weights)])
