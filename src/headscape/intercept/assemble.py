"""From the calls of a pass to a Trace: sites, sides, planes, labels, answer."""

import math
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np

from headscape.errors import LabelError
from headscape.intercept.answer import read_answer
from headscape.intercept.notes import notes_of
from headscape.intercept.pieces import join_pieces
from headscape.intercept.places import Space
from headscape.intercept.recorder import Options, Seen
from headscape.intercept.watcher import Watcher
from headscape.trace.call import AttentionCall
from headscape.trace.outputs import Outputs
from headscape.trace.sides import Side, label_side, picture_patches, square_grid
from headscape.trace.trace import Trace


class Sides:
    """Works out which sequences of tokens the calls stand for.

    Calls whose rows or keys are the same tokens share a side, except where attention crosses between two
    stacks that work on the same tokens: then each stack has a side of its own.
    """

    def __init__(self, calls: list[Seen]) -> None:
        self._calls = calls
        self._towers = self._find_towers()
        self._split = self._split_spaces()
        self._numbers: dict[tuple[int, int], int] = {}
        self.spaces: list[Space] = []
        self.extra: set[int] = set()  # sides with keys that no token stands behind
        self.of_query: list[int] = []
        self.of_key: list[int] = []
        for n, seen in enumerate(calls):
            origin, standing = seen.origin, seen.origin.standing
            self.of_query.append(self._side(n, standing.query_space, origin.query_from, query=True))
            self.of_key.append(self._side(n, standing.key_space, origin.key_from, query=False))
            if origin.extra_keys:
                self.extra.add(self.of_key[-1])

    def _find_towers(self) -> list[int]:
        """Number the stacks of calls: each call belongs to the stack of the call its queries follow."""
        towers: list[int] = []
        for n, seen in enumerate(self._calls):
            follows = seen.origin.query_from
            towers.append(towers[follows] if 0 <= follows < n else n)
        return towers

    def _split_spaces(self) -> set[int]:
        """Return the spaces in which attention crosses between stacks."""
        return {
            seen.origin.standing.query_space.number
            for seen in self._calls
            if seen.origin.kind == "cross"
            and seen.origin.standing.query_space is seen.origin.standing.key_space
        }

    def _side(self, n: int, space: Space, follows: int, *, query: bool) -> int:
        tower = -1
        if space.number in self._split:
            tower = self._towers[n] if query or self._calls[n].origin.kind == "self" else -2
            if not query and self._calls[n].origin.kind == "cross":
                tower = self._towers[follows] if follows >= 0 else -2
        key = (space.number, tower)
        if key not in self._numbers:
            continued = self._continued(n, space) if query and follows < 0 else None
            self._numbers[key] = len(self.spaces) if continued is None else continued
            if continued is None:
                self.spaces.append(space)
        return self._numbers[key]

    def _continued(self, n: int, space: Space) -> int | None:
        """Return the side that a call whose input came from nowhere goes on with (states sent through NumPy).

        It has as many tokens and examples, no attention crosses between the two, and the module has not run
        on it: then these would be twin towers.
        """
        crossing = {
            frozenset((c.origin.standing.query_space.number, c.origin.standing.key_space.number))
            for c in self._calls
            if c.origin.kind == "cross"
        }
        path = self._calls[n].origin.path
        for side in reversed(range(len(self.spaces))):
            known = self.spaces[side]
            alike = known.length == space.length and len(known.examples) == len(space.examples)
            apart = any(
                frozenset((known.number, other)) in crossing for other in {space.number, *self._reached(n)}
            )
            ran = any(self.of_query[m] == side and self._calls[m].origin.path == path for m in range(n))
            if alike and side not in self.extra and not apart and not ran:
                return side
        return None

    def _reached(self, n: int) -> set[int]:
        """Return the spaces of the calls that follow call ``n``."""
        followers = {n}
        for m in range(n + 1, len(self._calls)):
            if self._calls[m].origin.query_from in followers:
                followers.add(m)
        return {self._calls[m].origin.standing.query_space.number for m in followers}

    def names(self) -> list[str]:
        """Return "tokens" for one side, "source" and "target" for two joined by cross-attention."""
        count = len(self.spaces)
        names = ["tokens"] + [f"tokens {n + 1}" for n in range(1, count)]
        crossing = [n for n, seen in enumerate(self._calls) if seen.origin.kind == "cross"]
        if count >= 2 and crossing:
            first = crossing[0]
            if self.of_query[first] != self.of_key[first] and self.of_key[first] not in self.extra:
                names[self.of_key[first]], names[self.of_query[first]] = "source", "target"
        for side in self.extra:
            names[side] = "keys with bias" if len(self.extra) == 1 else f"keys with bias {side}"
        return names


