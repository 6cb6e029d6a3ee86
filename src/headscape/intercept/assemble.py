"""From the calls of a pass to a Trace: sites, sides, planes, labels, answer."""

import re
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np

from headscape.errors import LabelError
from headscape.intercept.answer import read_answer
from headscape.intercept.recorder import Options, Seen
from headscape.intercept.watcher import Watcher
from headscape.trace.call import AttentionCall
from headscape.trace.outputs import Outputs
from headscape.trace.sides import Side, label_side, picture_patches, square_grid
from headscape.trace.trace import Trace

# Largest difference between what was recorded and what the model computed that rounding explains,
# relative to the largest value: float32, and half precision.
_ROUNDING = {"float32": 1e-4, "half": 3e-2}
_LOOKS_LIKE_ATTENTION = re.compile(r"attention|attn", re.IGNORECASE)


class Sides:
    """Works out which sequences of tokens the calls stand for.

    Calls that follow one another's output share a side. A call that follows none starts a new one, unless it
    continues the newest side of the same length and no cross-attention holds the two apart.
    """

    def __init__(self, calls: list[Seen]) -> None:
        self.lengths: list[int] = []
        self.of_query: list[int] = []
        self.of_key: list[int] = []
        self.extra: dict[int, int] = {}  # side -> keys without a token
        self._calls = calls
        for n, seen in enumerate(calls):
            query = self._side(n, seen.origin.query_from, seen.shape[2], of_call=True)
            self.of_query.append(query)
            self.of_key.append(self._key_side(n, seen, query))

    def _new(self, length: int) -> int:
        self.lengths.append(length)
        return len(self.lengths) - 1

    def _side(self, n: int, follows: int, length: int, *, of_call: bool) -> int:
        if follows >= 0:
            side = self.of_query[follows]
            if self.lengths[side] == length:
                return side
        same = [s for s, known in enumerate(self.lengths) if known == length and s not in self.extra]
        if follows >= 0 or not of_call:
            return same[-1] if same and follows >= 0 else self._new(length)
        free = [s for s in same if not self._crosses(n, s) and not self._ran_in(s, n)]
        return free[-1] if free else self._new(length)

    def _crosses(self, n: int, side: int) -> bool:
        """Whether any later cross-attention joins the tokens of call ``n`` with those of ``side``."""
        mine = self._followers(n)
        theirs = {m for m in range(len(self.of_query)) if self.of_query[m] == side}
        for call in self._calls[n:]:
            origin = call.origin
            if origin.kind != "cross":
                continue
            ends = (origin.query_from, origin.key_from)
            if any(a in mine and b in theirs for a, b in (ends, ends[::-1])):
                return True
            if ends[0] in mine and ends[1] < 0:
                return True  # attends to something that no call made: a side of its own
        return self._calls[n].origin.kind == "cross" and self._calls[n].origin.key_from in theirs

    def _followers(self, n: int) -> set[int]:
        found = {n}
        for m in range(n + 1, len(self._calls)):
            if self._calls[m].origin.query_from in found:
                found.add(m)
        return found

    def _ran_in(self, side: int, n: int) -> bool:
        """Whether the module of call ``n`` already ran on ``side``: then these are twin towers."""
        path = self._calls[n].origin.path
        return any(
            self.of_query[m] == side and self._calls[m].origin.path == path for m in range(len(self.of_query))
        )

    def _key_side(self, n: int, seen: Seen, query: int) -> int:
        extra = seen.origin.extra_keys
        if extra:
            for side, count in self.extra.items():
                if count == extra and self.lengths[side] == seen.shape[3]:
                    return side
            side = self._new(seen.shape[3])
            self.extra[side] = extra
            return side
        if seen.origin.kind == "self" and seen.shape[3] == self.lengths[query]:
            return query
        follows = seen.origin.key_from
        if follows < 0:
            return self._outside(seen.shape[3], query)
        return self._side(n, follows, seen.shape[3], of_call=False)

    def _outside(self, length: int, query: int) -> int:
        """Return the side of keys that no call made (a memory passed in from outside)."""
        queried = set(self.of_query)
        for side, known in enumerate(self.lengths):
            if known == length and side not in queried and side != query and side not in self.extra:
                return side
        return self._new(length)

    def names(self) -> list[str]:
        """Return "tokens" for one side, "source" and "target" for two joined by cross-attention."""
        count = len(self.lengths)
        names = ["tokens"] + [f"tokens {n + 1}" for n in range(1, count)]
        crossing = [n for n, seen in enumerate(self._calls) if seen.origin.kind == "cross"]
        if count >= 2 and crossing:
            first = crossing[0]
            if self.of_query[first] != self.of_key[first] and self.of_key[first] not in self.extra:
                names[self.of_key[first]], names[self.of_query[first]] = "source", "target"
        for side in self.extra:
            names[side] = "keys with bias" if len(self.extra) == 1 else f"keys with bias {side}"
        return names


def assemble(watcher: Watcher, output: Any, *, model: str, step: int | None) -> Trace:
    """Build the Trace of a finished pass.

    Raises
    ------
    LabelError, ShapeError
        The caller's labels or pictures do not fit what the model saw.
    """
    seen, options = watcher.recorder.calls, watcher.options
    found = Sides(seen)
    calls, planes = _calls(seen, found)
    sides = _label(_plain_sides(found, planes), calls, options)
    last = found.of_query[-1]
    padded = _padding_of(last, calls, sides[last].length)
    answer: Outputs | None = watcher.attempt(
        "reading the model's answer", read_answer, output, watcher.tape, padded, last, options.classes
    )
    warnings = tuple(_notes(watcher, calls))
    return Trace(calls, sides, answer, warnings, model, step)


