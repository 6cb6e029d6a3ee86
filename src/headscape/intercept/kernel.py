"""The compiled hot loop: rows of scores or written weights to what is kept and measured of them.

One call does a run of rows of one head. It holds a few rows of scores at a time, small enough for the
processor's cache, and touches no Python object, so that threads run side by side. All arrays are flat; rows
are numbered over (batch, head, query). See ``vectors`` for who may import this.
"""

from typing import Any

import numpy as np

from headscape.intercept.choosing import ALL, THRESHOLD, TOP_K, choose, exact_sum
from headscape.intercept.lanes import (
    add_scaled,
    end_panel,
    exponentials,
    highest_of,
    write_scaled,
    written_sums,
)
from headscape.intercept.vectors import PANEL, TILE, F, I, compiled, sweep, tile, uncounted

UNMASKED, BOOL, ADDED = range(3)
_NAN = F(np.nan)
_LOG2E = F(1.4426950408889634)
_HIGHEST = F(np.finfo(np.float32).max)


@compiled
def mask_scores(s: Any, n: Any, mask: Any, at: Any) -> Any:
    """Apply a mask to a row of scores; return the visible keys as far as the mask alone tells."""
    kind, flags, added = mask[0], mask[1], mask[2]
    seen = I(n)
    if kind == BOOL:
        seen = I(0)
        row = flags[at : at + n]
        for j in range(n):
            s[j] = s[j] if row[j] else F(-np.inf)
            seen += I(row[j] != 0)
    elif kind == ADDED:
        more = added[at : at + n]
        for j in range(n):
            s[j] += more[j]
    return seen


@compiled
def place_in_mask(mask: Any, example: Any, head: Any, query: Any) -> Any:
    """Return where a row's mask begins; ``mask[4]`` = (strides of batch, head, query; first query held)."""
    strides = mask[4]
    return example * strides[0] + head * strides[1] + (query - strides[3]) * strides[2]


@compiled
def count_flags(row: Any, n: Any) -> Any:
    """Count the keys a bool mask leaves."""
    seen = I(0)
    for j in range(n):
        seen += I(row[j] != 0)
    return seen


@compiled
def count_visible(s: Any, n: Any, more: Any, forbids: Any, is_broken: bool) -> Any:
    """Count the keys that an additive mask leaves: not those far below 0 whose weight came out as 0."""
    hidden = I(0)
    for j in range(n):
        no_weight = s[j] == F(0) and not is_broken
        hidden += I((more[j] <= forbids and no_weight) or more[j] == F(-np.inf))
    return I(n) - hidden


@compiled
def note(row: Any, out: Any, found: Any, seen: Any) -> None:
    """Write what was measured of a row: (kept, entropy, distance, first, largest)."""
    out[0][row], out[1][row], out[2][row], out[3][row], out[4][row] = found
    out[5][row] = seen


@compiled
def keep(e: Any, n: Any, sums: Any, rule: Any, place: Any, out: Any, scratch: Any) -> Any:
    """Write what is kept of a row; return the sum of its weights and the next free place of a long list.

    ``place`` = (row, next free place); ``out`` ends with (counts, keys, weights, row length).
    """
    row, free = place
    keys, weights, width = out[8], out[9], out[10]
    factor = sums[1]
    if rule[0] == ALL:
        begin = row * width
        write_scaled(e, n, factor, weights[begin : begin + n])
        return F(1), free
    found = choose(e, end_panel(e, n, F(0)), sums, rule, scratch)
    begin = free if rule[0] >= THRESHOLD else row * width
    for i in range(found):
        keys[begin + i], weights[begin + i] = scratch[0][i], scratch[1][i]
    # Apart from the writes: beside them, where arrays lie in memory would decide the order of the sum.
    kept = F(exact_sum(scratch[1], found, F(1)))
    out[7][row] = found
    return kept, begin + found


