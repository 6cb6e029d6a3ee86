"""Topology as figures: the bars and curves of one head, all heads of a model, and a training run."""

from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from headscape.analysis.topology.of_trace import HeadTopology, StepTopology
from headscape.draw.bars import draw_bars, draw_components, draw_ranks, stack_axes, summary
from headscape.draw.beside import put_graph
from headscape.draw.canvas import AttentionFigure, open_figure
from headscape.draw.charts import FONT, colour_map, dress, write_heading
from headscape.draw.theme import Theme, choose_theme, from_oklab, oklab
from headscape.errors import OptionError, expect_index
from headscape.trace.trace import Trace

Reals = npt.NDArray[np.float64]

# Cells of a table above which numbers in them no longer fit.
MOST_NUMBERS = 200
# Layers that a hue each can tell apart; more are told apart by lightness alone.
MOST_HUES = 6
WORDS = {
    "h0_sum": "Sum of H0 bars",
    "h0_mean": "Mean H0 bar",
    "h1_sum": "Sum of H1 bars that ended",
    "h1_count": "Number of H1 bars",
    "h1_life": "Mean length of H1 bars",
    "h1_midlife": "Mean middle of H1 bars",
}
# What a reader needs to know of a measure, in the line below the heading.
MEANINGS = {"h0_mean": "0: one token draws all, 1: no attention between tokens"}


def draw_head(
    found: HeadTopology,
    layer: int,
    head: int,
    *,
    beside: Trace | None = None,
    theme: str = "light",
    figsize: tuple[float, float] | None = None,
    title: str | None = None,
) -> AttentionFigure:
    """Draw the bars of one head, and how its components and cycles change with the weight.

    Parameters
    ----------
    found : HeadTopology
        From :func:`headscape.analysis.topology.of_trace.head_topology`.
    layer : int
        Place among the layers of ``found``.
    head : int
        Number of the head.
    beside : Trace, optional
        Draw the head's graph from this trace on the left.
    theme : str
        ``"light"`` or ``"dark"``.
    figsize : (float, float), optional
        Inches; default 6.4 x 6.2, and twice as wide beside a graph.
    title : str, optional
        Instead of the name of the layer and head.

    Returns
    -------
    Figure
        A Matplotlib Figure. The weight falls from left to right on a scale of logarithms, from all attention
        to one thousandth; what happens below that stands at the right edge, and is counted in words.

    Raises
    ------
    OptionError
        No such layer, head or theme, or the head holds NaN.
    """
    colours = choose_theme(theme)
    one = found.layers[expect_index("topology", "layer", layer, len(found.layers))]
    number = expect_index(f"layer {one.layer}", "head", head, len(one.deaths))
    if np.isnan(one.deaths[number]).any():
        raise OptionError(f"layer {one.layer}, head {number} holds NaN: it has no topology to draw.")
    size = figsize or ((12.8, 6.2) if beside is not None else (6.4, 6.2))
    figure = open_figure(size, colours.paper)
    left = 0.0
    if beside is not None:
        put_graph(figure, beside, found.example, one.layer, number, theme=colours)
        left = 0.5
    inch = 1 / np.array(size)
    box = (left + 0.85 * inch[0], 0.62 * inch[1], 1 - 0.35 * inch[0], 1 - 0.9 * inch[1])
    heights = (0.58, 0.19, 0.23)
    axes = stack_axes(figure, box, heights, colours)
    draw_bars(axes[0], one, number, colours)
    draw_components(axes[1], one, number, colours)
    draw_ranks(axes[2], one, number, colours)
    heading = title if title is not None else f"layer {one.layer}, head {number}"
    write_heading(figure, left + 0.16 * inch[0], heading, summary(one, number), colours)
    return figure


def draw_layers(
    found: HeadTopology,
    measure: str = "h0_mean",
    *,
    theme: str = "light",
    figsize: tuple[float, float] | None = None,
    title: str | None = None,
) -> AttentionFigure:
    """Draw one number for every head of every layer, as a table of colours.

    Parameters
    ----------
    found : HeadTopology
        From :func:`headscape.analysis.topology.of_trace.head_topology`.
    measure : str
        As for ``found.table``.
    theme, figsize, title
        As for :func:`draw_head`.

    Returns
    -------
    Figure
        A Matplotlib Figure. Heads that a layer does not have, and heads whose number is not known, are empty.
    """
    colours = choose_theme(theme)
    table = found.table(measure)
    layers, heads = table.shape
    size = figsize or (
        float(np.clip(1.9 + 0.5 * heads, 5.2, 12)),
        float(np.clip(1.7 + 0.34 * layers, 2.6, 9)),
    )
    figure = open_figure(size, colours.paper)
    inch = 1 / np.array(size)
    bottom, top = 0.62 * inch[1], 1 - 0.82 * inch[1]
    axes = figure.add_axes((0.75 * inch[0], bottom, 1 - 1.75 * inch[0], top - bottom))
    known = table[np.isfinite(table)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    image = axes.imshow(table, cmap=colour_map(colours), vmin=low, vmax=high, aspect="auto", gid="table")
    dress(axes, colours)
    axes.set_xlabel("head", fontsize=FONT, color=colours.ink)
    axes.set_ylabel("layer", fontsize=FONT, color=colours.ink)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=16))
    axes.yaxis.set_major_locator(
        FixedLocator(np.unique(np.linspace(0, layers - 1, min(layers, 16)).round()).tolist())
    )
    axes.yaxis.set_major_formatter(FuncFormatter(lambda at, _: str(found.layers[round(at)].layer)))
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    if table.size <= MOST_NUMBERS:
        _write_numbers(axes, table, (low, high), colours)
    bar = figure.add_axes((1 - 0.85 * inch[0], bottom, 0.14 * inch[0], top - bottom))
    figure.colorbar(image, cax=bar)
    dress(bar, colours)
    bar.tick_params(length=2)
    heading = title if title is not None else WORDS[measure]
    said = "  ·  ".join([*filter(None, [MEANINGS.get(measure)]), _spread_words(found, table)])
    write_heading(figure, 0.16 * inch[0], heading, said, colours)
    return figure


