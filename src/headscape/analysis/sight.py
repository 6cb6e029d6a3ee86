"""What each query of a call may see: the ground against which shares of attention are judged.

A share of attention says little by itself: on three tokens, uniform attention puts a third on the previous
one. From what a row may see follows what it would put there by chance.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from headscape.errors import ShapeError
from headscape.trace.call import AttentionCall, CallArrays

Flags: TypeAlias = npt.NDArray[np.bool_]
Singles: TypeAlias = npt.NDArray[np.float32]

# How far a row's sum may be from 1: what bfloat16 keeps of it.
SUM_SLACK = 0.01


@dataclass(frozen=True, eq=False)
class Sight:
    """What the queries of a call may see. ``group`` is 1 where all heads see alike, else the number of heads.

    Attributes
    ----------
    kind : str
        ``"all"`` (each row sees every real key), ``"causal"`` (every real key up to itself) or ``"other"``.
    visible : (batch, group, query) float32 array
        Keys each row may see.
    shift : int
        Key on which the first query stands: above 0 where keys come from a cache.
    stands : bool
        Whether queries and keys are tokens of the same side, so that there is a previous and a next one.
    keys : (batch, key) bool array
        Real keys.
    weights : (batch, head, query, key) float32 array, or None
        What the mask is read from where the kind is "other" and all weights were kept.
    """

    kind: str
    visible: Singles
    shift: int
    stands: bool
    keys: Flags
    weights: Singles | None = None

    @property
    def counts(self) -> Flags:
        """Rows that count, (batch, group, query): those that may choose, with two visible keys or more."""
        found: Flags = self.visible >= 2
        return found

    @cached_property
    def chance(self) -> Singles:
        """What uniform attention puts on one visible key, (batch, group, query); 0 where there is none."""
        return np.divide(1, self.visible, out=np.zeros_like(self.visible), where=self.visible > 0)

    @cached_property
    def mask(self) -> Singles | None:
        """1 where a query may see a key, (batch, group, query, key); None where that is not known.

        As large as the weights of one head: asked for only where all weights are there anyway.
        """
        if self._is_odd:
            return None if self.weights is None else (self.weights > 0).astype(np.float32)
        queries, keys = self.visible.shape[2], self.keys.shape[1]
        flags = self.keys[:, None, None] & (self.visible > 0)[..., None]
        if self.kind == "causal":
            flags = flags & (np.arange(queries)[:, None] + self.shift >= np.arange(keys))
        return flags.astype(np.float32)

    @cached_property
    def gaps(self) -> Singles | None:
        """Mean distance in tokens under uniform attention, (batch, group, query).

        None where the mask is not known, or queries and keys do not stand on one line.
        """
        mask = self.mask if self._is_odd else None
        if not self.stands or (self._is_odd and mask is None):
            return None
        places = np.arange(self.keys.shape[1], dtype=np.float64)
        own = self.shift + np.arange(self.visible.shape[2])
        if mask is not None:
            gaps = np.abs(own[:, None] - places).astype(np.float32)
            sums = np.einsum("bgqk,qk->bgq", mask, gaps)
        else:  # sums over keys before and behind, without a matrix
            counts, totals = self.keys.cumsum(-1), (self.keys * places).cumsum(-1)
            sums = own * counts[:, own] - totals[:, own]
            if self.kind == "all":
                sums += totals[:, -1:] - totals[:, own] - own * (counts[:, -1:] - counts[:, own])
            sums = sums[:, None]
        found: Singles = (sums * self.chance).astype(np.float32)
        return found

    @property
    def _is_odd(self) -> bool:
        return self.kind == "other"

    def count(self, classes: Singles) -> Singles | None:
        """Count the keys of each class that a row may see, (batch, group, query, class).

        ``classes`` is (batch, key, class), 1 where a key belongs to one. None where the mask is not known.
        """
        if self._is_odd:
            return None if self.mask is None else np.matmul(self.mask, classes[:, None])
        upto = (classes * self.keys[..., None]).cumsum(1, dtype=np.float32)
        queries = self.visible.shape[2]
        ends = self.shift + np.arange(queries) if self.kind == "causal" else np.full(queries, -1)
        found: Singles = upto[:, None, ends]
        return found

    def seen_by(self, rows: Flags) -> Singles | None:
        """Count the rows that may see each key, (batch, head, key), among (batch, head, query) ``rows``.

        None where the mask is not known.
        """
        given = rows.astype(np.float32)
        if self._is_odd:
            return None if self.mask is None else np.matmul(given[:, :, None], self.mask)[:, :, 0]
        counts = np.zeros((*rows.shape[:2], self.keys.shape[1]), np.float32)
        if self.kind == "all":
            counts += given.sum(-1, keepdims=True)
        else:
            counts[..., self.shift :] = given
            counts = np.flip(np.flip(counts, -1).cumsum(-1, dtype=np.float32), -1)
        found: Singles = counts * self.keys[:, None]
        return found

    @property
    def first(self) -> npt.NDArray[np.int64]:
        """First real key of each example, (batch,)."""
        found: npt.NDArray[np.int64] = np.argmax(self.keys, axis=-1).astype(np.int64)
        return found


def sight_of(call: AttentionCall) -> Sight:
    """Tell what each query of a call may see, from how many keys it may see and from its weights."""
    a = call.arrays
    _, _, queries, keys = call.shape
    visible = a.visible
    if (visible == visible[:, :1]).all():
        visible = visible[:, :1]
    real = ~a.padded_keys
    shift = keys - queries
    stands = call.query_side == call.key_side and shift >= 0
    kind, weights = "other", None
    if np.array_equal(visible, np.where(visible > 0, real.sum(-1)[:, None, None], 0)):
        kind = "all"
    elif stands:
        before = real.cumsum(-1)[:, None, shift:]  # real keys up to each query
        if np.array_equal(visible, np.where(visible > 0, before, 0)):
            kind = "causal"
    if kind == "other" and a.keys is None:
        weights, visible = a.weights, a.visible
    return Sight(kind, visible.astype(np.float32), shift, stands, real, weights)


class Sights:
    """The sights of a trace's calls, each worked out once: most calls of a model see alike."""

    def __init__(self) -> None:
        self._known: list[tuple[AttentionCall, Sight]] = []

    def of(self, call: AttentionCall) -> Sight:
        """Return what a call's queries may see."""
        for other, sight in self._known:
            if sight.kind != "other" and _alike(call, other):
                return sight
        sight = sight_of(call)
        self._known.append((call, sight))
        return sight