def assemble(
    watcher: Watcher, output: Any, *, model: str, step: int | None, has_answer: bool = True
) -> Trace:
    """Build the Trace of a finished pass, without the model's answer if nobody asks for that.

    Raises
    ------
    LabelError, ShapeError
        The caller's labels or pictures do not fit what the model saw.
    """
    watcher.lineage.end()
    seen = join_pieces(watcher.recorder.calls)
    options = watcher.options
    if not seen:
        return Trace((), (), None, tuple(notes_of(watcher, [], (), model)), model, step)
    found = Sides(seen)
    calls, planes = _calls(seen, found)
    sides = _label(_plain_sides(found, planes), calls, options)
    last = found.of_query[-1]
    padded = _padding_of(last, calls, sides[last].length)
    answer: Outputs | None = None
    if has_answer:
        answer = watcher.attempt(
            "reading the model's answer", read_answer, output, watcher.tape, padded, last, options.classes,
            axes=axes_of_states(watcher),
        )  # fmt: skip
    if answer is not None:
        answer = _over_all_tokens(answer, sides[last].length)
    warnings = tuple(notes_of(watcher, seen, calls, model))
    return Trace(calls, sides, answer, warnings, model, step)


def _over_all_tokens(answer: Outputs, length: int) -> Outputs:
    """Let an answer count all tokens of its side: those before the pass's own add nothing to it."""
    known = answer.contributions
    if known is None or known.shape[2] >= length:
        return answer
    return replace(answer, contributions=np.pad(known, ((0, 0), (0, 0), (length - known.shape[2], 0))))


def axes_of_states(watcher: Watcher) -> str:
    """Return the axes of the last states before their width: "bq", "qb", "q" or "b"."""
    state = watcher.tape.start
    codes = None if state is None or state.is_nested else watcher.places.rows(state)
    if codes is None or codes.dim() not in (1, 2):
        return "bq"
    _, example, _ = watcher.places.look_up(codes)
    one = bool((example[:1] == example).all())
    if codes.dim() == 1:
        return "q" if one else "b"
    if one and bool((example[:, :1] == example).all()):  # one example alone: its axis has one place
        return "qb" if codes.shape[1] == 1 < codes.shape[0] else "bq"
    return "qb" if one else "bq"


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
                arrays=one.arrays, self_check=one.self_check, nan_rows=one.nan_rows, scale=one.scale,
                state_arrays=None if one.states is None else one.states.arrays(),
            )
        )  # fmt: skip
        runs[path] += 1
        planes[side] += 1
    return tuple(calls), planes


def _plain_sides(found: Sides, planes: Counter[int]) -> list[Side]:
    return [
        Side(name, space.length, planes[n] + 1, grid=space.grid)
        for n, (name, space) in enumerate(zip(found.names(), found.spaces, strict=True))
    ]


def _padding_of(side: int, calls: tuple[AttentionCall, ...], length: int) -> np.ndarray:
    for call in calls:
        if call.query_side == side:
            return call.arrays.padded
    for call in calls:
        if call.key_side == side:
            return call.arrays.padded_keys
    return np.zeros((calls[0].shape[0], length), bool)


def answering_side(trace: Trace) -> tuple[int, np.ndarray]:
    """Return the side that feeds the model's answer, and its padding, (batch, token) bool."""
    last = trace.calls[-1].query_side
    return last, _padding_of(last, trace.calls, trace.sides[last].length)


def _label(sides: list[Side], calls: tuple[AttentionCall, ...], options: Options) -> tuple[Side, ...]:
    batch = calls[0].shape[0]
    for n, labels in _labels_by_side(sides, calls, options.tokens).items():
        padded = _padding_of(n, calls, sides[n].length)
        sides[n] = replace(sides[n], labels=label_side(labels, padded, side=sides[n].name))
    if options.patches is not None:
        pictures = picture_patches(options.patches, batch=batch, length=sides[0].length)
        seen, count = sides[0].grid, pictures.shape[1]
        grid = seen if seen is not None and math.prod(seen) == count else square_grid(count)
        sides[0] = replace(sides[0], pictures=pictures, grid=grid)
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
