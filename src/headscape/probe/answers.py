"""What of a pass's result is compared: scores, a score that is watched, or the states themselves."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from headscape.errors import OptionError, ShapeError, expect_index
from headscape.intercept.assemble import answering_side
from headscape.intercept.rerun import Rerun
from headscape.intercept.shadows import tensors_in

Target: TypeAlias = int | Callable[[Any], Tensor] | None


@dataclass(frozen=True, eq=False)
class Reading:
    """What one pass gave, example by example.

    Attributes
    ----------
    output : (example, ...) tensor
        The scores, or where there are none the first table of numbers the model returned, padding zeroed.
    scores : (example, class) tensor, or None
        Of classes or next tokens.
    target : (example,) tensor, or None
        The score that is watched; None where nobody named one and the model gives no scores.
    needs_alone : bool
        The watched number is one for the whole batch.
    """

    output: Tensor
    scores: Tensor | None
    target: Tensor | None
    needs_alone: bool = False

    def part(self, first: int, count: int) -> "Reading":
        """Return some of the examples."""
        here = slice(first, first + count)
        return Reading(
            self.output[here],
            None if self.scores is None else self.scores[here],
            None if self.target is None else self.target[here],
            self.needs_alone,
        )


def read(found: Rerun, base: Rerun, examples: int, target: Target) -> Reading:
    """Read one pass; ``base`` is the untouched one, whose best answers are watched where none is named."""
    scores = found.scores
    output = _table(found, examples)
    if callable(target):
        watched = watch(target, found.output, examples)
        alone = watched.dim() == 0 or len(watched) != examples
        if alone and watched.numel() != 1:
            raise ShapeError(f"target() returned {len(watched)} numbers for {examples} examples.")
        watched = watched.detach().float().cpu()
        return Reading(output, scores, watched.expand(examples) if alone else watched, alone)
    if target is not None and (scores is None or base.scores is None):
        raise OptionError(
            f"target={target!r} names a class, but this model's output is no table of scores. Pass a "
            "function that takes the output and returns one number an example."
        )
    if scores is None or base.scores is None:
        return Reading(output, None, None)
    if target is None:
        ids = base.scores.argmax(-1).cpu()
        ids = ids.repeat(examples // len(ids))
    else:
        ids = torch.full((examples,), expect_class(target, scores.shape[1]))
    scores = scores.detach().float().cpu()
    return Reading(output, scores, scores.gather(1, ids[:, None])[:, 0])


def watch(target: Callable[[Any], Any], output: Any, examples: int) -> Tensor:
    """Return what a caller's function says of an output: a number for each example, or one for all."""
    watched = target(output)
    if not isinstance(watched, Tensor) or watched.dim() > 1 or not watched.is_floating_point():
        kind = f"a tensor of {tuple(watched.shape)}" if isinstance(watched, Tensor) else repr(watched)
        raise ShapeError(f"target() returned {kind}; it must return one number an example, ({examples},).")
    return watched


def expect_class(target: Any, classes: int) -> int:
    """Return the number of a class, 0 and above."""
    if not isinstance(target, (int, np.integer)) or isinstance(target, bool):
        raise OptionError(
            f"target={target!r} is no class; pass None, the number of a class (or token), or a function that "
            "takes the output and returns one number an example."
        )
    return expect_index("the model", "class", int(target), classes)


def expect_module(owner: str, model: Any) -> nn.Module:
    """Return the module itself, out of a Wrapper where it is in one."""
    inner = getattr(type(model), "_headscape_module", None)
    found = model if inner is None else inner.__get__(model)
    if not isinstance(found, nn.Module):
        raise OptionError(f"{owner} was given {model!r:.80} for a model; pass the torch.nn.Module itself.")
    return found


def _table(found: Rerun, examples: int) -> Tensor:
    """Return the numbers that tell how far a whole output moved, (example, ...) float32."""
    if found.scores is not None:
        return found.scores.detach().float().cpu()
    tables = [t for t in tensors_in((found.output,)) if t.is_floating_point() and t.dim() > 1]
    state = tables[0] if tables else found.state
    if state is None:
        raise ShapeError("the model returned no table of numbers, so nothing can be compared. Pass target=.")
    if state.is_nested:
        state = state.to_padded_tensor(0.0)
    state = state.detach().float().cpu()
    if found.axes == "qb" and state.dim() > 2:
        state = state.transpose(0, 1)
    if state.shape[0] != examples and examples == 1:
        state = state.unsqueeze(0)
    if state.shape[0] != examples:
        raise ShapeError(f"the model returned {tuple(state.shape)} for {examples} examples. Pass target=.")
    _, padded = answering_side(found.trace)
    if state.dim() > 2 and state.shape[:2] == padded.shape:
        state = state.masked_fill(torch.from_numpy(padded)[..., None], 0)
    return state
