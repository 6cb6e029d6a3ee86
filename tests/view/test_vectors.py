"""Query and key vectors in a page: exact while they are few, coded when many, left out when too many."""

from dataclasses import replace

import numpy as np
import pytest

from headscape.trace.block import unpack
from headscape.trace.synthetic import example_trace
from headscape.trace.trace import Trace
from headscape.view import vectors
from headscape.view.scene import scene_block

WIDTH = 4


@pytest.fixture
def trace() -> Trace:
    """Make a trace whose first call has vectors and whose second has none."""
    plain = example_trace(layers=2, heads=2, padding=1)
    call = plain.calls[0]
    batch, head, query, key = call.shape
    rng = np.random.default_rng(0)
    made = {
        name: rng.normal(size=(batch, head, length, WIDTH)).astype(np.float32)
        for name, length in (("query_vectors", query), ("key_vectors", key))
    }
    made["key_vectors"][0, 0, 1] = np.nan  # no vector stands behind this key
    return replace(
        plain, calls=(replace(call, arrays=replace(call.arrays, **made), scale=0.25), *plain.calls[1:])
    )


def read(trace, example=0):
    return unpack(scene_block(trace, example))


def test_few_vectors_are_stored_as_they_are(trace):
    arrays, meta = read(trace, 1)
    np.testing.assert_array_equal(arrays["query_vector.0"], trace.calls[0].query_vectors(1))
    np.testing.assert_array_equal(arrays["key_vector.0"], trace.calls[0].key_vectors(1))
    assert meta["calls"][0]["width"] == WIDTH
    assert meta["calls"][0]["scale"] == 0.25
    assert "query_vector.1" not in arrays
    assert "width" not in meta["calls"][1]
    assert not any("vectors" in text for text in meta["warnings"])


def test_a_scale_that_is_not_known_is_not_said(trace):
    unknown = replace(trace, calls=(replace(trace.calls[0], scale=None), *trace.calls[1:]))
    assert "scale" not in read(unknown)[1]["calls"][0]


def test_many_vectors_are_coded_and_that_is_said(trace, monkeypatch):
    monkeypatch.setattr(vectors, "EXACT_VECTORS", 10)
    arrays, meta = read(trace)
    for name, exact in (
        ("query", trace.calls[0].query_vectors(0)),
        ("key", trace.calls[0].key_vectors(0)),
    ):
        codes, largest = arrays[f"{name}_vector.0"], meta["calls"][0][f"{name}_largest"]
        assert codes.dtype == np.uint16
        missing = np.isnan(exact)
        np.testing.assert_array_equal(codes == 65535, missing)
        decoded = (codes / 32767 - 1) * largest
        assert np.abs(decoded - exact)[~missing].max() <= largest / 32767
    assert any("16 bits each" in text for text in meta["warnings"])


def test_too_many_vectors_are_left_out_and_that_is_said(trace, monkeypatch):
    monkeypatch.setattr(vectors, "MOST_VECTORS", 10)
    arrays, meta = read(trace)
    assert not [name for name in arrays if "vector" in name]
    assert "width" not in meta["calls"][0]
    assert any("left out" in text for text in meta["warnings"])
