"""Units are read as they are, drawn evenly, and nothing stays on the model."""

import numpy as np
import pytest
import torch
from torch import nn

from headscape.analysis.functional import correlate_units
from headscape.analysis.functional_heads import compare_heads
from headscape.errors import OptionError, ShapeError
from headscape.probe.units import read_heads, read_units


class Block(nn.Module):
    def __init__(self, hidden=12):
        super().__init__()
        self.wide = nn.Linear(6, hidden)
        self.narrow = nn.Linear(hidden, 6)

    def forward(self, x):
        return x + self.narrow(torch.relu(self.wide(x)))


class Model(nn.Module):
    """Two blocks, the second of which runs twice, and a classifier on the mean."""

    def __init__(self):
        super().__init__()
        self.blocks = nn.ModuleList([Block(12), Block(20)])
        self.dropout = nn.Dropout(0.5)
        self.classify = nn.Linear(6, 3)
        self.breaks = False

    def forward(self, x, *, twice=True):
        x = self.dropout(self.blocks[0](x))
        x = self.blocks[1](x)
        if twice:
            x = self.blocks[1](x)
        if self.breaks:
            raise RuntimeError("broken on purpose")
        return self.classify(x.mean(dim=1))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Model()


@pytest.fixture
def inputs():
    return torch.randn(3, 5, 6, generator=torch.Generator().manual_seed(1))


def hooks(model):
    return [
        len(getattr(module, name))
        for module in model.modules()
        for name in ("_forward_hooks", "_forward_pre_hooks", "_forward_hooks_with_kwargs")
    ]


def test_values_are_the_hidden_units_after_their_activation(model, inputs):
    units = read_units(model, inputs, samples=torch.ones(3, 5, dtype=torch.bool))
    assert units.signals.shape == (12 + 20 + 20, 15)
    assert units.sites == ("blocks.0.narrow",) * 12 + ("blocks.1.narrow",) * 20 + ("blocks.1.narrow#1",) * 20
    with torch.no_grad():
        hidden = torch.relu(model.blocks[0].wide(inputs)).flatten(0, 1).T
    np.testing.assert_array_equal(units.signals[:12], hidden.numpy())
    assert units.indices[:12].tolist() == list(range(12))


def test_what_is_not_read_is_said(model, inputs):
    units = read_units(model, inputs)
    assert units.left_out == {"classify": "leading axes (3,) instead of (3, 5)"}
    assert units.total == 52
    assert repr(units) == "Units(52 of 52 units of 3 modules, 15 samples)"


def test_padding_is_left_out(model, inputs):
    mask = np.ones((3, 5), bool)
    mask[1, 2:] = False
    whole, some = read_units(model, inputs), read_units(model, inputs, samples=mask)
    np.testing.assert_array_equal(some.signals, whole.signals[:, mask.ravel()])


def test_a_sample_holds_the_units_it_names(model, inputs):
    whole = read_units(model, inputs)
    rows = {(site, i): row for site, i, row in zip(whole.sites, whole.indices, whole.signals, strict=True)}
    some = read_units(model, inputs, most=17, seed=3)
    assert len(some.signals) == len({*zip(some.sites, some.indices.tolist(), strict=True)}) == 17
    for site, index, row in zip(some.sites, some.indices, some.signals, strict=True):
        np.testing.assert_array_equal(row, rows[site, index])


def test_the_same_seed_draws_the_same_units_and_every_unit_is_as_likely(model, inputs):
    def drawn(seed):
        units = read_units(model, inputs, most=13, seed=seed)
        return [*zip(units.sites, units.indices.tolist(), strict=True)]

    assert drawn(4) == drawn(4)
    counts: dict[tuple[str, int], int] = {}
    for seed in range(400):
        for unit in drawn(seed):
            counts[unit] = counts.get(unit, 0) + 1
    assert len(counts) == 52
    # 400 draws of 13 of 52: 100 each, give or take 4.5 standard deviations of 8.7.
    assert min(counts.values()) > 60
    assert max(counts.values()) < 140


def test_nothing_stays_on_the_model(model, inputs):
    model.train()
    model.blocks[1].eval()
    modes = [module.training for module in model.modules()]
    before, state = hooks(model), torch.random.get_rng_state()
    read_units(model, inputs, modules=["blocks.0"], side="output")
    read_units(model, inputs)
    assert [module.training for module in model.modules()] == modes
    assert hooks(model) == before
    assert (torch.random.get_rng_state() == state).all()
    assert all(p.grad is None and p.requires_grad for p in model.parameters())


def test_nothing_stays_after_an_exception(model, inputs):
    model.train()
    model.breaks = True
    before = hooks(model)
    with pytest.raises(RuntimeError, match="broken on purpose"):
        read_units(model, inputs)
    assert model.training
    assert model.blocks[0].training
    assert hooks(model) == before


def test_named_modules_are_read_on_the_side_asked_for(model, inputs):
    into = read_units(model, (inputs,), modules=["blocks.0.wide"])
    out = read_units(model, {"x": inputs, "twice": False}, modules=["blocks.0.wide"], side="output")
    np.testing.assert_array_equal(into.signals, inputs.flatten(0, 1).T.numpy())
    with torch.no_grad():
        np.testing.assert_array_equal(out.signals, model.blocks[0].wide(inputs).flatten(0, 1).T.numpy())


def test_an_encoder_of_torch_is_read_past_its_fast_path():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    units = read_units(encoder, torch.randn(2, 4, 8))
    assert set(units.sites) == {"layers.0.linear2", "layers.1.linear2"}
    assert units.signals.shape == (32, 8)
    assert units.signals.min() == 0  # after the ReLU


def test_half_precision_comes_back_as_float32(model, inputs):
    units = read_units(model.to(torch.bfloat16), inputs.bfloat16())
    assert units.signals.dtype == np.float32


def test_heads_of_all_layers_become_one_graph():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.5)
    encoder = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False).train()
    inputs = torch.randn(2, 4, 8)
    weights = compare_heads(read_heads(encoder, inputs))
    assert weights.shape == (6, 6)
    assert encoder.training
    np.testing.assert_array_equal(weights, compare_heads(read_heads(encoder, inputs)))  # no dropout


def test_units_and_heads_are_those_a_graph_takes(model, inputs):
    weights = correlate_units(read_units(model, inputs).signals)
    assert weights.shape == (52, 52)
    assert np.isfinite(weights).all()


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"modules": ["blocks.0.narow"]}, OptionError, r"Did you mean 'blocks\.0\.narrow'"),
        ({"side": "inside"}, OptionError, "inside"),
        ({"most": 0}, OptionError, "most=0"),
        ({"modules": ["blocks"]}, OptionError, "blocks did not run"),
        ({"modules": ["blocks.0.wide", "classify"]}, ShapeError, r"classify \(3,\)"),
        ({"samples": np.ones((3, 4), bool)}, ShapeError, r"samples their shape \(\(3, 4\)\)"),
    ],
)
def test_what_cannot_be_read_is_said(model, inputs, options, error, says):
    with pytest.raises(error, match=says):
        read_units(model, inputs, **options)


def test_a_model_whose_layers_keep_their_width_asks_for_names():
    square = nn.Sequential(nn.Linear(4, 4), nn.ReLU())
    with pytest.raises(OptionError, match="modules="):
        read_units(square, torch.randn(2, 3, 4))
    assert read_units(square, torch.randn(2, 3, 4), modules=["1"], side="output").total == 4
