"""From the axes a model happened to use to ``(batch, head, query, key)``.

The axes of an attention matrix are told apart by places: along heads nothing changes, along queries the
row's token does, along the batch (or windows, or frames) both the rows' and the keys' tokens do. Where
places are not known, the order of the axes decides.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from headscape.intercept.shadows import is_constant

Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Axes:
    """Names of the axes of what meets in attention.

    ``weights`` names the axes of the matrix, ``keys`` those of them that are summed over, ``shared`` those
    that the values have too.
    """

    weights: tuple[str, ...]
    sizes: dict[str, int]
    keys: tuple[str, ...]
    shared: frozenset[str]

    @property
    def others(self) -> tuple[str, ...]:
        """Axes of the matrix that are not summed over."""
        return tuple(a for a in self.weights if a not in self.keys)


@dataclass(frozen=True)
class Layout:
    """How the axes of a call become (group, head, query, key).

    A group is one example, or one window or frame of it. ``order`` sorts the groups where heads were folded
    into the batch: ``folded`` of them, one after the other, become the heads of one group. ``row_order`` and
    ``row_folded`` do so where heads were folded into the queries.
    """

    sizes: dict[str, int]
    groups: tuple[str, ...]
    heads: tuple[str, ...]
    queries: tuple[str, ...]
    keys: tuple[str, ...]
    order: Tensor | None = None
    folded: int = 1
    row_order: Tensor | None = None
    row_folded: int = 1
    rows_differ: bool = False  # each head picked other rows

    def weights(self, tensor: Tensor, axes: Sequence[str], *, thin: bool = False) -> Tensor:
        """Return a matrix (or a mask, ``thin``: absent axes stay 1) as (group, head, query, key)."""
        parts = (self.groups, self.heads, self.queries, self.keys)
        return self._unstack(self._fold(regroup(tensor, axes, parts, self.sizes, thin=thin)))

    def queries_of(self, tensor: Tensor, axes: Sequence[str]) -> Tensor:
        """Return queries, or an output, as (group, head, query, width)."""
        rest = tuple(a for a in axes if a not in self.sizes)
        parts = (self.groups, self.heads, self.queries, rest)
        return self._unstack(self._fold(regroup(tensor, axes, parts, self.sizes)))

    def keys_of(self, tensor: Tensor, axes: Sequence[str], *, shared_heads: bool = False) -> Tensor:
        """Return keys or values as (group, head, key, width); with ``shared_heads`` heads may be fewer."""
        rest = tuple(a for a in axes if a not in self.sizes)
        heads = self.heads
        if shared_heads and self.folded == 1:
            own = tuple(a for a in heads if a in axes)
            heads = own if own == heads[: len(own)] else heads
        found = self._fold(regroup(tensor, axes, (self.groups, heads, self.keys, rest), self.sizes))
        if self.row_folded > 1 and not shared_heads:
            found = found.repeat_interleave(self.row_folded, dim=1)
        return found

    def _unstack(self, tensor: Tensor) -> Tensor:
        if self.row_folded == 1 or tensor.shape[2] == 1:
            return tensor
        if self.row_order is not None:
            tensor = tensor[:, :, self.row_order.to(tensor.device)]
        return tensor.unflatten(2, (self.row_folded, -1)).flatten(1, 2)  # type: ignore[no-untyped-call,no-any-return]

    def _fold(self, tensor: Tensor) -> Tensor:
        if self.folded == 1 or tensor.shape[0] == 1:
            return tensor
        if self.order is not None:
            tensor = tensor[self.order.to(tensor.device)]
        return tensor.reshape(
            tensor.shape[0] // self.folded, self.folded * tensor.shape[1], *tensor.shape[2:]
        )


def regroup(
    tensor: Tensor,
    axes: Sequence[str],
    parts: Sequence[Sequence[str]],
    sizes: dict[str, int],
    *,
    thin: bool = False,
) -> Tensor:
    """Return ``tensor`` with one axis for each part: the product of the named axes, absent ones repeated."""
    wanted = [a for part in parts for a in part]
    own = list(axes)
    # An axis of length 1 that stands for a longer one is absent.
    for place in reversed(range(len(own))):
        if own[place] not in wanted or (tensor.shape[place] == 1 and sizes.get(own[place], 1) != 1):
            tensor, own = tensor.select(place, 0), own[:place] + own[place + 1 :]
    tensor = tensor.permute([own.index(a) for a in wanted if a in own])
    shape: list[int] = []
    full: list[int] = []
    for part in parts:
        absent = thin and not any(a in own for a in part)
        for a in part:
            length = (
                sizes.get(a, -1) if a not in own else tensor.shape[[x for x in wanted if x in own].index(a)]
            )
            full.append(1 if absent else length)
        shape.append(1 if absent else int(np.prod(full[len(full) - len(part) :], dtype=np.int64)))
    for place, a in enumerate(wanted):
        if a not in own:
            tensor = tensor.unsqueeze(place)
    return tensor.expand(full).reshape(shape)


def find_layout(axes: Axes, rows: Tensor | None, keys: Tensor | None, batch: int) -> Layout:
    """Tell the axes of a call apart.

    Parameters
    ----------
    axes : Axes
        What is known of the product.
    rows : int tensor with axes ``axes.others``, or None
        Place of each row's token, -1 unknown.
    keys : int tensor with axes ``shared`` of ``axes.weights`` and then ``axes.keys``, or None
        Place of each key's token.
    batch : int
        Examples in the model's input, 0 if not known; used where places are not.
    """
    shared = [a for a in axes.others if a in axes.shared]
    if rows is not None and bool((rows < 0).all()):
        rows = None
    if keys is not None and (bool((keys < 0).all()) or _is_flat(keys, len(shared))):
        keys = None
    if keys is None or 0 in axes.sizes.values():
        return _by_order(axes, rows, batch)
    groups: list[str] = []
    heads: list[str] = []
    queries: list[str] = []
    own_rows = False
    for place, axis in enumerate(axes.others):
        turns = axis in axes.shared and not is_constant(keys, shared.index(axis))
        if turns:
            groups.append(axis)
        elif rows is not None and not is_constant(rows, place):
            # Values differ along it, keys do not: heads, each with rows of its own.
            (heads if axis in axes.shared else queries).append(axis)
            own_rows = own_rows or axis in axes.shared
        else:
            heads.append(axis)
    if rows is None:
        free = [a for a in heads if a not in axes.shared]
        if free:
            heads.remove(free[-1])
            queries.append(free[-1])
    layout = Layout(axes.sizes, tuple(groups), tuple(heads), tuple(queries), axes.keys)
    if own_rows:
        return replace(layout, rows_differ=True)
    layout = _unfold(layout, axes, rows, keys, shared)
    return layout if rows is None or layout.rows_differ else _unfold_rows(layout, axes, rows)


def _is_flat(keys: Tensor, first: int) -> bool:
    """Whether keys that should differ do not: their places say nothing."""
    lengths = keys.shape[first:]
    return int(np.prod(lengths)) > 1 and all(is_constant(keys, first + n) for n in range(len(lengths)))


def _unfold(layout: Layout, axes: Axes, rows: Tensor | None, keys: Tensor, shared: list[str]) -> Layout:
    """Find heads that were folded into the groups: the same rows and keys more than once."""
    parts = regroup(keys, (*shared, *axes.keys), (layout.groups, axes.keys), axes.sizes)
    of_keys = parts.shape[1]
    if rows is not None:
        of_rows = regroup(rows, axes.others, (layout.groups, layout.queries), axes.sizes)
        parts = torch.cat([of_rows, parts], dim=1)
    found = _find_folded(layout, parts)
    if found is layout and rows is not None:
        alone = _find_folded(layout, parts[:, parts.shape[1] - of_keys :])
        return layout if alone is layout else replace(alone, rows_differ=True)
    return found


def _find_folded(layout: Layout, parts: Tensor) -> Layout:
    """Fold groups with the same places, (group, n), if all come equally often."""
    count = parts.shape[0]
    if count <= 1:
        return layout
    _, first, which, many = np.unique(
        parts.cpu().numpy(), axis=0, return_index=True, return_inverse=True, return_counts=True
    )
    folded = int(many[0])
    if folded == 1 or not (many == folded).all():
        return layout
    order = np.argsort(first[which.reshape(-1)], kind="stable")
    plain = bool((order == np.arange(count)).all())
    return replace(layout, order=None if plain else torch.from_numpy(order), folded=folded)


def _unfold_rows(layout: Layout, axes: Axes, rows: Tensor) -> Layout:
    """Find heads that were folded into the queries: every token several times among one group's rows."""
    lines = layout.queries_of(rows, axes.others)[:, 0, :, 0]
    if lines.shape[1] < 2 or not len(lines) or bool((lines < 0).any()):
        return layout
    found = lines.cpu().numpy()
    _, which, many = np.unique(found[0], return_inverse=True, return_counts=True)
    folded = int(many[0])
    if folded == 1 or len(many) == 1 or not (many == folded).all():
        return layout
    nth = np.empty(len(which), np.int64)
    nth[np.argsort(which, kind="stable")] = np.arange(len(which)) % folded
    order = np.argsort(nth, kind="stable")
    heads = found[:, order].reshape(len(found), folded, -1)
    if not (heads == heads[:, :1]).all():
        return layout
    return replace(layout, row_order=torch.from_numpy(order), row_folded=folded)


def _by_order(axes: Axes, rows: Tensor | None, batch: int) -> Layout:
    """Read the axes by their order: batch first, heads next, queries last."""
    free = [a for a in axes.others if a not in axes.shared]
    shared = [a for a in axes.others if a in axes.shared]
    query = free[-1:] or shared[-1:]
    shared = [a for a in shared if a not in query]
    heads = [a for a in axes.others if a not in query and a not in shared[:1]]
    groups = shared[:1]
    sizes = dict(axes.sizes)
    folded = 1
    if groups and not heads and batch and sizes[groups[0]] > batch and sizes[groups[0]] % batch == 0:
        folded = sizes[groups[0]] // batch  # (batch * head), as bmm code has it
    return Layout(sizes, tuple(groups), tuple(heads), tuple(query), axes.keys, None, folded)
