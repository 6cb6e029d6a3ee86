"""States of modules: the model's own numbers, and nothing left behind."""

import numpy as np
import pytest
import torch
from torch import nn

from headscape.analysis.words import align_ids
from headscape.errors import OptionError, ShapeError
from headscape.intercept.run import capture
from headscape.probe.states import layer_states, word_states


@pytest.fixture
def encoder():
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    return nn.TransformerEncoder(layer, 3, enable_nested_tensor=False).eval()


LAYERS = ("layers.0", "layers.1", "layers.2")


def hooks(model):
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def test_states_are_those_of_running_the_layers_one_by_one(encoder):
    x = torch.randn(2, 5, 8)
    found = layer_states(encoder, x, LAYERS)
    assert list(found) == list(LAYERS)
    with torch.no_grad():
        for layer, state in zip(encoder.layers, found.values(), strict=True):
            x = layer(x)
            torch.testing.assert_close(state, x, rtol=1e-5, atol=1e-6)


def test_nothing_stays_on_the_model_also_after_an_exception(encoder):
    x = torch.randn(2, 5, 8)
    before = encoder(x)
    names = {name: set(vars(module)) for name, module in encoder.named_modules()}
    states = layer_states(encoder, x, LAYERS)
    assert not any(state.requires_grad for state in states.values())
    with pytest.raises(RuntimeError):
        layer_states(encoder, torch.randn(2, 5, 7), LAYERS)
    assert hooks(encoder) == 0
    assert {name: set(vars(module)) for name, module in encoder.named_modules()} == names
    assert torch.equal(encoder(x), before)
    assert not encoder.training


class Odd(nn.Module):
    """Runs one module twice, one never, one past its forward, and writes into a state afterwards."""

    def __init__(self):
        super().__init__()
        self.twice = nn.Linear(3, 3)
        self.never = nn.Linear(3, 3)
        self.pair = Pair()
        self.count = Count()

    def forward(self, x, *, scale=1.0):
        self.count(x)
        first, _ = self.pair(x)
        first.mul_(0)
        return {"y": self.twice(self.twice(x) * scale)}


class Pair(nn.Module):
    def forward(self, x):
        return x + 1, {"also": x}


class Count(nn.Module):
    def forward(self, x):
        return len(x)


def test_a_module_that_runs_twice_has_two_sites_and_written_over_states_are_kept():
    model, x = Odd().eval(), torch.ones(2, 3)
    found = layer_states(model, {"x": x, "scale": 2.0}, ["twice", "pair", ""])
    assert list(found) == ["pair", "twice", "twice#1", ""]
    torch.testing.assert_close(found["pair"], x + 1)
    torch.testing.assert_close(found["twice#1"], model.twice(found["twice"] * 2))
    assert torch.equal(found[""], found["twice#1"])
    assert torch.equal(layer_states(model, (x,), ["twice"])["twice"], found["twice"])


def test_modules_that_are_not_there_or_give_nothing_are_named():
    model, x = Odd().eval(), torch.ones(2, 3)
    with pytest.raises(OptionError, match=r"Odd has no module 'twise' among its 5. Did you mean 'twice'"):
        layer_states(model, x, ["twise"])
    with pytest.raises(OptionError, match="'never' of Odd did not run"):
        layer_states(model, x, ["twice", "never"])
    with pytest.raises(OptionError, match=r"'count' .Count. gave int"):
        layer_states(model, x, ["count"])
    assert hooks(model) == 0


def test_nested_states_are_padded():
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 2).eval()
    padding = torch.tensor([[False, False, False], [False, True, True]])
    inputs = {"src": torch.randn(2, 3, 8), "src_key_padding_mask": padding}
    found = layer_states(encoder, inputs, ["layers.0", "layers.1"])
    assert all(state.shape == (2, 3, 8) for state in found.values())
    torch.testing.assert_close(found["layers.1"][~padding], encoder(**inputs)[~padding], rtol=1e-4, atol=1e-5)


def test_it_takes_part_in_a_captured_pass(encoder):
    x = torch.randn(1, 4, 8)
    with capture(encoder, keep="all") as run:
        found = layer_states(encoder, x, LAYERS)
    assert len(run.traces) == 1
    assert len(run.trace.calls) == len(found) == 3


def test_states_of_words_are_means_over_their_tokens():
    states = {"a": torch.arange(12.0).reshape(2, 3, 2), "b": torch.zeros(2, 3, 2)}
    first, second = word_states(states, [align_ids([0, 0, 1]), align_ids([None, 0, None])])
    assert first.shape == (2, 2, 2)
    assert first[:, 0].tolist() == [[1, 2], [4, 5]]
    assert second.tolist() == [[[8, 9], [0, 0]]]
    with pytest.raises(ShapeError, match=r"batch of 1, the number of alignments"):
        word_states(states, [align_ids([0, 0, 1])])
    with pytest.raises(ShapeError, match="one shape"):
        word_states({**states, "c": torch.zeros(2, 3, 5)}, [align_ids([0, 0, 1])] * 2)
    assert np.isfinite(first).all()
