"""The fast road: hands rows to the compiled kernel, side by side on as many threads as torch itself uses.

Numba's own threading is not used: its default layer ends the process when two Python threads enter it.
"""

import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headscape.intercept import kernel
from headscape.intercept.choosing import ALL, NUCLEUS, THRESHOLD, TOP_K
from headscape.intercept.gathered import Gathered, allocate
from headscape.intercept.keeping import Keeping
from headscape.intercept.lanes import PANEL, TILE, pack
from headscape.intercept.rows import FORBIDS, Scores, Written
from headscape.trace.call import CallArrays
from headscape.trace.measure import Facts

_RULES = {"all": ALL, "top_k": TOP_K, "threshold": THRESHOLD, "nucleus": NUCLEUS}
# Floats of scores that a thread holds at a time: 512 kB stay in its part of the cache.
SCORE_FLOATS = 128 * 1024
_MOST_ROWS = 64
# Floats of a mask or of weights that are turned into float32 at a time, where the kernel cannot read them.
TURNED_FLOATS = 2 * 1024 * 1024
LIST_ROOM = 256 * 1024  # numbers in a thread's long list before it is put away
_SEES_ALL = 2**62


def take_compiled(source: Scores | Written, keeping: Keeping, facts: Facts) -> CallArrays:
    """Gather rows with the compiled kernel; see :func:`headscape.intercept.stream.gather`."""
    return _Pass(source, keeping, facts).run()


