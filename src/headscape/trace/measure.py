"""From blocks of attention rows to the stored arrays of a call: selection and exact statistics.

Works on NumPy arrays, one block of queries at a time, so a whole (batch, head, query, key) array never has
to exist unless it is what the caller keeps.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headscape.trace.call import CallArrays, Flags, Floats, Ints
from headscape.trace.listing import select_top

# How far from 1 the sum of a softmax row may be in bfloat16.
SUMS_TO_ONE = 1e-2
# A block of rows: first query, weights (batch, head, rows, key), visible keys (batch, head, rows).
Block = tuple[int, Floats, Ints]


@dataclass(frozen=True)
class Facts:
    """What is known of a call beside its weights.

    ``padded`` (batch, query) and ``padded_keys`` (batch, key) say which positions are padding;
    ``value_norms`` (batch, head, key) or None; ``flow`` (batch, 4, query), see ``TokenFlow``.
    ``query_positions`` (batch or 1, query) and ``key_positions`` (batch or 1, key) are the places that
    distances are measured between; None counts from 0.
    """

    padded: Flags
    padded_keys: Flags
    value_norms: Floats | None
    flow: Floats
    query_positions: Floats | None = None
    key_positions: Floats | None = None

    def places(self) -> tuple[Floats, Floats]:
        """Return the positions of queries and keys, each (batch or 1, token)."""
        found = []
        for given, padded in ((self.query_positions, self.padded), (self.key_positions, self.padded_keys)):
            places = np.arange(padded.shape[1])[None] if given is None else given
            found.append(np.ascontiguousarray(places, np.float32))
        return found[0], found[1]


def gather_rows(
    blocks: Iterable[Block], shape: tuple[int, int, int, int], k: int | None, facts: Facts
) -> CallArrays:
    """Gather blocks of rows into the arrays of one call.

    Parameters
    ----------
    blocks : iterable of (first query, weights, visible)
        Together they cover every query once.
    shape : tuple of int
        (batch, head, query, key).
    k : int or None
        Keys kept in each row; None keeps all.
    facts : Facts
        What goes beside the weights.

    Returns
    -------
    CallArrays
        Padded queries have zero weights, zero kept mass and NaN statistics.
    """
    batch, head, query, key = shape
    width = key if k is None else min(k, key)
    rows = (batch, head, query)
    weights = np.zeros((*rows, width), np.float32)
    keys = None if k is None else np.full((*rows, width), -1, np.int32)
    visible = np.zeros(rows, np.int32)
    kept, entropy, distance, first, largest = (np.zeros(rows, np.float32) for _ in range(5))
    received = np.zeros((batch, head, key), np.float32)
    query_places, key_places = facts.places()
    for start, rows_here, seen in blocks:
        here = np.s_[:, :, start : start + rows_here.shape[2]]
        drop = np.broadcast_to(facts.padded[:, None, start : start + rows_here.shape[2]], seen.shape)
        block = np.where(drop[..., None], np.float32(0), rows_here)
        if keys is None:
            weights[here] = block
            kept[here] = (block.sum(-1) > 0).astype(np.float32)
        else:
            keys[here], weights[here] = select_top(block, width)
            total = block.sum(-1)
            kept[here] = np.divide(weights[here].sum(-1), total, out=np.zeros_like(total), where=total > 0)
        visible[here] = np.where(drop, 0, seen)
        drop = visible[here] == 0  # padded, or hidden from every key
        gaps = np.abs(query_places[:, start : start + block.shape[2], None] - key_places[:, None])
        entropy[here] = np.where(drop, np.nan, row_bits(block))
        distance[here] = np.where(drop, np.nan, np.einsum("bhqk,bqk->bhq", block, gaps))
        first[here] = np.where(drop, np.nan, block[..., 0])
        largest[here] = np.where(drop, np.nan, block.max(-1))
        received += np.nan_to_num(block).sum(2)
    return CallArrays(
        weights, keys, kept, visible, facts.padded, facts.padded_keys, facts.value_norms, facts.flow,
        entropy, distance, first, largest, received,
    )  # fmt: skip


def row_bits(weights: npt.NDArray[np.float32]) -> Floats:
    """Entropy of each row in bits, for rows along the last axis (0 * log2(0) = 0).

    ``|sum w log2 w|`` of the weights as they stand. Where a row does not sum to 1 (attention sinks, sigmoid
    attention) nothing is normalised: what a sink takes adds no bits.
    """
    safe = np.where(weights > 0, weights, np.float32(1))
    bits: Floats = np.abs((safe * np.log2(safe)).sum(-1))
    return np.where(np.isnan(weights).any(-1), np.float32(np.nan), bits).astype(np.float32)


def sums_note(totals: npt.NDArray[np.floating]) -> str:
    """Say what rows sum to, as ``"rows of attention sum to 0.4 to 0.9, not 1"``; "" where that is 1 or 0.

    ``totals`` has the sum of each row's weights, over all keys.
    """
    there = totals[np.isfinite(totals) & (totals > 0)]
    if not there.size or np.abs(there - 1).max() <= SUMS_TO_ONE:
        return ""
    low, high = f"{there.min():.2g}", f"{there.max():.2g}"
    return f"rows of attention sum to {low if low == high else f'{low} to {high}'}, not 1"


def keep_top(arrays: CallArrays, k: int) -> CallArrays:
    """Return arrays that keep only the k largest weights of each row, with the mass they hold."""
    if arrays.keys is not None:
        return arrays
    keys, weights = select_top(arrays.weights, k)
    total = arrays.weights.sum(-1)
    kept = np.divide(weights.sum(-1), total, out=np.zeros_like(total), where=total > 0)
    rest = {
        name: array for name, array in arrays.present().items() if name not in ("weights", "keys", "kept")
    }
    if arrays.gradient is not None:
        gradient = np.take_along_axis(arrays.gradient, np.maximum(keys, 0), axis=-1)
        # NaN stays: no backward pass has come by yet.
        rest["gradient"] = np.where((keys < 0) & ~np.isnan(gradient), np.float32(0), gradient)
    rest.setdefault("value_norms", None)  # type: ignore[arg-type]
    return CallArrays(weights=weights, keys=keys, kept=kept, **rest)  # type: ignore[arg-type]
