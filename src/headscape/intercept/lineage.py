"""Where tensors come from: which attention call they follow, and which of them is the residual stream.

Every floating-point result of the watched pass gets a mark. From the marks it is read off where an attention
output is added to a state (the residual), what is added next (the feed-forward part), which call's output
another call works on, and which tensor holds the tokens' last states.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from headscape.intercept.ops import ADDS, ADDS_IN_PLACE, COPIES, DROPS, MOVES, NORMS
from headscape.intercept.places import Places
from headscape.intercept.shadows import Beside, moved, moves, tensors_in
from headscape.intercept.states import Normed, States, norm_of

Role = Literal["plain", "branch", "stream"]

# A state stays the state under these: normalised, dropped out, padded, copied or cast.
_KEEPS_STATE = NORMS | DROPS | COPIES | {"to_padded_tensor"}
# A branch (an attention output on its way to the sum) survives these too.
_KEEPS_BRANCH = _KEEPS_STATE | MOVES | {"mul", "div", "linear", "addmm", "matmul", "conv1d", "conv2d"}


@dataclass(frozen=True)
class Mark:
    """What is known of a tensor: the newest call it follows (-1: none), its part, its place in time."""

    call: int
    role: Role
    time: int


@dataclass(frozen=True)
class Meet:
    """The (example, row) places of a call and the norms that fill as its parts meet, (example, 4, row).

    ``states`` fill too, where somebody asked for them.
    """

    codes: npt.NDArray[np.int64] | None
    flow: npt.NDArray[np.float32]
    began: int
    states: States | None = None


class Lineage:
    """Marks of the tensors of one pass, and the norms read off where parts of a block meet."""

    def __init__(self, places: Places) -> None:
        self._places = places
        self._marks: Beside[Mark] = Beside()
        self._features: Beside[Tensor] = Beside()  # which head and width each element of a branch is
        self._time = 0
        self._calls: dict[int, Meet] = {}
        self.state: Tensor | None = None  # the tokens' last states
        self._in_place: Mark | None = None
        # Told of each part of the stream, where somebody asks: ("input" or "feed forward", call, tensor).
        self.on_part: Callable[[str, int, Tensor], None] | None = None
        self._normed: Beside[Normed] = Beside()  # sums after a normalisation, which may be the stream

    def mark(self, tensor: Any) -> Mark | None:
        """Return the mark of a tensor, None if it came from outside the pass."""
        return self._marks.get(tensor)

    def put(self, tensor: Tensor, mark: Mark) -> None:
        """Mark a tensor."""
        self._marks.put(tensor, mark)
        if mark.role == "stream":
            self.state = tensor

    def features(self, tensor: Tensor) -> Tensor | None:
        """Return head * width + place of each element of an attention output on its way; None if lost."""
        return self._features.get(tensor)

    def tick(self) -> int:
        """Advance the clock and return it."""
        self._time += 1
        return self._time

    def newest_call(self, tensors: Sequence[Tensor]) -> int:
        """Return the newest call that any of ``tensors`` follows; -1 for none."""
        newest = -1
        for tensor in tensors:
            mark = self._marks.get(tensor)
            if mark is not None and mark.call > newest:
                newest = mark.call
        return newest

    def begin_call(self, call: int, meet: Meet, output: Tensor, features: Tensor | None, role: Role) -> Mark:
        """Note a call's output; ``meet.flow`` fills as its parts meet."""
        self._calls[call] = meet
        mark = Mark(call, role, self.tick())
        self.put(output, mark)
        if features is not None:
            self._features.put(output, features)
        return mark

    def before(self, name: str, args: tuple[Any, ...]) -> None:
        """See an addition in place before it overwrites its first operand."""
        if name in ADDS_IN_PLACE and len(args) >= 2 and isinstance(args[1], Tensor):
            self._in_place = self._meet(args[0], args[1])

    def after(
        self, name: str, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], result: Any
    ) -> None:
        """Mark what ``func`` returned, by what went in."""
        results = [t for t in tensors_in((result,)) if t.is_floating_point()]
        if not results:
            return
        inputs = list(tensors_in((*args, *kwargs.values())))
        time, call = self.tick(), self.newest_call(inputs)
        mark = Mark(call, "plain", time)
        first = self.mark(inputs[0]) if inputs else None
        if name in ADDS and len(inputs) >= 2:
            mark = self._meet(inputs[0], inputs[1]) or mark
        elif name in ADDS_IN_PLACE and inputs:
            mark, self._in_place = self._in_place or mark, None
        elif name in COPIES:
            mark = first or Mark(-1, "plain", 0)  # as old as what it copies
        elif first is not None and first.role == "stream" and name in _KEEPS_STATE:
            mark = replace(first, time=time)
            self._normalise(name, args, kwargs, results[0])
        elif name in _KEEPS_BRANCH and (branch := self._branch(name, inputs)) is not None:
            mark = replace(self._marks.get(branch) or mark, time=time)
            self._move_features(name, func, args, kwargs, result)
        if name in COPIES and inputs and self._features.get(inputs[0]) is not None:
            self._move_features(name, func, args, kwargs, result)
        for tensor in results:
            self.put(tensor, mark)

    def wrote(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Mark a tensor of which a part was overwritten: it follows what was written."""
        if args and isinstance(args[0], Tensor) and args[0].is_floating_point():
            call = self.newest_call(list(tensors_in((*args, *kwargs.values()))))
            self.put(args[0], Mark(call, "plain", self.tick()))

    def _normalise(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: Tensor) -> None:
        """Note what normalised a sum: if the result is the stream, the block normalises last."""
        known = self._calls.get(getattr(self.mark(args[0]), "call", -1))
        if known is not None and known.states is not None:
            norm = norm_of(name, args, kwargs)
            if norm is not None:
                is_second = known.states.parts.keys() >= {"feed_forward"}
                self._normed.put(result, Normed(norm, known.states, is_second))

    def _tell_part(self, mark: Mark, tensor: Tensor) -> None:
        if self.on_part is not None:
            self.on_part("feed forward", mark.call, tensor)

    def _settle_norm(self, stream: Tensor | None) -> None:
        """Take a normalisation for that of its block, as its result is what parts are added to."""
        normed = self._normed.get(stream)
        if normed is not None:
            normed.settle()

    def end(self) -> None:
        """See whether the last block normalised last, as those before it do."""
        normed = self._normed.get(self.state)
        if normed is not None and normed.states.norms.get("attention") is not None:
            normed.settle()

    def _branch(self, name: str, inputs: list[Tensor]) -> Tensor | None:
        for tensor in inputs[:2]:
            if _is_branch(self.mark(tensor)):
                return tensor
        if name == "addmm" and len(inputs) > 2 and _is_branch(self.mark(inputs[1])):
            return inputs[1]
        return None

    def _move_features(self, name: str, func: Any, args: Any, kwargs: Any, result: Any) -> None:
        """Carry which head each element belongs to, as long as elements are only moved, cast or scaled."""
        first = args[0] if args and isinstance(args[0], Tensor) else None
        known = None if first is None else self._features.get(first)
        scales = name in ("mul", "div") and not any(isinstance(a, Tensor) and a.dim() for a in args[1:])
        if name in DROPS or scales:
            if known is not None and isinstance(result, Tensor) and result.shape == known.shape:
                self._features.put(result, known)
        elif moves(name):
            found = moved(name, func, args, kwargs, result, self._features.get)
            for tensor, features in zip(tensors_in((result,)), found, strict=True):
                if features is not None:
                    self._features.put(tensor, features)

    def _meet(self, a: Tensor, b: Tensor) -> Mark | None:
        """Read off what two summands are, and return the mark of the sum; None if it is nothing special."""
        if not isinstance(a, Tensor) or a.is_nested or b.is_nested or a.shape != b.shape:
            return None
        for part, other in ((a, b), (b, a)):
            mark = self.mark(part)
            if _is_branch(mark) and mark is not None:
                return self._join_attention(mark, part, other)
        for part, other in ((a, b), (b, a)):
            mark = self.mark(part)
            if mark is not None and mark.role == "stream":
                return self._join_feed_forward(mark, part, other)
        return None

    def _join_attention(self, mark: Mark, branch: Tensor, other: Tensor) -> Mark | None:
        seen, known = self.mark(other), self._calls.get(mark.call)
        if seen is None and self._places.is_fixed(other):
            return replace(mark, time=self.tick())  # a bias
        if _is_branch(seen):
            return replace(mark, call=max(mark.call, seen.call if seen else -1), time=self.tick())
        began = 0 if known is None else known.began
        if seen is not None and seen.time > began and seen.role != "stream":
            # Made after the attention began: a parallel feed-forward part, not the residual.
            self._note(mark, feed_forward=other)
            self._tell_part(mark, other)
            return replace(mark, time=self.tick())
        self._settle_norm(other)
        if self.on_part is not None and (seen is None or seen.call < 0):
            self.on_part("input", mark.call, other)
        self._note(mark, residual=other, attention=branch)
        return Mark(mark.call, "stream", self.tick())

    def _join_feed_forward(self, mark: Mark, state: Tensor, other: Tensor) -> Mark:
        seen, known = self.mark(other), self._calls.get(mark.call)
        # A part of this block follows its attention, or was made beside it (a parallel feed-forward).
        belongs = seen is not None and (
            seen.call == mark.call or seen.time > (0 if known is None else known.began)
        )
        if belongs and known is not None and np.isnan(known.flow[:, 3]).all():
            self._settle_norm(state)
            self._tell_part(mark, other)
            self._note(mark, stream=state, feed_forward=other)
        return Mark(mark.call, "stream", self.tick())

    def _note(self, mark: Mark, **parts: Tensor) -> None:
        rows = {"residual": 0, "attention": 1, "stream": 2, "feed_forward": 3}
        known = self._calls.get(mark.call)
        if known is None:
            return
        for name, tensor in parts.items():
            codes = self._places.rows(tensor)
            norms = norms_at(tensor, codes, known)
            if norms is not None:
                known.flow[:, rows[name]] = norms
            if known.states is not None:
                known.states.note(name, tensor, codes, known.codes)


def norms_at(state: Tensor, codes: Tensor | None, meet: Meet) -> npt.NDArray[np.float32] | None:
    """Norm of each token's state at the rows of a call, (example, row) float32; None if they do not fit.

    ``codes`` are the places of the state's rows: its shape without the last axis.
    """
    with torch.no_grad():
        norms = torch.linalg.vector_norm(state.detach().float(), dim=-1).cpu()
    shape = meet.flow[:, 0].shape
    if codes is None or meet.codes is None:
        return norms.reshape(shape).numpy() if norms.shape == shape else None
    flat, own = norms.reshape(-1).numpy(), codes.detach().cpu().reshape(-1).numpy()
    first, last = int(own.min(initial=0)), int(own.max(initial=0))
    table = np.full(last - first + 2, np.nan, np.float32)
    table[own - first] = flat
    inside = (meet.codes >= max(first, 0)) & (meet.codes <= last)
    found: npt.NDArray[np.float32] = np.where(inside, table[np.where(inside, meet.codes - first, -1)], np.nan)
    return found.astype(np.float32)


def _is_branch(mark: Mark | None) -> bool:
    return mark is not None and mark.role == "branch"
