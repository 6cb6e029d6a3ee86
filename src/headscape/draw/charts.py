"""What charts have in common: a heading, plain axes, words in the colour of what they name, and colours."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.colors import Colormap, ListedColormap
from matplotlib.figure import Figure
from matplotlib.offsetbox import AnchoredOffsetbox, HPacker, TextArea

from headscape.draw.theme import Theme, from_oklab, oklab
from headscape.draw.words import clean_text

FONT = 9.0  # points


def write_heading(figure: Figure, left: float, heading: str, said: str, theme: Theme) -> None:
    """Write a bold line at the top of a figure, from ``left`` (a share of its width), and a line below."""
    inch = 1 / figure.get_size_inches()[1]
    style: dict[str, Any] = {"va": "top", "ha": "left", "parse_math": False, "usetex": False}
    heading = clean_text(heading, most=90)
    at = 1 - 0.14 * inch
    figure.text(
        left, at, heading, fontsize=FONT * 1.35, color=theme.ink, weight="bold", gid="heading", **style
    )
    figure.text(left, at - 0.28 * inch, said, fontsize=FONT, color=theme.soft, gid="said", **style)


def dress(axes: Axes, theme: Theme) -> None:
    """Give axes the theme's colours and leave them two sides."""
    axes.set_facecolor(theme.paper)
    axes.tick_params(colors=theme.ink, labelsize=FONT * 0.95, length=3, color=theme.rim)
    for side, spine in axes.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(theme.rim)


def write_inside(axes: Axes, words: str, colour: str, *, line: int = 0, side: str = "left") -> None:
    """Write what a colour means into an upper corner of the axes."""
    at, indent = (0, 4) if side == "left" else (1, -4)
    style: dict[str, Any] = {"va": "top", "ha": side, "parse_math": False, "fontsize": FONT * 0.95}
    axes.annotate(
        words, (at, 1), xycoords="axes fraction", xytext=(indent, -3 - line * FONT * 1.25),
        textcoords="offset points", color=colour, **style,
    )  # fmt: skip


def write_key(axes: Axes, entries: Sequence[tuple[str, str]]) -> None:
    """Write words in their colours, side by side, above the axes."""
    size = FONT * 0.95
    parts: list[Artist] = [
        TextArea(words, textprops={"color": colour, "fontsize": size}) for words, colour in entries
    ]
    box = AnchoredOffsetbox(
        loc="lower left",
        child=HPacker(children=parts, pad=0, sep=FONT * 1.6, align="baseline"),
        frameon=False,
        pad=0,
        borderpad=0.2,
        bbox_to_anchor=(0, 1),
        bbox_transform=axes.transAxes,
    )
    axes.add_artist(box)


def colour_map(theme: Theme) -> Colormap:
    """Even steps of lightness from the plane's colour to the theme's hue."""
    ends = oklab(theme.plane), oklab(theme.one)
    steps = np.linspace(0, 1, 256)[:, None]
    return ListedColormap(from_oklab(ends[0] + (ends[1] - ends[0]) * steps)).with_extremes(bad=theme.paper)
