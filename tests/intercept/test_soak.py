"""Hundreds of captures keep nothing alive: a shortened benchmarks/soak.py."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch

import headscape

PATH = Path(__file__).parents[2] / "benchmarks" / "soak.py"


@pytest.fixture(scope="module")
def soak():
    spec = importlib.util.spec_from_file_location("soak", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_two_hundred_captures_leave_no_object_and_no_tensor(soak):
    soak.soak(40, 40)
    readings = soak.soak(200, 50)
    np.testing.assert_array_equal(readings[:, 0], [0, 50, 100, 150, 200])
    np.testing.assert_array_equal(readings[2:, 3], readings[1:-1, 3])  # tensors
    # One object a capture would be 50 more; other tests' leftovers may come and go.
    assert np.abs(np.diff(readings[1:, 2])).max() <= 5


def test_a_kept_tensor_a_capture_is_found(soak, monkeypatch):
    kept, real = [], headscape.capture

    def leaking(model, **options):
        kept.append(torch.zeros(1))
        return real(model, **options)

    monkeypatch.setattr(headscape, "capture", leaking)
    soak.soak(20, 20)
    readings = soak.soak(80, 20)
    assert (np.diff(readings[1:, 3]) == 20).all()
    assert np.abs(np.diff(readings[1:, 2])).min() > 5  # the bound above would have caught it


def test_slope_and_its_error_are_those_of_a_straight_line_with_noise(soak):
    draw = np.random.default_rng(0)
    counts = np.arange(0, 4000, 100)
    resident = 5_000_000 + 250 * counts + draw.normal(0, 2000, len(counts))
    readings = np.stack([counts, resident, counts * 0, counts * 0], 1).astype(np.int64)
    rise, error = soak.slope(readings)
    assert abs(rise - 250) < 3 * error
    assert 0 < error < 5
    fit, covariance = np.polyfit(readings[20:, 0], readings[20:, 1], 1, cov=True)
    np.testing.assert_allclose((rise, error), (fit[0], covariance[0, 0] ** 0.5), rtol=1e-9)
