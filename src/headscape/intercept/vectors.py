"""What the compiled kernel is made of: how functions are compiled, and vector instructions written by hand.

Needs Numba; import it only behind :mod:`headscape.intercept.stream`. NaN and infinity are told apart by bits,
and no flag promises their absence, so they can never make a row wrong in silence.
"""

from pathlib import Path
from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import njit, types
from numba.core import cgutils as _cgutils
from numba.extending import intrinsic

cgutils: Any = _cgutils  # has no types
F: Any = np.float32
I: Any = np.int32  # noqa: E741
PANEL = 64  # numbers that one step of a sweep takes, and keys that lie side by side in packed keys
TILE = 4  # queries of one tile of scores
_FEATURES = dict(binding.get_host_cpu_features())
# Floats in a vector register, and registers of keys in one tile: TILE times as many hold the sums.
_WIDE = 16 if _FEATURES.get("avx512f") else 8 if _FEATURES.get("avx") else 4
_DEEP = 4 if _FEATURES.get("avx512f") or _FEATURES.get("neon") else 2
_FLAGS = {"reassoc", "nsz", "arcp", "contract", "afn"}  # neither "nnan" nor "ninf"
_VECTOR = ir.VectorType(ir.FloatType(), _WIDE)
_WHOLE = ir.VectorType(ir.IntType(32), _WIDE)
_NOTHING = ir.Constant(_VECTOR, ir.Undefined)
# Code on disk is renewed when any of these changes: Numba itself looks only at the function's own file.
_STAMP = tuple(
    (found.st_mtime, found.st_size)
    for name in ("vectors", "lanes", "choosing", "kernel")
    if (path := Path(__file__).with_name(f"{name}.py")).exists() and (found := path.stat())
)


def compiled(function: Any) -> Any:
    """Compile on first call; kept on disk where Numba finds a folder that may be written."""
    options: Any = {"nogil": True, "error_model": "numpy", "fastmath": _FLAGS}
    try:
        made: Any = njit(cache=True, **options)(function)
    except RuntimeError:  # no such folder
        return njit(**options)(function)
    if hasattr(made, "_cache") and hasattr(made._cache, "_cache_file"):
        made._cache._cache_file._source_stamp = _STAMP
    return made


def inlined(function: Any) -> Any:
    """Write a function's LLVM code where it is called."""
    return intrinsic(function)


def _bitcast(to: ir.Type) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bitcast(args[0], to)

    return codegen


@inlined
def bits(typing: Any, x: Any) -> Any:
    """Return the bits of a float32 as int32. Of floats that are not negative they keep the order."""
    return types.int32(types.float32), _bitcast(ir.IntType(32))


@inlined
def from_bits(typing: Any, x: Any) -> Any:
    """Return the float32 with these bits."""
    return types.float32(types.int32), _bitcast(ir.FloatType())


@inlined
def count_ones(typing: Any, mask: Any) -> Any:
    """Count the bits of an int64 that are set."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.ctpop(args[0])

    return types.int64(types.int64), codegen


@inlined
def lowest_one(typing: Any, mask: Any) -> Any:
    """Return the place of the lowest bit that is set in an int64 that is not 0."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.int64), codegen


