"""Every model of the zoo comes out as it declares."""

import pytest
from tests.zoo.runner import run_case
from tests.zoo.zoo import CASES

LEAST_MODELS = 110


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
