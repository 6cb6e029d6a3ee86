"""The paper of a page of panels: places in inches from its top left corner, headings, and small type."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, ListedColormap
from matplotlib.figure import Figure
from matplotlib.text import Text

from headscape.draw.charts import dress
from headscape.draw.theme import Theme, from_oklab, oklab
from headscape.draw.words import clean_text

# Points. Journals ask for 5 to 7 in figures.
FONT, SMALL = 7.0, 6.0
WIDTH_IN, HEIGHT_IN = 7.0, 9.2


@dataclass(frozen=True, eq=False)
class Page:
    """A figure and its theme; lengths are inches from the top left corner."""

    figure: Figure
    theme: Theme

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Return dressed axes at a place."""
        box = (left / WIDTH_IN, 1 - (top + height) / HEIGHT_IN, width / WIDTH_IN, height / HEIGHT_IN)
        axes = self.figure.add_axes(box)
        dress(axes, self.theme)
        axes.tick_params(labelsize=SMALL, length=2, width=0.6, pad=2)
        for spine in axes.spines.values():
            spine.set_linewidth(0.6)
        axes.set_axisbelow(True)
        return axes

    def write(
        self, left: float, top: float, words: str, *, gid: str, soft: bool = False, **style: Any
    ) -> Text:
        """Write plain text whose upper left corner is at a place."""
        colour = self.theme.soft if soft else self.theme.ink
        usual: dict[str, Any] = {
            "fontsize": SMALL,
            "color": colour,
            "va": "top",
            "ha": "left",
            "linespacing": 1.35,
        }
        return self.figure.text(
            left / WIDTH_IN, 1 - top / HEIGHT_IN, words, parse_math=False, gid=gid, **{**usual, **style}
        )

    def head(self, left: float, top: float, letter: str, words: str) -> None:
        """Write the letter and heading of a panel."""
        self.write(left, top, letter, gid=f"letter-{letter}", fontsize=FONT * 1.2, weight="bold")
        self.write(left + 0.15, top + 0.012, words, gid=f"heading-{letter}", fontsize=FONT)

    def absent(self, axes: Axes, words: str = "not known: see the text") -> None:
        """Say in empty axes that nothing is known."""
        axes.set_xticks([])
        axes.set_yticks([])
        axes.text(
            0.5, 0.5, words, transform=axes.transAxes, ha="center", va="center", fontsize=SMALL,
            color=self.theme.soft, parse_math=False, gid="absent",
        )  # fmt: skip


def name_axis(axes: Axes, theme: Theme, *, x: str = "", y: str = "") -> None:
    """Write what an axis counts."""
    if x:
        axes.set_xlabel(x, fontsize=SMALL, color=theme.ink, labelpad=2)
    if y:
        axes.set_ylabel(y, fontsize=SMALL, color=theme.ink, labelpad=2)


def shrink(axes: Axes) -> None:
    """Set all text of axes that other charts share in this page's type."""
    for text in axes.findobj(Text):
        text.set_fontsize(SMALL)
    axes.tick_params(labelsize=SMALL, length=2, width=0.6, pad=2)


def diverging(theme: Theme) -> Colormap:
    """Even steps from what speaks for the answer, over the paper's colour, to what speaks against it."""
    ends = oklab(theme.plus), oklab(theme.plane), oklab(theme.minus)
    steps = np.linspace(0, 1, 128)[:, None]
    half = [start + (end - start) * steps for start, end in pairwise(ends)]
    return ListedColormap(from_oklab(np.concatenate(half))).with_extremes(bad=theme.paper)


def plain(label: str, most: int = 14) -> str:
    """Return a label that can be drawn."""
    return clean_text(label, most=most)
