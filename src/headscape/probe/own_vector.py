"""A score for models that answer with states: how much of the answer points where it pointed untouched."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from headscape.errors import NoAttentionError, ShapeError
from headscape.intercept.assemble import answering_side
from headscape.intercept.recorder import Options
from headscape.intercept.rerun import Rerun, rerun
from headscape.intercept.shadows import tensors_in
from headscape.probe.copies import Given

# What the score of own_vector() is called in words.
OWN_VECTOR = (
    "similarity to itself: the product of the answer's vector (the mean of its tokens' states) with that "
    "vector as it was untouched, scaled to length 1"
)


def own_vector(model: nn.Module, inputs: Any) -> Callable[[Any], Tensor] | None:
    """Return a score for a model without scores, as ``target`` of knock-outs; None where it has scores.

    The answer's vector is the mean of the states of all real tokens (or the vector itself, if the model
    returns one an example). The score is its product with the unit vector it had when nothing was removed,
    so before any change it is the vector's length.

    Parameters
    ----------
    model : torch.nn.Module
        In ``eval()`` mode.
    inputs : tensor, tuple or dict
        What the model is called with. The function takes outputs for these inputs, or for copies of them one
        after the other.

    Raises
    ------
    NoAttentionError
        The model has no attention to explain.
    ShapeError
        The model returns no vectors.
    """
    given = Given.of(inputs)
    found = rerun(model, given.call(model), Options(keep=1, values=False))
    if not found.trace.calls:
        raise NoAttentionError(found.trace.warnings[0])
    if found.scores is not None:
        return None
    real = torch.from_numpy(~answering_side(found.trace)[1])
    untouched = _vectors(found.output, found, real)
    own = nn.functional.normalize(untouched.detach(), dim=-1)

    def similarity(output: Any) -> Tensor:
        vectors = _vectors(output, found, real)
        return (vectors * own.repeat(len(vectors) // len(own), 1)).sum(-1)

    return similarity


def _vectors(output: Any, found: Rerun, real: Tensor) -> Tensor:
    """Return one vector an example of an output, (example, width)."""
    values = dict(output) if hasattr(output, "keys") else output
    tables = [one for one in tensors_in((values,)) if one.is_floating_point() and one.dim() > 1]
    if not tables:
        raise ShapeError(
            "the model returned no table of numbers, so it has no vector to watch. Pass target=."
        )
    states, (batch, tokens) = tables[0], real.shape
    if states.dim() == 2 and batch == 1 and len(states) == tokens:  # one text, without an axis of examples
        states = states[None]
    if states.dim() == 3 and found.axes == "qb":
        states = states.transpose(0, 1)
    if states.dim() == 3 and states.shape[1] == tokens:
        mask = real.to(states.device).repeat(len(states) // batch, 1)[..., None]
        return (states.float() * mask).sum(1) / mask.sum(1)
    return states.float().flatten(1)
