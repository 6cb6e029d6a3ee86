"""The topology of one head, small: bars above, components and cycles below, over one axis of weights."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter

from headscape.analysis.topology.of_trace import STEPS, LayerTopology
from headscape.draw.bars import draw_bars
from headscape.draw.sheet.page import SMALL, Page, name_axis, shrink
from headscape.draw.sheet.parts import Sheet

# Inches between the two charts: room for the key of the lower one.
_GAP_IN = 0.2
_COUNTS = (0, 1, 10, 100, 1000, 10_000, 100_000)


def draw_shape(page: Page, sheet: Sheet, left: float, top: float, width: float, height: float) -> None:
    """Draw bars of H0 (and H1 where it is known), and how many components and cycles there are."""
    call, head = sheet.head
    if not sheet.shape or not sheet.shape[call].deaths.size or np.isnan(sheet.shape[call].deaths[head]).any():
        page.absent(page.axes(left, top, width, height), "no bars: one token, or not known")
        return
    layer = sheet.shape[call]
    upper = page.axes(left, top, width, 0.52 * height)
    draw_bars(upper, layer, head, page.theme)
    _write_key(page, upper, layer, head)
    lower = page.axes(left, top + 0.52 * height + _GAP_IN, width, 0.48 * height - _GAP_IN)
    _draw_counts(page, lower, layer, head)
    for axes in (upper, lower):
        axes.set_xscale("log")
        axes.set_xlim(STEPS[-1], STEPS[0])
        axes.xaxis.set_major_locator(FixedLocator([1, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001]))
        axes.xaxis.set_minor_locator(FixedLocator([]))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda at, _: f"{at:g}"))
        axes.grid(axis="x", color=page.theme.rim, linewidth=0.5)
        shrink(axes)
    upper.tick_params(labelbottom=False)
    name_axis(lower, page.theme, x="weight from which two tokens are joined", y="count")


def _write_key(page: Page, axes: Axes, layer: LayerTopology, head: int) -> None:
    """Say what bars are, in words that fit above a chart as narrow as this."""
    for written in list(axes.artists):
        written.remove()
    words = [("H0: components", page.theme.one)]
    if layer.h1 is not None:
        bars = layer.h1[head]
        told = "unfilled cycles, ▸ open at the cut" if bars.is_open.any() else "unfilled cycles"
        told = "not known" if bars.stopped else told if len(bars) else "no cycles"
        words.append((f"H1: {told}", page.theme.minus))
    for place, (text, colour) in enumerate(words):
        axes.text(
            0.36 * place, 1.03, text, transform=axes.transAxes, color=colour, va="bottom", gid="key",
            parse_math=False,
        )  # fmt: skip


def _draw_counts(page: Page, axes: Axes, layer: LayerTopology, head: int) -> None:
    theme = page.theme
    steps, curves = layer.curves.threshold[head], layer.curves
    axes.set_yscale("symlog", linthresh=1)
    lines = [
        ("components", curves.components[head], theme.one),
        ("cycle rank", curves.cycle_rank[head], theme.soft),
    ]
    bars = layer.h1[head] if layer.h1 is not None else None
    if bars is not None and not bars.stopped:
        distance = 1 - steps
        alive = ((bars.birth[:, None] <= distance) & (distance < bars.death[:, None])).sum(axis=0)
        lines.append(("b1 of H1", np.where(distance <= bars.longest, alive, np.nan), theme.minus))
    at = 0.0
    for words, counts, colour in lines:
        axes.step(steps, counts, where="pre", color=colour, linewidth=1.1, gid=words)
        axes.text(
            at, 1.04, words, transform=axes.transAxes, color=colour, fontsize=SMALL, va="bottom", gid="key"
        )
        at += 0.035 * len(words) + 0.03
    most = max(float(np.nanmax(counts)) for _, counts, _ in lines)
    axes.set_ylim(0, most * 1.6)
    axes.yaxis.set_major_locator(FixedLocator([count for count in _COUNTS if count <= most]))
    axes.yaxis.set_minor_locator(FixedLocator([]))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda count, _: f"{count:,.0f}"))
