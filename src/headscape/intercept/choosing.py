"""Which keys of one row are kept, compiled: a bar is found on few numbers, what reaches it is sorted.

Rows hold finite numbers >= 0, whose bits keep their order, so that a bar is an integer and is found by
halving. See :mod:`headscape.intercept.lanes` for who may import this.
"""

from typing import Any

import numpy as np

from headscape.intercept.lanes import PANEL, F, I, bits, compiled, from_bits

ALL, TOP_K, THRESHOLD, NUCLEUS = range(4)
_FEW = 48  # up to here insertion beats a sort
_LANES_SERVE = 24  # keys a row up to which PANEL lanes give a good bar
_LANES_PAY = 4 * PANEL  # keys from which the sweep over lanes is cheaper than halving over the row


@compiled
def fill_lanes(e: Any, n: Any, lanes: Any) -> None:
    """Write the largest of every PANEL-th number, for each of PANEL starts."""
    lanes[:] = F(0)
    whole = n // PANEL
    for block in range(whole):
        part = e[block * PANEL : block * PANEL + PANEL]
        for lane in range(PANEL):
            lanes[lane] = part[lane] if part[lane] > lanes[lane] else lanes[lane]
    for j in range(whole * PANEL, n):
        lane = j - whole * PANEL
        lanes[lane] = e[j] if e[j] > lanes[lane] else lanes[lane]


@compiled
def count_from(e: Any, n: Any, bar: Any) -> Any:
    """Count the first n numbers whose bits reach the bar."""
    found = I(0)
    for j in range(n):
        found += I(bits(e[j]) >= bar)
    return found


@compiled
def mass_from(e: Any, n: Any, bar: Any) -> Any:
    """Sum the first n numbers whose bits reach the bar."""
    mass = F(0)
    for j in range(n):
        mass += e[j] if bits(e[j]) >= bar else F(0)
    return mass


@compiled
def exact_sum(e: Any, n: Any, factor: Any) -> Any:
    """Sum the first n weights, rounded as they are stored, in float64."""
    total = 0.0
    for j in range(n):
        total += np.float64(e[j] * factor)
    return total


@compiled
def bar_for_count(e: Any, n: Any, k: Any, highest: Any) -> Any:
    """Return a bar that at least k of n numbers reach and few more; 1 where fewer than k are above 0."""
    low, high = I(1), I(bits(highest) + I(1))
    while high - low > 1:
        middle = I(low + (high - low) // 2)
        found = count_from(e, n, middle)
        if found >= k:
            low = middle
            if found <= k + 2:
                break
        else:
            high = middle
    return low


@compiled
def bar_for_mass(e: Any, n: Any, mass: Any, highest: Any) -> Any:
    """Return the highest bar above which the numbers sum to at least ``mass``, or 1."""
    low, high = I(1), I(bits(highest) + I(1))
    while high - low > 1:
        middle = I(low + (high - low) // 2)
        if mass_from(e, n, middle) >= mass:
            low = middle
        else:
            high = middle
    return low


@compiled
def collect(e: Any, n: Any, bar: Any, keys: Any, weights: Any) -> Any:
    """List the numbers that reach the bar in order of key; return how many."""
    found = 0
    whole = n // PANEL
    for block in range(whole):
        start = block * PANEL
        if count_from(e[start : start + PANEL], PANEL, bar) > 0:
            for j in range(start, start + PANEL):
                if bits(e[j]) >= bar:
                    keys[found], weights[found] = j, e[j]
                    found += 1
    for j in range(whole * PANEL, n):
        if bits(e[j]) >= bar:
            keys[found], weights[found] = j, e[j]
            found += 1
    return found


@compiled
def cut_ties(keys: Any, weights: Any, found: Any, k: Any, highest: Any) -> Any:
    """Shorten a list, still in order of key, to about k; of equals at the bar the first stay."""
    bar = bar_for_count(weights, found, k, highest)
    room = k - count_from(weights, found, I(bar + I(1)))
    left = 0
    for i in range(found):
        b = bits(weights[i])
        if b > bar or (b == bar and room > 0):
            room -= 1 if b == bar else 0
            keys[left], weights[left] = keys[i], weights[i]
            left += 1
    return left


@compiled
def sort_falling(keys: Any, weights: Any, found: Any, order: Any) -> None:
    """Sort a list that is in order of key by falling weight; equals keep their order."""
    if found <= _FEW:
        for i in range(1, found):
            key, weight, p = keys[i], weights[i], i
            while p > 0 and weights[p - 1] < weight:
                keys[p], weights[p] = keys[p - 1], weights[p - 1]
                p -= 1
            keys[p], weights[p] = key, weight
        return
    for i in range(found):  # one integer that sorts by falling weight, then by key
        order[i] = ((np.int64(0x7FFFFFFF) - np.int64(bits(weights[i]))) << 32) | np.int64(keys[i])
    order[:found].sort()
    for i in range(found):
        keys[i] = order[i] & np.int64(0xFFFFFFFF)
        weights[i] = from_bits(I(np.int64(0x7FFFFFFF) - (order[i] >> 32)))


@compiled
def choose(e: Any, n: Any, sums: Any, rule: Any, lists: Any) -> Any:
    """List the keys and weights that a rule keeps of a row, falling; return how many.

    ``sums`` = (largest number, factor to a weight); ``lists`` = (keys, weights, order, lanes).
    """
    highest, factor = sums
    keys, weights, order, lanes = lists
    if highest <= F(0):
        return 0
    kind, amount = rule
    wanted = 0.0
    if kind == TOP_K:
        if amount <= _LANES_SERVE and n >= _LANES_PAY:
            fill_lanes(e, n, lanes)
            bar = bar_for_count(lanes, PANEL, int(amount), highest)
        else:
            bar = bar_for_count(e, n, int(amount), highest)
    elif kind == THRESHOLD:
        bar = max(I(1), bits(F(F(amount) / factor * F(0.999999))))
    else:
        wanted = amount * exact_sum(e, n, factor)
        bar = bar_for_mass(e, n, F(wanted / factor * 1.00001), highest)
    found = collect(e, n, bar, keys, weights)
    if kind == TOP_K and found > int(amount) + _FEW // 2:
        found = cut_ties(keys, weights, found, int(amount), highest)
    # Sorted as they are stored: numbers that differ can give weights that do not.
    for i in range(found):
        weights[i] *= factor
    sort_falling(keys, weights, found, order)
    if kind == TOP_K:
        return min(found, int(amount))
    mass = 0.0
    for i in range(found):
        mass += np.float64(weights[i])
        if kind == NUCLEUS and mass >= wanted:
            return i + 1
        if kind == THRESHOLD and weights[i] < F(amount):
            return i
    return found
