"""The straight road of a pass: what leads from its parts to its answer along the residual stream alone.

Every function of the pass is noted. What an attention call gave, what a feed-forward part gave and the states
the first block began with are *parts*; from the answer the noted functions are followed back until parts are
met. What lies between is sums, normalisations and the model's own head. Run again with the normalisations'
scales held fast, it is linear in the parts (if the head is), and each part's share of a score can be read off
its gradient.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from headscape.intercept.answer import Made, swap
from headscape.intercept.ops import ADDS, ADDS_IN_PLACE, name_of
from headscape.intercept.shadows import tensors_in

# Their results are how large a state is: held fast, what divides by them is linear.
_SCALES = frozenset({"rsqrt", "sqrt", "std", "norm", "linalg_norm", "linalg_vector_norm", "vector_norm"})
_SUBTRACTS = frozenset({"sub", "sub_", "rsub"})
# What a learned offset is called where it is an argument of its own.
_OFFSETS = {"linear": (2, "bias"), "layer_norm": (3, "bias"), "conv1d": (2, "bias"), "addmm": (0, "input")}

Part = tuple[str, int]  # ("attention" | "feed forward" | "input", call)


@dataclass
class _Step:
    name: str
    func: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    made: list[int]


@dataclass
class Ledger:
    """The functions of one pass, and its parts. It keeps every tensor of the pass alive."""

    parts: dict[int, Part] = field(default_factory=dict)  # by number of the tensor
    values: dict[int, Tensor] = field(default_factory=dict)  # of the parts, as they were then
    _steps: list[_Step] = field(default_factory=list, repr=False)
    _numbers: dict[int, int] = field(default_factory=dict, repr=False)  # by id of the tensor, as it is now
    _held: list[Tensor] = field(default_factory=list, repr=False)
    _new: dict[int, int] = field(default_factory=dict, repr=False)  # parts whose function is not noted yet
    _count: int = 0

    def _number(self, tensor: Tensor) -> int:
        self._held.append(tensor)  # its id must not be given to another
        self._numbers[id(tensor)] = self._count
        self._count += 1
        return self._count - 1

    def part(self, kind: str, call: int, tensor: Tensor) -> None:
        """Note that a tensor is a part of the stream."""
        number = self._numbers.get(id(tensor))
        if number is None or kind == "attention":
            number = self._number(tensor)
            self._new[id(tensor)] = number
        self.parts.setdefault(number, (kind, call))
        self.values.setdefault(number, tensor.detach().clone())

    def note(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        """Note one function after it ran."""
        results = list(tensors_in((result,)))
        if not results:
            return
        given = swap(args, self._stand_in), swap(kwargs, self._stand_in)
        made = [
            self._new[id(tensor)] if id(tensor) in self._new else self._number(tensor) for tensor in results
        ]
        self._new.clear()
        self._steps.append(_Step(name_of(func), func, *given, made))

    def clobber(self, tensor: Any) -> None:
        """Note that a part of a tensor was overwritten: from here on it is a value of unknown origin."""
        if isinstance(tensor, Tensor):
            self._number(tensor)

    def _stand_in(self, tensor: Tensor) -> Any:
        number = self._numbers.get(id(tensor))
        return tensor if number is None else Made(number)

    def knows(self, answer: Tensor) -> bool:
        """Whether a tensor was made by a noted function."""
        number = self._numbers.get(id(answer))
        return any(number in step.made for step in self._steps)

    def replay(self, answer: Tensor, names: Mapping[int, str]) -> "Straight":
        """Run what leads from the parts to a tensor again, normalisations held fast.

        Parameters
        ----------
        answer : Tensor
            A result of the pass.
        names : mapping
            Names of the model's parameters by id.
        """
        steps, number = self._needed(self._numbers[id(answer)]), self._numbers[id(answer)]
        run = _Replay(self.values, names)
        with torch.inference_mode(False), torch.enable_grad():
            for step in steps:
                run.step(step)
            found = run.made.get(number)
        if not isinstance(found, Tensor):
            found = answer.detach()
        parts = {self.parts[n]: leaf for n, leaf in run.leaves.items()}
        return Straight(found, parts, run.offsets)

    def _needed(self, answer: int) -> list[_Step]:
        """Return the steps that the answer follows from, back to the parts, in order."""
        makers = {number: n for n, step in enumerate(self._steps) for number in step.made}
        wanted, seen, chosen = [answer], set[int](), set[int]()
        while wanted:
            number = wanted.pop()
            if number in seen or number in self.parts:
                continue
            seen.add(number)
            n = makers.get(number)
            if n is not None:
                chosen.add(n)
                step = self._steps[n]
                wanted += [m.number for m in _numbers_in((step.args, step.kwargs))]
        return [self._steps[n] for n in sorted(chosen)]


@dataclass(frozen=True, eq=False)
class Straight:
    """A score's straight road: the answer again, and the leaves of its graph.

    Attributes
    ----------
    answer : Tensor
        As the model gave it, but for rounding.
    parts : dict
        A leaf tensor for each part, by (kind, call).
    offsets : dict
        A leaf tensor for each learned offset (a bias) on the road, by name.
    """

    answer: Tensor
    parts: dict[Part, Tensor]
    offsets: dict[str, Tensor]


class _Replay:
    def __init__(self, values: dict[int, Tensor], names: Mapping[int, str]) -> None:
        self.made: dict[int, Any] = {}
        self.leaves: dict[int, Tensor] = {}
        self.offsets: dict[str, Tensor] = {}
        self._values = values
        self._names = names
        self._by_id: dict[int, Tensor] = {}

    def _value(self, item: Any) -> Any:
        if not isinstance(item, Made):
            return item.clone() if item.is_inference() else item.detach()
        if item.number in self._values:
            if item.number not in self.leaves:
                leaf = self._values[item.number].clone()
                self.leaves[item.number] = leaf.requires_grad_(leaf.is_floating_point())
            return self.leaves[item.number]
        return self.made[item.number]

    def _offset(self, item: Any) -> Any:
        """Return a leaf for a learned tensor that is added."""
        if not isinstance(item, Tensor) or not item.is_floating_point() or id(item) not in self._names:
            return None
        if id(item) not in self._by_id:
            leaf = item.detach().clone().requires_grad_(True)
            self._by_id[id(item)] = self.offsets[self._names[id(item)]] = leaf
        return self._by_id[id(item)]

    def step(self, step: _Step) -> None:
        args, kwargs = list(step.args), dict(step.kwargs)
        if step.name in _OFFSETS:
            place, word = _OFFSETS[step.name]
            if place < len(args) and (leaf := self._offset(args[place])) is not None:
                args[place] = _Leaf(leaf)
            elif word in kwargs and (leaf := self._offset(kwargs[word])) is not None:
                kwargs[word] = _Leaf(leaf)
        if step.name in ADDS | ADDS_IN_PLACE | _SUBTRACTS:
            for place, item in enumerate(args[:2]):
                if (leaf := self._offset(item)) is not None:
                    args[place] = _Leaf(leaf)
        given = swap(tuple(args), self._value), swap(kwargs, self._value)
        args, kwargs = [_bare(item) for item in given[0]], {k: _bare(v) for k, v in given[1].items()}
        result = _run(step, args, kwargs)
        self.made.update(zip(step.made, tensors_in((result,)), strict=False))


@dataclass(frozen=True)
class _Leaf:
    tensor: Tensor


def _bare(item: Any) -> Any:
    return item.tensor if isinstance(item, _Leaf) else item


def _run(step: _Step, args: list[Any], kwargs: dict[str, Any]) -> Any:
    """Run a function again; those that normalise with their scale held fast, none in place."""
    name = step.name
    if name == "layer_norm":
        return _layer_norm(*args, **kwargs)
    if name == "rms_norm":
        return _rms_norm(*args, **kwargs)
    if name == "normalize":
        plain = step.func(*args, **kwargs).detach()
        return args[0] * torch.where(args[0] == 0, 0, plain / args[0]).detach()
    if name.endswith("_") and hasattr(Tensor, name[:-1]):
        return getattr(Tensor, name[:-1])(*args, **kwargs)
    result = step.func(*args, **kwargs)
    is_root = name == "pow" and len(args) > 1 and args[1] in (0.5, -0.5)
    return result.detach() if name in _SCALES or is_root else result


def _layer_norm(
    x: Tensor, normalized_shape: Any, weight: Tensor | None = None, bias: Tensor | None = None,
    eps: float = 1e-5, *_: Any,
) -> Tensor:  # fmt: skip
    axes = tuple(range(-len(tuple(normalized_shape)), 0))
    centred = x - x.mean(axes, keepdim=True)
    scale = (x.detach().var(axes, unbiased=False, keepdim=True) + eps).rsqrt()
    found = centred * scale
    found = found if weight is None else found * weight
    return found if bias is None else found + bias


def _rms_norm(
    x: Tensor, normalized_shape: Any, weight: Tensor | None = None, eps: float | None = None
) -> Tensor:
    fast = F.rms_norm(x.detach(), list(normalized_shape), None, eps)
    scale = torch.where(x.detach() == 0, torch.zeros_like(fast), fast / x.detach())
    return x * scale if weight is None else x * scale * weight


def _numbers_in(value: Any) -> list[Made]:
    if isinstance(value, Made):
        return [value]
    if isinstance(value, (tuple, list)):
        return [m for item in value for m in _numbers_in(item)]
    if isinstance(value, dict):
        return [m for item in value.values() for m in _numbers_in(item)]
    return []
