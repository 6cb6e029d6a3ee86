"""Which measure of heads foretells what knock-outs do: rank correlations, one dot an example."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator

from headscape.draw.sheet.page import SMALL, Page, name_axis
from headscape.draw.sheet.parts import Sheet


def draw_judged(page: Page, axes: Axes, sheet: Sheet) -> None:
    """One row a measure, the best at the top: examples as dots, their mean as a bar, its spread as a line."""
    theme = page.theme
    if not sheet.judged:
        page.absent(axes)
        return
    names = [one.name for one in sheet.judged]
    for row, one in enumerate(sheet.judged):
        rho = one.rho[np.isfinite(one.rho)]
        colour = theme.soft if one.name == "random" else theme.one
        if not len(rho):
            axes.text(
                0.02, row, "constant: no order", fontsize=SMALL, va="center", color=theme.soft, gid="none"
            )
            continue
        mean, spread = float(rho.mean()), float(rho.std())
        axes.plot([mean - spread, mean + spread], [row, row], color=colour, linewidth=1.0, gid="spread")
        axes.scatter(rho, np.full(len(rho), row), s=7, color=colour, alpha=0.5, linewidths=0, gid=one.name)
        axes.plot([mean, mean], [row - 0.3, row + 0.3], color=colour, linewidth=2.0, gid="mean")
    low = min((float(np.nanmin(one.rho)) for one in sheet.judged if np.isfinite(one.rho).any()), default=0.0)
    axes.set_xlim(min(-0.3, low - 0.06), 1.03)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.yaxis.set_major_locator(FixedLocator(range(len(names))))
    axes.set_yticklabels(names, fontsize=SMALL)
    axes.tick_params(axis="y", length=0)
    axes.grid(axis="x", color=theme.rim, linewidth=0.5)
    axes.axvline(0, color=theme.ink, linewidth=0.5)
    name_axis(axes, theme, x="Spearman correlation with the knock-outs")
