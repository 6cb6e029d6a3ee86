"""What stands under a picture: the title, how much is shown of what, by which scale, and what is missing."""

import textwrap
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from headscape.draw.screen.edges import ATTENTION, CROSS, VALUE
from headscape.draw.screen.looks import THEMES
from headscape.draw.theme import MOST_HUES
from headscape.draw.words import clean_text
from headscape.graph.graph import percent
from headscape.trace.measure import sums_note

if TYPE_CHECKING:
    from headscape.draw.screen.picture import Picture

LINE_PX = 17.0
FONT_PX = 12.0
# Letters of a line, on average so many CSS pixels each.
LETTER_PX = 5.7

SCALES = {
    "rank": "rank: share of the layer's drawn edges that are no stronger",
    "paper": "paper: opacity = (w - min) / (max - min) of the layer's drawn edges, the term paper's",
    "lift": "lift: (log2(w x visible keys) + 3) / (top + 3); uniform attention is lift 1",
    "log": "log: 1 + log10(w / largest of the layer) / 5",
    "contribution": "contribution: |w v W_O| / largest of the layer",
}
DIRECTIONS = {
    "sum": "both directions added up",
    "forward": "directed, wide at the query",
    "backward": "directed, wide at the key",
    "asymmetry": "difference of the two directions",
}


def foot_height(picture: "Picture") -> float:
    """Return the height of the words under a picture, CSS pixels."""
    return (len(_lines(picture)) + 1.6) * LINE_PX


def write_foot(figure: Figure, picture: "Picture", title: str | None, height: float) -> None:
    """Write the title, what is shown, and the hues of heads."""
    theme = THEMES[picture.chosen.theme]
    width = picture.camera.size[0]
    whole = picture.camera.size[1] + height
    style: dict[str, Any] = {"va": "center", "ha": "left", "parse_math": False, "usetex": False}
    heading = clean_text(title if title is not None else picture.trace.model or "Attention", most=90)
    y = height - 0.8 * LINE_PX
    figure.text(
        14 / width,
        y / whole,
        heading,
        fontsize=FONT_PX * 0.8,
        weight="bold",
        color=theme.ink,
        gid="title",
        **style,
    )
    _write_hues(figure, picture, y / whole)
    for n, (line, gid) in enumerate(_lines(picture)):
        at = (y - (n + 1) * LINE_PX) / whole
        colour = theme.ink if gid == "shown" else theme.soft
        figure.text(14 / width, at, line, fontsize=FONT_PX * 0.72, color=colour, gid=gid, **style)


def _write_hues(figure: Figure, picture: "Picture", y: float) -> None:
    """Small squares with the numbers of the heads that have a hue, at the right end of the title's line."""
    chosen, theme = picture.chosen, THEMES[picture.chosen.theme]
    heads = picture.heads
    drawn = {h for n, c in enumerate(picture.trace.calls) for h in chosen.drawn_heads(n, c.shape[1])}
    hued = [h for h in sorted(drawn) if chosen.hue_of(h, heads) >= 0] if chosen.merge == "each" else []
    width, whole = picture.camera.size[0], figure.get_size_inches()[1] * 100
    style: dict[str, Any] = {"va": "center", "ha": "right", "parse_math": False, "usetex": False}
    x = width - 14.0
    words = "mean of heads" if chosen.merge == "mean" else "" if hued else "all heads"
    if words:
        figure.text(x / width, y, words, fontsize=FONT_PX * 0.72, color=theme.soft, **style)
    for head in hued[:MOST_HUES][::-1]:
        figure.text(x / width, y, str(head), fontsize=FONT_PX * 0.72, color=theme.soft, **style)
        x -= 8.0 * len(str(head)) + 14
        colour = theme.heads[chosen.hue_of(head, heads)]
        box = Rectangle(
            (x / width, y - 4 / whole), 10 / width, 8 / whole, color=colour, transform=figure.transFigure
        )
        box.set_gid(f"hue-{head}")
        figure.add_artist(box)
        x -= 10
    if hued:
        figure.text(x / width, y, "head", fontsize=FONT_PX * 0.72, color=theme.soft, **style)


