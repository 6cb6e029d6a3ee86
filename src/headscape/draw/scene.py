"""What is to be drawn: a pruned graph with the place of every node, and how it is looked at."""

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from headscape.draw.theme import MOST_HUES, Theme
from headscape.graph.columns import NodeKind
from headscape.graph.graph import Graph

# Room around the outermost nodes of a plane, in plane radii.
MARGIN = 0.07
GRID_MARGIN = 0.3
# Size of letters in points for which line widths are given; smaller figures get thinner lines.
USUAL_FONT = 9.0

Points = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Scene:
    """A graph ready to draw.

    Attributes
    ----------
    graph : Graph
        Pruned and scaled.
    at : (node, 3) float array
        Positions; NaN where a node is not drawn.
    gap : float
        Distance between planes in x.
    layout, view : str
        Names; see ``draw_figure``.
    theme : Theme
    font : float
        Size of labels in points.
    pictures : dict from side to (token, height, width, 3) uint8 array
        Image patches of sides that have them.
    """

    graph: Graph
    at: Points
    gap: float
    layout: str
    view: str
    theme: Theme
    font: float
    pictures: dict[int, npt.NDArray[np.uint8]] = field(default_factory=dict)

    @property
    def thickness(self) -> float:
        """How thick lines are in this figure, 1 = as given."""
        return self.font / USUAL_FONT

    @property
    def drawn(self) -> npt.NDArray[np.bool_]:
        """Which nodes are drawn, (node,)."""
        return np.asarray(np.isfinite(self.at[:, 0]))

    @property
    def by_head(self) -> bool:
        """Whether hue names heads: several, and few enough."""
        heads = {head for call in self.graph.calls for head in call.heads if head >= 0}
        return 1 < len(heads) <= MOST_HUES and max(heads) < MOST_HUES

    def planes(self) -> list[tuple[int, int, npt.NDArray[np.intp]]]:
        """Return (side, plane, drawn token nodes) of every plane, in order."""
        nodes = self.graph.nodes
        here = self.drawn & (nodes.kind == NodeKind.TOKEN)
        found = []
        for side, info in enumerate(self.graph.sides):
            for plane in range(info.planes):
                members = np.flatnonzero(here & (nodes.side == side) & (nodes.plane == plane))
                if len(members):
                    found.append((side, plane, members))
        return found

    def classes(self) -> npt.NDArray[np.intp]:
        """Return the drawn class nodes, best first."""
        return np.flatnonzero(self.drawn & (self.graph.nodes.kind == NodeKind.CLASS))

    @property
    def answer(self) -> int:
        """The class node of the model's answer; -1 where there is none, as all is NaN."""
        classes = self.classes()
        known = len(classes) and np.isfinite(self.graph.nodes.probability[classes[0]])
        return int(classes[0]) if known else -1
