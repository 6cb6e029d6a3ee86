"""Layouts: where nodes stand. Planes are 2 wide, around the origin of y and z; x runs through them."""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from headscape.errors import expect_option
from headscape.graph.columns import EdgeKind, Edges, Floats, NodeKind, Nodes, SideInfo

# Clear space between the towers of two sides, where a plane is 2 high.
TOWER_GAP = 0.7
# Rounds of the spring layout per plane; positions move less than 1 % of a plane after some 60.
SPRING_ROUNDS = 80

Doubles = npt.NDArray[np.float64]


def place_nodes(
    name: str, nodes: Nodes, edges: Edges, sides: tuple[SideInfo, ...], *, seed: int = 0, gap: float = 1.0
) -> Floats:
    """Return the position of each node: see ``Graph.layout``.

    Returns
    -------
    (node, 3) float32 array
        NaN for padded tokens, which stand nowhere.
    """
    expect_option("graph", "layout", name, LAYOUTS)
    positions = np.full((len(nodes), 3), np.nan)
    is_token = nodes.kind == NodeKind.TOKEN
    for number, side in enumerate(sides):
        of_side = is_token & (nodes.side == number)
        base = (number - (len(sides) - 1) / 2) * (2 + TOWER_GAP)
        first = np.flatnonzero(of_side & (nodes.plane == 0))
        real = np.flatnonzero(~nodes.padded[first])
        if not len(real):
            continue
        planes = _planes(name, side, real, nodes, edges, first, seed)
        for plane in range(side.planes):
            at = first[0] + plane * side.length + real
            positions[at, 0] = plane * gap
            positions[at, 1:] = planes[plane] + (0, base)
    _place_classes(positions, nodes, sides, gap)
    return positions.astype(np.float32)


def _planes(
    name: str,
    side: SideInfo,
    real: npt.NDArray[np.intp],
    nodes: Nodes,
    edges: Edges,
    first: npt.NDArray[np.intp],
    seed: int,
) -> list[Doubles]:
    """Positions (token, 2) of the real tokens in each plane of a side."""
    if name != "spring":
        return [LAYOUTS[name](side, real)] * side.planes
    places = ring(side, real)
    planes: list[Doubles] = []
    for plane in range(side.planes):
        pairs = _attention_between(edges, int(first[0]) + plane * side.length, real)
        if pairs.any():
            places = _spring(pairs, places, seed)
        planes.append(places)
    return planes


def _place_classes(positions: Doubles, nodes: Nodes, sides: tuple[SideInfo, ...], gap: float) -> None:
    classes = np.flatnonzero(nodes.kind == NodeKind.CLASS)
    if not len(classes):
        return
    number = int(nodes.side[classes[0]])
    base = (number - (len(sides) - 1) / 2) * (2 + TOWER_GAP)
    reach = min(1.0, 0.35 * (len(classes) - 1))
    positions[classes, 0] = nodes.plane[classes] * gap
    positions[classes, 1] = 0
    positions[classes, 2] = np.linspace(reach, -reach, len(classes)) + base


def ring(side: SideInfo, real: npt.NDArray[np.intp]) -> Doubles:
    """Tokens on a circle of radius 1, the first at the top, clockwise as seen from the answer's end."""
    angle = 2 * np.pi * np.arange(len(real)) / len(real)
    return np.stack([np.sin(angle), np.cos(angle)], axis=1)


def line(side: SideInfo, real: npt.NDArray[np.intp]) -> Doubles:
    """Tokens in one upright line from 1 down to -1."""
    height = np.linspace(1, -1, len(real)) if len(real) > 1 else np.zeros(1)
    return np.stack([np.zeros(len(real)), height], axis=1)


def grid(side: SideInfo, real: npt.NDArray[np.intp]) -> Doubles:
    """Patches in the rows and columns of their image, tokens without a patch in rows above them.

    The frames of a film stand side by side, a column apart. A side without a grid gets rows as near to a
    square as can be, filled in reading order.
    """
    if side.grid is not None:
        frames, rows, wide = (1, *side.grid)[-3:]
        columns = frames * (wide + 1) - 1
        place = real - (side.length - frames * rows * wide)
        frame, within = np.divmod(place, rows * wide)
        spread = within // wide * columns + frame * (wide + 1) + within % wide
        place = np.where(place < 0, place, spread)
    else:
        columns = int(np.ceil(np.sqrt(len(real))))
        rows = int(np.ceil(len(real) / columns))
        place = np.arange(len(real))
    row, column = np.divmod(place, columns)  # rows above the patches are negative
    above = -int(min(row.min(), 0))
    # Tokens above the patches start at the left, whatever their number.
    outside = place < 0
    column = np.where(outside, place - place.min(), column) % columns
    row = np.where(outside, (place - place.min()) // columns - above, row)
    step = 2 / max(rows + above - 1, columns - 1, 1)
    y = (column - (columns - 1) / 2) * step
    z = ((rows - above - 1) / 2 - row) * step
    return np.stack([y, z], axis=1)


def _attention_between(edges: Edges, first_node: int, real: npt.NDArray[np.intp]) -> Doubles:
    """Attention between real tokens of one plane in both directions, summed over heads, (token, token)."""
    number = np.full(int(real.max()) + 1, -1)
    number[real] = np.arange(len(real))
    source, target = edges.source - first_node, edges.target - first_node
    here = (edges.kind == EdgeKind.ATTENTION) & (source != target)
    here &= (source >= 0) & (source < len(number)) & (target >= 0) & (target < len(number))
    pairs = np.zeros((len(real), len(real)))
    np.add.at(pairs, (number[source[here]], number[target[here]]), edges.mass[here])
    return pairs + pairs.T


def _spring(pairs: Doubles, start: Doubles, seed: int) -> Doubles:
    """NetworkX's spring layout (Fruchterman and Reingold 1991), from where the plane before stands."""
    from headscape.graph.export import spring_positions

    return spring_positions(pairs / pairs[pairs > 0].mean(), start, rounds=SPRING_ROUNDS, seed=seed)


LAYOUTS: dict[str, Callable[[SideInfo, npt.NDArray[np.intp]], Doubles]] = {
    "ring": ring,
    "line": line,
    "grid": grid,
    "spring": ring,  # where it starts from
}
