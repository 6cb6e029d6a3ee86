"""Colours: a light and a dark theme, hues of heads, and ramps of even lightness."""

from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from headscape.errors import expect_option

# Steps of lightness an edge can have: more cannot be told apart on lines of 1 to 4 px.
LEVELS = 5
# Heads that a hue can name. With more, hue names nothing and one ramp serves all.
MOST_HUES = 8

Colours = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Theme:
    """Colours of one theme, sRGB hex.

    ``heads`` start from Okabe and Ito's colours and were moved until the closest two lie as far apart as can
    be in OKLab for usual, protanope and deuteranope eyes alike, and all stand out from the paper.

    ``one`` is the hue of edges that no head owns, ``plus`` and ``minus`` of what raises and lowers a score.
    ``pale`` is the lightness (OKLab, 0 to 1) of the weakest edge, ``deep`` of the strongest.
    """

    name: str
    paper: str
    ink: str
    soft: str
    plane: str
    rim: str
    node: str
    residual: str
    one: str
    plus: str
    minus: str
    mark: str
    heads: tuple[str, ...]
    pale: float


LIGHT = Theme(
    name="light",
    paper="#ffffff",
    ink="#1b1f24",
    soft="#6a737d",
    plane="#f3f5f8",
    rim="#d5dae1",
    node="#2d333b",
    residual="#c3cad3",
    one="#1f4fa3",
    plus="#00705a",
    minus="#c2410c",
    mark="#e0006c",
    heads=("#0063d4", "#b74000", "#0ab894", "#823557", "#d68800", "#4ea2ef", "#2b219e", "#598098"),
    pale=0.83,
)
DARK = Theme(
    name="dark",
    paper="#0d1117",
    ink="#e6edf3",
    soft="#8b949e",
    plane="#141a23",
    rim="#2b3440",
    node="#e6edf3",
    residual="#39424e",
    one="#8ab8ff",
    plus="#4fd1b0",
    minus="#ff9b5c",
    mark="#ff5fa8",
    heads=("#5da0f9", "#ff5c2b", "#40ab81", "#e9abc8", "#ffe469", "#85fff8", "#8a63f0", "#9e73b2"),
    pale=0.38,
)
THEMES = {theme.name: theme for theme in (LIGHT, DARK)}


def choose_theme(name: str) -> Theme:
    """Return the theme of that name, or raise ``OptionError``."""
    expect_option("figure", "theme", name, THEMES)
    return THEMES[name]


def _to_linear(colour: str) -> Colours:
    srgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)


# OKLab (Ottosson 2020): linear sRGB to cone responses, and their cube roots to lightness and two hue axes.
_CONES = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ]
)
_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ]
)


def oklab(colour: str) -> Colours:
    """Return lightness (0 to 1) and the two hue axes of a hex colour, (3,)."""
    return np.asarray(_LAB @ np.cbrt(_CONES @ _to_linear(colour)))


def from_oklab(lab: Colours) -> Colours:
    """Return the sRGB colours, 0 to 1, of OKLab colours (..., 3); what a screen lacks is clipped."""
    cones = np.asarray(lab) @ np.linalg.inv(_LAB).T
    linear = np.clip(cones**3 @ np.linalg.inv(_CONES).T, 0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def fade(theme: Theme, colours: Colours, share: float) -> Colours:
    """Mix sRGB colours (..., 3) with the plane's colour; ``share`` of their own stays."""
    plane = np.array([int(theme.plane[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return colours * share + plane * (1 - share)


@cache
def _ramp(theme: Theme, colour: str) -> tuple[tuple[float, float, float], ...]:
    """Colours of the levels, weakest first: even steps of lightness, chroma falling towards the paper."""
    full = oklab(colour)
    steps = np.linspace(0, 1, LEVELS)
    ramp = []
    for step in steps:
        lightness = theme.pale + (full[0] - theme.pale) * step
        # Weak edges keep a third of the chroma: hue stays readable, and strong edges stand out.
        ramp.append(from_oklab(np.array([lightness, *(full[1:] * (0.3 + 0.7 * step))])))
    return tuple((float(r), float(g), float(b)) for r, g, b in ramp)


def ramp(theme: Theme, colour: str) -> Colours:
    """Return the colours of the levels of one hue, (level, 3) sRGB 0 to 1, weakest first."""
    return np.array(_ramp(theme, colour))


def levels(strength: npt.NDArray[np.floating]) -> npt.NDArray[np.int64]:
    """Return each strength's level, 0 to ``LEVELS - 1``."""
    return np.clip((np.asarray(strength) * LEVELS).astype(np.int64), 0, LEVELS - 1)


def edge_colours(
    theme: Theme, heads: npt.NDArray[np.integer], strength: npt.NDArray[np.floating], *, by_head: bool
) -> Colours:
    """Return the colour of each edge, (edge, 3): its head's hue where heads have one, at its strength."""
    tables = [ramp(theme, theme.one)]
    if by_head:
        tables += [ramp(theme, colour) for colour in theme.heads]
    which = np.where(heads < 0, 0, 1 + heads % MOST_HUES) if by_head else np.zeros(len(heads), dtype=int)
    return np.asarray(np.array(tables)[which, levels(strength)])
