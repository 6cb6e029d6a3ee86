"""What the heads of one call put where, summed over a batch of texts, beside what chance would put there."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from headscape.analysis.patterns import copies, shifted
from headscape.analysis.sight import Flags, Sight, Singles
from headscape.trace.call import AttentionCall

Doubles: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Tally:
    """Sums over rows, (head,) float64 each: of what was found, of what chance gives, and how many rows."""

    found: Doubles
    chance: Doubles
    rows: Doubles

    def __add__(self, other: "Tally") -> "Tally":
        return Tally(self.found + other.found, self.chance + other.chance, self.rows + other.rows)


def tally(found: npt.ArrayLike, chance: npt.ArrayLike, rows: Flags) -> Tally:
    """Sum (batch, head, row) values where ``rows`` says that they count."""

    def total(values: npt.ArrayLike) -> Doubles:
        spread = np.broadcast_to(np.asarray(values), rows.shape)
        sums: Doubles = np.where(rows, spread, 0).sum((0, 2), dtype=np.float64)
        return sums

    return Tally(total(found), total(chance), rows.sum((0, 2), dtype=np.float64))


def rows_that_count(call: AttentionCall, sight: Sight) -> Flags:
    """Return the rows measures stand on, (batch, head, query): two keys to choose from, and no NaN."""
    found: Flags = sight.counts & ~np.isnan(call.arrays.entropy)
    return found


def tally_offset(weights: Singles, sight: Sight, rows: Flags, offset: int) -> Tally:
    """Tally the weights of keys ``offset`` tokens behind their query; rows count that may see such a key."""
    found, seen, here = _slanted(weights, sight, rows, offset)
    return tally(found, sight.chance[:, :, here], seen)


def tally_near(weights: Singles, sight: Sight, rows: Flags, reach: int) -> Tally:
    """Tally the weights of keys at most ``reach`` tokens from their query, itself among them."""
    total = np.zeros(weights.shape[:3], np.float32)
    keys = np.zeros(sight.visible.shape, np.float32)
    for offset in range(-reach, reach + 1):
        found, seen, here = _slanted(weights, sight, rows, offset)
        total[:, :, here] += np.where(seen, found, 0)
        keys[:, :, here] += _diagonal(_mask(sight), offset + sight.shift)
    return tally(total, keys * sight.chance, rows)


def _slanted(weights: Singles, sight: Sight, rows: Flags, offset: int) -> tuple[Singles, Flags, slice]:
    """Return the weights along a diagonal, which of them count, and the queries they belong to."""
    along = offset + sight.shift
    found = _diagonal(weights, along)
    here = slice(max(0, -along), max(0, -along) + found.shape[-1])
    return found, rows[:, :, here] & (_diagonal(_mask(sight), along) > 0), here


def _diagonal(array: Singles, along: int) -> Singles:
    queries, keys = array.shape[-2:]
    if not -queries < along < keys:
        return np.zeros((*array.shape[:2], 0), np.float32)
    return np.diagonal(array, along, 2, 3)


def _mask(sight: Sight) -> Singles:
    if sight.mask is None:  # only where not all weights were kept, and then nobody asks
        raise AssertionError("a sight of whole weights has a mask")
    return sight.mask


def tally_classes(call: AttentionCall, sight: Sight, rows: Flags, classes: Singles) -> list[Tally]:
    """Tally the attention to classes of keys; rows count that may see a key of the class.

    ``classes`` is (batch, key, class), 1 where a key belongs to a class. Needs no weights: what each key
    receives is exact whatever was kept.
    """
    received = call.arrays.received - _forced(call, sight)
    found = np.matmul(received, classes)  # (batch, head, class)
    keys = sight.count(classes)  # (batch, group, query, class)
    if keys is None:
        known = classes.max(1)[:, None, None] > 0
        seen: Flags = np.broadcast_to(known, (*sight.visible.shape, classes.shape[-1]))
        share = np.full(seen.shape, np.nan, np.float32)
    else:
        seen, share = keys > 0, keys * sight.chance[..., None]
    tallies = []
    for n in range(classes.shape[-1]):
        base = tally(0.0, share[..., n], rows & seen[..., n])
        tallies.append(Tally(found[..., n].sum(0, dtype=np.float64), base.chance, base.rows))
    return tallies


def _forced(call: AttentionCall, sight: Sight) -> Singles:
    """Return what keys receive from rows that may see one key only, (batch, head, key)."""
    single = (sight.visible == 1) & ~np.isnan(call.arrays.entropy)
    if not single.any():
        return np.zeros((1, 1, 1), np.float32)
    found = sight.seen_by(single)
    if found is not None:
        return found
    out = np.zeros_like(call.arrays.received)
    example, head, query = np.nonzero(np.broadcast_to(single, call.shape[:3]))
    if call.arrays.keys is not None:
        keys = call.arrays.keys[example, head, query, 0]
        np.add.at(out, (example, head, keys), 1)
    return out


def tally_copies(
    weights: Singles, sight: Sight, rows: Flags, numbers: npt.NDArray[np.int64]
) -> tuple[Tally, Tally]:
    """Tally the attention to other copies of the query's token, and to the keys behind such copies.

    ``numbers`` (batch, key) are equal where labels are. Causal models see earlier copies only; others see
    those on both sides. Rows count that have such a key.
    """
    heads = weights.shape[1]
    totals = [[np.zeros(heads), np.zeros(heads), np.zeros(heads)] for _ in range(2)]
    for example, ids in enumerate(numbers):
        same = copies(ids)
        for sums, pattern in zip(totals, (same, shifted(same)), strict=True):
            near = pattern[sight.shift :]
            seen = near & (_mask(sight)[example] > 0).any(0)
            query, key = np.nonzero(seen)
            counts = rows[example][:, query]
            sums[0] += np.where(counts, weights[example][:, query, key], 0).sum(-1, dtype=np.float64)
            chance = np.broadcast_to(sight.chance[example], rows[example].shape)
            sums[1] += np.where(counts, chance[:, query], 0).sum(-1, dtype=np.float64)
            sums[2] += (rows[example] & seen.any(-1)).sum(-1)
    return Tally(*totals[0]), Tally(*totals[1])