def _calls(seen: list[Seen], found: Sides) -> tuple[tuple[AttentionCall, ...], Counter[int]]:
    runs: Counter[str] = Counter()
    planes: Counter[int] = Counter()
    calls = []
    for layer, one in enumerate(seen):
        path, side = one.origin.path, found.of_query[layer]
        site = path if runs[path] == 0 else f"{path}#{runs[path]}"
        calls.append(
            AttentionCall(
                path=path, site=site, layer=layer, kind=one.origin.kind, source=one.origin.source,
                query_side=side, key_side=found.of_key[layer], plane=planes[side], shape=one.shape,
                arrays=replace(one.arrays, flow=one.flow), self_check=one.self_check, nan_rows=one.nan_rows,
            )
        )  # fmt: skip
        runs[path] += 1
        planes[side] += 1
    return tuple(calls), planes


def _plain_sides(found: Sides, planes: Counter[int]) -> list[Side]:
    return [
        Side(name, length, planes[n] + 1)
        for n, (name, length) in enumerate(zip(found.names(), found.lengths, strict=True))
    ]


def _padding_of(side: int, calls: tuple[AttentionCall, ...], length: int) -> np.ndarray:
    for call in calls:
        if call.query_side == side:
            return call.arrays.padded
    for call in calls:
        if call.key_side == side:
            return call.arrays.padded_keys
    return np.zeros((calls[0].shape[0], length), bool)


def _label(sides: list[Side], calls: tuple[AttentionCall, ...], options: Options) -> tuple[Side, ...]:
    batch = calls[0].shape[0]
    for n, labels in _labels_by_side(sides, calls, options.tokens).items():
        padded = _padding_of(n, calls, sides[n].length)
        sides[n] = replace(sides[n], labels=label_side(labels, padded, side=sides[n].name))
    if options.patches is not None:
        pictures = picture_patches(options.patches, batch=batch, length=sides[0].length)
        sides[0] = replace(sides[0], pictures=pictures, grid=square_grid(pictures.shape[1]))
    return tuple(sides)


def _labels_by_side(sides: list[Side], calls: tuple[AttentionCall, ...], tokens: Any) -> dict[int, Any]:
    named = [n for n, side in enumerate(sides) if not side.name.startswith("keys with bias")]
    if tokens is None:
        return {}
    if isinstance(tokens, dict):
        by_name = {sides[n].name: n for n in named}
        unknown = [name for name in tokens if name not in by_name]
        if unknown:
            raise LabelError(
                f"tokens names a side {unknown[0]!r}; this model works on {', '.join(map(repr, by_name))}."
            )
        return {by_name[name]: labels for name, labels in tokens.items()}
    if len(named) == 1:
        return {named[0]: tokens}
    if isinstance(tokens, tuple) and len(tokens) == 2 and not any(isinstance(part, str) for part in tokens):
        names = {sides[n].name: n for n in named}
        if {"source", "target"} <= names.keys():
            return {names["source"]: tokens[0], names["target"]: tokens[1]}
    fitting = [n for n in named if _fits(tokens, _padding_of(n, calls, sides[n].length))]
    if len(fitting) == 1:
        return {fitting[0]: tokens}
    lengths = ", ".join(f"{sides[n].name!r} of {sides[n].length}" for n in named)
    raise LabelError(
        f"tokens is one list of labels, but the model works on {len(named)} sides ({lengths}) and "
        f"{'several fit' if fitting else 'it fits none'}. Pass a dict, as "
        f"tokens={{{sides[named[0]].name!r}: [...], {sides[named[1]].name!r}: [...]}}."
    )


def _fits(labels: Any, padded: Any) -> bool:
    try:
        label_side(labels, padded)
    except LabelError:
        return False
    return True


def _notes(watcher: Watcher, calls: tuple[AttentionCall, ...]) -> list[str]:
    notes = list(watcher.problems)
    for call, seen in zip(calls, watcher.recorder.calls, strict=True):
        where = call.site or "the model itself"
        if call.nan_rows:
            notes.append(
                f"{call.nan_rows} rows of {where} hold NaN; they are left out of graphs and pictures."
            )
        if watcher.options.values and not call.has_values:
            notes.append(
                f"{where}: its output projection was not found, so contributions of its edges are not known."
            )
        limit = _ROUNDING["half" if seen.half else "float32"] * max(1.0, seen.size)
        if call.self_check > limit:
            notes.append(
                f"{where}: recorded weights and values give an output that differs from the model's by "
                f"{call.self_check:.2g} (expected below {limit:.2g}). Do not trust this call."
            )
    paths = {call.path for call in calls}
    for name, module in watcher.names.all():
        inside = any(
            p == name or p.startswith(f"{name}.") or name.startswith(f"{p}.") for p in paths if p or not name
        )
        if name and not inside and "" not in paths and _LOOKS_LIKE_ATTENTION.search(type(module).__name__):
            notes.append(f"{name} ({type(module).__name__}) looks like attention, but none was seen in it.")
    return notes
