"""Bars and curves of one head, on axes that share the weight."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from headscape.analysis.topology.bars import Bars
from headscape.analysis.topology.of_trace import STEPS, LayerTopology
from headscape.draw.charts import FONT, dress, write_inside, write_key
from headscape.draw.theme import Theme
from headscape.draw.words import clean_text

Reals = npt.NDArray[np.float64]


def stack_axes(
    figure: Figure, box: tuple[float, float, float, float], heights: Sequence[float], theme: Theme
) -> list[Axes]:
    """Return axes one above the other in a box (left, bottom, right, top), sharing the axis of weights."""
    left, bottom, right, top = box
    gap = 0.025
    room = (top - bottom) - gap * (len(heights) - 1)
    found: list[Axes] = []
    for height in heights:
        top -= height * room
        found.append(figure.add_axes((left, top, right - left, height * room)))
        top -= gap
    for place, axes in enumerate(found):
        dress(axes, theme)
        axes.set_xscale("log")
        axes.set_xlim(STEPS[-1], STEPS[0])
        axes.xaxis.set_major_locator(FixedLocator([1, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001]))
        axes.xaxis.set_minor_locator(FixedLocator([]))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda at, _: f"{at:g}"))
        axes.grid(axis="x", color=theme.rim, linewidth=0.6)
        axes.set_axisbelow(True)
        if place < len(found) - 1:
            axes.tick_params(labelbottom=False)
    words = "weight from which two tokens are joined (distance = 1 − weight)"
    found[-1].set_xlabel(words, fontsize=FONT, color=theme.ink)
    return found


def draw_bars(axes: Axes, layer: LayerTopology, head: int, theme: Theme) -> None:
    """H0 bars from the bottom up by death, H1 bars above them by birth."""
    deaths = _to_weight(layer.deaths[head])
    rows = [[(STEPS[-1], at), (weight, at)] for at, weight in enumerate(deaths)]
    h1 = layer.h1[head] if layer.h1 is not None else None
    gap = max(1.0, 0.04 * len(rows))
    above = _h1_rows(h1, len(rows) + gap) if h1 is not None else []
    total = len(rows) + (gap + len(above) if above else 0)
    height = float(axes.get_position().height) * float(axes.figure.get_figure(root=True).bbox.height) * 0.72
    width = float(np.clip(0.7 * height / max(total, 1), 0.35, 3.5))
    style: dict[str, Any] = {"linewidths": width, "capstyle": "butt"}
    axes.add_collection(LineCollection(rows, colors=theme.one, gid="bars-h0", **style), autolim=False)
    if above and h1 is not None:
        axes.add_collection(LineCollection(above, colors=theme.minus, gid="bars-h1", **style), autolim=False)
        is_open = np.flatnonzero(h1.is_open)
        edge = [above[i][1][0] for i in is_open]
        style = {"color": theme.minus, "markersize": min(2.2 * width, 4), "linestyle": "none"}
        axes.plot(edge, [above[i][0][1] for i in is_open], marker=">", gid="open", clip_on=False, **style)
    axes.set_ylim(-1, max(total, 1) + 0.5)
    axes.set_yticks([])
    key = [("H0: components", theme.one)]
    if h1 is not None:
        words = "H1: cycles that no triangles fill" + (
            ", ▸ not filled at the cut" if h1.is_open.any() else ""
        )
        key.append((words if above else "H1: not known" if h1.stopped else "H1: no cycles", theme.minus))
    write_key(axes, key)


def _h1_rows(bars: Bars, base: float) -> list[list[tuple[float, float]]]:
    cut = 1 - bars.longest if np.isfinite(bars.longest) else 0.0
    end = np.where(bars.is_open, _to_weight(np.array(1 - cut)), _to_weight(np.minimum(bars.death, 1)))
    start = _to_weight(bars.birth)
    return [[(float(start[i]), base + i), (float(end[i]), base + i)] for i in range(len(bars))]


def draw_components(axes: Axes, layer: LayerTopology, head: int, theme: Theme) -> None:
    """Number of components over the weight."""
    counts = layer.curves.components[head]
    axes.step(layer.curves.threshold[head], counts, where="pre", color=theme.one, linewidth=1.6, gid="b0")
    axes.set_ylim(0, max(layer.curves.nodes, 2) * 1.08)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=4))
    write_inside(axes, "components b0", theme.one, side="right")


def draw_ranks(axes: Axes, layer: LayerTopology, head: int, theme: Theme) -> None:
    """Cycle rank, and where it is known the number of H1 bars alive, both on a scale of logarithms."""
    steps, rank = layer.curves.threshold[head], layer.curves.cycle_rank[head]
    axes.set_yscale("symlog", linthresh=1)
    axes.step(steps, rank, where="pre", color=theme.soft, linewidth=1.6, gid="cycle-rank")
    most = max(int(rank.max()), 1)
    write_inside(axes, "cycle rank (every triangle counts)", theme.soft)
    bars = layer.h1[head] if layer.h1 is not None else None
    if bars is not None and not bars.stopped:
        distance = 1 - steps
        alive = ((bars.birth[:, None] <= distance) & (distance < bars.death[:, None])).sum(axis=0)
        known = np.where(distance <= bars.longest, alive.astype(np.float64), np.nan)
        axes.step(steps, known, where="pre", color=theme.minus, linewidth=1.6, gid="b1")
        words = "b1 of H1, up to the cut" if np.isfinite(bars.longest) else "b1 of H1"
        write_inside(axes, words, theme.minus, line=1)
    axes.set_ylim(0, most * 3)
    axes.yaxis.set_major_locator(
        FixedLocator([at for at in (0, 1, 10, 100, 1000, 10_000, 100_000) if at <= most])
    )
    axes.yaxis.set_minor_locator(FixedLocator([]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda at, _: f"{at:,.0f}"))


def _to_weight(distance: Reals) -> Reals:
    """Weight of a distance, kept within the axis."""
    return np.asarray(np.clip(1 - distance, STEPS[0], STEPS[-1]))


def summary(layer: LayerTopology, head: int) -> str:
    """Say in one line what was measured."""
    deaths = layer.deaths[head]
    faint = int((1 - deaths < STEPS[0]).sum())
    graphs = layer.graphs
    nodes = f"{len(graphs.labels)} tokens" + (
        f" ({graphs.queries} of them queries)" if graphs.is_cross else ""
    )
    said = [f"{nodes}, H0 sum {deaths.sum():.2f}"]
    if layer.h1 is not None:
        bars = layer.h1[head]
        counted = f"{len(bars)} H1 bars, {int(bars.is_open.sum())} open"
        said.append(f"H1: {bars.stopped}" if bars.stopped else counted)
    if faint:
        said.append(f"{faint} joined below {STEPS[0]:g}")
    if graphs.left_out:
        said.append(f"without {' '.join(clean_text(label, most=12) for label in graphs.left_out[:4])}")
    return "  ·  ".join(said)