def draw_steps(
    found: StepTopology,
    *,
    theme: str = "light",
    figsize: tuple[float, float] = (7.2, 4.2),
    title: str | None = None,
) -> AttentionFigure:
    """Draw one measure of every head over the steps of a training run; layers' means are bold.

    Parameters
    ----------
    found : StepTopology
        From :func:`headscape.analysis.topology.of_trace.over_steps`.
    theme, figsize, title
        As for :func:`draw_head`.

    Returns
    -------
    Figure
        A Matplotlib Figure.
    """
    colours = choose_theme(theme)
    figure = open_figure(figsize, colours.paper)
    inch = 1 / np.array(figsize)
    axes = figure.add_axes((0.75 * inch[0], 0.62 * inch[1], 1 - 1.65 * inch[0], 1 - 1.44 * inch[1]))
    layers = found.values.shape[1]
    hues = _layer_colours(colours, layers)
    ends: list[tuple[float, str, Any]] = []
    for layer in range(layers):
        lines = found.values[:, layer]
        present = lines[:, np.isfinite(lines).any(axis=0)]
        if not present.size:
            continue
        for head in range(present.shape[1]):
            axes.plot(found.steps, present[:, head], color=hues[layer], linewidth=0.7, alpha=0.45)
        mean = np.where(np.isfinite(present).any(axis=1), _mean_of(present), np.nan)
        axes.plot(found.steps, mean, color=hues[layer], linewidth=2.2, gid=f"layer-{layer}")
        last = mean[np.isfinite(mean)][-1]
        ends.append((float(last), f"layer {layer}", hues[layer]))
    dress(axes, colours)
    axes.grid(axis="y", color=colours.rim, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.set_xlabel("training step", fontsize=FONT, color=colours.ink)
    axes.margins(x=0.01)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    _label_ends(axes, ends)
    heading = title if title is not None else WORDS[found.measure]
    said = "  ·  ".join([*filter(None, [MEANINGS.get(found.measure)]), "thin: heads, bold: layers' means"])
    write_heading(figure, 0.16 * inch[0], heading, said, colours)
    return figure


def _spread_words(found: HeadTopology, table: Reals) -> str:
    flat = np.where(np.isfinite(table), table, -np.inf)
    if not np.isfinite(table).any():
        return "no head has a known value"
    high = np.unravel_index(int(flat.argmax()), table.shape)
    low = np.unravel_index(int(np.where(np.isfinite(table), table, np.inf).argmin()), table.shape)
    names = [f"{table[at]:.2g} ({found.layers[at[0]].layer}.{at[1]})" for at in (low, high)]
    return f"{names[0]} to {names[1]}, layer.head"


def _write_numbers(axes: Axes, table: Reals, limits: tuple[float, float], theme: Theme) -> None:
    low, high = limits
    for layer, head in np.argwhere(np.isfinite(table)):
        value = table[layer, head]
        is_deep = high > low and (value - low) / (high - low) > 0.5
        words = f"{value:.2f}" if abs(high) < 10 else f"{value:.0f}"
        colour = theme.paper if is_deep else theme.ink
        axes.text(
            head, layer, words, ha="center", va="center", fontsize=FONT * 0.8, color=colour, gid="number"
        )


def _layer_colours(theme: Theme, layers: int) -> list[Any]:
    if layers <= MOST_HUES:
        return list(theme.heads[:layers])
    ends = oklab(theme.plus), oklab(theme.minus)
    steps = np.linspace(0, 1, layers)[:, None]
    return list(from_oklab(ends[0] + (ends[1] - ends[0]) * steps))


def _mean_of(values: Reals) -> Reals:
    known = np.isfinite(values)
    return np.asarray(np.where(known, values, 0).sum(axis=1) / np.maximum(known.sum(axis=1), 1))


def _label_ends(axes: Axes, ends: list[tuple[float, str, Any]]) -> None:
    """Name each line at its right end, apart enough to be read."""
    if not ends:
        return
    low, high = axes.get_ylim()
    height = float(axes.get_position().height) * float(axes.figure.get_figure(root=True).bbox.height) * 0.72
    apart = (high - low) * FONT * 1.2 / height
    ends = sorted(ends)
    at = np.array([end for end, _, _ in ends])
    for _ in range(60):  # push neighbours apart, half each
        close = np.maximum(apart - np.diff(at), 0) / 2
        if close.max(initial=0) < apart * 1e-3:
            break
        at[:-1] -= close
        at[1:] += close
    for place, (_, words, colour) in zip(at, ends, strict=True):
        axes.annotate(
            words, (1, place), xycoords=("axes fraction", "data"), xytext=(5, 0), textcoords="offset points",
            va="center", fontsize=FONT * 0.95, color=colour, annotation_clip=False,
        )  # fmt: skip
    axes.set_ylim(low, high)
