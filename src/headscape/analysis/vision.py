"""How far image models look: mean distance between a patch and the patches it attends to."""

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from headscape.analysis.rows import whole_rows
from headscape.errors import OptionError, ShapeError
from headscape.trace.trace import Trace

Doubles: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ImageDistances:
    """Mean attention distance of each head.

    Attributes
    ----------
    sites : tuple of str
        The calls whose queries and keys are the patches of one picture, in order.
    layers : tuple of int
        ``call.layer`` of each.
    distance : (call, head) float64 array
        In the unit of ``patch``; NaN where there is no head, or no patch that attends to patches.
    uniform : float
        What attention to all patches alike gives, each patch itself among them.
    images : int
        Pictures measured.
    """

    sites: tuple[str, ...]
    layers: tuple[int, ...]
    distance: Doubles
    uniform: float
    images: int


def patch_gaps(grid: tuple[int, ...]) -> Doubles:
    """Euclidean distances between the patches of a grid, in patches, (patch, patch) float64.

    ``grid`` is (rows, columns), or (frames, rows, columns) for films: frames count as patches do.
    """
    if not grid or min(grid) < 1:
        raise ShapeError(f"grid is {grid}, but (rows, columns) or (frames, rows, columns) is needed.")
    places = np.stack(np.unravel_index(np.arange(math.prod(grid)), grid), -1).astype(np.float64)
    found: Doubles = np.sqrt(((places[:, None] - places) ** 2).sum(-1))
    return found


def patch_distance(weights: npt.NDArray[np.floating], grid: tuple[int, ...]) -> Doubles:
    """Mean distance to the patches that each patch attends to, (..., patch) float64, in patches.

    Parameters
    ----------
    weights : (..., query, key) float array
        Attention between tokens of which the last ``rows * columns`` are the patches, row by row. Others (a
        class token) are left out, as queries and as keys, and the rows made to sum to 1 again.
    grid : tuple of int
        (rows, columns) or (frames, rows, columns).

    Returns
    -------
    (..., patch) float64 array
        NaN for patches that attend to no patch at all.

    References
    ----------
    .. [1] Dosovitskiy et al., "An Image is Worth 16x16 Words", Fig. 7 and appendix D.7, 2020,
       arXiv:2010.11929

    Examples
    --------
    >>> patch_distance(np.full((4, 4), 0.25), (2, 2))[0].round(4).item()  # (0 + 1 + 1 + 2 ** 0.5) / 4
    0.8536
    """
    gaps = patch_gaps(grid)
    count = len(gaps)
    if min(weights.shape[-2:]) < count:
        raise ShapeError(
            f"weights has {weights.shape[-2]} queries and {weights.shape[-1]} keys, but a grid of {grid} has "
            f"{count} patches. Give the grid of the patches the model saw."
        )
    p = np.asarray(weights[..., -count:, -count:], np.float64)
    mass = p.sum(-1)
    reached = np.einsum("...qk,qk->...q", p, gaps)
    found: Doubles = np.divide(reached, mass, out=np.full_like(mass, np.nan), where=mass > 0)
    return found


def image_distance(
    trace: Trace, *, grid: tuple[int, ...] | None = None, patch: float = 1.0
) -> ImageDistances:
    """Measure the mean attention distance of each head over the pictures of a trace.

    Parameters
    ----------
    trace : Trace
        A pass of an image model, captured with ``keep="all"``.
    grid : tuple of int, optional
        (rows, columns) or (frames, rows, columns) of the patches, where the trace does not know
        (``trace.sides[n].grid``).
    patch : float
        Length of a patch's edge, such as 16 for pixels; 1 counts in patches.

    Raises
    ------
    OptionError
        No call works on the patches of a picture.
    NotKeptError
        Only the top keys were kept.
    ShapeError
        Rows do not sum to 1.

    Notes
    -----
    The mean goes over patches that attend to patches and over pictures, as in the paper, which takes 128 of
    them. Uniform attention on 14 x 14 patches gives 7.281 patches: 116.5 pixels where a patch has 16.

    References
    ----------
    .. [1] Dosovitskiy et al., "An Image is Worth 16x16 Words", Fig. 7 and appendix D.7, 2020,
       arXiv:2010.11929
    """
    if not patch > 0:
        raise OptionError(f"image_distance() got patch={patch}; it is a length above 0.")
    grids = {n: grid or side.grid for n, side in enumerate(trace.sides)}
    calls = [
        call
        for call in trace.calls
        if call.query_side == call.key_side and grids[call.query_side] is not None
    ]
    if not calls:
        raise OptionError(
            "no attention call works on the patches of a picture. Pass grid=(rows, columns), or give the "
            "patches to capture(), so that the trace knows them."
        )
    found_grids = {grids[call.query_side] for call in calls}
    if len(found_grids) > 1:
        raise OptionError(
            f"the calls work on different grids ({', '.join(map(str, sorted(found_grids, key=str)))}): pass "
            "a trace of one kind of picture, or grid= for the side that is meant."
        )
    (here,) = found_grids
    assert here is not None  # noqa: S101
    table = np.full((len(calls), max(call.shape[1] for call in calls)), np.nan)
    for n, call in enumerate(calls):
        rows = np.stack([patch_distance(whole_rows(call, example), here) for example in range(trace.batch)])
        counts = (~np.isnan(rows)).sum((0, 2))
        sums = np.nansum(rows, (0, 2))
        table[n, : call.shape[1]] = np.where(counts > 0, sums / np.maximum(counts, 1), np.nan)
    return ImageDistances(
        tuple(call.site for call in calls),
        tuple(call.layer for call in calls),
        table * patch,
        float(patch_gaps(here).mean()) * patch,
        trace.batch,
    )
