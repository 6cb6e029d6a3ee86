"""A trace made of matrices that somebody already has: for measures on attention from elsewhere, and tests."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from headscape.errors import ShapeError
from headscape.trace.call import AttentionCall
from headscape.trace.measure import Facts, gather_rows
from headscape.trace.sides import Side, label_side
from headscape.trace.trace import Trace


def trace_of(
    *matrices: npt.ArrayLike,
    tokens: Sequence[str] | None = None,
    padded: npt.ArrayLike | None = None,
    value_norms: Sequence[npt.ArrayLike] | None = None,
    k: int | None = None,
) -> Trace:
    """Make a trace of one stack of self-attention calls from their matrices.

    Parameters
    ----------
    *matrices : (head, query, key) or (batch, head, query, key) float arrays
        Weights after softmax, one array a layer; layers may differ in their number of heads. Keys of weight
        0 count as hidden by a mask.
    tokens : sequence of str, optional
        Labels of every example.
    padded : (batch, token) bool array, optional
        True = padding.
    value_norms : sequence of (batch, head, key) arrays, optional
        Norm of each key's value behind the output projection, one array a layer.
    k : int, optional
        Keep this many keys a row; default all.

    Raises
    ------
    ShapeError
        A matrix has other axes, or another number of tokens or examples than the first.

    Examples
    --------
    >>> import numpy as np
    >>> trace_of(np.eye(3)[None]).calls[0].stats.entropy.tolist()
    [[[0.0, 0.0, 0.0]]]
    """
    layers = [np.asarray(one, np.float32) for one in matrices]
    layers = [one[None] if one.ndim == 3 else one for one in layers]
    if not layers or any(one.ndim != 4 or one.shape[2] != one.shape[3] for one in layers):
        shapes = ", ".join(str(one.shape) for one in layers) or "nothing"
        raise ShapeError(f"trace_of() got {shapes}; it needs (head, token, token) or one batch axis more.")
    batch, _, length, _ = layers[0].shape
    if any((one.shape[0], one.shape[2]) != (batch, length) for one in layers):
        raise ShapeError(
            f"trace_of() got {', '.join(str(one.shape) for one in layers)}: layers may differ in their heads "
            "only."
        )
    hidden = np.zeros((batch, length), bool) if padded is None else np.asarray(padded, bool)
    calls = []
    for layer, weights in enumerate(layers):
        norms = None if value_norms is None else np.asarray(value_norms[layer], np.float32)
        facts = Facts(hidden, hidden, norms, np.full((batch, 4, length), np.nan, np.float32))
        seen = (weights > 0).sum(-1).astype(np.int32)
        arrays = gather_rows([(0, weights, seen)], weights.shape, k, facts)
        path = f"layers.{layer}"
        calls.append(
            AttentionCall(path, path, layer, "self", "written", 0, 0, layer, weights.shape, arrays, 0.0)
        )
    labels = None if tokens is None else label_side(list(tokens), hidden)
    return Trace(tuple(calls), (Side("tokens", length, len(layers) + 1, labels),), model="by hand")