def _alike(one: AttentionCall, other: AttentionCall) -> bool:
    a, b = one.arrays, other.arrays
    return (
        (one.query_side, one.key_side) == (other.query_side, other.key_side)
        and one.shape[2:] == other.shape[2:]
        and np.array_equal(a.padded_keys, b.padded_keys)
        and bool((a.visible == a.visible[:, :1]).all())
        and np.array_equal(a.visible[:, :1], b.visible[:, :1])
    )


def weights_of(call: AttentionCall) -> Singles | None:
    """Return all weights of a call, (batch, head, query, key); None where some were not kept."""
    a: CallArrays = call.arrays
    if a.keys is None:
        return a.weights
    if not a.is_whole:
        return None
    return np.stack([call.weights(example) for example in range(call.shape[0])])


def expect_shares(call: AttentionCall) -> None:
    """Raise unless every row sums to 1 (padded rows to 0).

    Raises
    ------
    ShapeError
        A row does not; the message names the first. Where only lists of keys were kept, the sum over all rows
        of a head stands for them.
    """
    a, where = call.arrays, call.site or "the model itself"
    tail = "This measure reads weights as shares of a row: attention with a sink bias or a sigmoid has none."
    finite = ~np.isnan(a.entropy)
    if a.keys is None:
        total = a.weights @ np.ones(call.shape[3], np.float32)
        with np.errstate(invalid="ignore"):
            wrong = finite & (np.abs(total - 1) > SUM_SLACK)
        if wrong.any():
            example, head, query = (int(i) for i in np.argwhere(wrong)[0])
            raise ShapeError(
                f"{where}, example {example}, head {head}, query {query}: the row sums to "
                f"{total[example, head, query]:.4g}, not 1 (and {int(wrong.sum())} rows in all). {tail}"
            )
        return
    rows = finite.sum(-1)
    means = a.received.sum(-1) / np.maximum(rows, 1)
    off = (rows > 0) & (np.abs(means - 1) > SUM_SLACK)
    if off.any():
        example, head = (int(i) for i in np.argwhere(off)[0])
        raise ShapeError(
            f"{where}, example {example}, head {head}: rows sum to {means[example, head]:.4g} on average, "
            f"not 1. {tail}"
        )
