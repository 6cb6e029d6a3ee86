"""The byte block: a JSON header and typed arrays, for file, page, widget and server alike.

A block is a valid safetensors file: an unsigned 64-bit little-endian length, that many bytes of JSON
(padded with spaces to a multiple of 8), then the arrays without gaps. Arrays stand by falling element
size, so each lies at a multiple of its own size and can be viewed without a copy.
"""

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from headscape.errors import FormatError

Arrays = dict[str, npt.NDArray[np.generic]]

DTYPES = {
    "F64": "<f8",
    "I64": "<i8",
    "F32": "<f4",
    "I32": "<i4",
    "U32": "<u4",
    "U16": "<u2",
    "U8": "|u1",
    "BOOL": "|b1",
}
_CODES = {np.dtype(name): code for code, name in DTYPES.items()}
_META = "headscape"
_LONGEST_HEADER = 100 * 1024 * 1024  # bytes; what safetensors itself accepts
LONGEST_BLOCK = 16 * 1024**3  # bytes; past this a file is somebody's mistake or malice


def pack(arrays: Mapping[str, npt.NDArray[np.generic]], meta: Mapping[str, Any]) -> bytes:
    """Pack arrays and a JSON-able description into one block.

    Parameters
    ----------
    arrays : mapping of str to array
        dtypes of :data:`DTYPES`; any shape.
    meta : mapping
        Must survive JSON. Lone surrogates in texts become U+FFFD, since the block is UTF-8.

    Raises
    ------
    FormatError
        An array has a dtype the format does not know.
    """
    ordered = sorted(arrays.items(), key=lambda item: (-item[1].dtype.itemsize, item[0]))
    text = json.dumps(_clean(meta), ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    header: dict[str, Any] = {"__metadata__": {_META: text}}
    parts, at = [], 0
    for name, array in ordered:
        code = _CODES.get(array.dtype.newbyteorder("<") if array.dtype.itemsize > 1 else array.dtype)
        if code is None:
            raise FormatError(
                f"array {name!r} is {array.dtype}; a block holds {', '.join(DTYPES)}. Convert it first."
            )
        data = np.ascontiguousarray(array, dtype=DTYPES[code]).tobytes()
        header[name] = {"dtype": code, "shape": list(array.shape), "data_offsets": [at, at + len(data)]}
        parts.append(data)
        at += len(data)
    head = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    return b"".join([len(head).to_bytes(8, "little"), head, *parts])


def unpack(
    data: bytes | bytearray | memoryview, *, limit_bytes: int = LONGEST_BLOCK
) -> tuple[Arrays, dict[str, Any]]:
    """Read a block that may come from anywhere.

    Parameters
    ----------
    data : bytes
        The whole block.
    limit_bytes : int
        Refuse blocks that are longer.

    Returns
    -------
    arrays : dict of str to array
        Read-only views of ``data``.
    meta : dict
        What was packed with them.

    Raises
    ------
    FormatError
        The bytes are no such block: the message says which part is wrong. Nothing is ever run.
    """
    view = memoryview(data)
    if len(view) > limit_bytes:
        raise FormatError(f"the block has {len(view):,} bytes; at most {limit_bytes:,} are read.")
    header, start = _header(view)
    meta_text = header.pop("__metadata__", {})
    if not isinstance(meta_text, dict) or not isinstance(meta_text.get(_META), str):
        raise FormatError("the block has no headscape description, so it is some other safetensors file.")
    try:
        meta = json.loads(meta_text[_META])
    except (ValueError, RecursionError):
        raise FormatError("the block's description is not JSON.") from None
    if not isinstance(meta, dict):
        raise FormatError("the block's description is not a JSON object.")
    arrays, spans = {}, []
    for name, entry in header.items():
        arrays[name], span = _array(view, start, name, entry)
        spans.append(span)
    _expect_no_gaps(sorted(spans), len(view) - start)
    return arrays, meta


def _header(view: memoryview) -> tuple[dict[str, Any], int]:
    if len(view) < 8:
        raise FormatError(f"the block has {len(view)} bytes; even an empty one has more than 8.")
    length = int.from_bytes(view[:8], "little")
    if length > min(_LONGEST_HEADER, len(view) - 8):
        raise FormatError(
            f"the block claims a header of {length:,} bytes but has {len(view) - 8:,} after its length."
        )
    try:
        header = json.loads(bytes(view[8 : 8 + length]))
    except (ValueError, RecursionError):
        raise FormatError("the block's header is not JSON.") from None
    if not isinstance(header, dict):
        raise FormatError("the block's header is not a JSON object.")
    return header, 8 + length


def _array(
    view: memoryview, start: int, name: str, entry: object
) -> tuple[npt.NDArray[np.generic], tuple[int, int]]:
    match entry:
        case {"dtype": str(code), "shape": list(shape), "data_offsets": [int(begin), int(end)]} if (
            code in DTYPES
        ):
            pass
        case _:
            raise FormatError(f"array {name!r} is not described by a known dtype, a shape and two offsets.")
    if not all(type(n) is int and n >= 0 for n in shape):
        raise FormatError(f"array {name!r} has shape {shape}; every length is a whole number from 0.")
    dtype = np.dtype(DTYPES[code])
    count = 1
    for n in shape:
        count *= n
    if not 0 <= begin <= end <= len(view) - start or end - begin != count * dtype.itemsize:
        raise FormatError(
            f"array {name!r} of shape {shape} ({code}) claims bytes {begin} to {end} of {len(view) - start}."
        )
    return np.frombuffer(view[start + begin : start + end], dtype=dtype).reshape(shape), (begin, end)


def _expect_no_gaps(spans: list[tuple[int, int]], total: int) -> None:
    at = 0
    for begin, end in spans:
        if begin != at:
            raise FormatError(f"the block's arrays overlap or leave a gap at byte {at}.")
        at = end
    if at != total:
        raise FormatError(f"the block's arrays end at byte {at} of {total}.")


def _clean(value: Any) -> Any:
    """Replace lone surrogates, which UTF-8 cannot hold, and NaN, which JSON cannot."""
    if isinstance(value, str):
        return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, Mapping):
        return {str(key): _clean(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(item) for item in value]
    if isinstance(value, float) and value != value:
        return None
    return value
