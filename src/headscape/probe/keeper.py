"""Leaving a model only those of its edges that a pruning keeps, while it runs."""

from collections import Counter
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from headscape.analysis.route_graph import keep_routes
from headscape.analysis.routes import find_routes
from headscape.errors import CaptureError
from headscape.graph.build import build_graph
from headscape.graph.columns import EdgeKind
from headscape.graph.kept import kept_entries
from headscape.intercept.calls import Found
from headscape.intercept.recorder import Seen
from headscape.intercept.rows import aside
from headscape.probe.edits import Spots
from headscape.trace.call import AttentionCall
from headscape.trace.trace import Trace

Flags: TypeAlias = npt.NDArray[np.bool_]
# A row that keeps less than this share of its attention has nothing left that could be scaled up.
_NOTHING_LEFT = 1e-6


@dataclass
class Tally:
    """What was kept of one call, over all examples."""

    mass: float = 0.0
    rows: int = 0
    edges: int = 0
    edges_before: int = 0
    empty: int = 0

    def add(self, call: AttentionCall, example: int, kept: Flags) -> None:
        """Count one example of a call (or of a piece of it)."""
        weights = np.nan_to_num(call.weights(example)).astype(np.float64)
        total = weights.sum(-1)
        real = (total > 0) & ~call.padded(example)
        share = np.where(kept, weights, 0).sum(-1)[real] / total[real]
        there = (weights > 0) & ~call.padded(example)[:, None] & ~call.padded_keys(example)
        self.mass += float(share.sum())
        self.rows += int(real.sum())
        self.edges += int((kept & there).sum())
        self.edges_before += int(there.sum())
        self.empty += int((share <= _NOTHING_LEFT).sum())


class Chooser:
    """Says which weights of a call stay, as it is met or as the untouched trace has it."""

    def __init__(
        self, name: str, options: dict[str, float], direction: str, trace: Trace, *, is_met: bool
    ) -> None:
        self._name, self._options, self._direction = name, options, direction
        self.trace, self._is_met = trace, is_met
        self._routes: list[list[Flags]] = []
        if name == "routes":
            self._routes = [self._routes_of(example) for example in range(trace.batch)]
        else:  # a wrong name or option is told here, and not in the midst of a pass
            kept_entries(trace.calls[0], 0, name, options, direction=direction)

    def call(self, layer: int, seen: Seen, *, is_shared: bool) -> AttentionCall:
        """Return the call of which weights are chosen; met calls are what the pass has just recorded.

        ``is_shared`` says that several pieces hold rows of the same heads.
        """
        call = self.trace.calls[layer]
        if not self._is_met:
            return call
        if is_shared:
            raise CaptureError(
                f"{call.site or 'the model itself'} is worked out in pieces, none of which holds a whole "
                'head: which edges stay can only be told of the untouched pass. Pass edges_of="untouched".'
            )
        return replace(call, arrays=seen.arrays, shape=seen.shape)

    def kept(self, call: AttentionCall, example: int) -> Flags:
        """Return which weights of a call stay, (head, query, key)."""
        if self._routes:
            return self._routes[example][self.trace.calls.index(call)]
        found = kept_entries(call, example, self._name, self._options, direction=self._direction)
        # What is in no graph stays as it is: rows of padding, rows that are NaN, attention to padding.
        broken = np.isnan(call.weights(example)).any(-1)
        found |= (call.padded(example) | broken)[..., None] | call.padded_keys(example)
        return found

    def _routes_of(self, example: int) -> list[Flags]:
        """Return the weights of each call that lie on routes to the answer."""
        # Routes take all heads of an edge together, and so does the graph of their mean.
        graph = build_graph(self.trace, example, direction="directed", heads="mean")
        routes = find_routes(self.trace, example, **self._options)  # type: ignore[arg-type]
        edges = graph.edges.select(keep_routes(graph.edges, routes))
        edges = edges.select(np.isin(edges.kind, (EdgeKind.ATTENTION, EdgeKind.CROSS)))
        found = []
        for number, call in enumerate(self.trace.calls):
            shift = self.trace.sides[call.query_side].length - call.shape[2]
            e = edges.select(edges.call == number)
            kept = np.zeros(call.shape[1:], dtype=bool)
            kept[:, e.query - shift, e.key] = True
            found.append(kept | call.padded(example)[:, None] | call.padded_keys(example))
        return found


class Keeper:
    """An editor (see :mod:`headscape.intercept.rerun`) that leaves a model only what is chosen."""

    def __init__(self, chooser: Chooser, places: list[tuple[int, int]], *, renormalise: bool) -> None:
        self._chooser = chooser
        self._places = places
        self._times = Counter(places)  # more than once: pieces that share heads
        self.renormalise = renormalise
        self.tally: dict[int, Tally] = {}

    def edit(self, number: int, seen: Seen, found: Found) -> Tensor | None:
        """Return what the heads give of what they keep, (group, head, query, width)."""
        if found.mixed is None:
            raise RuntimeError("dropout acts on the weights of this model: call model.eval() first")
        layer, first_head = self._places[number]
        is_shared = self._times[layer, first_head] > 1
        call = self._chooser.call(layer, seen, is_shared=is_shared)
        tally = self.tally.setdefault(layer, Tally())
        is_first = not tally.rows or call.shape[1] != self._chooser.trace.calls[layer].shape[1]
        spots, heads = Spots(seen, found, call), found.rows.shape[1]
        new = None
        with aside(found.value.device):
            for example in range(call.shape[0]):
                kept = self._chooser.kept(call, example)
                if is_first:
                    tally.add(call, example, kept)
                if call.shape[1] != heads:
                    kept = kept[first_head : first_head + heads]
                for window, group in enumerate(spots.groups[example].tolist()):
                    stays = spots.stays(kept, example, window)
                    if not stays.all():
                        new = found.mixed.clone() if new is None else new
                        self._leave(new[group], stays, spots, example, window)
        return new

    def _leave(self, new: Tensor, stays: Flags, spots: Spots, example: int, window: int) -> None:
        """Leave one group, (head, query, width), what its kept weights bring."""
        weights, value = spots.weights_and_values(example, window)
        here = torch.from_numpy(stays).to(new.device)[..., : weights.shape[-1]]
        rows = ((weights > 0) & ~here).any(-1)
        kept = torch.where(here, weights, torch.zeros_like(weights))
        mixed = torch.matmul(kept, value[:, : weights.shape[-1]])
        if self.renormalise:
            total, left = weights.sum(-1, keepdim=True), kept.sum(-1, keepdim=True)
            there = left > _NOTHING_LEFT * total
            mixed = torch.where(there, mixed * total / left.clamp_min(1e-30), torch.zeros_like(mixed))
        new.copy_(torch.where(rows[..., None], mixed.to(new.dtype), new))