@compiled
def one_row(s: Any, n: Any, mask: Any, mask_at: Any, where: Any, rule: Any, outs: Any) -> Any:
    """Do one row of scores; return the next free place of a long list.

    ``where`` = (row, begin of its received, free place, key); ``outs`` = (out, places of keys, place of the
    query, scratch).
    """
    row, received_at, free, key = where
    out, places, place, scratch = outs
    if n <= 0:
        return free
    seen = mask_scores(s, n, mask, mask_at)
    if seen == 0:
        return free
    lanes = scratch[3]
    end = end_panel(s, n, F(-np.inf))
    broken = sweep(s, end, lanes)
    top = highest_of(lanes)
    if broken != 0 or not np.isfinite(top):
        if mask[0] == ADDED:
            seen = count_visible(s, n, mask[2][mask_at : mask_at + n], mask[3], True)
        if seen > 0:
            note(row, out, (F(0), _NAN, _NAN, _NAN, _NAN), seen)
            if rule[0] == ALL:
                out[9][row * key : row * key + key] = _NAN
        return free
    total, inner, distance = exponentials(s, end, top, places, place)
    by = F(1) / total
    if rule[0] == TOP_K:
        exponentials(lanes, PANEL, top, places, place)
    if mask[0] == ADDED:
        seen = count_visible(s, n, mask[2][mask_at : mask_at + n], mask[3], False)
    add_scaled(s, n, by, out[6][received_at : received_at + n])
    kept, free = keep(s, n, (F(1), by), rule, (row, free), out, scratch)
    entropy = abs((np.log(total) - inner * by) * _LOG2E)
    note(row, out, (kept, entropy, distance * by, s[0] * by, by), seen)
    return free


