"""Where tensors come from: which attention call they follow, and which of them is the residual stream.

Every floating-point result of the watched pass gets a mark. From the marks it is read off where an attention
output is added to a state (the residual), what is added next (the feed-forward part), which call's output
another call works on, and which tensor holds the tokens' last states.
"""

import weakref
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

Role = Literal["plain", "branch", "stream"]
Axes = Literal[
    "bq", "qb", "q"
]  # which leading axes a state has: batch and query in either order, or query only


@dataclass(frozen=True)
class Mark:
    """What is known of a tensor: the newest call it follows (-1: none), its part, its place in time."""

    call: int
    role: Role
    time: int
    axes: Axes = "bq"


def _methods(*names: str) -> frozenset[Any]:
    found = [getattr(owner, name, None) for name in names for owner in (torch, Tensor, F)]
    return frozenset(f for f in found if f is not None)


ADDS = _methods("add", "__add__", "__radd__")
ADDS_IN_PLACE = _methods("add_", "__iadd__")
COPIES = _methods("clone", "contiguous", "to", "float", "half", "bfloat16", "double", "detach", "alias")
# A state stays the state under these: normalised, dropped out, padded, copied or cast.
KEEPS_STATE = (
    _methods("layer_norm", "rms_norm", "batch_norm", "dropout", "dropout_", "to_padded_tensor")
    | COPIES
    | frozenset({torch.nested.to_padded_tensor})
)  # fmt: skip
# A branch (an attention output on its way to the sum) survives these too.
KEEPS_BRANCH = KEEPS_STATE | _methods(
    "transpose", "permute", "reshape", "view", "flatten", "unflatten", "squeeze", "unsqueeze", "swapaxes",
    "movedim", "mul", "__mul__", "__rmul__", "t", "view_as", "reshape_as",
)  # fmt: skip


