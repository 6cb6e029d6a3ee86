"""Rows of weights as lists of their largest keys, and back."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

_Floats: TypeAlias = npt.NDArray[np.float32]
_Ints: TypeAlias = npt.NDArray[np.int32]


def spread_rows(keys: _Ints, weights: _Floats, length: int) -> _Floats:
    """Return listed weights, (head, query, k), as a matrix, (head, query, ``length``)."""
    full = np.zeros((*keys.shape[:2], length + 1), np.float32)
    np.put_along_axis(full, np.where(keys < 0, length, keys), weights, axis=-1)
    full[..., length] = 0
    return full[..., :length]


def select_top(weights: _Floats, k: int) -> tuple[_Ints, _Floats]:
    """Return keys and weights of the k largest entries of each row, falling; zeros count as none."""
    k = min(k, weights.shape[-1])
    filled = np.where(np.isnan(weights), np.float32(-1), weights)
    if weights.shape[-1] > 4 * k:  # sort only what is among the k largest
        some = np.sort(_largest(filled, k), axis=-1)
    else:
        some = np.broadcast_to(np.arange(weights.shape[-1]), weights.shape)
    order = np.argsort(-np.take_along_axis(filled, some, axis=-1), axis=-1, kind="stable")[..., :k]
    keys = np.take_along_axis(some, order, axis=-1).astype(np.int32)
    top = np.take_along_axis(filled, keys, axis=-1)
    nothing = top <= 0
    return np.where(nothing, np.int32(-1), keys), np.where(nothing, np.float32(0), top)


def _largest(weights: _Floats, k: int) -> npt.NDArray[np.intp]:
    """Return the keys of the k largest entries of each row in no order; of equals the first are taken."""
    keys: npt.NDArray[np.intp] = np.argpartition(-weights, k - 1, axis=-1)[..., :k]
    chosen = np.take_along_axis(weights, keys, axis=-1)
    bar = chosen.min(-1, keepdims=True)
    # A partition takes any of those that equal the bar; where some were left out, sort the row instead.
    tied = ((weights == bar).sum(-1) > (chosen == bar).sum(-1)) & (bar[..., 0] > 0)
    if tied.any():
        keys[tied] = np.argsort(-weights[tied], axis=-1, kind="stable")[..., :k]
    return keys