@compiled
def score_rows(task: Any, source: Any, mask: Any, facts: Any, rule: Any, out: Any, scratch: Any) -> Any:
    """Do the rows of a task from queries and packed keys; return the first row that found no room.

    ``task`` = (example, head, first row, end, part, free place); ``source`` = (queries, their strides of
    batch, head, query and width, packed keys, (heads, queries, keys, width, heads a key head), factor,
    how many keys query 0 sees: more than there are where no diagonal hides any).
    """
    source, mask, facts, out, scratch = uncounted((source, mask, facts, out, scratch))
    example, head, begin, end, part, free = task
    flat, strides, packed, sizes, factor, _ = source
    heads, queries, key, width, group = sizes
    scores, query, lists = scratch
    panels = (key + PANEL - 1) // PANEL
    step, many = panels * PANEL, len(query) // width // TILE * TILE
    keys_at = (example * (heads // group) + head // group) * panels * width * PANEL
    row0 = (example * heads + head) * queries
    for first in range(begin, end, many):
        last = min(first + many, end)
        for i in range(first, last):
            start = example * strides[0] + head * strides[1] + i * strides[2]
            for d in range(width):
                query[(i - first) * width + d] = flat[start + d * strides[3]] * factor
        reach = min(key, last - 1 + source[5])
        for panel in range((reach + PANEL - 1) // PANEL):
            for i in range(0, last - first, TILE):
                here = i * step + panel * PANEL
                at = keys_at + panel * PANEL * width
                tile(query, i * width, packed, at, scores, (here, step, width))
        for i in range(first, last):
            if facts[0][example * queries + i]:
                continue
            if rule[0] >= THRESHOLD and free + key > len(out[9]):
                return i, free
            n = min(key, i + source[5])
            received_at = (part * facts[3] + example * heads + head) * key
            places = facts[2][example * facts[4][1] : example * facts[4][1] + facts[5]]
            place = facts[1][example * facts[4][0] + i]
            row = scores[(i - first) * step : (i - first) * step + step]
            where = (row0 + i, received_at, free, key)
            mask_at = place_in_mask(mask, example, head, i)
            free = one_row(row, n, mask, mask_at, where, rule, (out, places, place, lists))
    return end, free


@compiled
def copy_row(flat: Any, at: Any, step: Any, n: Any, e: Any) -> Any:
    """Copy a row of written weights; return how many are negative, infinite or NaN."""
    odd = I(0)
    if step == 1:
        row = flat[at : at + n]
        for j in range(n):
            w = row[j]
            e[j] = w
            odd += I(not (w >= F(0) and w < F(np.inf)))
    else:
        for j in range(n):
            w = flat[at + j * step]
            e[j] = w
            odd += I(not (w >= F(0) and w < F(np.inf)))
    return odd


@compiled
def odd_sums(e: Any, n: Any, places: Any, place: Any, received: Any) -> Any:
    """Measure a row that holds negative numbers, infinity or NaN, and make those it cannot list 0."""
    total, inner, distance, top = F(0), F(0), F(0), e[0]
    for j in range(n):
        w = e[j]
        top = w if w > top or np.isnan(w) else top
        total += w
        distance += w * abs(places[j] - place)
        inner += w * np.log2(w) if w > 0 else w * F(0)
        if not np.isnan(w):
            received[j] += min(max(w, -_HIGHEST), _HIGHEST)
        e[j] = w if w > 0 else F(0)
    return total, inner, distance, top


@compiled
def one_written_row(s: Any, n: Any, odd: Any, seen: Any, where: Any, rule: Any, outs: Any) -> Any:
    """Do one row of written weights; arguments as in ``one_row``."""
    row, received_at, free, _ = where
    out, places, place, scratch = outs
    received, first = out[6][received_at : received_at + n], s[0]
    if odd > 0:
        if rule[0] == ALL:
            write_scaled(s, n, F(1), out[9][row * n : row * n + n])
        total, inner, distance, top = odd_sums(s, n, places, place, received)
    else:
        top = F(0)
        total, inner, distance = written_sums(s, n, places, place)
        add_scaled(s, n, F(1), received)
    sweep(s, end_panel(s, n, F(0)), scratch[3])
    highest = highest_of(scratch[3])
    if odd == 0:
        top = highest
    if rule[0] == ALL and odd > 0:
        kept = F(1)
    else:
        kept, free = keep(s, n, (highest, F(1)), rule, (row, free), out, scratch)
    if rule[0] != ALL:
        kept = kept / total
    kept = kept if total > F(0) else F(0)
    note(row, out, (kept, abs(inner), distance, first, top), seen)
    return free


@compiled
def written_rows(task: Any, source: Any, mask: Any, facts: Any, rule: Any, out: Any, scratch: Any) -> Any:
    """Do the rows of a task from written weights; return the first row that found no room.

    ``source`` = (weights, their strides of batch, head, query and key, (heads, queries, keys), first query
    that the weights hold).
    """
    source, mask, facts, out, scratch = uncounted((source, mask, facts, out, scratch))
    example, head, begin, end, part, free = task
    flat, strides, sizes, base = source
    heads, queries, key = sizes
    row, _, lists = scratch
    for i in range(begin, end):
        if facts[0][example * queries + i]:
            continue
        if rule[0] >= THRESHOLD and free + key > len(out[9]):
            return i, free
        start = example * strides[0] + head * strides[1] + (i - base) * strides[2]
        odd = copy_row(flat, start, strides[3], key, row)
        seen, mask_at = I(key), place_in_mask(mask, example, head, i)
        if mask[0] == BOOL:
            seen = count_flags(mask[1][mask_at : mask_at + key], key)
        elif mask[0] == ADDED:
            seen = count_visible(row, key, mask[2][mask_at : mask_at + key], mask[3], False)
        received_at = (part * facts[3] + example * heads + head) * key
        places = facts[2][example * facts[4][1] : example * facts[4][1] + facts[5]]
        place = facts[1][example * facts[4][0] + i]
        where = ((example * heads + head) * queries + i, received_at, free, key)
        free = one_written_row(row, key, odd, seen, where, rule, (out, places, place, lists))
    return end, free
