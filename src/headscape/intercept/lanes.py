"""Sweeps over one row that LLVM turns into vector instructions by itself; see ``vectors``."""

from typing import Any

from headscape.intercept.vectors import PANEL, F, I, bits, compiled, from_bits

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


@compiled
def end_panel(s: Any, n: Any, filler: Any) -> Any:
    """Fill the rest of the last PANEL of n numbers; return where it ends."""
    end = (n + PANEL - 1) // PANEL * PANEL
    for j in range(n, end):
        s[j] = filler
    return end


@compiled
def highest_of(lanes: Any) -> Any:
    """Return the largest of PANEL numbers, none of them NaN."""
    top = lanes[0]
    for lane in range(1, PANEL):
        top = lanes[lane] if lanes[lane] > top else top
    return top
