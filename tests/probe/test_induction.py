"""Induction scores of models whose heads are built by hand."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from headscape.errors import NoAttentionError, OptionError
from headscape.probe.induction import repeated_tokens, score_induction

VOCABULARY = 60


class BuiltIn(nn.Module):
    """One layer of two heads: the first does induction by its making, the second weighs all tokens alike."""

    def __init__(self):
        super().__init__()
        self.sharp = nn.Parameter(torch.tensor(40.0))
        self.drop = nn.Dropout(0.5)

    def forward(self, ids):
        own = F.one_hot(ids, VOCABULARY).float()
        before = F.pad(own, (0, 0, 1, 0))[:, :-1]
        query = torch.stack([own * self.sharp, own * 0], 1)
        key = torch.stack([before, before], 1)
        return self.drop(F.scaled_dot_product_attention(query, key, key, is_causal=True, scale=1.0))


def test_a_head_built_for_induction_scores_one_and_an_even_one_chance():
    model = BuiltIn()
    found = score_induction(model, VOCABULARY, period=20, texts=3)
    assert found.prefix_matching[0, 0] == pytest.approx(1, abs=1e-6)
    assert found.prefix_matching[0, 1] == pytest.approx(found.chance[0], rel=1e-5)
    assert found.chance[0] == pytest.approx(np.mean([1 / n for n in range(21, 41)]))
    assert found.induction[0, 0] == pytest.approx(0.5, abs=1e-6)  # all of the second round's rows
    assert found.duplicate[0, 0] == pytest.approx(0, abs=1e-6)  # nothing repeats within a round
    assert found.heads() == [(0, 0, pytest.approx(1, abs=1e-6))]
    assert (found.layers, found.sites) == ((0,), ("",))
    started = score_induction(BuiltIn(), VOCABULARY, period=20, texts=3, start=7)
    assert started.prefix_matching[0, 0] == pytest.approx(1, abs=1e-6)
    assert started.chance[0] == pytest.approx(np.mean([1 / n for n in range(22, 42)]))


def test_the_model_is_left_as_it_was():
    model = BuiltIn()
    model.drop.eval()
    score_induction(model, VOCABULARY, period=5, texts=1, start=7)
    assert (model.training, model.drop.training) == (True, False)
    assert model.sharp.grad is None


def test_tokens_repeat_once_behind_the_start_and_follow_the_seed():
    ids = repeated_tokens(100, period=6, texts=3, start=1, seed=5)
    assert ids.shape == (3, 13)
    assert ((ids == 1).sum(1) == 1).all()
    assert (ids[:, 0] == 1).all()
    assert (ids[:, 1:7] == ids[:, 7:]).all()
    assert all(len(set(row[1:7])) == 6 for row in ids.tolist())
    assert (ids == repeated_tokens(100, period=6, texts=3, start=1, seed=5)).all()
    assert (ids != repeated_tokens(100, period=6, texts=3, start=1, seed=6)).any()
    assert repeated_tokens(2, period=5, texts=1).max() < 2
    with pytest.raises(OptionError, match="period=1"):
        repeated_tokens(100, period=1)


def test_models_are_run_as_the_caller_says_and_those_that_read_otherwise_are_answered():
    class Named(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = BuiltIn()

        def forward(self, *, input_ids):
            return self.inner(input_ids)

    model = Named()
    found = score_induction(model, VOCABULARY, period=20, texts=2, run=lambda ids: model(input_ids=ids))
    assert found.prefix_matching[0, 0] > 0.99
    with pytest.raises(NoAttentionError, match="no self-attention over all 40 tokens"):
        score_induction(model, VOCABULARY, period=20, texts=2, run=lambda ids: model(input_ids=ids[:, :30]))
