"""The byte block: what safetensors reads is what was packed, and hostile bytes get a sentence."""

import contextlib
import json
import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from safetensors.numpy import load

from headscape.errors import FormatError
from headscape.trace.block import pack, unpack

ARRAYS = {
    "a": np.arange(3, dtype=np.uint8),
    "b": np.arange(6, dtype=np.float32).reshape(2, 3),
    "c": np.array([], dtype=np.int32),
    "d": np.array([1, 65535], dtype=np.uint16),
    "e": np.array(3.5, dtype=np.float64),
    "f": np.array([[True], [False]]),
}


def block(header, data=b"", *, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


META = {"__metadata__": {"headscape": "{}"}}


def test_safetensors_reads_the_same_arrays():
    found = load(pack(ARRAYS, {"kind": "test"}))
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)


def test_arrays_lie_at_multiples_of_their_own_size():
    data = pack(ARRAYS, {})
    (length,) = struct.unpack("<Q", data[:8])
    assert (8 + length) % 8 == 0
    header = json.loads(data[8 : 8 + length])
    for name, array in ARRAYS.items():
        assert header[name]["data_offsets"][0] % array.dtype.itemsize == 0


@given(hnp.arrays(np.float32, hnp.array_shapes(max_dims=4, min_side=0, max_side=4)), st.text(), st.integers())
def test_round_trip_keeps_every_bit(array, text, number):
    arrays, meta = unpack(pack({"x": array, "y": array[..., :0]}, {"text": text, "numbers": [number, None]}))
    assert arrays["x"].tobytes() == array.tobytes()
    assert arrays["y"].shape == array[..., :0].shape
    assert meta == {"text": text, "numbers": [number, None]}


def test_byte_order_and_views_do_not_matter():
    swapped = np.arange(6, dtype=">f4").reshape(2, 3).T
    arrays, _ = unpack(pack({"x": swapped}, {}))
    np.testing.assert_array_equal(arrays["x"], swapped)


def test_lone_surrogates_and_nan_become_what_json_can_hold():
    _, meta = unpack(pack({}, {"text": "a\ud800b", "n": float("nan"), "emoji": "👩‍✈️"}))
    assert meta == {"text": "a\ufffdb", "n": None, "emoji": "👩‍✈️"}


def test_dtype_the_format_does_not_know_is_named():
    with pytest.raises(FormatError, match=r"'x' is complex64.*F32"):
        pack({"x": np.zeros(1, np.complex64)}, {})


GOOD = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}
HOSTILE = {
    "empty": (b"", "has 0 bytes"),
    "length past the end": (block(META, length=10**6), "claims a header"),
    "length of 2^63": (block(META, length=2**63), "claims a header"),
    "header is no json": (block(b"{{{"), "not JSON"),
    "header is deep": (block(b"[" * 100_000), "not JSON"),
    "header is a list": (block(b"[1]"), "not a JSON object"),
    "no description": (block({"x": GOOD}, bytes(8)), "no headscape description"),
    "description is a number": (block({"__metadata__": {"headscape": 3}}), "no headscape description"),
    "description is no json": (block({"__metadata__": {"headscape": "{"}}), "not JSON"),
    "description is a list": (block({"__metadata__": {"headscape": "[]"}}), "not a JSON object"),
    "unknown dtype": (block(META | {"x": GOOD | {"dtype": "PICKLE"}}, bytes(8)), "known dtype"),
    "negative shape": (block(META | {"x": GOOD | {"shape": [-2]}}, bytes(8)), "whole number"),
    "shape of text": (block(META | {"x": GOOD | {"shape": ["2"]}}, bytes(8)), "whole number"),
    "shape of bool": (block(META | {"x": GOOD | {"shape": [True, True]}}, bytes(8)), "whole number"),
    "huge shape": (block(META | {"x": GOOD | {"shape": [2**40, 2**40]}}, bytes(8)), "claims bytes"),
    "offsets past the end": (
        block(META | {"x": GOOD | {"data_offsets": [0, 800]}}, bytes(8)),
        "claims bytes",
    ),
    "offsets the wrong way": (block(META | {"x": GOOD | {"data_offsets": [8, 0]}}, bytes(8)), "claims bytes"),
    "three offsets": (block(META | {"x": GOOD | {"data_offsets": [0, 4, 8]}}, bytes(8)), "two offsets"),
    "overlap": (block(META | {"x": GOOD, "y": GOOD}, bytes(8)), "overlap or leave a gap"),
    "gap": (block(META | {"x": GOOD | {"data_offsets": [4, 12]}}, bytes(12)), "overlap or leave a gap"),
    "bytes left over": (block(META | {"x": GOOD}, bytes(12)), "end at byte 8 of 12"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_bytes_get_a_sentence(name):
    data, message = HOSTILE[name]
    with pytest.raises(FormatError, match=message):
        unpack(data)


def test_limit_refuses_a_longer_block():
    data = pack(ARRAYS, {})
    unpack(data, limit_bytes=len(data))
    with pytest.raises(FormatError, match="at most"):
        unpack(data, limit_bytes=len(data) - 1)


@given(st.data())
def test_any_damage_is_a_format_error_or_harmless(data):
    whole = bytearray(pack(ARRAYS, {"kind": "test", "list": [1, 2]}))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(whole)))
    with contextlib.suppress(FormatError):
        unpack(bytes(whole[:cut]))
