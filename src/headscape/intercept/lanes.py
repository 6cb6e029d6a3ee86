"""Building blocks of the compiled kernel: arithmetic on one row that LLVM turns into vector instructions.

Needs Numba; import it only behind :mod:`headscape.intercept.stream`. NaN and infinity are told apart by bits,
and no flag promises their absence, so they can never make a row wrong in silence.
"""

from typing import Any

import numpy as np
from llvmlite import binding, ir
from numba import njit, types
from numba.core import cgutils as _cgutils
from numba.extending import intrinsic

cgutils: Any = _cgutils  # has no types
PANEL = 64  # keys that lie side by side in packed keys, and lanes of the largest-of-lanes sweep
TILE = 4  # queries of one tile of scores
_FEATURES = dict(binding.get_host_cpu_features())
# Floats in a vector register, and registers of keys in one tile: TILE times as many hold the sums.
_WIDE = 16 if _FEATURES.get("avx512f") else 8 if _FEATURES.get("avx") else 4
_DEEP = 4 if _FEATURES.get("avx512f") or _FEATURES.get("neon") else 2

_FLAGS = {"reassoc", "nsz", "arcp", "contract", "afn"}  # neither "nnan" nor "ninf"
F: Any = np.float32
I: Any = np.int32  # noqa: E741
_LOWEST = F(-87.0)  # below it exp is 0 here; in float32 weights it leaves none above 1e-37
_LOG2E = F(1.4426950408889634)
_LN2_HIGH, _LN2_LOW = F(0.693359375), F(-2.12194440e-4)
_E = tuple(F(c) for c in (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2,
                          1.6666665459e-1, 5.0000001201e-1))  # fmt: skip
_E0, _E1, _E2, _E3, _E4, _E5 = _E
_L = tuple(F(c) for c in (7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1,
                          1.4249322787e-1, -1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1,
                          3.3333331174e-1))  # fmt: skip
_L0, _L1, _L2, _L3, _L4, _L5, _L6, _L7, _L8 = _L
_SQRT2 = F(1.4142135623730951)


def compiled(function: Any) -> Any:
    """Compile on first call; kept on disk where Numba finds a folder that may be written."""
    options: Any = {"nogil": True, "error_model": "numpy", "fastmath": _FLAGS}
    try:
        return njit(cache=True, **options)(function)
    except RuntimeError:  # no such folder
        return njit(**options)(function)


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


def _tile_code(context: Any, builder: Any, signature: Any, args: Any) -> Any:
    query, query_at, key, key_at, out, place = args
    out_at, step, depth = cgutils.unpack_tuple(builder, place, 3)
    query, key, out = (
        context.make_array(kind)(context, builder, array).data
        for kind, array in zip(signature.args[:5:2], (query, key, out), strict=True)
    )
    vector = ir.VectorType(ir.FloatType(), _WIDE)
    nothing, everywhere = ir.Constant(vector, ir.Undefined), ir.VectorType(ir.IntType(32), _WIDE)

    def at(*parts: Any) -> Any:
        parts = tuple(ir.Constant(depth.type, p) if isinstance(p, int) else p for p in parts)
        total = parts[0]
        for part in parts[1:]:
            total = builder.add(total, part)
        return total

    def vector_at(pointer: Any, index: Any) -> Any:
        return builder.bitcast(builder.gep(pointer, [index]), vector.as_pointer())

    for left in range(0, PANEL, _DEEP * _WIDE):
        sums = [[cgutils.alloca_once(builder, vector) for _ in range(_DEEP)] for _ in range(TILE)]
        for cell in (cell for row in sums for cell in row):
            builder.store(ir.Constant(vector, None), cell)
        with cgutils.for_range(builder, depth) as loop:
            base = at(key_at, builder.mul(loop.index, at(PANEL)), left)
            keys = [builder.load(vector_at(key, at(base, v * _WIDE)), align=4) for v in range(_DEEP)]
            for row in range(TILE):
                place = at(query_at, builder.mul(depth, at(row)), loop.index)
                one = builder.load(builder.gep(query, [place]))
                one = builder.insert_element(nothing, one, ir.Constant(ir.IntType(32), 0))
                one = builder.shuffle_vector(one, nothing, ir.Constant(everywhere, None))
                for v in range(_DEEP):
                    product = builder.fmul(keys[v], one, flags=("contract",))
                    total = builder.fadd(builder.load(sums[row][v]), product, flags=("contract",))
                    builder.store(total, sums[row][v])
        for row in range(TILE):
            for v in range(_DEEP):
                place = at(out_at, builder.mul(step, at(row)), left + v * _WIDE)
                builder.store(builder.load(sums[row][v]), vector_at(out, place), align=4)
    return context.get_dummy_value()


