"""Saving and loading a trace: one byte block, no pickle."""

import math
import os
from pathlib import Path
from typing import Any

import numpy as np

from headscape.errors import FileError, FormatError
from headscape.trace.block import Arrays, pack, unpack
from headscape.trace.call import AttentionCall, CallArrays
from headscape.trace.outputs import Outputs
from headscape.trace.sides import Side
from headscape.trace.trace import Trace

FORMAT = 1
_CALL_FIELDS = ("path", "site", "layer", "kind", "source", "query_side", "key_side", "plane", "nan_rows")
# Axes of each stored array of a call, checked when a file is read: a file may come from anywhere.
_AXES = {
    "weights": "bhqx", "keys": "bhqx", "kept": "bhq", "visible": "bhq", "padded": "bq", "padded_keys": "bk",
    "value_norms": "bhk", "flow": "b4q", "entropy": "bhq", "distance": "bhq", "first_key": "bhq",
    "largest": "bhq", "received": "bhk", "gradient": "bhqx", "query_vectors": "bhqd", "key_vectors": "bhkd",
}  # fmt: skip
_OPTIONAL = ("keys", "value_norms", "gradient", "query_vectors", "key_vectors")
_DTYPES = {"keys": np.int32, "visible": np.int32, "padded": np.bool_, "padded_keys": np.bool_}


def save(trace: Trace, path: str | os.PathLike[str]) -> Path:
    """Write ``trace`` to ``path``, which stays as it was if that fails."""
    target = Path(path)
    try:
        replace_file(target, to_bytes(trace))
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise FileError(
            f"the trace could not be written to {target}: {getattr(error, 'strerror', None) or error}. "
            "It is still in memory: save it again under another path."
        ) from None
    return target


def replace_file(path: Path, data: bytes) -> None:
    """Write a file beside its place, then rename it: a crash leaves the old file or the new one."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(data)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def load(path: str | os.PathLike[str]) -> Trace:
    """Read a trace that :meth:`Trace.save` wrote. Needs no torch and runs nothing from the file.

    Raises
    ------
    FileError
        The file could not be read.
    FormatError
        It is no trace, is damaged, or was written by a newer headscape.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise FileError(f"{path} could not be read: {error.strerror or error}.") from None
    try:
        return from_bytes(data)
    except FormatError as error:
        raise FormatError(f"{path} is not a headscape trace: {error}") from None


def to_bytes(trace: Trace) -> bytes:
    """Return the trace as one byte block."""
    arrays: Arrays = {}
    for n, call in enumerate(trace.calls):
        arrays.update({f"call.{n}.{name}": array for name, array in call.arrays.present().items()})
    for n, side in enumerate(trace.sides):
        if side.pictures is not None:
            arrays[f"side.{n}.pictures"] = side.pictures
    outputs = trace.outputs
    if outputs is not None:
        arrays["outputs.class_ids"] = outputs.class_ids
        arrays["outputs.scores"] = outputs.scores
        arrays["outputs.probabilities"] = outputs.probabilities
        arrays["outputs.base"] = outputs.base
        if outputs.contributions is not None:
            arrays["outputs.contributions"] = outputs.contributions
    meta: dict[str, Any] = {
        "format": FORMAT,
        "kind": "trace",
        "model": trace.model,
        "step": trace.step,
        "warnings": trace.warnings,
        "calls": [
            {name: getattr(c, name) for name in _CALL_FIELDS}
            | {"shape": c.shape, "self_check": c.self_check, "scale": c.scale}
            for c in trace.calls
        ],
        "sides": [
            {"name": s.name, "length": s.length, "planes": s.planes, "labels": s.labels, "grid": s.grid}
            for s in trace.sides
        ],
        "outputs": outputs
        and {
            "kind": outputs.kind,
            "side": outputs.side,
            "method": outputs.method,
            "class_names": outputs.class_names,
        },
    }
    return pack(arrays, meta)


def from_bytes(data: bytes) -> Trace:
    """Read a block made by :func:`to_bytes`; every size is checked against the others."""
    arrays, meta = unpack(data)
    if meta.get("kind") != "trace":
        raise FormatError(f"it holds a {meta.get('kind')!r}, not a 'trace'.")
    if meta.get("format") != FORMAT:
        raise FormatError(
            f"it has format {meta.get('format')!r}; this headscape reads {FORMAT}. Update headscape."
        )
    try:
        sides = tuple(_side(n, entry, arrays) for n, entry in enumerate(meta["sides"]))
        calls = tuple(_call(n, entry, arrays, sides) for n, entry in enumerate(meta["calls"]))
        outputs = _outputs(meta["outputs"], arrays, sides)
        warnings = tuple(str(text) for text in meta["warnings"])
        return Trace(calls, sides, outputs, warnings, str(meta["model"]), meta["step"])
    except FormatError:
        raise
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:
        raise FormatError(f"its description does not fit ({type(error).__name__}: {error}).") from None


