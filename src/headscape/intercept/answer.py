"""What each token's last state adds to the model's answer, by running the model's own head once more.

Everything the model does after its last state tensor is noted. At the end these few functions are run again
on a detached copy of the states, which needs no graph of the user's and leaves none behind; if the result is
not what the model returned, nothing is claimed.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from headscape.errors import LabelError
from headscape.intercept.lineage import Mark
from headscape.intercept.shadows import Beside
from headscape.trace.outputs import Method, Outputs

_ALL_ANSWERS = 12  # up to this many classes all are kept; of more, the best five
_BEST_ANSWERS = 5
_LONGEST_TAPE = 256  # functions between the last state and the answer; heads have a handful
_SAME = 1e-4  # share of the largest score by which a replay may differ (float32 sums in another order)


@dataclass(frozen=True)
class Made:
    """Stands in a noted function for a tensor that follows from the start, so that none is kept alive."""

    number: int


@dataclass
class Tape:
    """The functions that ran since the last state tensor, as far as they follow from it."""

    start: Tensor | None = None
    mark: Mark | None = None
    steps: list[tuple[Any, tuple[Any, ...], dict[str, Any], list[int], Any]] = field(default_factory=list)
    ran: bool = False  # whether any function ran, following from the start or not
    too_long: bool = False
    autocast: tuple[bool, torch.dtype | None] = (False, None)
    _numbers: Beside[int] = field(default_factory=Beside, repr=False)  # of the tensors that follow
    _count: int = 0

    def restart(self, start: Tensor, mark: Mark | None) -> None:
        """Begin again: ``start`` holds the tokens' states now."""
        self.start, self.mark, self.too_long, self.ran = start, mark, False, False
        self._forget()
        self._number(start)
        kind = start.device.type
        if torch.amp.is_autocast_available(kind):
            self.autocast = (torch.is_autocast_enabled(kind), torch.get_autocast_dtype(kind))

    def _forget(self) -> None:
        self.steps.clear()
        self._numbers, self._count = Beside(), 0

    def _number(self, tensor: Tensor) -> int:
        self._numbers.put(tensor, self._count)
        self._count += 1
        return self._count - 1

    def note(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        """Note one function, if what it works on follows from the start."""
        self.ran = True
        if self.start is None or self.too_long:
            return
        if all(self._numbers.get(t) is None for t in _leaves((args, kwargs))):
            return
        if len(self.steps) >= _LONGEST_TAPE:
            self.too_long = True
            self._forget()
            return
        # What was drawn for a dropout is not drawn again: its factor is read off before and after.
        drawn = (args[0], result) if func is F.dropout and result is not args[0] else None
        given = swap(args, self._stand_in), swap(kwargs, self._stand_in)
        numbers = [self._number(t) for t in _leaves((result,))]
        self.steps.append((func, *given, numbers, drawn))

    def _stand_in(self, tensor: Tensor) -> Any:
        number = self._numbers.get(tensor)
        return tensor if number is None else Made(number)

    def replay(self, state: Tensor, answer: Tensor) -> Tensor | None:
        """Run the noted functions on ``state`` instead of the start; None if no answer follows from it."""
        enabled, dtype = self.autocast
        if enabled:
            with torch.autocast(state.device.type, dtype=dtype, cache_enabled=False):
                return self._run(state, answer)
        return self._run(state, answer)

    def _run(self, state: Tensor, answer: Tensor) -> Tensor | None:
        made: dict[int, Any] = {0: state}
        for func, args, kwargs, numbers, drawn in self.steps:
            given = swap(args, lambda value: _again(value, made)), swap(kwargs, lambda v: _again(v, made))
            new = func(*given[0], **given[1]) if drawn is None else _dropped_alike(drawn, given[0][0])
            made.update(zip(numbers, _leaves((new,)), strict=False))
        number = self._numbers.get(answer)
        found = None if number is None else made.get(number)
        return found if isinstance(found, Tensor) else None


def _again(value: Any, made: dict[int, Any]) -> Any:
    """Return what stands for a noted argument when the functions run again."""
    if isinstance(value, Made):
        return made[value.number]
    # A tensor made under inference_mode cannot take part in a graph; its copy can.
    return value.clone() if value.is_inference() else value.detach()


def _dropped_alike(drawn: tuple[Tensor, Tensor], new: Tensor) -> Tensor:
    """Apply the dropout that was drawn, without drawing again."""
    before, after = drawn
    factor = torch.where(before == 0, torch.zeros_like(before), after.detach() / before.detach())
    return new * factor


def _leaves(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        for item in value:
            yield from _leaves(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from _leaves(item)


def swap(value: Any, change: Callable[[Any], Any]) -> Any:
    """Return arguments with every tensor, or what stands for one, changed."""
    if isinstance(value, (Tensor, Made)):
        return change(value)
    if isinstance(value, (tuple, list)):
        items = [swap(item, change) for item in value]
        return type(value)(*items) if hasattr(value, "_fields") else type(value)(items)
    if isinstance(value, dict):
        return {key: swap(item, change) for key, item in value.items()}
    return value


def find_scores(output: Any, tape: Tape, axes: str = "bq") -> tuple[Tensor, str] | None:
    """Return the table of scores in a model's output and its kind; None if it holds hidden states or none.

    Scores are ``output.logits`` or ``output["logits"]``, or a floating-point tensor that is not itself a
    state: (batch, class) or (class,) for classes, and one axis more for the next token at each position.
    """
    named = output.get("logits") if isinstance(output, dict) else getattr(output, "logits", None)
    tensor = named if isinstance(named, Tensor) else output
    if isinstance(tensor, (tuple, list)) and tensor:
        tensor = tensor[0]
    if (
        not isinstance(tensor, Tensor)
        or not tensor.is_floating_point()
        or tensor.is_nested
        or tape.start is None
    ):
        return None
    states = tape.start
    if tensor is states or tensor.dim() < 1 or tensor.shape[-1] < 2 or tensor.numel() == 0 or not tape.ran:
        return None
    if tensor.dim() == states.dim() - (axes != "b"):
        return tensor, "classes"
    per_token = tensor.dim() == states.dim() and tensor.shape[:-1] == states.shape[:-1]
    # While it generates, a model asks for the scores of the last token alone.
    last_alone = tensor.dim() == 3 == states.dim() and tensor.shape[:2] == (states.shape[0], 1)
    per_token = per_token or (last_alone and axes == "bq")
    return (tensor, "next tokens") if per_token and tensor.shape[-1] != states.shape[-1] else None


def score_rows(scores: Tensor, kind: str, padded: np.ndarray, axes: str) -> Tensor:
    """Return a table of scores as (batch, class): of next tokens, those at each last real token.

    Arguments as in :func:`read_answer` and from :func:`find_scores`.
    """
    batch, length = padded.shape
    if kind == "classes":
        return scores.reshape(batch, -1)
    table = scores.unsqueeze(0) if scores.dim() == 2 else (scores.transpose(0, 1) if axes == "qb" else scores)
    last = length - 1 - torch.from_numpy((~padded)[:, ::-1].argmax(-1).copy()).to(table.device)
    # With a cache, or where only the last scores are asked for, the table ends with the tokens.
    last = (last - (length - table.shape[1])).clamp_min(0)
    return table[torch.arange(batch, device=table.device), last]


def read_answer(
    output: Any, tape: Tape, padded: np.ndarray, side: int, names: Any, *, axes: str = "bq"
) -> Outputs | None:
    """Return what the model answered and what each token's last state adds to it.

    Parameters
    ----------
    output : object
        What the model returned.
    tape : Tape
        What ran since the last states.
    padded : (batch, token) bool array
        Padding of the answering side.
    side : int
        Index of that side.
    names : tuple of str or None
        Class names.
    axes : str
        Axes of the last states before their width: "bq" (batch, token), "qb", "q" or "b".
    """
    found = find_scores(output, tape, axes)
    if found is None or tape.start is None:
        return None
    answer, kind = found
    batch, length = padded.shape
    query_first = axes == "qb"

    def rows(scores: Tensor) -> Tensor:
        return score_rows(scores, kind, padded, axes)

    if kind == "classes" and answer.shape[:-1].numel() != batch:
        return None
    with torch.no_grad():
        scores = rows(answer.detach()).float()
        count = scores.shape[1] if scores.shape[1] <= _ALL_ANSWERS else _BEST_ANSWERS
        ids = scores.argsort(dim=-1, descending=True, stable=True)[:, :count]
        is_share = bool((scores >= 0).all()) and bool(((scores.sum(-1) - 1).abs() < 1e-3).all())
        shares = scores if is_share else torch.softmax(scores, -1)
    if names is not None and len(names) != scores.shape[1]:
        raise LabelError(
            f"classes names {len(names)} classes, but the model gives {scores.shape[1]} scores. "
            "Pass one name a class."
        )
    at = _last_alone(tape, answer, axes, padded) if kind == "next tokens" else None
    if at is None:
        question = Question(tape.start, answer, answer, rows, (batch, length, query_first))
        parts, base, method = _contributions(tape, question, ids)
    else:
        # A head that works token by token is run on the last tokens alone.
        pick = torch.arange(batch, device=answer.device), at
        alone = tape.start.detach()[pick].unsqueeze(1), answer.detach()[pick].unsqueeze(1)
        question = Question(alone[0], answer, alone[1], lambda s: s.reshape(batch, -1), (batch, 1, False))
        parts, base, method = _contributions(tape, question, ids)
        if parts is not None:
            whole = np.zeros((*parts.shape[:2], length), np.float32)
            whole[np.arange(batch), :, at.cpu().numpy() + length - tape.start.shape[1]] = parts[..., 0]
            parts = whole
    return Outputs(
        kind="classes" if kind == "classes" else "next tokens",
        side=side,
        class_ids=ids.cpu().numpy().astype(np.int32),
        scores=scores.gather(1, ids).cpu().numpy(),
        probabilities=shares.gather(1, ids).cpu().numpy(),
        contributions=parts,
        base=base,
        method=method,
        class_names=names,
    )


@dataclass(frozen=True)
class Question:
    """What the head is run on again: states, the answer's identity and values, how rows are read from it.

    ``layout`` is (batch, tokens in the states, whether tokens come first).
    """

    start: Tensor
    answer: Tensor
    shown: Tensor
    rows: Callable[[Tensor], Tensor]
    layout: tuple[int, int, bool]


def _last_alone(tape: Tape, answer: Tensor, axes: str, padded: np.ndarray) -> Tensor | None:
    """Return the place of each example's last token in the states, where the answer has one row a token."""
    start = tape.start
    if start is None or start.is_nested or axes != "bq" or start.dim() != 3 or answer.dim() != 3:
        return None
    if start.shape[:2] != answer.shape[:2] or len(padded) != len(start):
        return None
    last = padded.shape[1] - 1 - torch.from_numpy((~padded)[:, ::-1].argmax(-1).copy()).to(start.device)
    place: Tensor = (last - (padded.shape[1] - start.shape[1])).clamp_min(0)
    return place


def _contributions(
    tape: Tape, question: Question, ids: Tensor
) -> tuple[np.ndarray | None, np.ndarray, Method]:
    zeros = np.zeros(tuple(ids.shape), np.float32)
    if question.start.is_nested:
        return None, zeros, "none"
    try:
        found = _replayed(tape, question, ids)
    except (RuntimeError, TypeError, ValueError):  # a head that cannot be run again: nothing is claimed
        return None, zeros, "none"
    return (None, zeros, "none") if found is None else found


def _replayed(tape: Tape, question: Question, ids: Tensor) -> tuple[np.ndarray, np.ndarray, Method] | None:
    batch, length, query_first = question.layout
    start, answer, rows = question.start, question.answer, question.rows
    devices = [start.device] if start.device.type == "cuda" else []
    with torch.inference_mode(False), torch.enable_grad(), torch.random.fork_rng(devices=devices):
        state = start.detach().clone().requires_grad_(True)
        replayed = tape.replay(state, answer)
        if replayed is None or replayed.shape != question.shown.shape or not replayed.requires_grad:
            return None
        limit = _SAME * (1 + float(question.shown.detach().abs().max()))
        if float((replayed - question.shown).detach().abs().max()) > limit:
            return None
        scores, ids = rows(replayed), ids.clone()  # a copy: ids may have been made under inference_mode
        parts = []
        for rank in range(ids.shape[1]):
            picked = scores.gather(1, ids[:, rank : rank + 1]).sum()
            (slope,) = torch.autograd.grad(picked, state, retain_graph=True)
            parts.append((slope * state).detach().sum(-1).float())
        exact, base = _is_affine(tape, answer, rows, ids, state, scores.detach(), limit)
    stacked = torch.stack(
        [p.reshape(batch, -1) if p.dim() == 1 else (p.transpose(0, 1) if query_first else p) for p in parts],
        1,
    )
    if stacked.shape != (batch, ids.shape[1], length):
        return None
    rest = scores.detach().float().gather(1, ids) - stacked.sum(-1)
    exact = exact and bool(((rest - base).abs() <= 10 * limit).all())
    base = base if exact else rest
    return stacked.cpu().numpy(), base.cpu().numpy(), "exact" if exact else "gradient x activation"


def _is_affine(
    tape: Tape, answer: Tensor, rows: Any, ids: Tensor, state: Tensor, scores: Tensor, limit: float
) -> tuple[bool, Tensor]:
    """Whether the head is affine in the states, by four more points; and its value at zero states."""
    with torch.no_grad():
        there = state.detach()
        # A fixed direction that no smooth nonlinearity is flat along; drawn from no generator.
        ramp = torch.sin(torch.arange(there.numel(), device=there.device, dtype=torch.float32) * 0.7).reshape(
            there.shape
        )
        step = ramp.to(there.dtype) * there.abs().mean()
        at_zero, ahead, twice = (
            tape.replay(point, answer) for point in (torch.zeros_like(there), there + step, there - step)
        )
        if at_zero is None or ahead is None or twice is None:
            return False, torch.zeros(tuple(ids.shape), device=ids.device)
        middle = (rows(ahead) + rows(twice)) / 2
        half = tape.replay(there / 2, answer)
        straight = (
            half is not None and float((rows(half) - (scores + rows(at_zero)) / 2).abs().max()) <= 10 * limit
        )
        base = rows(at_zero).float().gather(1, ids)
        return straight and float((middle - scores).abs().max()) <= 10 * limit, base
