"""Places of tokens that NetworkX works out, for the page to use."""

import numpy as np

from headscape.graph.build import build_graph
from headscape.graph.layouts import TOWER_GAP
from headscape.trace.call import Floats
from headscape.trace.trace import Trace


def spring_places(trace: Trace, example: int) -> list[Floats]:
    """Place tokens that attend to each other near each other, plane by plane (NetworkX's spring layout).

    Returns
    -------
    one (plane, token, 2) float32 array a side
        Across and up, from about -1 to 1; 0 for padding. Costs some 80 rounds of all pairs a plane.
    """
    positions = build_graph(trace, example).layout("spring")
    found, first = [], 0
    for number, side in enumerate(trace.sides):
        own = positions[first : first + side.planes * side.length, 1:].reshape(side.planes, side.length, 2)
        first += side.planes * side.length
        base = (number - (len(trace.sides) - 1) / 2) * (2 + TOWER_GAP)
        found.append(np.nan_to_num(own - np.array([0, base])).astype(np.float32))
    return found