@inlined
def tile(typing: Any, query: Any, query_at: Any, key: Any, key_at: Any, out: Any, place: Any) -> Any:
    """Multiply TILE queries with PANEL packed keys; ``place`` = (first, step between rows, width)."""
    return types.void(query, query_at, key, key_at, out, place), _tile_code


@compiled
def pack(flat: Any, stride: Any, width: Any, out: Any) -> None:
    """Lay the keys of one head out in panels: (panel, width, PANEL); ``out`` was zero before.

    ``stride`` holds those of key and width, and where the head begins.
    """
    key_step, width_step, begin, keys = stride
    for panel in range((keys + PANEL - 1) // PANEL):
        last = min(PANEL, keys - panel * PANEL)
        for j in range(last):
            start = begin + (panel * PANEL + j) * key_step
            for d in range(width):
                out[(panel * width + d) * PANEL + j] = flat[start + d * width_step]


@compiled
def largest_score(s: Any, n: Any) -> Any:
    """Return the largest of the first n scores and how many of them are NaN."""
    top, broken = I(-2147483648), I(0)
    for j in range(n):
        b = bits(s[j])
        broken += I((b & I(0x7FFFFFFF)) > I(0x7F800000))
        ordered = b ^ ((b >> I(31)) & I(0x7FFFFFFF))
        top = ordered if ordered > top else top
    return from_bits(I(top ^ ((top >> I(31)) & I(0x7FFFFFFF)))), broken


@compiled
def exponentials(s: Any, n: Any, top: Any, places: Any, place: Any) -> Any:
    """Replace scores by ``exp(score - top)``; return their sum, sum of e * x and of e * distance."""
    total, inner, distance = F(0), F(0), F(0)
    for j in range(n):
        x = s[j] - top
        far = x <= _LOWEST
        x = _LOWEST if far else x
        whole = I(x * _LOG2E - F(0.5))
        r = x - F(whole) * _LN2_HIGH
        r = r - F(whole) * _LN2_LOW
        p = ((((_E0 * r + _E1) * r + _E2) * r + _E3) * r + _E4) * r + _E5
        p = p * r * r + r + F(1)
        e = p * from_bits(I((whole + I(127)) << I(23)))
        e = F(0) if far else e
        s[j] = e
        total += e
        inner += e * x
        distance += e * abs(places[j] - place)
    return total, inner, distance


@compiled
def written_sums(s: Any, n: Any, places: Any, place: Any) -> Any:
    """Return sum, sum of w * log2(w), and sum of w * distance of weights that are finite and >= 0."""
    total, inner, distance = F(0), F(0), F(0)
    for j in range(n):
        w = s[j]
        b = bits(w)
        exponent = (b >> I(23)) - I(127)
        m = from_bits(I((b & I(0x7FFFFF)) | I(0x3F800000)))
        big = m > _SQRT2
        m = m * F(0.5) if big else m
        exponent = exponent + I(1) if big else exponent
        x = m - F(1)
        p = (((((((_L0 * x + _L1) * x + _L2) * x + _L3) * x + _L4) * x + _L5) * x + _L6) * x + _L7) * x + _L8
        z = x * x
        log2 = (x - F(0.5) * z + x * z * p) * _LOG2E + F(exponent)
        total += w
        inner += w * log2
        distance += w * abs(places[j] - place)
    return total, inner, distance


@compiled
def add_scaled(s: Any, n: Any, by: Any, into: Any) -> None:
    """Add ``by`` times the first n numbers to what a key received."""
    for j in range(n):
        into[j] += s[j] * by


@compiled
def write_scaled(s: Any, n: Any, by: Any, into: Any) -> None:
    """Write ``by`` times the first n numbers."""
    for j in range(n):
        into[j] = s[j] * by