class Lineage:
    """Marks of the tensors of one pass, and the norms read off where parts of a block meet."""

    def __init__(self) -> None:
        self._marks: dict[int, tuple[weakref.ref[Tensor], Mark]] = {}
        self._time = 0
        self.started: dict[int, int] = {}  # call -> time at which it began
        self.flows: dict[int, npt.NDArray[np.float32]] = {}  # call -> (batch, 4, query)
        self.state: Tensor | None = None  # the tokens' last states
        self._in_place: Mark | None = None

    def mark(self, tensor: Tensor) -> Mark | None:
        """Return the mark of a tensor, None if it came from outside the pass."""
        entry = self._marks.get(id(tensor))
        return entry[1] if entry is not None and entry[0]() is tensor else None

    def put(self, tensor: Tensor, mark: Mark) -> None:
        """Mark a tensor."""
        self._marks[id(tensor)] = (weakref.ref(tensor), mark)
        if mark.role == "stream":
            self.state = tensor

    def tick(self) -> int:
        """Advance the clock and return it."""
        self._time += 1
        return self._time

    def newest_call(self, tensors: Iterable[Tensor]) -> int:
        """Return the newest call that any of ``tensors`` follows; -1 for none."""
        marks = (self.mark(t) for t in tensors)
        return max((m.call for m in marks if m is not None), default=-1)

    def begin_call(self, call: int, began: int, flow: npt.NDArray[np.float32]) -> None:
        """Note that a call ran from time ``began``; ``flow`` (batch, 4, query) fills as parts meet."""
        self.started[call], self.flows[call] = began, flow

    def before(self, function: Any, args: tuple[Any, ...]) -> None:
        """See an addition in place before it overwrites its first operand."""
        if function in ADDS_IN_PLACE and len(args) >= 2 and isinstance(args[1], Tensor):
            self._in_place = self._meet(args[0], args[1])

    def after(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        """Mark what ``function`` returned, by what went in."""
        results = [t for t in _tensors((result,)) if t.is_floating_point()]
        if not results:
            return
        inputs = list(_tensors((*args, *kwargs.values())))
        time, call = self.tick(), self.newest_call(inputs)
        mark = Mark(call, "plain", time)
        first = self.mark(inputs[0]) if inputs else None
        if function in ADDS and len(inputs) >= 2:
            mark = self._meet(inputs[0], inputs[1]) or mark
        elif function in ADDS_IN_PLACE and inputs:
            mark, self._in_place = self._in_place or mark, None
        elif function in COPIES:
            mark = first or Mark(-1, "plain", 0)  # as old as what it copies
        elif first is not None and first.role == "stream" and function in KEEPS_STATE:
            mark = replace(first, time=time)
        elif function in KEEPS_BRANCH:
            branch = next((t for t in inputs[:2] if _is_branch(self.mark(t))), None)
            if branch is not None:
                mark = replace(
                    self.mark(branch) or mark,
                    time=time,
                    axes=_axes_after(self.mark(branch), branch, results[0]),
                )
        for tensor in results:
            self.put(tensor, mark)

    def _meet(self, a: Tensor, b: Tensor) -> Mark | None:
        """Read off what two summands are, and return the mark of the sum; None if it is nothing special."""
        if not isinstance(a, Tensor) or a.shape != b.shape:
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

    def _join_attention(self, mark: Mark, branch: Tensor, other: Tensor) -> Mark:
        seen = self.mark(other)
        began = self.started.get(mark.call, 0)
        if seen is not None and seen.time > began and seen.role != "stream":
            # Made after the attention began: a parallel feed-forward part, not the residual.
            self._note(mark, feed_forward=other)
            return replace(mark, time=self.tick())
        self._note(mark, residual=other, attention=branch)
        return Mark(mark.call, "stream", self.tick(), mark.axes)

    def _join_feed_forward(self, mark: Mark, state: Tensor, other: Tensor) -> Mark:
        seen, known = self.mark(other), self.flows.get(mark.call)
        # A part of this block follows its attention, or was made beside it (a parallel feed-forward).
        belongs = seen is not None and (seen.call == mark.call or seen.time > self.started.get(mark.call, 0))
        if belongs and known is not None and np.isnan(known[:, 3]).all():
            self._note(mark, stream=state, feed_forward=other)
        return Mark(mark.call, "stream", self.tick(), mark.axes)

    def _note(self, mark: Mark, **parts: Tensor) -> None:
        rows = {"residual": 0, "attention": 1, "stream": 2, "feed_forward": 3}
        flow = self.flows.get(mark.call)
        if flow is None:
            return
        for name, tensor in parts.items():
            norms = state_norms(tensor, mark.axes)
            if norms.shape == flow[:, 0].shape:
                flow[:, rows[name]] = norms


def state_norms(state: Tensor, axes: Axes) -> npt.NDArray[np.float32]:
    """Norm of each token's state, (batch, query) float32, whatever order the state's axes have."""
    with torch.no_grad():
        norms = torch.linalg.vector_norm(state.detach().float(), dim=-1).cpu()
    if axes == "q" or norms.dim() == 1:
        norms = norms.reshape(1, -1)
    elif axes == "qb":
        norms = norms.transpose(0, 1)
    found: npt.NDArray[np.float32] = norms.contiguous().numpy()
    return found


def _axes_after(mark: Mark | None, before: Tensor, after: Tensor) -> Axes:
    axes: Axes = "bq" if mark is None else mark.axes
    if axes == "q" or before.dim() < 3 or after.dim() < 3:
        return axes
    swapped = before.stride()[:2] == after.stride()[1::-1] and before.shape[:2] == after.shape[1::-1]
    moved = before.shape[:2] != after.shape[:2] or before.stride()[:2] != after.stride()[:2]
    if swapped and moved:
        return "qb" if axes == "bq" else "bq"
    return axes


def _is_branch(mark: Mark | None) -> bool:
    return mark is not None and mark.role == "branch"


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (tuple, list)):
            yield from _tensors(value)
