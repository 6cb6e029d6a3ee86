"""Where the rows and columns of a call stand among the tokens, and how its arrays get there.

A call arrives as groups of rows and keys with the places they stand for. One group an example, all tokens in
order, is left as it is. Windows and frames (several groups an example) and subsets become rows that list
their keys by token, so that every edge lands on its own tokens.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from headscape.intercept.places import Places, Space
from headscape.trace.call import CallArrays, Floats, Ints

Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Hints:
    """What the data flow says where places do not.

    ``is_alike``: queries and keys follow the same call; ``query_space``, ``key_space``: spaces of the calls
    they follow, -1 for none.
    """

    is_alike: bool
    query_space: int = -1
    key_space: int = -1


@dataclass(frozen=True, eq=False)
class Standing:
    """Tokens of a call's rows and keys.

    ``order`` is (example, window): which group is which window of which example. ``queries`` (example,
    window, query) and ``keys`` (example, window, key) are token numbers, -1 for none; ``codes`` (example,
    row) the places of the final rows.
    """

    query_space: Space
    key_space: Space
    order: Codes
    queries: Codes
    keys: Codes
    codes: Codes | None
    row_codes: Codes | None  # (group, query): places of the rows as they came

    @property
    def rows(self) -> int:
        """Rows of an example: all tokens, or the last ones where a cache holds the others."""
        windows, queries = self.queries.shape[1:]
        flat, length = self.queries.reshape(len(self.order), windows * queries), self.query_space.length
        tail = np.arange(length - flat.shape[1], length)
        return flat.shape[1] if flat.shape[1] < length and bool((flat == tail).all()) else length

    @property
    def is_plain(self) -> bool:
        """Whether rows and keys are all tokens of one group an example, in order."""
        examples, windows, queries = self.queries.shape
        keys = self.keys.shape[2]
        return (
            windows == 1
            and queries == self.rows
            and keys == self.key_space.length
            and bool((self.queries[:, 0] == np.arange(self.query_space.length)[-queries:]).all())
            and bool((self.keys[:, 0] == np.arange(keys)).all())
            and bool((self.order[:, 0] == np.arange(examples)).all())
        )

    def positions(self) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
        """Token numbers of each group's rows and keys, (group, query) and (group, key)."""
        back = np.argsort(self.order.reshape(-1))
        return (
            self.queries.reshape(len(back), self.queries.shape[2])[back].astype(np.float32),
            self.keys.reshape(len(back), self.keys.shape[2])[back].astype(np.float32),
        )

    def spread_keys(self, array: npt.NDArray[Any], empty: Any = 0, *, add: bool = False) -> npt.NDArray[Any]:
        """Return (group, ..., key) as (example, ..., token)."""
        examples, windows = self.order.shape
        moved = np.moveaxis(array[self.order], 1, -2)  # (example, ..., window, key)
        moved = moved.reshape(*moved.shape[:-2], moved.shape[-2] * moved.shape[-1])
        nodes = self.keys.reshape(examples, windows * self.keys.shape[2])
        out = np.full((*moved.shape[:-1], self.key_space.length), empty, moved.dtype)
        for example in range(examples):
            there = nodes[example] >= 0
            values = moved[example][..., there]
            if add:
                one: Any = out[example]
                np.add.at(one, (slice(None),) * (one.ndim - 1) + (nodes[example][there],), values)
            else:
                out[example][..., nodes[example][there]] = values
        return out

    def spread_rows(self, array: npt.NDArray[Any], empty: Any = 0, axis: int = 2) -> npt.NDArray[Any]:
        """Return (group, ..., query, ...) as (example, ..., row, ...): each row at its token."""
        examples, windows = self.order.shape
        moved = np.moveaxis(array[self.order], 1, axis)
        rows = windows * moved.shape[axis + 1]
        moved = moved.reshape(*moved.shape[:axis], rows, *moved.shape[axis + 2 :])
        nodes = self.queries.reshape(examples, rows) - (self.query_space.length - self.rows)
        shape = list(moved.shape)
        shape[axis] = self.rows
        out = np.full(shape, empty, moved.dtype)
        for example in range(examples):
            there = nodes[example] >= 0
            ahead = (slice(None),) * (axis - 1)
            out[(example, *ahead, nodes[example][there])] = moved[(example, *ahead, there)]
        return out

    def listed(self, arrays: CallArrays) -> tuple[Ints, Ints, Floats]:
        """Return each group's keys by falling weight, as (group, head, query, k).

        Three arrays: their places in the group, their tokens (-1 = none) and their weights.
        """
        kept = arrays.weights
        local: npt.NDArray[Any]
        if arrays.keys is None:
            local = np.broadcast_to(np.arange(kept.shape[3], dtype=np.int32), kept.shape)
        else:
            local = arrays.keys
        back = np.argsort(self.order.reshape(-1))
        nodes = self.keys.reshape(len(back), self.keys.shape[2])[back]  # (group, key)
        groups = np.arange(len(nodes))[:, None, None, None]
        keys = np.where((local < 0) | (kept == 0), -1, nodes[groups, local]).astype(np.int32)
        kept = np.where(keys < 0, np.float32(0), kept) if not np.isnan(kept).any() else kept
        fall = np.argsort(np.where(keys < 0, np.inf, -kept), axis=-1, kind="stable")
        local, keys, kept = (np.take_along_axis(array, fall, -1) for array in (local, keys, kept))
        return local, keys, kept

    def spread(self, arrays: CallArrays) -> CallArrays:
        """Return a call's arrays with rows and keys at their tokens; rows list their keys."""
        _, keys, kept = self.listed(arrays)
        nan = np.float32(np.nan)
        rows = {
            name: self.spread_rows(getattr(arrays, name), nan)
            for name in ("entropy", "distance", "first_key", "largest")
        }
        padded = ~self.spread_rows(~arrays.padded, False, axis=1)
        norms = arrays.value_norms
        return replace(
            arrays,
            weights=self.spread_rows(kept),
            keys=self.spread_rows(keys, -1),
            kept=self.spread_rows(arrays.kept),
            visible=self.spread_rows(arrays.visible),
            padded=padded,
            padded_keys=self.spread_keys(arrays.padded_keys),
            value_norms=None if norms is None else self.spread_keys(norms),
            flow=np.full((len(self.order), 4, self.rows), nan, np.float32),
            received=self.spread_keys(arrays.received, add=True),
            **rows,
        )


