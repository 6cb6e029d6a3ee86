"""Rank correlation."""

from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

Doubles: TypeAlias = npt.NDArray[np.float64]


def ranks(values: npt.NDArray[Any]) -> Doubles:
    """Return the rank of each number from 0, equal numbers sharing the mean of theirs, (n,) float64."""
    _, group, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    found: Doubles = (last - (count + 1) / 2)[group.reshape(-1)]
    return found


def spearman(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> float:
    """Return Spearman's rank correlation, -1 to 1, over the places where both are numbers.

    NaN where fewer than three are, or all of one are alike.
    """
    there = np.isfinite(a) & np.isfinite(b)
    one, other = (ranks(np.asarray(x, np.float64)[there]) for x in (a, b))
    if len(one) < 3 or one.std() == 0 or other.std() == 0:
        return float("nan")
    return float(np.corrcoef(one, other)[0, 1])
