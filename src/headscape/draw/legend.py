"""What the colours and widths mean, how much is shown, and what is missing: printed on every figure."""

import textwrap
from typing import Any

import numpy as np
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.offsetbox import AnchoredOffsetbox, DrawingArea, HPacker, TextArea, VPacker

from headscape.draw.edges import CLASS_SHARE, WIDTHS
from headscape.draw.scene import Scene
from headscape.draw.theme import LEVELS, ramp
from headscape.draw.words import clean_text
from headscape.graph.columns import EdgeKind
from headscape.graph.graph import percent

# What each scale compares, in the few words a legend has room for.
SCALE_WORDS = {
    "rank": "rank in the layer",
    "minmax": "weight, min to max of the layer",
    "lift": "weight against uniform (log2)",
    "log": "log weight, five decades",
    "contribution": "what the edge adds to the residual",
}


def draw_title(figure: Figure, scene: Scene, title: str | None) -> None:
    """Write the title, and under it what is shown of what."""
    theme, font = scene.theme, scene.font
    heading = clean_text(title if title is not None else scene.graph.model or "Attention", most=90)
    inch = 1 / figure.get_size_inches()
    left, top = 0.16 * inch[0], 1 - 0.14 * inch[1]
    style: dict[str, Any] = {"va": "top", "ha": "left", "parse_math": False, "usetex": False}
    figure.text(
        left, top, heading, fontsize=font * 1.35, color=theme.ink, weight="bold", gid="title", **style
    )
    below = top - font * 1.9 / 72 * inch[1]
    figure.text(left, below, shown_words(scene), fontsize=font, color=theme.soft, gid="shown", **style)


def shown_words(scene: Scene) -> str:
    """Say in one line how much is shown, the pruning and the scale."""
    graph = scene.graph
    if scene.view == "front":
        shown, total, share = graph.share(EdgeKind.VALUE, EdgeKind.CROSS)
        part = "" if np.isnan(share) else f", {percent(share)} of the value flow"
        counted = "value and cross" if (graph.totals.kind == EdgeKind.CROSS).any() else "value"
        said = f"{shown:,} of {total:,} {counted} edges{part}"
    else:
        said = graph.summary()
    pruned = ", ".join(f"pruning {p}" for p in graph.prunings) or "not pruned"
    return f"{said}  ·  {pruned}  ·  strength: {SCALE_WORDS[graph.scale]}"


def draw_legend(figure: Figure, scene: Scene) -> float:
    """Draw the key of colours and widths at the bottom, and notes on what is missing.

    Returns
    -------
    float
        Height it takes, as a share of the figure's.
    """
    rows: list[Artist] = [_packed(_key(scene)), _text(scene, _reading(scene), soft=True)]
    notes = _notes(scene)
    if notes:
        width = int(figure.get_size_inches()[0] * 72 / (scene.font * 0.5))
        for line in textwrap.wrap("; ".join(notes), width)[:3]:
            rows.insert(0, _text(scene, line, soft=True))
    box = AnchoredOffsetbox(
        loc="lower left",
        child=VPacker(children=rows, pad=0, sep=3, align="left"),
        frameon=False,
        pad=0.6,
        borderpad=0.3,
        bbox_to_anchor=(0, 0, 1, 1),
        bbox_transform=figure.transFigure,
    )
    box.set_gid("legend")
    figure.add_artist(box)
    height_points = figure.get_size_inches()[1] * 72
    return float((len(rows) * (scene.font * 1.3 + 3) + scene.font) / height_points)


def _key(scene: Scene) -> list[Artist]:
    theme, graph = scene.theme, scene.graph
    thin, thick = WIDTHS[EdgeKind.ATTENTION]
    middles = (np.arange(LEVELS) + 0.5) / LEVELS
    widths = (thin + (thick - thin) * middles**1.6) * scene.thickness
    items: list[Artist] = [_text(scene, "weak")]
    items += [
        _swatch(scene, (c[0], c[1], c[2]), w) for c, w in zip(ramp(theme, theme.one), widths, strict=True)
    ]
    items.append(_text(scene, "strong"))
    if scene.by_head:
        items.append(_text(scene, "   head"))
        for head in sorted({h for call in graph.calls for h in call.heads}):
            items.append(_swatch(scene, theme.heads[head], 2.6, length=1.0))
            items.append(_text(scene, str(head)))
    elif {h for call in graph.calls for h in call.heads} == {-1}:
        items.append(_text(scene, "   mean over heads"))
    if (graph.edges.kind == EdgeKind.CLASS).any() and len(scene.classes()):
        items += [_text(scene, "   "), _swatch(scene, theme.plus, 2.0), _text(scene, "raises")]
        items += [_swatch(scene, theme.minus, 2.0), _text(scene, "lowers the score")]
    return items


def _reading(scene: Scene) -> str:
    """Say what lines and nodes are."""
    between = "between planes: what values carry, grey the residual"
    if scene.view == "front":
        return f"{between}; node size: attention received"
    inside = "in a plane: attention; ring: to itself; node size: attention received"
    return inside if scene.view == "layer" else f"{inside}; {between}"


def _notes(scene: Scene) -> list[str]:
    graph = scene.graph
    notes = list(graph.notes)
    uniform = [f"{call.layer}.{head}" for call in graph.calls for head in call.uniform if head >= 0]
    uniform += [f"{call.layer}" for call in graph.calls if -1 in call.uniform]
    if uniform:
        more = f" and {len(uniform) - 8} more" if len(uniform) > 8 else ""
        notes.append(f"uniform, drawn faint: layer.head {', '.join(uniform[:8])}{more}")
    of_class = graph.edges.kind == EdgeKind.CLASS
    if of_class.any() and len(scene.classes()):
        drawn = of_class & (graph.edges.strength >= CLASS_SHARE) & scene.drawn[graph.edges.target]
        if graph.method != "exact":
            notes.append(f"tokens' parts of the scores are an estimate ({graph.method})")
        if drawn.sum() < of_class.sum():
            notes.append(
                f"{drawn.sum()} of {of_class.sum()} class edges drawn: from {CLASS_SHARE:.0%} of the largest"
            )
    return notes


def _packed(items: list[Artist]) -> HPacker:
    return HPacker(children=items, pad=0, sep=4, align="center")


def _text(scene: Scene, words: str, *, soft: bool = False) -> TextArea:
    colour = scene.theme.soft if soft else scene.theme.ink
    style = {"fontsize": scene.font * 0.95, "color": colour, "parse_math": False, "usetex": False}
    return TextArea(words, textprops=style)


def _swatch(
    scene: Scene, colour: str | tuple[float, float, float], width: float, *, length: float = 1.6
) -> DrawingArea:
    size = scene.font * length
    area = DrawingArea(size, scene.font * 0.8)
    area.add_artist(
        Line2D([0, size], [scene.font * 0.4] * 2, color=colour, linewidth=width, solid_capstyle="round")
    )
    return area
