"""Panels with one place a layer: what its parts add to the score, and how its heads' topology lies."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from headscape.draw.sheet.heads import few
from headscape.draw.sheet.page import SMALL, Page, name_axis
from headscape.draw.sheet.parts import Sheet
from headscape.draw.theme import Theme


def draw_parts(page: Page, axes: Axes, sheet: Sheet) -> None:
    """Bars of attention and feed-forward parts; first states on the left, learned offsets on the right."""
    theme, shares = page.theme, sheet.layers
    if shares is None:
        page.absent(axes)
        return
    calls = len(shares.attention)
    at = np.arange(calls)
    axes.bar(at - 0.2, shares.attention, 0.38, color=theme.one, gid="attention")
    axes.bar(at + 0.2, np.nan_to_num(shares.feed_forward), 0.38, color=theme.heads[4], gid="feed-forward")
    axes.bar([-1, calls], [shares.inputs, shares.offsets], 0.5, color=theme.soft, gid="ends")
    axes.axhline(0, color=theme.ink, linewidth=0.5)
    axes.set_xlim(-1.6, calls + 0.6)
    axes.yaxis.set_major_locator(MaxNLocator(4))
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.24 * (high - low))
    name_axis(axes, theme, y=sheet.unit)
    _key(axes, theme)


def _key(axes: Axes, theme: Theme) -> None:
    words = (("attention", theme.one), ("feed-forward", theme.heads[4]), ("input, offsets", theme.soft))
    at = 0.03
    for word, colour in words:
        axes.text(
            at, 1.0, f"■ {word}", transform=axes.transAxes, color=colour, fontsize=SMALL, va="top", gid="key"
        )
        at += 0.025 * len(word) + 0.07


def draw_sums(page: Page, axes: Axes, sheet: Sheet) -> None:
    """Mean H0 bar of each head, one dot each, and their mean."""
    theme = page.theme
    calls = len(sheet.changes)
    axes.set_xlim(-1.6, calls + 0.6)
    ticks = few(calls)
    axes.xaxis.set_major_locator(FixedLocator([-1, *ticks, calls]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda at, _: _name(sheet, int(at))))
    name_axis(axes, theme, x="layer", y="mean H0 bar")
    if not sheet.shape:
        page.absent(axes)
        return
    means = [layer.h0_mean for layer in sheet.shape]
    x = np.concatenate([np.full(len(row), call, float) for call, row in enumerate(means)])
    y = np.concatenate(means)
    axes.scatter(x, y, s=5, color=theme.one, alpha=0.55, linewidths=0, gid="h0")
    middle = [float(np.nanmean(row)) if np.isfinite(row).any() else np.nan for row in means]
    axes.plot(range(calls), middle, color=theme.ink, linewidth=0.8, gid="h0-mean")
    call, head = sheet.head
    if np.isfinite(means[call][head]):
        axes.scatter(
            [call],
            [means[call][head]],
            s=26,
            facecolors="none",
            edgecolors=theme.ink,
            linewidths=0.8,
            gid="ring",
        )
    axes.set_ylim(-0.04, 1.04)
    axes.yaxis.set_major_locator(FixedLocator([0, 0.5, 1]))


def _name(sheet: Sheet, at: int) -> str:
    if at < 0:
        return "input"
    return "offsets" if at >= len(sheet.calls) else sheet.calls[at]
