"""Which token of which example each element of a tensor stands for.

Every element of a model's input is a place of its own. Places move with the tensors (see
:mod:`headscape.intercept.shadows`); a linear map or a convolution that mixes places makes new tokens of
them. So when attention runs it is known which token each row and column belongs to, however the model folded
heads, windows or frames into other axes.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from headscape.intercept.ops import DROPS, NORMS, POOLS, PRODUCTS
from headscape.intercept.products import einsum_letters, factors, lettered, spreads
from headscape.intercept.shadows import Beside, is_constant, moved, moves, tensors_in

_CACHE_AXES = 4
_MOST_PLACES = 2**30  # place numbers are 32-bit; a pass that runs out goes on without


@dataclass
class Space:
    """One set of tokens: the elements of an input, or what a layer made of them.

    ``examples`` and ``tokens`` say for each place, in order, which example of the batch it belongs to and
    which of its tokens it is; ``shape`` are the axes it was made with.
    """

    number: int
    base: int
    shape: tuple[int, ...]
    examples: Tensor
    may_turn: bool = False  # whether which axis is the batch is a guess
    ranks: Tensor | None = None  # what the tokens of an example are ordered by, if not as they stand
    tokens: Tensor = field(init=False)
    length: int = field(init=False)  # tokens of one example

    def __post_init__(self) -> None:
        self.tokens = count_within(self.examples, self.ranks)
        some = self.tokens.numel()
        self.length = int(self.tokens.max()) + 1 if some else int(np.prod(self.shape[1:]))

    @property
    def grid(self) -> tuple[int, ...] | None:
        """Rows and columns where the tokens were made of a picture; frames before them for a film."""
        lengths = self.shape[1:]
        if len(lengths) not in (2, 3) or min(lengths[-2:]) < 2 or self.length != math.prod(lengths):
            return None
        return lengths[1:] if lengths[0] == 1 and len(lengths) == 3 else lengths

    def turn(self) -> None:
        """Take the second axis for the batch; without one, all places for one example."""
        self.may_turn = False
        if len(self.shape) == 1:
            self.examples = torch.zeros_like(self.examples)
        else:
            self.examples = torch.arange(self.shape[1], device="cpu").expand(self.shape).flatten()
        self.__post_init__()


def count_within(examples: Tensor, ranks: Tensor | None = None) -> Tensor:
    """Number the places of each example by rank, or as they stand: [0, 0, 1, 0] gives [0, 1, 0, 2]."""
    every = torch.arange(len(examples), device="cpu")
    order = every if ranks is None else torch.argsort(ranks, stable=True)
    order = order[torch.argsort(examples[order], stable=True)]
    ordered = examples[order]
    counted = torch.empty_like(order)
    counted[order] = every - torch.searchsorted(ordered, ordered)
    return counted


class Places:
    """Places of the tensors of one pass."""

    def __init__(self, fixed: Sequence[Tensor] = ()) -> None:
        self.spaces: list[Space] = []
        self._next = 0
        self._codes: Beside[Tensor | None] = Beside()
        self._fixed: Beside[bool] = Beside()
        self._merged: dict[int, tuple[Tensor, Tensor]] = {}
        self._made_of: dict[bytes, Tensor] = {}  # least places, in order -> the tokens made of them
        self.extended: dict[int, tuple[Space, int]] = {}  # space -> the longer one it ends, tokens before it
        self._joined: dict[tuple[tuple[int, ...], int, int], Space] = {}
        for tensor in fixed:
            self._fixed.put(tensor, True)

    def is_fixed(self, tensor: Any) -> bool:
        """Whether a tensor follows from the model's parameters alone, not from its input."""
        return isinstance(tensor, torch.nn.Parameter) or bool(self._fixed.get(tensor))

    def of(self, tensor: Tensor) -> Tensor | None:
        """Return the place number of each element, int32 of the tensor's shape, -1 unknown; or None."""
        codes = self._codes.get(tensor)
        if codes is None and id(tensor) not in self._codes._facts and not self.is_fixed(tensor):
            codes = self._begin(tensor)
            self._codes.put(tensor, codes)
        return codes

    def put(self, tensor: Tensor, codes: Tensor | None) -> None:
        """Set the places of a tensor's elements."""
        self._codes.put(tensor, codes)

    def met(self, tensor: Tensor) -> Tensor | None:
        """Return the places of a tensor that takes part in attention; None if it came from an earlier pass.

        A tensor of (batch, head, token, width) that was not made in this pass is a cache.
        """
        return self.of(tensor) if tensor.dim() < _CACHE_AXES else self._codes.get(tensor)

    def rows(self, tensor: Tensor, *, met: bool = False) -> Tensor | None:
        """Return one place for each row of a tensor: its shape without the last axis. ``met``: see there."""
        codes = self.met(tensor) if met else self.of(tensor)
        if codes is None or tensor.dim() < 1 or tensor.shape[-1] == 0:
            return None
        return (codes if is_constant(codes, -1) else self._merge(codes))[..., 0]

    # making places

    def make(
        self,
        shape: Sequence[int],
        examples: Tensor | None = None,
        *,
        may_turn: bool = False,
        ranks: Tensor | None = None,
    ) -> Space:
        """Make a space of new tokens; ``examples`` broadcasts to ``shape``, default the first axis."""
        size = tuple(int(n) for n in shape)
        if examples is None:
            examples = torch.arange(size[0], device="cpu").view(-1, *[1] * (len(size) - 1))
        rows = examples.cpu().long().expand(size).flatten()
        space = Space(len(self.spaces), self._next, size, rows, may_turn, ranks)
        self._next += len(rows)
        if self._next >= _MOST_PLACES:
            raise OverflowError("more places than a pass can number")
        self.spaces.append(space)
        return space

    def joined(self, parts: tuple[int, ...], examples: np.ndarray, length: int) -> Space:
        """Return the space of ``length`` tokens a group that several spaces, or a cache, make up together."""
        key = (parts, len(examples), length)
        if key not in self._joined:
            self._joined[key] = self.make((len(examples), length), torch.from_numpy(examples)[:, None])
        return self._joined[key]

    def codes(self, space: Space, device: torch.device) -> Tensor:
        """Return the numbers of a space's places, in its shape."""
        count = space.examples.numel()
        return torch.arange(
            space.base, space.base + count, dtype=torch.int32, device=device
        ).view(space.shape)  # fmt: skip

    def look_up(self, codes: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return space, example and token of each code as int64 CPU tensors; -1 where unknown."""
        flat = codes.detach().cpu().numpy().astype(np.int64)
        bases = np.array([s.base for s in self.spaces] or [0])
        space = np.where(flat >= 0, np.searchsorted(bases, flat, side="right") - 1, -1)
        example, token = np.full(flat.shape, -1), np.full(flat.shape, -1)
        for number in range(int(space.min(initial=0)), int(space.max(initial=-1)) + 1):
            here = space == number
            if number >= 0 and here.any():
                known = self.spaces[number]
                example[here] = known.examples.numpy()[flat[here] - known.base]
                token[here] = known.tokens.numpy()[flat[here] - known.base]
        return torch.from_numpy(space), torch.from_numpy(example), torch.from_numpy(token)

    def _begin(self, tensor: Tensor) -> Tensor | None:
        """Number the elements of an input: each (batch, token) of three axes, else each element."""
        if tensor.is_nested or tensor.dim() < 1 or tensor.dim() > 6 or not tensor.numel():
            return None
        if tensor.dtype == torch.bool or tensor.is_complex() or tensor.is_sparse:
            return None
        shape: tuple[int, ...] = (
            tensor.shape[:-1] if tensor.dim() == 3 and tensor.is_floating_point() else tensor.shape
        )
        if tensor.dim() == 1:
            shape = (1, *tensor.shape)
        space = self.make(shape, may_turn=len(shape) == 2)
        codes = self.codes(space, tensor.device)
        if tensor.dim() == 1:
            return codes[0]
        return codes if codes.dim() == tensor.dim() else codes.unsqueeze(-1).expand(tensor.shape)

    def _merge(self, codes: Tensor) -> Tensor:
        """Make one new token of all places along the last axis; the same ones give the same tokens."""
        known = self._merged.get(id(codes))
        if known is not None:
            return known[1]
        leading = codes.shape[:-1] if codes.dim() > 1 else torch.Size([1])
        ranks = codes.reshape(*leading, -1).amin(-1)
        ordered = ranks.flatten().cpu().sort()
        first = self._made_of.get(ordered.values.numpy().tobytes())
        if first is None:
            _, example, _ = self.look_up(codes.reshape(*leading, -1).amax(-1))
            known_owner = example if bool((example >= 0).all()) else None
            flat = ranks.flatten().cpu()
            space = self.make(leading, known_owner, may_turn=len(leading) <= 2, ranks=flat)
            fresh = self.codes(space, codes.device)
            self._made_of[ordered.values.numpy().tobytes()] = fresh.flatten().cpu()[ordered.indices]
        else:
            at = torch.searchsorted(ordered.values, ranks.cpu().contiguous())
            fresh = first[at].to(codes.device)
        laid = fresh.unsqueeze(-1)
        laid = (laid if codes.dim() > 1 else laid[0]).expand(codes.shape)
        self._merged[id(codes)] = (codes, laid)
        return laid

    # following functions

    def follow(
        self, name: str, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any], result: Any
    ) -> None:
        """Lay places beside what a function returned."""
        inputs = list(tensors_in((*args, *kwargs.values())))
        results = [t for t in tensors_in((result,)) if not t.is_nested]
        if any(t.is_nested for t in inputs) or not results:
            return
        if all(self.is_fixed(t) for t in inputs):
            for tensor in results:
                if self._codes.get(tensor) is None:
                    self._fixed.put(tensor, True)
            return
        for tensor in results:
            self._fixed.drop(tensor)
        if moves(name):
            known = any(self._codes.get(t) is not None for t in inputs)
            # What a cache holds stands for tokens of an earlier pass, not for new ones.
            look = self._codes.get if name == "cat" and known else self.of
            found = moved(name, func, args, kwargs, result, look)
            if name in ("cat", "concat", "hstack"):
                found = [self._with_new_tokens(found[0], inputs, results[0])]
        elif name in POOLS:
            found = [self._pooled(inputs[0], r) for r in results]
        elif name == "einsum":
            found = [self._by_letters(args, r) for r in results]
        elif name in PRODUCTS:
            found = [self._of_product(name, inputs, r) for r in results]
        else:
            found = [self._carried(name, inputs, r) for r in results]
        for tensor, codes in zip(results, found, strict=True):
            self.put(tensor, codes)

    def write(
        self, name: str, func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """See a part of a tensor overwritten in place, as caches of fixed size are."""
        target = args[0]
        source = next(
            (t for t in reversed(list(tensors_in((*args[1:], *kwargs.values())))) if t.is_floating_point()),
            None,
        )
        codes = None if source is None or self.is_fixed(source) else self.of(source)
        if (
            codes is None
            or not isinstance(target, Tensor)
            or target.is_nested
            or not target.is_floating_point()
        ):
            return
        old = self._codes.get(target)
        fresh = (
            torch.full(target.shape, -1, dtype=torch.int32, device=target.device)
            if old is None
            else old.clone()
        )
        swapped = tuple(codes if a is source else a for a in args[1:])
        func(fresh, *swapped, **{k: codes if a is source else a for k, a in kwargs.items()})
        self._fixed.drop(target)
        self.put(target, fresh)

    def _with_new_tokens(self, codes: Tensor | None, parts: list[Tensor], result: Tensor) -> Tensor | None:
        """Number tokens anew where learned ones (a class token, prompts) were put beside the input's."""
        unknown = [p for p in parts if not self.is_fixed(p) and self._codes.get(p) is None]
        if codes is None or unknown or result.dim() != 3 or not result.is_floating_point():
            return codes
        if not is_constant(codes, -1):
            return codes
        _, example, _ = self.look_up(codes[..., 0])
        if not any(self.is_fixed(part) for part in parts):
            # A class token of another example: the model mixed up its batch, and the places would too.
            owner = example.mode(dim=1, keepdim=True).values
            if bool((example == owner).all()) or bool((example == example[:1]).all()):
                return codes
            return self._numbered(result, owner, codes, may_turn=False)
        for axis, other in ((0, 1), (1, 0)):
            owner = example.amax(other, keepdim=True)
            if bool(((example == owner) | (example < 0)).all()):
                return self._numbered(result, owner, codes, may_turn=axis == 0 and codes.shape[0] == 1)
        return codes

    def _numbered(self, result: Tensor, owner: Tensor, codes: Tensor, *, may_turn: bool) -> Tensor:
        space = self.make(result.shape[:-1], owner, may_turn=may_turn)
        return self.codes(space, codes.device).unsqueeze(-1).expand(result.shape)

    def _pooled(self, source: Tensor, result: Tensor) -> Tensor | None:
        """Places after a convolution or pooling, (batch, channel, *where): the old ones if none was lost."""
        if result.dim() < 3 or not result.is_floating_point():
            return None
        codes = self.of(source)
        if codes is not None and codes.dim() == result.dim() and is_constant(codes, 1):
            missing = result.shape[-1] - codes.shape[-1]
            if codes.shape[2:] == result.shape[2:]:
                return codes[:, :1].expand(result.shape)
            if result.dim() == 3 and missing > 0:  # a causal convolution, with what is cut off behind
                return torch.constant_pad_nd(codes[:, :1], [0, missing], -1).expand(result.shape)
        examples = None
        if codes is not None and codes.shape[0] == result.shape[0]:
            _, example, _ = self.look_up(codes.reshape(codes.shape[0], -1).amax(-1))
            if bool((example >= 0).all()):
                examples = example.view(-1, *[1] * (result.dim() - 2))
        space = self.make((result.shape[0], *result.shape[2:]), examples)
        return self.codes(space, result.device).unsqueeze(1).expand(result.shape)

    def _by_letters(self, args: tuple[Any, ...], result: Tensor) -> Tensor | None:
        letters = einsum_letters(args)
        if letters is None:
            return None
        wanted = letters[-1]
        for operand, own in zip(tensors_in(args[1:]), letters[:-1], strict=False):
            codes = None if self.is_fixed(operand) else self.of(operand)
            if codes is not None and operand.is_floating_point():
                return lettered(codes, own, wanted, result.shape)
        return None

    def _of_product(self, name: str, inputs: list[Tensor], result: Tensor) -> Tensor | None:
        """Places of a matrix product: of the left rows, or the right columns if the left is learned."""
        left, right = factors(name, inputs)
        if not self.is_fixed(left):
            rows = self.rows(left)
            if rows is None or not spreads(rows.shape, result.shape[:-1]):
                return None
            return rows.unsqueeze(-1).expand(result.shape)
        codes = None if self.is_fixed(right) or right.dim() < 2 else self.of(right)
        if codes is None or not is_constant(codes, -2):
            return None
        columns = codes[..., :1, :]
        return columns.expand(result.shape) if spreads(columns.shape, result.shape) else None

    def _carried(self, name: str, inputs: list[Tensor], result: Tensor) -> Tensor | None:
        """Places of what works on each row, or each element, by itself."""
        candidates = [t for t in inputs if not self.is_fixed(t) and not t.is_nested]
        for tensor in sorted(candidates, key=lambda t: _fit(t, result)):
            codes = self.of(tensor)
            if codes is None:
                continue
            fit = _fit(tensor, result)
            if fit <= _SAME:
                mixes = name in ("layer_norm", "rms_norm") and not is_constant(codes, -1)
                return self._merge(codes) if mixes else codes
            if fit <= _SPREADS:
                return codes.expand(result.shape)
            if result.shape[:-1] == tensor.shape and not tensor.is_floating_point():  # a look-up in a table
                return codes.unsqueeze(-1).expand(result.shape)
            last = result.dim() and tensor.dim() and tensor.shape[-1]
            if last and spreads(tensor.shape[:-1], result.shape[:-1]) and name not in NORMS | DROPS:
                rows = codes if is_constant(codes, -1) else self._merge(codes)
                return rows[..., :1].expand(result.shape)
            if last and result.shape == tensor.shape[:-1] and is_constant(codes, -1):
                return codes[..., 0]
        return None


_SAME, _SPREADS, _OTHER = 1, 3, 5


def _fit(tensor: Tensor, result: Tensor) -> int:
    """How well a tensor's places tell those of a result: the less, the better."""
    poorer = 0 if tensor.is_floating_point() else 1
    if tensor.shape == result.shape:
        return 0 + poorer
    return (2 if spreads(tensor.shape, result.shape) else 4) + poorer
