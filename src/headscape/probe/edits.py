"""Taking heads, edges and tokens out of attention, while a model runs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from headscape.errors import OptionError
from headscape.intercept.calls import Found
from headscape.intercept.recorder import Seen
from headscape.intercept.rows import Scores, Written, aside, weights_of
from headscape.probe.removals import Removal
from headscape.trace.call import AttentionCall

By = Literal["zero", "renormalise", "mean"]
WAYS: tuple[By, ...] = ("zero", "renormalise", "mean")
# A row that keeps less than this share of its attention has nothing left that could be scaled up.
_NOTHING_LEFT = 1e-6


@dataclass(frozen=True, eq=False)
class Plan:
    """What is removed in each copy of the batch.

    The model runs on several copies of its batch at once: copy c of example e is example
    ``c * examples + e``. ``removals[c]`` is None for a copy that is left as it is.
    """

    removals: Sequence[Removal | None]
    examples: int
    by: By


@dataclass(frozen=True)
class Cut:
    """What is removed from one call: an edge, a key for all queries (None), or a whole head (no key)."""

    head: int | None
    query: int | None = None
    key: int | None = None


class Remover:
    """An editor (see :mod:`headscape.intercept.rerun`) that removes what a plan says.

    Parameters
    ----------
    plan : Plan
        Its first copy is left as it is.
    places : list of (layer, first head)
        Which call of the trace each call, as it comes, is (a part of).
    calls : tuple of AttentionCall
        Those of the trace.
    """

    def __init__(self, plan: Plan, places: list[tuple[int, int]], calls: tuple[AttentionCall, ...]) -> None:
        self._plan = plan
        self._places = places
        self._calls = calls
        self.used: set[int] = set()  # copies in which something was there to remove
        self.notes: dict[int, Tensor] | None = None  # means of what heads give, to be noted call by call
        self.means: dict[int, Tensor] | None = None  # such means, noted before

    def edit(self, number: int, seen: Seen, found: Found) -> Tensor | None:
        """Return what the heads give without what is removed, (group, head, query, width)."""
        layer, first_head = self._places[number]
        if self.notes is not None:
            self.notes[number] = Spots(seen, found, self._calls[layer]).mean_of_rows(self._plan.examples)
        cuts = {
            copy: one
            for copy, removal in enumerate(self._plan.removals)
            if removal is not None and (one := self._cut_of(removal, layer, first_head, found.rows.shape[1]))
        }
        if not cuts:
            return None
        with aside(found.value.device):
            return self._changed(cuts, number, seen, found)

    def _cut_of(self, removal: Removal, layer: int, first_head: int, heads: int) -> list[Cut]:
        """Return the parts of a removal that lie in a call, or in a part of one."""
        if removal.unit == "tokens":
            return [
                Cut(None, None, token) for side, token in removal.parts if side == self._calls[layer].key_side
            ]
        cut = []
        for part in removal.parts:
            head = None if part[1] is None else part[1] - first_head
            if part[0] == layer and (head is None or 0 <= head < heads):
                cut.append(Cut(head, *part[2:]))
        return cut

    def _changed(self, cuts: dict[int, list[Cut]], number: int, seen: Seen, found: Found) -> Tensor:
        if found.mixed is None:
            raise RuntimeError("dropout acts on the weights of this model: call model.eval() first")
        layer = self._places[number][0]
        new, spots = found.mixed.clone(), Spots(seen, found, self._calls[layer])
        per_copy = self._plan.examples
        for copy, cut in cuts.items():
            self.used.add(copy)
            for example in range(copy * per_copy, (copy + 1) * per_copy):
                for window, group in enumerate(spots.groups[example].tolist()):
                    edges = [part for part in cut if part.key is not None]
                    if edges:
                        self._remove(new[group], spots.mark(edges, example, window), example, window, spots)
                    for part in cut:
                        if part.key is None:
                            new[group, part.head] = 0
        if self._plan.by == "mean" and any(part.key is None for cut in cuts.values() for part in cut):
            means = spots.mean_of_rows(per_copy) if self.means is None else self.means[number]
            self._give_means(new, cuts, spots, means.to(new.dtype))
        return new

    def _remove(
        self, new: Tensor, marked: npt.NDArray[np.bool_], example: int, window: int, spots: "Spots"
    ) -> None:
        """Remove marked edges, (head, query, key), from what one group gives, (head, query, width)."""
        is_cut = torch.from_numpy(marked).to(new.device)
        rows = is_cut.any(-1)
        if not bool(rows.any()):
            return
        weights, value = spots.weights_and_values(example, window)
        lost = torch.where(is_cut, weights, torch.zeros_like(weights))
        if self._plan.by == "mean":
            real = torch.from_numpy(spots.real_keys(example, window)).to(new.device)
            value = value - value[:, real].mean(1, keepdim=True)
        changed = new.to(weights.dtype) - torch.matmul(lost, value)
        if self._plan.by == "renormalise":
            total = weights.sum(-1, keepdim=True)
            left = total - lost.sum(-1, keepdim=True)
            there = left > _NOTHING_LEFT * total
            changed = torch.where(there, changed * total / left.clamp_min(1e-30), torch.zeros_like(changed))
        new.copy_(torch.where(rows[..., None], changed.to(new.dtype), new))

    def _give_means(self, new: Tensor, cuts: dict[int, list[Cut]], spots: "Spots", means: Tensor) -> None:
        """Put the mean of what a head gives, (head, width), in its place."""
        per_copy = self._plan.examples
        for copy, cut in cuts.items():
            here = torch.from_numpy(spots.groups[copy * per_copy : (copy + 1) * per_copy].reshape(-1))
            for part in cut:
                if part.key is None:
                    new[here.to(new.device), part.head] = means[part.head]


class Spots:
    """Where the rows and keys of one call stand, and what they hold."""

    def __init__(self, seen: Seen, found: Found, call: AttentionCall) -> None:
        self._rows_in_trace = call.shape[2]
        self._standing = seen.origin.standing
        self._padded, self._padded_keys = seen.arrays.padded, seen.arrays.padded_keys
        self._found = found
        self._every: Tensor | None = None
        self.groups: npt.NDArray[np.int64] = self._standing.order  # (example, window)

    def _rows(self, example: int, window: int, count: int) -> npt.NDArray[np.int64]:
        """Return the row of each query of a group, among the ``count`` last of its side; -1 for none."""
        tokens = self._standing.queries[example, window]
        ahead = self._standing.query_space.length - count
        found: npt.NDArray[np.int64] = np.where(tokens < 0, -1, tokens - ahead)
        return found

    def mark(self, edges: Sequence[Cut], example: int, window: int) -> npt.NDArray[np.bool_]:
        """Return which edges of a group are meant, (head, query, key) bool."""
        rows = self._rows(example, window, self._rows_in_trace)
        keys = self._standing.keys[example, window]
        marked = np.zeros((self._found.rows.shape[1], len(rows), len(keys)), bool)
        whole = [edge for edge in edges if edge.head is not None and edge.query is not None]
        for edge in edges:
            if edge.head is None or edge.query is None:
                of_rows = np.ones(len(rows), bool) if edge.query is None else rows == edge.query
                marked[slice(None) if edge.head is None else edge.head] |= of_rows[:, None] & (
                    keys == edge.key
                )
        if whole:  # there may be thousands
            heads, queries, wanted = np.array([(e.head, e.query, e.key) for e in whole], np.int64).T
            at_row, at_key = _finder(rows, queries), _finder(keys, wanted)
            there = (at_row >= 0) & (at_key >= 0)
            marked[heads[there], at_row[there], at_key[there]] = True
        return marked

    def stays(self, kept: npt.NDArray[np.bool_], example: int, window: int) -> npt.NDArray[np.bool_]:
        """Lay what is kept of an example's weights, (head, row, key), out as a group has them.

        What no row or key of the trace stands behind stays.
        """
        rows = self._rows(example, window, self._rows_in_trace)
        keys = self._standing.keys[example, window]
        found = kept[:, np.maximum(rows, 0)][:, :, np.maximum(keys, 0)]
        laid: npt.NDArray[np.bool_] = found | (rows < 0)[:, None] | (keys < 0)
        return laid

    def real_keys(self, example: int, window: int) -> npt.NDArray[np.bool_]:
        """Return which keys of a group are tokens and no padding, (key,) bool."""
        keys = self._standing.keys[example, window]
        real: npt.NDArray[np.bool_] = (keys >= 0) & ~self._padded_keys[example][np.maximum(keys, 0)]
        return real if real.any() else np.ones(len(keys), bool)

    def weights_and_values(self, example: int, window: int) -> tuple[Tensor, Tensor]:
        """Return a group's weights (head, query, key) and values (head, key, width)."""
        rows, group = self._found.rows, int(self.groups[example, window])
        everything = slice(0, rows.shape[2])
        if isinstance(rows, Scores) and rows.rescore is not None:
            if self._every is None:  # a function of the model's own changes scores of the whole batch
                self._every = weights_of(rows, everything)[0]
            weights = self._every[group]
        else:
            weights = weights_of(one_group(rows, group), everything)[0][0]
        value = self._found.value[group].to(weights.dtype)
        return weights.nan_to_num(0), value.repeat_interleave(weights.shape[0] // value.shape[0], dim=0)

    def mean_of_rows(self, examples: int) -> Tensor:
        """Return the mean of what heads give over the real rows of the first examples, (head, width)."""
        mixed, real = self._found.mixed, []
        for example in range(examples):
            for window, group in enumerate(self.groups[example].tolist()):
                rows = self._rows(example, window, self._standing.rows)
                is_real = (rows >= 0) & ~self._padded[example][np.maximum(rows, 0)]
                if mixed is not None:
                    real.append(mixed[group][:, torch.from_numpy(is_real).to(mixed.device)])
        return torch.cat(real, dim=1).mean(1)


def _finder(tokens: npt.NDArray[np.int64], wanted: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return where each wanted token stands among ``tokens``, which are different; -1 where it does not."""
    order = np.argsort(tokens, kind="stable")
    at = np.minimum(np.searchsorted(tokens[order], wanted), len(tokens) - 1)
    found: npt.NDArray[np.int64] = np.where(tokens[order[at]] == wanted, order[at], -1)
    return found


def expect_way(by: str, removals: Sequence[Removal]) -> None:
    """Raise :class:`OptionError` where a way of removing makes no sense for what is removed."""
    if by not in WAYS:
        raise OptionError(
            f"knock_out() has no way {by!r} of removing; there is {', '.join(map(repr, WAYS))}."
        )
    if by == "renormalise" and any(removal.unit == "heads" for removal in removals):
        raise OptionError(
            "a whole head cannot be removed by='renormalise': no key is left for its weights to go to. "
            "Use by='zero' or by='mean'."
        )


def one_group(rows: Scores | Written, group: int) -> Scores | Written:
    """Return the rows of one group alone, with a batch axis of 1."""
    here = slice(group, group + 1)
    mask = rows.mask
    if mask is not None and mask.dim() == 4 and mask.shape[0] > 1:
        mask = mask[here]
    if isinstance(rows, Written):
        return Written(rows.weights[here], mask)
    return replace(rows, query=rows.query[here], key=rows.key[here], mask=mask)
