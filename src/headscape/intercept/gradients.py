"""What a loss would gain from each recorded weight: filled in when a backward pass reaches the call.

A hook on the tensor that weights and values gave sees the loss's gradient with respect to it, ``dO``. From
it ``dP[head, query, key] = dO[head, query] . V[head, key]``: the gradient with respect to the weight, without
the weights ever being part of the graph.
"""

import warnings
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from headscape.errors import CaptureError, CaptureWarning
from headscape.intercept.rows import aside
from headscape.intercept.settle import Standing
from headscape.trace.call import CallArrays, Floats, Ints

# Products of dO and V that are worked out at a time, in bytes of float32: what is kept of them is picked
# out before the next ones are made.
BLOCK_BYTES = 32 * 1024 * 1024


@dataclass(frozen=True)
class Live:
    """The tensor that weights and values gave, as the model goes on with it.

    ``lay`` returns a tensor of its shape as (group, head, query, width).
    """

    output: Tensor
    lay: Callable[[Tensor], Tensor]


class Backward:
    """Adds one call's gradients to its arrays, each time a backward pass reaches its output.

    It lives as long as the graph of that pass. It holds the values, which the graph holds too until the pass
    is done, and where listed keys stand; the arrays it fills are held by the trace alone.

    Parameters
    ----------
    where : str
        The call, for messages.
    value : (group, value head, key, width) tensor
        Detached. Fewer heads than the weights have: head h reads value head ``h // (head // value head)``.
    lay : callable
        See :class:`Live`.
    standing : Standing
        Where rows and keys stand.
    raw, arrays : CallArrays
        The call as it was recorded in groups, and as the trace has it.
    strict : bool
        Raise :class:`CaptureError` out of the backward pass instead of warning.
    """

    def __init__(
        self, where: str, value: Tensor, lay: Callable[[Tensor], Tensor], standing: Standing,
        raw: CallArrays, arrays: CallArrays, *, strict: bool,
    ) -> None:  # fmt: skip
        self._where = where
        self._value = value
        self._lay = lay
        self._spread = None if standing.is_plain else standing.spread_rows
        self._local = None if standing.is_plain else standing.listed(raw)[0]
        self._strict = strict
        self._is_first = True
        self.aim(arrays)

    def aim(self, arrays: CallArrays) -> None:
        """Fill ``arrays`` from now on."""
        self._target = _weakly(arrays.gradient)
        self._weights = _weakly(arrays.weights)
        self._keys = _weakly(arrays.keys)

    def __call__(self, gradient: Tensor) -> None:
        """Take the loss's gradient with respect to the call's output; the model's own is left as it is."""
        target, weights, keys = self._target(), self._weights(), self._keys()
        if target is None or weights is None:
            return  # nobody has the trace any more
        try:
            with aside(gradient.device):
                self._add(gradient.detach(), target, weights, keys)
        except Exception as error:  # whatever goes wrong here must not reach the user's backward
            text = f"gradients of {self._where} could not be noted: {type(error).__name__}: {error}"
            if self._strict:
                raise CaptureError(text) from error
            warnings.warn(text, CaptureWarning, stacklevel=2)

    def _add(self, gradient: Tensor, target: Floats, weights: Floats, keys: Ints | None) -> None:
        local = keys if self._local is None else self._local
        wide = torch.float64 if gradient.dtype == torch.float64 else torch.float32
        found = edge_gradients(self._lay(gradient).to(wide), self._value.to(wide), local)
        if self._spread is not None:
            found = self._spread(found)
        if self._is_first:
            target[...] = 0
            self._is_first = False
        target += np.where(weights == 0, np.float32(0), found)


_Array = TypeVar("_Array", bound=npt.NDArray[Any])


def _weakly(array: _Array | None) -> Callable[[], _Array | None]:
    """Return what gives the array while anybody else holds it."""
    return (lambda: None) if array is None else weakref.ref(array)


def edge_gradients(gradient: Tensor, value: Tensor, keys: npt.NDArray[np.integer] | None) -> Floats:
    """Return ``gradient . value`` of the listed edges, block by block of queries.

    Parameters
    ----------
    gradient : (group, head, query, width) tensor
    value : (group, value head, key, width) tensor
    keys : (group, head, query, k) int array, or None for all keys
        -1 for none, which gives any number.

    Returns
    -------
    (group, head, query, k or key) float32 array
    """
    group, head, query, width = gradient.shape
    heads, length = value.shape[1], value.shape[2]
    out = np.zeros((group, head, query, length if keys is None else keys.shape[3]), np.float32)
    if not out.size:
        return out
    across = value.transpose(2, 3)
    step = max(1, BLOCK_BYTES // (4 * max(1, group * head * length)))
    for start in range(0, query, step):
        rows = gradient[:, :, start : start + step]
        count = rows.shape[2]
        # Heads that share values stand side by side along the queries, so that no value is repeated.
        folded = rows.reshape(group, heads, head // heads * count, width)
        block = torch.matmul(folded, across).view(group, head, count, length)
        here = np.s_[:, :, start : start + count]
        if keys is None:
            out[here] = block.float().cpu().numpy()
            continue
        listed = torch.from_numpy(np.ascontiguousarray(keys[here])).to(block.device, torch.int64)
        out[here] = block.gather(3, listed.clamp_min(0)).float().cpu().numpy()
    return out


def gradient_notes(seen: list[Any], *, asked: bool) -> list[str]:
    """Say which calls' gradients will stay unknown, and why."""
    if not asked:
        return []
    notes = []
    apart = [one.origin.path or "the model itself" for one in seen if one.gradients == "no graph"]
    if apart:
        notes.append(
            f"gradients of {_some(apart)} are not known: the output takes part in no graph (torch.no_grad, "
            "frozen weights, nested tensors, or checkpointing with use_reentrant=True; use_reentrant=False "
            "works)."
        )
    joined = [one.origin.path or "the model itself" for one in seen if one.gradients == "pieces"]
    if joined:
        notes.append(
            f"gradients of {_some(joined)} are not known: the model works it out in pieces, which were put "
            "together after the pass."
        )
    dropped = [one.origin.path or "the model itself" for one in seen if one.gradients == "dropped"]
    if dropped:
        notes.append(
            f"gradients of {_some(dropped)} stay NaN: dropout acts on the weights, so what met the values is "
            "not what was recorded. Set the attention's dropout to 0, or call model.eval()."
        )
    return notes


def _some(paths: list[str]) -> str:
    unique = list(dict.fromkeys(paths))
    return ", ".join(unique[:3]) + (f" and {len(unique) - 3} more" if len(unique) > 3 else "")
