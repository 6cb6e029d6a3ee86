"""The graph of one head in the left half of a figure, beside what else the figure shows."""

from typing import Any, cast

import numpy as np
import numpy.typing as npt
from matplotlib.figure import SubFigure

from headscape.draw.canvas import AttentionFigure
from headscape.draw.figure import compose
from headscape.draw.setting import prune_graph, set_scene
from headscape.draw.theme import Theme
from headscape.graph.build import build_graph
from headscape.trace.trace import Trace


class HalfFigure(SubFigure):
    """Part of a figure that answers what the drawing of a graph asks a figure."""

    picker: Any = None

    def get_size_inches(self) -> npt.NDArray[np.float64]:
        """Return width and height, (2,)."""
        return np.array([self.bbox.width, self.bbox.height]) / float(self.get_figure(root=True).dpi)


def put_graph(
    figure: AttentionFigure, trace: Trace, example: int, layer: int, head: int, *, theme: Theme
) -> None:
    """Draw one layer of a trace face on, with one head's edges, in the left half of a figure."""
    grid = figure.add_gridspec(1, 2, left=0, right=1, bottom=0, top=1, wspace=0)
    half = HalfFigure(figure, grid[0, 0], facecolor=theme.paper)
    figure.subfigs.append(half)  # as Figure.add_subfigure does, which takes no class
    graph = prune_graph(build_graph(trace, example, heads=[head], layers=[layer]), "auto")
    width, height = (half.get_size_inches() * 100).tolist()
    scene, camera = set_scene(graph, "auto", "layer", theme, {}, (width, height), seed=0)
    compose(cast("AttentionFigure", half), scene, camera, None)