def _bare(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    if isinstance(kind, types.Array):
        array = context.make_array(kind)(context, builder, value)
        array.meminfo = cgutils.get_null_value(array.meminfo.type)
        array.parent = cgutils.get_null_value(array.parent.type)
        return array._getvalue()
    if isinstance(kind, types.BaseTuple):
        items: Any = kind
        for i, item in enumerate(items):
            part = _bare(context, builder, item, builder.extract_value(value, i))
            value = builder.insert_value(value, part, i)
    return value


@inlined
def uncounted(typing: Any, arrays: Any) -> Any:
    """Return arrays, or tuples of them, that Numba does not count: counting costs more than a short row.

    Whoever called the kernel holds on to them.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _bare(context, builder, signature.args[0], args[0])

    return arrays(arrays), codegen


def _spread(builder: Any, one: Any, vector: Any) -> Any:
    nothing = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(nothing, one, ir.Constant(ir.IntType(32), 0))
    return builder.shuffle_vector(first, nothing, ir.Constant(_WHOLE, None))


def _pointer(context: Any, builder: Any, kind: Any, array: Any) -> Any:
    return context.make_array(kind)(context, builder, array).data


def _vector_at(builder: Any, pointer: Any, *parts: Any) -> Any:
    """Return a pointer to the vector that begins ``sum(parts)`` floats behind a pointer."""
    place = ir.Constant(ir.IntType(64), 0)
    for part in parts:
        place = builder.add(place, ir.Constant(ir.IntType(64), part) if isinstance(part, int) else part)
    return builder.bitcast(builder.gep(pointer, [place]), _VECTOR.as_pointer())


def _mask_of(builder: Any, flags: Any, first: int) -> Any:
    packed = builder.zext(builder.bitcast(flags, ir.IntType(_WIDE)), ir.IntType(64))
    return builder.shl(packed, ir.Constant(ir.IntType(64), first))


@inlined
def reaching(typing: Any, e: Any, at: Any, bar: Any) -> Any:
    """Return one bit for each of PANEL numbers from ``at``: whether its bits reach the bar."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], args[0])
        bars, mask = _spread(builder, args[2], _WHOLE), ir.Constant(ir.IntType(64), 0)
        for first in range(0, PANEL, _WIDE):
            numbers = builder.load(_vector_at(builder, pointer, args[1], first), align=4)
            flags = builder.icmp_signed(">=", builder.bitcast(numbers, _WHOLE), bars)
            mask = builder.or_(mask, _mask_of(builder, flags, first))
        return mask

    return types.int64(e, types.int64, types.int32), codegen


@inlined
def sweep(typing: Any, s: Any, n: Any, lanes: Any) -> Any:
    """Write the largest of every PANEL-th of n numbers (a multiple of PANEL) for each of PANEL starts.

    Returns an int64 that is not 0 if one of them is NaN; the lanes are then of the others.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer, out = (_pointer(context, builder, signature.args[i], args[i]) for i in (0, 2))
        low = ir.Constant(_VECTOR, [float("-inf")] * _WIDE)
        tops = [cgutils.alloca_once_value(builder, low) for _ in range(PANEL // _WIDE)]
        for top in tops:
            builder.store(low, top)
        broken = cgutils.alloca_once_value(builder, ir.Constant(ir.IntType(64), 0))
        builder.store(ir.Constant(ir.IntType(64), 0), broken)
        steps = builder.udiv(args[1], ir.Constant(ir.IntType(64), PANEL))
        with cgutils.for_range(builder, steps) as loop:
            begin, mask = builder.mul(loop.index, ir.Constant(ir.IntType(64), PANEL)), builder.load(broken)
            for v, top in enumerate(tops):
                numbers, most = (
                    builder.load(_vector_at(builder, pointer, begin, v * _WIDE), align=4),
                    builder.load(top),
                )
                flags = builder.fcmp_unordered("uno", numbers, numbers)
                mask = builder.or_(mask, _mask_of(builder, flags, 0))
                more = builder.fcmp_ordered(">", numbers, most)
                builder.store(builder.select(more, numbers, most), top)
            builder.store(mask, broken)
        for v, top in enumerate(tops):
            builder.store(builder.load(top), _vector_at(builder, out, v * _WIDE), align=4)
        return builder.load(broken)

    return types.int64(s, types.int64, lanes), codegen


@inlined
def tile(typing: Any, query: Any, query_at: Any, key: Any, key_at: Any, out: Any, place: Any) -> Any:
    """Multiply TILE queries with PANEL packed keys; ``place`` = (first, step between rows, width)."""
    return types.void(query, query_at, key, key_at, out, place), _tile_code


def _tile_code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    query, query_at, key, key_at, out, place = args
    out_at, step, width = cgutils.unpack_tuple(builder, place, 3)
    kinds = signature.args
    query, key, out = (
        _pointer(context, builder, kinds[i], array) for i, array in ((0, query), (2, key), (4, out))
    )
    for left in range(0, PANEL, _DEEP * _WIDE):
        sums = [[cgutils.alloca_once(builder, _VECTOR) for _ in range(_DEEP)] for _ in range(TILE)]
        for cell in (cell for row in sums for cell in row):
            builder.store(ir.Constant(_VECTOR, None), cell)
        with cgutils.for_range(builder, width) as loop:
            base = builder.add(key_at, builder.mul(loop.index, ir.Constant(width.type, PANEL)))
            keys = [
                builder.load(_vector_at(builder, key, base, left + v * _WIDE), align=4) for v in range(_DEEP)
            ]
            for row in range(TILE):
                place = builder.add(query_at, builder.mul(width, ir.Constant(width.type, row)))
                one = builder.load(builder.gep(query, [builder.add(place, loop.index)]))
                one = _spread(builder, one, _VECTOR)
                for v in range(_DEEP):
                    product = builder.fmul(keys[v], one, flags=("contract",))
                    total = builder.fadd(builder.load(sums[row][v]), product, flags=("contract",))
                    builder.store(total, sums[row][v])
        for row in range(TILE):
            line = builder.add(out_at, builder.mul(step, ir.Constant(step.type, row)))
            for v in range(_DEEP):
                there = _vector_at(builder, out, line, left + v * _WIDE)
                builder.store(builder.load(sums[row][v]), there, align=4)
    return context.get_dummy_value()
