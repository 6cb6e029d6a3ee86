"""Orders of many numbers in groups, in time that grows with their number alone."""

import numpy as np
import numpy.typing as npt

Longs = npt.NDArray[np.int64]
# NumPy sorts 16-bit numbers by counting them, so longer numbers are sorted digit by digit.
DIGIT_BITS = 16


def order_of(numbers: npt.NDArray[np.integer], before: Longs | None = None) -> Longs:
    """Return the order of whole numbers >= 0, rising; equal ones stay in the order ``before``.

    Examples
    --------
    >>> order_of(np.array([3, 1, 70_000, 1])).tolist()
    [1, 3, 0, 2]
    """
    order = np.arange(len(numbers)) if before is None else before
    left = int(numbers.max(initial=0))
    shift = 0
    while left > 0:
        digit = (numbers >> shift).astype(np.uint16)
        order = order[np.argsort(digit[order], kind="stable")]
        left >>= DIGIT_BITS
        shift += DIGIT_BITS
    return order


def falling_order(group: npt.NDArray[np.integer], values: npt.NDArray[np.floating]) -> Longs:
    """Return the order by rising group, and in a group by falling value; equals keep their order.

    Parameters
    ----------
    group : (entry,) int array
        Numbers >= 0.
    values : (entry,) float array
        Compared as float32; NaN counts as 0.

    Examples
    --------
    >>> falling_order(np.array([1, 0, 1, 0]), np.array([0.5, 0.1, 0.9, 0.1])).tolist()
    [1, 3, 2, 0]
    """
    single = np.nan_to_num(np.asarray(values, dtype=np.float32)) + np.float32(0)  # no negative zero
    bits = single.view(np.uint32)
    # Floats order as their bits do; of negative ones the other way round.
    falling = np.where(bits >> 31, bits, ~bits & np.uint32(0x7FFFFFFF))
    return order_of(group, order_of(falling))


def starts_of(sorted_group: npt.NDArray[np.integer]) -> Longs:
    """Return where each group starts in numbers >= 0 that are sorted."""
    return np.flatnonzero(np.diff(sorted_group, prepend=-1))


def places(sorted_group: npt.NDArray[np.integer]) -> Longs:
    """Return each entry's place in its group, from 0."""
    starts = starts_of(sorted_group)
    sizes = np.diff(np.append(starts, len(sorted_group)))
    return np.arange(len(sorted_group)) - np.repeat(starts, sizes)
