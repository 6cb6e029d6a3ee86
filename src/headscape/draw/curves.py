"""Shapes of edges: curves within a plane, between planes and to the classes."""

import numpy as np
import numpy.typing as npt

Points = npt.NDArray[np.float64]
# Points of a curve: with more, the bends of a plane's edges look no rounder at 1280 px.
STEPS = 14
# How far a curve's control point is pulled to the middle of its plane; 0 = straight.
PULL = {"ring": 0.45, "spring": 0.15, "line": 0.0, "grid": 0.0}
# How far apart the lanes of parallel heads lie, in widths of a plane's radius.
LANE = 0.05


def _quadratic(start: Points, control: Points, end: Points) -> Points:
    t = np.linspace(0, 1, STEPS)[:, None]
    return start[:, None] * (1 - t) ** 2 + 2 * control[:, None] * t * (1 - t) + end[:, None] * t**2


def plane_curves(
    start: Points, end: Points, centre: Points, lane: npt.NDArray[np.float64], *, layout: str, gap: float
) -> Points:
    """Return the curves of edges within planes.

    Parameters
    ----------
    start, end, centre : (edge, 3) float array
        The two nodes, and the middle of their plane.
    lane : (edge,) float array
        -1 to 1: which of the parallel lanes the edge runs in.
    layout : str
        Ring and spring bend to the middle; a line bends aside and a grid towards the next plane, by length.
    gap : float
        Distance between planes.

    Returns
    -------
    (edge, STEPS, 3) float array
    """
    chord = end - start
    length = np.linalg.norm(chord, axis=1, keepdims=True)
    control = (start + end) / 2
    # Short chords bend less: neighbours on a ring keep to its rim.
    control = control + (centre - control) * PULL[layout] * np.minimum(length, 1)
    if layout == "line":
        control[:, 1:2] += length * (0.6 + 0.3 * lane[:, None])
    elif layout == "grid":
        control[:, :1] += np.minimum(length, 2) * gap * (0.22 + 0.06 * lane[:, None])
    else:
        aside = np.stack([np.zeros(len(chord)), -chord[:, 2], chord[:, 1]], axis=1)
        aside /= np.maximum(np.linalg.norm(aside, axis=1, keepdims=True), 1e-9)
        # The two directions of a chord give opposite sides; a fixed side keeps a head in its lane.
        aside *= np.where(aside[:, 1:2] + 1e-3 * aside[:, 2:3] < 0, -1, 1)
        control = control + aside * lane[:, None] * LANE * 4 * np.minimum(length, 1)
    return _quadratic(start, control, end)


def flow_curves(start: Points, end: Points, lane: npt.NDArray[np.float64]) -> Points:
    """Return smooth curves from plane to plane: level at both ends, side by side in their lanes.

    Parameters
    ----------
    start, end : (edge, 3) float array
        The two nodes; x runs through the planes.
    lane : (edge,) float array
        -1 to 1.

    Returns
    -------
    (edge, STEPS, 3) float array
    """
    t = np.linspace(0, 1, STEPS)
    smooth = t * t * (3 - 2 * t)
    curves = np.empty((len(start), STEPS, 3))
    curves[..., 0] = start[:, :1] + (end - start)[:, :1] * t
    curves[..., 1:] = start[:, None, 1:] + (end - start)[:, None, 1:] * smooth[:, None]
    # Lanes open between the nodes, so that edges still end on them.
    curves[..., 2] += lane[:, None] * LANE * 0.5 * np.sin(np.pi * t)
    return curves


def lanes(heads: npt.NDArray[np.integer]) -> npt.NDArray[np.float64]:
    """Return a lane from -1 to 1 for each edge, by head; 0 where there is one head only."""
    names, place = np.unique(heads, return_inverse=True)
    if len(names) < 2:
        return np.zeros(len(heads))
    return np.asarray(2 * place / (len(names) - 1) - 1)
