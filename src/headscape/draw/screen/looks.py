"""Colours, widths and radii of the viewer (viewer/src/ui/theme.ts, looks.ts and views.ts)."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headscape.draw.screen.edges import ANSWER, ATTENTION, FORWARD, RESIDUAL, NodeNumbers, ScreenEdges
from headscape.draw.screen.places import Places
from headscape.draw.screen.state import Chosen
from headscape.draw.theme import Theme, from_oklab, oklab
from headscape.trace.trace import Trace

Floats = npt.NDArray[np.float64]

# Tokens beyond which residual lines are fainter.
MANY_TOKENS = 28
# Edges beyond which a line keeps more room free around it; the paper's edges have one width.
MANY_EDGES = 150
PAPER_WIDTH = 1.5

LIGHT = Theme(
    name="light",
    paper="#ffffff",
    ink="#1b1f24",
    soft="#59636e",
    plane="#eef1f6",
    rim="#cfd6df",
    node="#3b4450",
    residual="#b4bdc9",
    one="#1f4fa3",
    plus="#00705a",
    minus="#c2410c",
    mark="#e0006c",
    heads=("#0072b2", "#d55e00", "#009e73", "#b0408f", "#a67c00", "#3a9bdc", "#6b4fbb", "#555b63"),
    pale=0.85,
)
DARK = Theme(
    name="dark",
    paper="#0d1117",
    ink="#e6edf3",
    soft="#97a3b0",
    plane="#161d27",
    rim="#303b49",
    node="#d5dee8",
    residual="#465261",
    one="#8ab8ff",
    plus="#4fd1b0",
    minus="#ff9b5c",
    mark="#ff5fa8",
    heads=("#4ea8ff", "#ff8c42", "#2fc48d", "#ef7fd0", "#e3c567", "#8fd8ff", "#b39cff", "#c5ccd6"),
    pale=0.34,
)
THEMES = {theme.name: theme for theme in (LIGHT, DARK)}


@dataclass(frozen=True, eq=False)
class EdgeLooks:
    """RGBA colour, width in CSS pixels at the middle, and whether an edge is dashed or grows thinner."""

    colour: Floats
    width: Floats
    dashed: npt.NDArray[np.bool_]
    tapers: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Style:
    """Widths (CSS pixels) and opacities of the weakest and the strongest edge."""

    width: tuple[float, float]
    alpha: tuple[float, float]
    casing: float = -1.0  # CSS pixels around a line that weaker lines leave free; -1: none


def edge_styles(count: int, room: float, scale: str) -> tuple[Style, Style]:
    """Return the styles of chosen and of fixed edges: fewer may be wider."""
    fixed = Style((0.8, 3.0), (0.06, 0.95))
    if scale == "paper":
        return Style((PAPER_WIDTH, PAPER_WIDTH), (0.0, 1.0)), fixed
    fit = min(1.0, max(0.55, room / 560))
    widest = max(1.1, fit * min(4, 3.8 * math.sqrt(420 / max(count, 1))))
    casing = min(2.2 if count > MANY_EDGES else 1.5, widest * 0.7)
    return Style((0.7, widest), (1.0, 1.0), casing), fixed


def ramp(theme: Theme, colour: str, strength: npt.ArrayLike) -> Floats:
    """Return sRGB colours from weak to strong: even steps of lightness, a weak edge keeps some hue."""
    full = oklab(colour)
    t = np.asarray(strength, dtype=float)[..., None]
    lightness = theme.pale + (full[0] - theme.pale) * t
    return from_oklab(np.concatenate([lightness, full[1:] * (0.35 + 0.65 * t)], axis=-1))


def edge_looks(
    trace: Trace, chosen: Chosen, edges: ScreenEdges, strength: npt.NDArray[np.floating], style: Style
) -> EdgeLooks:
    """Return how edges of the given strengths are drawn."""
    theme = THEMES[chosen.theme]
    value = np.asarray(strength, dtype=float).copy()
    names = np.full(len(edges), theme.one, dtype=object)
    for call in np.unique(edges.call[edges.call >= 0]):
        here = edges.call == call
        residual = here & (edges.kind == RESIDUAL)
        value[residual] = 0.55 * min(1, MANY_TOKENS / trace.sides[trace.calls[call].query_side].length)
        for head in np.unique(edges.head[here]):
            hue = chosen.hue_of(int(head), trace.calls[call].shape[1])
            if chosen.scale == "paper":
                names[here & (edges.head == head)] = theme.node
            elif hue >= 0:
                names[here & (edges.head == head)] = theme.heads[hue]
    answer = edges.kind == ANSWER
    size = np.abs(edges.weight[answer].astype(float))
    value[answer] = size / max(float(size.max(initial=0)), 1e-30)
    if chosen.direction == "asymmetry":
        signed = np.where(_falls(chosen, edges), theme.minus, theme.plus)
        names = np.where(edges.kind == ATTENTION, signed, names)
    names[edges.kind == RESIDUAL] = theme.residual
    names[edges.kind == FORWARD] = theme.plus
    names[answer] = np.where(edges.weight[answer] < 0, theme.minus, theme.plus)
    colour = np.ones((len(edges), 4))
    for name in set(names.tolist()):
        here = names == name
        is_even = name in (theme.residual, theme.node)
        colour[here, :3] = _plain(name) if is_even else ramp(theme, name, value[here])
    colour[:, 3] = style.alpha[0] + (style.alpha[1] - style.alpha[0]) * value
    width = style.width[0] + (style.width[1] - style.width[0]) * value**2
    dashed = answer & (edges.weight < 0)
    within = edges.kind == ATTENTION
    tapers = within & (chosen.direction in ("forward", "backward")) & (chosen.scale != "paper")
    return EdgeLooks(colour, width, dashed | (within & _falls(chosen, edges)), tapers)


def _falls(chosen: Chosen, edges: ScreenEdges) -> npt.NDArray[np.bool_]:
    """Which differences of two directions are drawn as negative: to later tokens there is more."""
    return np.asarray((edges.query <= edges.key) & (chosen.direction == "asymmetry"))


def _plain(colour: str) -> Floats:
    return np.array([int(colour[n : n + 2], 16) for n in (1, 3, 5)]) / 255


def received_shares(trace: Trace, chosen: Chosen, nodes: NodeNumbers) -> Floats:
    """Return what each node receives over the drawn heads, (node,): 1 = an even share, NaN = no call acts."""
    out = np.full(nodes.count, np.nan)
    for number, call in enumerate(trace.calls):
        heads = chosen.drawn_heads(number, call.shape[1])
        if not heads:
            continue
        alive = call.visible(chosen.example)[heads] > 0
        column = np.zeros(call.shape[3])
        if call.k is None:
            weights = np.nan_to_num(call.weights(chosen.example))[heads]
            column += weights[alive].sum(0, dtype=float)
        else:
            keys, kept = call.top(chosen.example)
            keys, kept = keys[heads][alive], kept[heads][alive]
            there = keys >= 0
            column += np.bincount(keys[there], np.nan_to_num(kept[there]), len(column))
        real = int((~trace.padded(chosen.example, call.key_side)).sum())
        plane = call.plane if call.kind == "self" else nodes.planes[call.key_side] - 1
        where = nodes.first_of(call.key_side, plane) + np.arange(len(column))
        out[where] = np.nan_to_num(out[where]) + column / max(int(alive.sum()), 1) * real
    return out


def node_radii(trace: Trace, chosen: Chosen, nodes: NodeNumbers, places: Places, scale: float) -> Floats:
    """Return radii in CSS pixels: they grow with the attention received, an answer's with its share."""
    most = 3.1 if chosen.view == "3d" else 3.8
    room = max(1.2, min(most, places.spacing * scale * 0.15))
    share = np.minimum(np.nan_to_num(received_shares(trace, chosen, nodes), nan=0.4), 9)
    radii = room * (0.75 + 0.55 * np.sqrt(share))
    if nodes.answers and trace.outputs is not None:
        likely = np.nan_to_num(trace.outputs.probabilities[chosen.example][: nodes.answers])
        radii[nodes.first[-1] :] = 4 + 5 * np.sqrt(likely)
    return np.asarray(radii)