@dataclass
class _Pass:
    """One call on its way through the kernel."""

    source: Scores | Written
    keeping: Keeping
    facts: Facts
    segments: list[tuple[int, int, Any, Any]] = field(default_factory=list)  # rows, keys, weights

    def run(self) -> CallArrays:
        batch, head, query, key = self.source.shape
        gathered = Gathered(self.source.shape, self.keeping, self.facts)
        rule = (_RULES[self.keeping.rule], float(np.float32(self.keeping.amount)))
        if rule[0] == NUCLEUS:
            rule = (NUCLEUS, float(self.keeping.amount))
        self.long = rule[0] in (THRESHOLD, NUCLEUS)
        self.threads = max(1, torch.get_num_threads())
        parts = -(-4 * self.threads // max(1, batch * head)) if batch * head < 4 * self.threads else 1
        received = gathered.received if parts == 1 else allocate((parts, batch, head, key), np.float32)
        if rule[0] == TOP_K:
            width = min(int(self.keeping.amount), key)
            gathered.keys = allocate((batch, head, query, width), np.int32, fill=-1)
            gathered.weights = allocate((batch, head, query, width), np.float32)
        width = 0 if gathered.weights is None else gathered.weights.shape[3]
        counts = allocate((batch * head * query,), np.int32)
        rows: list[Any] = [gathered.kept, gathered.entropy, gathered.distance, gathered.first]
        rows = [array.reshape(-1) for array in (*rows, gathered.largest, gathered.visible, received)]
        keys = allocate((0,), np.int32) if gathered.keys is None else gathered.keys.reshape(-1)
        weights = allocate((0,), np.float32) if gathered.weights is None else gathered.weights.reshape(-1)
        self.out: tuple[Any, ...] = (*rows, counts, keys, weights, width)
        self.rule = rule
        self._queries(batch * head, parts)
        if parts > 1:
            gathered.received = received.sum(0)
        if self.long:
            gathered.lists.append(self._assembled(counts, (batch, head, query)))
        return gathered.arrays()

    def _queries(self, matrices: int, parts: int) -> None:
        """Do all rows, a run of queries at a time where something has to be turned into float32."""
        batch, head = self.source.shape[:2]
        facts = _flat_facts(self.facts, matrices)
        for rows, work, mask in self._runs():
            edges = np.linspace(rows.start, rows.stop, parts + 1).astype(int)
            tasks = [
                (example, h, int(begin), int(end), part)
                for part, (begin, end) in reversed(list(enumerate(itertools.pairwise(edges))))
                for example in range(batch)
                for h in range(head)
                if begin < end
            ]
            _share(tasks, self.threads, partial(self._worker, work, mask, facts))

    def _worker(self, work: Any, mask: Any, facts: Any) -> Callable[[Any], None]:
        """Return what one thread runs for each task; it owns its buffers."""
        function, source = work
        scratch, out = self._scratch(), self.out
        if self.long:
            room = max(LIST_ROOM, 2 * self.source.shape[3])
            out = (*out[:8], allocate((room,), np.int32), allocate((room,), np.float32), 0)

        def run(task: tuple[int, int, int, int, int]) -> None:
            example, head, begin, end, part = task
            while begin < end:
                stop, used = function((example, head, begin, end, part, 0), source, mask, facts, self.rule,
                                      out, scratch)  # fmt: skip
                if self.long:
                    row = (example * self.source.shape[1] + head) * self.source.shape[2]
                    listed = out[8][:used].copy(), out[9][:used].copy()
                    self.segments.append((row + begin, row + stop, *listed))
                begin = stop

        return run

    def _scratch(self) -> Any:
        key = self.source.shape[3]
        lists = (
            allocate((key,), np.int32), allocate((key,), np.float32), allocate((key,), np.int64),
            allocate((PANEL,), np.float32),
        )  # fmt: skip
        if isinstance(self.source, Written):
            return allocate((key,), np.float32), allocate((0,), np.float32), lists
        step = -(-key // PANEL) * PANEL
        rows = max(1, min(_MOST_ROWS, SCORE_FLOATS // step) // TILE) * TILE
        width = self.source.query.shape[3]
        return allocate((rows * step,), np.float32), allocate((rows * width,), np.float32), lists

    def _runs(self) -> Iterator[tuple[slice, Any, Any]]:
        """Yield runs of queries with (kernel, source) and mask as the kernel reads them."""
        batch, head, query, key = self.source.shape
        scores = self._score_work(self.source) if isinstance(self.source, Scores) else None
        mask = None if self.source.mask is None else _four_axes(self.source.mask.detach())
        turns_mask = mask is not None and not _is_readable(mask, key, (torch.bool, torch.float32))
        weights = None if isinstance(self.source, Scores) else self.source.weights.detach()
        turns = turns_mask or (weights is not None and weights.dtype != torch.float32)
        size = max(1, query) if not turns else max(1, TURNED_FLOATS // max(1, batch * head * key))
        for start in range(0, query, size):
            rows = slice(start, min(query, start + size))
            here = mask if mask is None or mask.shape[2] == 1 or not turns_mask else mask[:, :, rows]
            if here is not None and turns_mask:
                wide = torch.bool if here.dtype == torch.bool else torch.float32
                here = here.to(wide).expand(*here.shape[:3], key).contiguous()
            base = rows.start if turns_mask else 0
            if weights is None:
                yield rows, scores, _flat_mask(here, base)
                continue
            part = weights if weights.dtype == torch.float32 else weights[:, :, rows].float()
            flat, strides = _flat(part)
            source = (flat, strides, (head, query, key), 0 if part is weights else rows.start)
            yield rows, (kernel.written_rows, source), _flat_mask(here, base)

    def _score_work(self, source: Scores) -> Any:
        _, head, query, key = source.shape
        width = source.query.shape[3]
        queries, strides = _flat(source.query.detach().float())
        packed = _packed(source.key.detach().float(), self.threads)
        sees = source.first_query + 1 if source.is_causal else _SEES_ALL
        sizes = (head, query, key, width, head // source.key.shape[1])
        return kernel.score_rows, (queries, strides, packed, sizes, np.float32(source.factor), sees)

    def _assembled(self, counts: Any, rows: tuple[int, int, int]) -> tuple[Any, Any]:
        width = int(counts.max()) if len(counts) else 0
        keys = allocate((len(counts), width), np.int32, fill=-1)
        weights = allocate((len(counts), width), np.float32)
        places = np.arange(width)
        for first, last, some_keys, some_weights in self.segments:
            here = places < counts[first:last, None]
            keys[first:last][here] = some_keys
            weights[first:last][here] = some_weights
        return keys.reshape(*rows, width), weights.reshape(*rows, width)


def _share(tasks: list[Any], threads: int, make: Callable[[], Callable[[Any], None]]) -> None:
    """Run tasks on this thread and on helpers that end with the call; whoever is free takes the next."""
    queue = iter(tasks)

    def work() -> None:
        run = make()
        for task in queue:
            run(task)

    if min(threads, len(tasks)) < 2:
        work()
        return
    with ThreadPoolExecutor(min(threads, len(tasks)) - 1) as helpers:
        others = [helpers.submit(work) for _ in range(min(threads, len(tasks)) - 1)]
        work()
        for other in others:
            other.result()


def _packed(key: Tensor, threads: int) -> Any:
    batch, heads, keys, width = key.shape
    panels = -(-keys // PANEL)
    out = allocate((batch * heads, panels * width * PANEL), np.float32)
    flat, strides = _flat(key)
    tasks = [(example, head) for example in range(batch) for head in range(heads)]

    def one(task: tuple[int, int]) -> None:
        begin = task[0] * strides[0] + task[1] * strides[1]
        pack(flat, (strides[2], strides[3], begin, keys), width, out[task[0] * heads + task[1]])

    _share(tasks, threads, lambda: one)
    return out.reshape(-1)


def _flat(tensor: Tensor) -> tuple[Any, tuple[int, ...]]:
    """Return the memory that a tensor spans as one NumPy array, and its strides. Nothing is copied."""
    strides = tuple(tensor.stride())
    if not tensor.numel():
        return np.zeros(0, np.float32), strides
    extent = 1 + sum((n - 1) * stride for n, stride in zip(tensor.shape, strides, strict=True))
    return tensor.as_strided((extent,), (1,), tensor.storage_offset()).numpy(), strides


def _four_axes(mask: Tensor) -> Tensor:
    while mask.dim() < 4:
        mask = mask.unsqueeze(0)
    return mask


def _is_readable(mask: Tensor, key: int, dtypes: tuple[torch.dtype, ...]) -> bool:
    return mask.dtype in dtypes and mask.shape[3] == key and (mask.stride(3) == 1 or key == 1)


def _flat_mask(mask: Tensor | None, base: int) -> Any:
    """Return (kind, flags, numbers, what forbids, strides); a broadcast axis has stride 0."""
    flags, numbers, kind = np.zeros(0, np.uint8), np.zeros(0, np.float32), kernel.UNMASKED
    strides: tuple[int, ...] = (0, 0, 0, 0)
    if mask is not None:
        is_bool = mask.dtype == torch.bool
        flat, found = _flat(mask.view(torch.uint8) if is_bool else mask)
        strides = (*(0 if n == 1 else s for n, s in zip(mask.shape[:3], found[:3], strict=True)), base)
        kind = kernel.BOOL if is_bool else kernel.ADDED
        flags, numbers = (flat, numbers) if is_bool else (flags, flat)
    return kind, flags, numbers, np.float32(FORBIDS), strides


def _flat_facts(facts: Facts, matrices: int) -> Any:
    """Return (padded, query places, key places, matrices, strides of places over the batch), all copies."""
    queries, keys = (np.array(places, np.float32) for places in facts.places())
    strides = tuple(0 if len(places) == 1 else places.shape[1] for places in (queries, keys))
    return np.array(facts.padded, bool).reshape(-1), queries.reshape(-1), keys.reshape(-1), matrices, strides
