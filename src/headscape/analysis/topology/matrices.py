"""What matrices of weights and distances have to be."""

import numpy as np
import numpy.typing as npt

from headscape.errors import ShapeError

Floats = npt.NDArray[np.floating]

# Two halves of a matrix that were rounded on different ways may differ by this much and count as equal.
SYMMETRY_LIMIT = 1e-6


def expect_square(name: str, matrices: Floats) -> None:
    """Raise :class:`ShapeError` unless the last two axes are alike and hold at least one node."""
    shape = np.shape(matrices)
    if len(shape) < 2 or shape[-1] != shape[-2] or shape[-1] == 0:
        raise ShapeError(
            f"{name} has shape {shape}, but (..., node, node) with at least one node is needed. For "
            "cross-attention build the square matrix first with bipartite_weights()."
        )
    if not np.issubdtype(np.asarray(matrices).dtype, np.floating):
        raise ShapeError(f"{name} is {np.asarray(matrices).dtype}; pass float32 or float64.")


def expect_distances(name: str, matrices: Floats) -> None:
    """Raise :class:`ShapeError` unless matrices of weights or distances are square, symmetric and >= 0.

    NaN is let through: what is worked out from it is NaN.
    """
    expect_square(name, matrices)
    instead = "symmetric_weights" if name == "weights" else "attention_distances"
    least = np.fmin.reduce(matrices, axis=None)
    if least < 0:
        raise ShapeError(f"{name} goes down to {least:.4g}, but 0 is the least. Is it made by {instead}()?")
    # Equal infinities differ by NaN, and so does NaN from itself: neither counts as a difference.
    with np.errstate(invalid="ignore"):
        gap = np.abs(matrices - np.swapaxes(matrices, -1, -2))
    if (gap > SYMMETRY_LIMIT).any():
        place = tuple(int(i) for i in np.argwhere(gap > SYMMETRY_LIMIT)[0])
        other = (*place[:-2], place[-1], place[-2])
        raise ShapeError(
            f"{name} is not symmetric: {matrices[place]:.4g} at {place} but {matrices[other]:.4g} at "
            f"{other}. For attention use {instead}() first, which joins both ways."
        )