def shown_words(picture: "Picture") -> str:
    """Say how many edges of how many are drawn, and what they hold."""
    counts = np.bincount(picture.edges.kind, minlength=6)
    names = ((ATTENTION, "attention"), (CROSS, "cross"), (VALUE, "value"))
    parts = [
        f"{counts[k]:,} of {picture.held.totals[k]:,} {name} edges"
        for k, name in names
        if picture.held.totals[k]
    ]
    second = (picture.edges.kind == VALUE) & (counts[ATTENTION] > 0)
    mass = float(picture.edges.mass[~second].sum(dtype=float))
    what = "difference" if picture.chosen.direction == "asymmetry" and counts[ATTENTION] else "attention"
    if picture.held.mass > 0:
        parts.append(f"{percent(min(mass / picture.held.mass, 1))} of the {what}")
    if picture.held.carried > 0:
        parts.append(f"{percent(min(picture.carried_shown / picture.held.carried, 1))} of what values carry")
    if picture.shown > len(picture.edges):
        parts.append(f"{picture.shown:,} pass the threshold, the strongest are drawn")
    return "  ·  ".join(parts) or "0 edges"


def _pruning(picture: "Picture") -> str:
    if not np.isfinite(picture.limit):
        return "not pruned"
    if picture.chosen.prune == "layer":
        return f"the {picture.limit:,.0f} strongest edges of each layer"
    if picture.chosen.prune == "row":
        return f"each token's strongest edges up to {percent(picture.limit)} of its attention"
    return f"edges of at least {percent(picture.limit)} of the largest strength"


def _lines(picture: "Picture") -> list[tuple[str, str]]:
    chosen = picture.chosen
    read = f"{_pruning(picture)}; strength by {SCALES[chosen.scale]}; {DIRECTIONS[chosen.direction]}"
    if chosen.view == "layer":
        read = f"layer {picture.trace.calls[chosen.layer].layer}: {read}"
    letters = max(40, int((picture.camera.size[0] - 28) / LETTER_PX))
    lines = [(line, "shown") for line in textwrap.wrap(shown_words(picture), letters)]
    lines += [(line, "how") for line in textwrap.wrap(read, letters)]
    notes = "; ".join(_notes(picture))
    return lines + [(line, "notes") for line in textwrap.wrap(notes, letters)[:3]]


def _notes(picture: "Picture") -> list[str]:
    """What of the pass is not in the picture."""
    trace, chosen = picture.trace, picture.chosen
    notes = []
    cut = {call.k: call for call in trace.calls if not call.is_whole and call.k is not None}
    for k, call in cut.items():
        kept = call.kept_mass(chosen.example)[call.visible(chosen.example) > 0]
        notes.append(
            f"capture kept {k} of {call.shape[3]} keys a row, {percent(float(kept.mean()))} of the attention"
        )
    flat = picture.edges.flat
    if flat.any():
        heads = sorted(
            set(zip(picture.edges.call[flat].tolist(), picture.edges.head[flat].tolist(), strict=True))
        )
        named = ", ".join(
            f"{trace.calls[c].layer}.{h}" if h >= 0 else f"{trace.calls[c].layer}" for c, h in heads[:8]
        )
        notes.append(f"uniform, drawn flat: layer.head {named}{' and more' if len(heads) > 8 else ''}")
    if chosen.sinks == "folded":
        notes.append("keys that take attention whatever they mean are folded away")
    nan = sum(
        int((np.isnan(c.stats.entropy[chosen.example]) & ~c.padded(chosen.example)).sum())
        for c in trace.calls
    )
    if nan:
        notes.append(f"{nan} rows hold NaN and are not drawn")
    whole = [c.weights(chosen.example) for c in trace.calls if c.k is None][:1]
    if whole and (said := sums_note(np.nan_to_num(whole[0]).sum(-1))):
        notes.append(said)
    return notes