def settle(
    places: Places, rows: Tensor | None, keys: Tensor | None, shape: tuple[int, int, int, int], hints: Hints
) -> Standing:
    """Find the tokens of a call's rows, (group, query), and keys, (group, key), from their places.

    ``shape`` is (group, head, query, key).
    """
    count, _, query, key = shape
    of_rows = _read(places, rows, count)
    of_keys = _read(places, keys, count)
    owner = _owner(of_rows, of_keys, count)
    windows = count // max(1, len(np.unique(owner)))
    order = np.argsort(owner, kind="stable").reshape(count // max(1, windows), max(1, windows))
    if of_keys is not None and of_keys.holes and order.shape[1] == 1:
        of_rows, of_keys = _extend(places, of_rows, of_keys, hints)
    if of_rows is None:
        of_rows = _guess(places, of_keys, query, hints.query_space, hints.is_alike, owner)
    if of_keys is None and hints.is_alike and query < key and order.shape[1] == 1:
        longer_rows, of_keys = _extend(places, of_rows, _Read.blank(count, key, of_rows), hints)
        of_rows = longer_rows or of_rows
    if of_keys is None:
        of_keys = _guess(places, of_rows, key, hints.key_space, hints.is_alike, owner)
    of_rows = _longer(places, of_rows)
    of_rows, of_keys = _tell_apart(places, of_rows, of_keys, order, owner)
    standing = Standing(
        of_rows.space, of_keys.space, order, of_rows.tokens[order], of_keys.tokens[order],
        None, of_rows.codes,
    )  # fmt: skip
    codes = standing.spread_rows(of_rows.codes, -1, axis=1) if of_rows.codes is not None else None
    return replace(standing, codes=codes)


@dataclass(frozen=True, eq=False)
class _Read:
    """Places of one end of a call: their space, each group's example, and (group, n) codes and tokens."""

    space: Space
    examples: Codes
    tokens: Codes
    codes: Codes | None

    @property
    def holes(self) -> bool:
        return bool((self.tokens < 0).any())

    @classmethod
    def fresh(cls, places: Places, examples: Codes, length: int) -> "_Read":
        """Make new tokens, ``length`` in each group; groups of one example share its numbering."""
        space = places.make((len(examples), length), torch.from_numpy(examples)[:, None])
        tokens = space.tokens.view(space.shape).numpy()
        codes = np.arange(space.base, space.base + tokens.size).reshape(tokens.shape)
        return cls(space, examples, tokens, codes)

    @classmethod
    def blank(cls, count: int, length: int, like: "_Read") -> "_Read":
        """Keys of which nothing is known but whose example they belong to."""
        nothing = np.full((count, length), -1)
        return cls(like.space, like.examples, nothing, nothing)


def _read(places: Places, codes: Tensor | None, count: int) -> _Read | None:
    if codes is None or codes.shape[0] != count or not codes.numel():
        return None
    for _ in range(2):
        number, example, token = (t.numpy() for t in places.look_up(codes))
        known = number >= 0
        if not known.any():
            return None
        owner = example.max(axis=1)
        spaces = np.unique(number[known])
        torn = known & (example != owner[:, None])
        if not torn.any() and (owner >= 0).all():
            break
        turning = [places.spaces[n] for n in spaces.tolist() if places.spaces[n].may_turn]
        if not turning:
            return None
        for space in turning:
            space.turn()
    else:
        return None
    whole = codes.detach().cpu().long().numpy()
    if len(spaces) == 1:
        return _Read(places.spaces[int(spaces[0])], owner, token, whole)
    space = places.joined(tuple(spaces.tolist()), owner, codes.shape[1])
    return _Read(space, owner, space.tokens.view(space.shape).numpy(), whole)


def _owner(rows: _Read | None, keys: _Read | None, count: int) -> Codes:
    """Return the example of each group; each its own where unknown or ragged."""
    best = rows or keys
    if best is None:
        return np.arange(count)
    _, sizes = np.unique(best.examples, return_counts=True)
    return best.examples if (sizes == sizes[0]).all() else np.arange(count)


def _guess(
    places: Places, other: _Read | None, length: int, followed: int, is_alike: bool, owner: Codes
) -> _Read:
    """Find tokens for an end whose places are not known."""
    if is_alike and other is not None and other.tokens.shape[1] == length:
        return other
    if followed >= 0:
        space = places.spaces[followed]
        if space.length == length and len(space.tokens) == length * len(owner):
            tokens = np.broadcast_to(np.arange(length), (len(owner), length))
            at = np.lexsort((space.tokens.numpy(), space.examples.numpy())).reshape(tokens.shape)
            return _Read(space, owner, tokens, at + space.base)
    return _Read.fresh(places, owner, length)


def _extend(places: Places, rows: _Read | None, keys: _Read, hints: Hints) -> tuple[_Read | None, _Read]:
    """Number keys of which a part comes from an earlier pass: a cache before the new tokens."""
    length = keys.tokens.shape[1]
    space = places.joined((keys.space.number,), keys.examples, length)
    longer = _Read(space, keys.examples, space.tokens.view(space.shape).numpy(), keys.codes)
    if rows is None or rows.codes is None or keys.codes is None:
        return rows, longer
    hits = rows.codes[:, :, None] == keys.codes[:, None, :]
    if hits.any(-1).all():
        ahead = hits.argmax(-1) - rows.tokens
        if (ahead == ahead[0, 0]).all():
            places.extended[rows.space.number] = space, int(ahead[0, 0])
        return _Read(space, rows.examples, hits.argmax(-1), rows.codes), longer
    if hints.is_alike and rows.tokens.shape[1] <= length:
        tail = np.arange(length - rows.tokens.shape[1], length)
        return _Read(space, rows.examples, np.broadcast_to(tail, rows.tokens.shape), rows.codes), longer
    return rows, longer


def _longer(places: Places, rows: _Read) -> _Read:
    """Return rows as tokens of the longer sequence that a cache made of theirs in this pass."""
    space, ahead = places.extended.get(rows.space.number, (None, 0))
    if space is None or len(space.examples) != space.length * len(np.unique(rows.examples)):
        return rows
    return replace(rows, space=space, tokens=np.where(rows.tokens < 0, -1, rows.tokens + ahead))


def _tell_apart(places: Places, rows: _Read, keys: _Read, order: Codes, owner: Codes) -> tuple[_Read, _Read]:
    """Give rows that stand for one token several times (a class token in every frame) nodes of their own."""
    flat = rows.tokens[order].reshape(len(order), order.shape[1] * rows.tokens.shape[1])
    if all(len(np.unique(known)) == len(known) for known in (line[line >= 0] for line in flat)):
        return rows, keys
    same = rows.space is keys.space and np.array_equal(rows.tokens, keys.tokens)
    space = places.joined((rows.space.number, -2), owner, rows.tokens.shape[1])
    fresh = replace(rows, space=space, examples=owner, tokens=space.tokens.view(space.shape).numpy())
    return fresh, (replace(keys, space=space, examples=owner, tokens=fresh.tokens) if same else keys)
