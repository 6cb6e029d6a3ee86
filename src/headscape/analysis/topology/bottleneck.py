"""Distance between H0 diagrams."""

import numpy as np
import numpy.typing as npt

from headscape.errors import ShapeError

Floats = npt.NDArray[np.floating]


def h0_bottleneck(first: Floats, second: Floats) -> float:
    """Bottleneck distance of two H0 diagrams, exactly: how far the bar that moved most has moved.

    Parameters
    ----------
    first, second : (bar,) float array
        Deaths, as :func:`headscape.analysis.topology.forest.h0_deaths` gives them; all bars are born at
        0. Any order, and any two counts.

    Returns
    -------
    float
        In units of the distances. Infinity where the two have different numbers of bars that never end. NaN
        where a death is NaN.

    Raises
    ------
    ShapeError
        More than one axis, or a negative death.

    Notes
    -----
    A bar is matched with one of the other diagram, at the cost of the difference of their deaths, or with
    nothing, at half its length; the largest cost counts, and the best matching is taken [1]_. As all bars are
    born at 0, a best matching is among few: the k longest of both, longest with longest, and nothing for the
    rest. (If it pays to match a shorter bar x with y and a longer bar z with nothing, then either y is longer
    than z, and matching z with y instead costs less; or it is not, and matching none of them costs no more
    than z alone.) So the distance is the least, over k, of the larger of ``|x_i - y_i|`` for i up to k and
    ``max(x_{k+1}, y_{k+1}) / 2``. Matching all in order is not always best, even where the counts are equal:
    for one bar of 0.1 and one of 1 it costs 0.9, and matching none costs 0.5.

    Diagrams of weights ``w`` and ``v`` on the same nodes lie at most ``max|w - v|`` apart.

    References
    ----------
    .. [1] "Stability of Persistence Diagrams", D. Cohen-Steiner, H. Edelsbrunner and J. Harer, Discrete &
       Computational Geometry 37, 2007, doi:10.1007/s00454-006-1276-5

    Examples
    --------
    >>> h0_bottleneck(np.array([0.5, 1.0]), np.array([0.5, 0.75]))
    0.25
    >>> h0_bottleneck(np.array([0.25]), np.array([]))
    0.125
    """
    deaths = []
    for name, given in (("first", first), ("second", second)):
        array = np.asarray(given, np.float64)
        if array.ndim != 1 or (array < 0).any():
            raise ShapeError(f"{name} has shape {array.shape}; pass one axis of deaths, each >= 0.")
        if np.isnan(array).any():
            return float("nan")
        deaths.append(-np.sort(-array))
    if np.isinf(deaths[0]).sum() != np.isinf(deaths[1]).sum():
        return float("inf")
    x, y = (array[np.isfinite(array)] for array in deaths)
    short = min(len(x), len(y))
    matched = np.maximum.accumulate(np.append(0, np.abs(x[:short] - y[:short])))
    # What is longest of the rest when k are matched: the (k+1)th of either, 0 where there is none.
    left = [np.append(array, 0)[: short + 1] for array in (x, y)]
    return float(np.maximum(matched, np.maximum(*left) / 2).min())
