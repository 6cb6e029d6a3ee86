"""Every model of the zoo comes out as it declares."""

import types

import pytest
import torch
from tests.zoo.compare import difference
from tests.zoo.runner import run_case
from tests.zoo.written import BATCH, LENGTH, WIDTH, Stack, random, reference, spread_out
from tests.zoo.written_kernels import EarlyBound
from tests.zoo.written_softmax import MaskedFill
from tests.zoo.zoo import CASES

import headscape

LEAST_MODELS = 240


def _parameter(case):
    return pytest.param(case, id=case.id.replace("/", ": "), marks=[pytest.mark.slow] if case.slow else [])


@pytest.mark.filterwarnings("ignore")  # those of foreign libraries; the runner notes headscape's
@pytest.mark.parametrize("case", [_parameter(case) for case in CASES])
def test_weights_outputs_and_gradients_are_as_promised(case):
    result = run_case(case)
    assert result.faults == []
    assert result.found == case.expect


def test_no_two_models_share_a_name_and_there_are_enough():
    assert len({case.id for case in CASES}) == len(CASES)
    assert len(CASES) >= LEAST_MODELS


@pytest.mark.parametrize("attention", [MaskedFill, EarlyBound])
def test_weights_in_training_are_those_before_dropout(attention):
    torch.manual_seed(0)
    model, x = spread_out(Stack(attention)), random(BATCH, LENGTH, WIDTH)
    first = reference(model.eval(), x)[0]
    model.train()
    with headscape.capture(model, keep="all", strict=True) as run:
        output = model(x)[1]
    assert not torch.equal(output, model.eval()(x)[1])  # dropout was at work
    assert difference(first, run.trace.calls[0]) < 2e-5


def test_weights_after_dropout_would_be_noticed():
    model, x = spread_out(Stack(MaskedFill)).eval(), random(BATCH, LENGTH, WIDTH)
    first = reference(model, x)[0]
    dropped = torch.dropout(torch.from_numpy(first.weights), 0.1, True).numpy()
    call = types.SimpleNamespace(shape=dropped.shape, weights=lambda example: dropped[example], k=None)
    assert difference(first, call) > 0.01
