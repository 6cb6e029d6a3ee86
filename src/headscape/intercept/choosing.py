"""Which keys of one row are kept, compiled: a bar is found on few numbers, what reaches it is sorted.

Rows hold finite numbers >= 0, whose bits keep their order, so that a bar is an integer and is found by
halving. See ``vectors`` for who may import this.
"""

from typing import Any

import numpy as np

from headscape.intercept.lanes import end_panel
from headscape.intercept.vectors import (
    PANEL,
    F,
    I,
    bits,
    compiled,
    count_ones,
    from_bits,
    lowest_one,
    reaching,
)

ALL, TOP_K, THRESHOLD, NUCLEUS = range(4)
_SORTED_FAST = 24  # numbers beyond k up to which nothing is ruled out before sorting
_LANES_SERVE = 24  # keys a row up to which PANEL lanes give a good bar
_LANES_PAY = 2 * PANEL  # keys from which looking at lanes is cheaper than looking at the row
_SPARE = 6  # numbers beyond k that are cheaper to sort than to rule out
_ROUNDING = 16  # steps of float32: more than a factor, or the lanes' own exponentials, can shift a number


@compiled
def count_from(e: Any, n: Any, bar: Any) -> Any:
    """Count the first n numbers (a multiple of PANEL) whose bits reach the bar."""
    found = np.int64(0)
    for start in range(0, n, PANEL):
        found += count_ones(reaching(e, start, I(bar)))
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
def bar_for_count(e: Any, n: Any, k: Any, highest: Any, guess: Any) -> Any:
    """Return a bar that at least k of n numbers reach and few more; 1 where fewer than k are above 0.

    A good guess, as the bar of the row before often is, saves most of the halving.
    """
    low, high = I(1), I(bits(highest) + I(1))
    middle = I(guess)
    while high - low > 1:
        if middle <= low or middle >= high:
            middle = I(low + (high - low) // 2)
        found = count_from(e, n, middle)
        if found >= k:
            low = middle
            if found <= k + _SPARE:
                break
        else:
            high = middle
        middle = I(low + (high - low) // 2)
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
    """List the numbers (a multiple of PANEL) that reach the bar in order of key; return how many."""
    found = 0
    for start in range(0, n, PANEL):
        mask = reaching(e, start, I(bar))
        while mask != 0:
            j = start + lowest_one(mask)
            keys[found], weights[found] = j, e[j]
            found += 1
            mask &= mask - 1
    return found


@compiled
def cut_ties(keys: Any, weights: Any, found: Any, k: Any, highest: Any) -> Any:
    """Shorten a list, still in order of key, to about k; of equals at the bar the first stay."""
    end = end_panel(weights, found, F(0))
    bar = bar_for_count(weights, end, k, highest, I(0))
    room = k - count_from(weights, end, I(bar + I(1)))
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
    if found <= PANEL:  # each finds its place by counting those before it
        end_panel(weights, found, F(0))
        for i in range(found):
            b = bits(weights[i])
            above, alike = reaching(weights, 0, b + I(1)), reaching(weights, 0, b)
            place = count_ones(above) + count_ones(alike & ~above & ((np.int64(1) << i) - 1))
            order[place] = (np.int64(keys[i]) << 32) | np.int64(b)
        for i in range(found):
            keys[i] = order[i] >> 32
            weights[i] = from_bits(I(order[i] & np.int64(0x7FFFFFFF)))
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

    ``n`` is a multiple of PANEL, with zeros behind the last key; ``sums`` = (largest number, factor to a
    weight); ``lists`` = (keys, weights, order, largest number of each lane, (bar of the row before,)).
    """
    highest, factor = sums
    keys, weights, order, lanes, guess = lists
    if highest <= F(0):
        return 0
    kind, amount = rule
    wanted = 0.0
    if kind == TOP_K:
        if amount <= _LANES_SERVE and n >= _LANES_PAY:
            guess[0] = bar_for_count(lanes, PANEL, int(amount), highest, guess[0])
        else:
            guess[0] = bar_for_count(e, n, int(amount), highest, guess[0])
        # Low enough for all whose weights come out alike, so that no guess decides which of them is taken.
        bar = max(I(1), I(guess[0] - _ROUNDING))
    elif kind == THRESHOLD:
        bar = max(I(1), bits(F(F(amount) / factor * F(0.999999))))
    else:
        wanted = amount * exact_sum(e, n, factor)
        bar = bar_for_mass(e, n, F(wanted / factor * 1.00001), highest)
    found = collect(e, n, bar, keys, weights)
    # Sorted as they are stored: numbers that differ can give weights that do not.
    for i in range(found):
        weights[i] *= factor
    if kind == TOP_K and found > int(amount) + _SORTED_FAST:
        found = cut_ties(keys, weights, found, int(amount), F(highest * factor))
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
