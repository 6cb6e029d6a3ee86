"""A state of the viewer, read from a dict, JSON text or a link, with the viewer's own defaults."""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote

import numpy as np

from headscape.draw.theme import MOST_HUES
from headscape.errors import OptionError, expect_option
from headscape.trace.trace import Trace

GRAPH_VIEWS = ("3d", "front", "layer")
# The words that a state may hold, as in viewer/src/ui/state.ts.
WORDS = {
    "view": GRAPH_VIEWS,
    "layout": ("ring", "line", "grid"),
    "scale": ("rank", "paper", "lift", "log", "contribution"),
    "prune": ("layer", "row", "strength"),
    "direction": ("sum", "forward", "backward", "asymmetry"),
    "merge": ("each", "mean"),
    "sinks": ("shown", "folded"),
    "theme": ("light", "dark"),
}
SWITCHES = ("attention", "values", "residual", "answers", "coloured", "feedForward")
PREFIX = "headscape="


@dataclass(frozen=True)
class Chosen:
    """What a person chose to see in the viewer; names as in its state.

    ``layer`` and ``layers`` are places in ``trace.calls``; ``heads`` have a hue, and with ``coloured`` no
    others are drawn; ``solo`` is (call, head) alone. ``slider`` is the threshold, 0 to 1 (None: usual).
    """

    example: int
    view: str
    layout: str
    scale: str
    prune: str
    direction: str
    merge: str
    sinks: str
    theme: str
    attention: bool
    values: bool
    residual: bool
    answers: bool
    coloured: bool
    feed_forward: bool
    heads: tuple[int, ...]
    solo: tuple[int, int] | None
    layer: int
    layers: frozenset[int]
    slider: float | None
    camera: Mapping[str, Any] | None
    selection: Mapping[str, Any] | None

    def drawn_heads(self, call: int, heads: int) -> list[int]:
        """Return the heads of a call that are drawn."""
        if self.solo:
            return [self.solo[1]] if self.solo[0] == call and self.solo[1] < heads else []
        if call not in self.layers:
            return []
        if not self.coloured or not self.heads:
            return list(range(heads))
        return [head for head in range(heads) if head in self.heads]

    def hue_of(self, head: int, heads: int) -> int:
        """Return which of the eight hues a head has; -1: the neutral one."""
        if head < 0:
            return -1
        if heads <= MOST_HUES:
            return head
        if self.solo and self.solo[1] == head and head not in self.heads:
            return 0
        place = self.heads.index(head) if head in self.heads else -1
        return place if place < MOST_HUES else -1


def parse_state(view: str | Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the state that a dict, its JSON text or a link holds; None for the plain name of a view.

    Raises
    ------
    OptionError
        The text holds no state.
    """
    if not isinstance(view, str):
        if isinstance(view, Mapping):
            return dict(view)
        raise OptionError(
            f"view is of type {type(view).__name__}; pass a view's name, or a viewer's state or link."
        )
    text = view.strip()
    if PREFIX in text:
        text = unquote(text.split(PREFIX, 1)[1])
    if not text.startswith("{"):
        return None
    try:
        state = json.loads(text)
    except json.JSONDecodeError as fault:
        raise OptionError(
            f"view={view[:60]!r}... is no viewer's state: {fault}. Copy it anew from the page's menu, "
            "or pass widget.state."
        ) from None
    return dict(state)


def read_state(trace: Trace, state: Mapping[str, Any], example: int | None = None) -> Chosen:
    """Fill a state up with what the viewer opens with.

    Parameters
    ----------
    trace : Trace
        What the state is of.
    state : mapping
        As the viewer's ``state()`` gives it, or a part of it. What is not known is left alone, so that a
        newer viewer's state can be read.
    example : int, optional
        Default: the state's frame.

    Raises
    ------
    OptionError
        A value that the viewer does not have, a view that is no graph, a head or layer that is not there.
    """
    heads = max((call.shape[1] for call in trace.calls), default=1)
    few = heads <= MOST_HUES
    pictured = any(side.grid is not None or side.pictures is not None for side in trace.sides)
    usual = {
        **{name: words[0] for name, words in WORDS.items()},
        **dict.fromkeys(SWITCHES, True),
        "feedForward": False,
        "layout": "grid" if pictured else "ring",
        "coloured": few,
        "heads": list(range(heads)) if few else [],
        "solo": None,
        "layer": 0,
        "layers": list(range(len(trace.calls))),
    }
    found = usual | {name: value for name, value in state.items() if name in usual}
    if found["scale"] == "minmax":  # as the graph calls it
        found["scale"] = "paper"
    for name, words in WORDS.items():
        expect_option("the viewer's state", name, found[name], words)
    solo = found["solo"]
    calls = len(trace.calls)
    _expect_numbers("heads", found["heads"], heads)
    _expect_numbers("layers", found["layers"], calls)
    _expect_numbers("layer", [found["layer"]], calls)
    if solo is not None:
        _expect_numbers("solo.call", [solo["call"]], calls)
        _expect_numbers("solo.head", [solo["head"]], heads)
    frame = state.get("frame", 0)
    if example is None:
        example = frame if isinstance(frame, int) and 0 <= frame < trace.batch else 0
    named: dict[str, Any] = {name: found[name] for name in (*WORDS, "layer")}
    named |= {name: bool(found[name]) for name in SWITCHES}
    named["feed_forward"] = named.pop("feedForward")
    return Chosen(
        **named,
        example=example,
        heads=tuple(found["heads"]),
        solo=None if solo is None else (solo["call"], solo["head"]),
        layers=frozenset(found["layers"]),
        slider=_number(state.get("slider")),
        camera=state.get("camera"),
        selection=state.get("selection"),
    )


def _expect_numbers(name: str, values: Any, length: int) -> None:
    """Raise unless all values are numbers from 0 to length - 1."""
    wrong = [v for v in values if not isinstance(v, int | np.integer) or not 0 <= v < length]
    if wrong:
        raise OptionError(
            f"the viewer's state has {name} {wrong[0]!r}, but this trace has 0 to {length - 1}. "
            "Is it the state of another trace?"
        )


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None