def _side(n: int, entry: dict[str, Any], arrays: Arrays) -> Side:
    length, labels, grid = int(entry["length"]), entry["labels"], entry["grid"]
    rows = None if labels is None else tuple(tuple(str(text) for text in row) for row in labels)
    if rows is not None and any(len(row) != length for row in rows):
        raise FormatError(f"side {n} has {length} tokens and another number of labels.")
    pictures = arrays.get(f"side.{n}.pictures")
    if pictures is not None and (
        pictures.ndim != 5 or pictures.dtype != np.uint8 or pictures.shape[1] > length
    ):
        raise FormatError(f"side {n} has pictures of shape {pictures.shape} ({pictures.dtype}).")
    box = None if grid is None else tuple(int(count) for count in grid)
    if box is not None and (len(box) not in (2, 3) or min(box) < 1 or math.prod(box) > length):
        raise FormatError(f"side {n} has {length} tokens and a grid of {box}.")
    return Side(str(entry["name"]), length, int(entry["planes"]), rows, box, pictures)  # type: ignore[arg-type]


def _call(n: int, entry: dict[str, Any], arrays: Arrays, sides: tuple[Side, ...]) -> AttentionCall:
    batch, head, query, key = (int(length) for length in entry["shape"])
    sizes = {"b": batch, "h": head, "q": query, "k": key, "4": 4}
    found: dict[str, Any] = {}
    for name, axes in _AXES.items():
        array = arrays.get(f"call.{n}.{name}")
        if array is None and name not in _OPTIONAL:
            raise FormatError(f"call {n} has no array {name!r}.")
        if array is not None:
            sizes["x"] = key if f"call.{n}.keys" not in arrays else array.shape[-1]
            if name.endswith("_vectors"):
                sizes.setdefault("d", array.shape[-1])
            wanted = tuple(sizes[axis] for axis in axes)
            if array.shape != wanted or array.dtype != _DTYPES.get(name, np.float32):
                raise FormatError(f"call {n} has {name} of {array.shape} ({array.dtype}), not {wanted}.")
        found[name] = array
    if (found["query_vectors"] is None) != (found["key_vectors"] is None):
        raise FormatError(f"call {n} has vectors of queries or of keys, not of both.")
    if found["keys"] is not None and found["keys"].shape != found["weights"].shape:
        raise FormatError(
            f"call {n} has keys of {found['keys'].shape} beside weights of {found['weights'].shape}."
        )
    if (
        found["keys"] is not None
        and found["keys"].size
        and not -1 <= found["keys"].min() <= found["keys"].max() < key
    ):
        raise FormatError(f"call {n} names keys outside 0 to {key - 1}.")
    values = {name: entry[name] for name in _CALL_FIELDS}
    for name, length in (("query_side", query), ("key_side", key)):
        there = sides[range(len(sides))[values[name]]].length
        # Fewer queries than tokens: the side's last ones, behind a cache.
        if there != length and (name == "key_side" or length > there):
            raise FormatError(f"call {n} has {length} positions on {name}, which has {there} tokens.")
    check = float("nan") if entry["self_check"] is None else float(entry["self_check"])
    scale = entry.get("scale")
    return AttentionCall(
        **values, shape=(batch, head, query, key), arrays=CallArrays(**found), self_check=check,
        scale=None if scale is None else float(scale),
    )  # fmt: skip


def _outputs(entry: dict[str, Any] | None, arrays: Arrays, sides: tuple[Side, ...]) -> Outputs | None:
    if entry is None:
        return None
    found: dict[str, Any] = {
        name: arrays.get(f"outputs.{name}")
        for name in ("class_ids", "scores", "probabilities", "contributions", "base")
    }
    shape = found["scores"].shape
    for name in ("class_ids", "probabilities", "base"):
        if found[name].shape != shape:
            raise FormatError(f"outputs has {name} of {found[name].shape} beside scores of {shape}.")
    length = sides[range(len(sides))[entry["side"]]].length
    if found["contributions"] is not None and found["contributions"].shape != (*shape, length):
        raise FormatError(
            f"outputs has contributions of {found['contributions'].shape}, not {(*shape, length)}."
        )
    names = entry["class_names"]
    if names is not None and found["class_ids"].size and not 0 <= found["class_ids"].max() < len(names):
        raise FormatError("outputs names classes that have no name.")
    return Outputs(
        kind=entry["kind"],
        side=int(entry["side"]),
        method=entry["method"],
        class_names=None if names is None else tuple(str(name) for name in names),
        **found,
    )
