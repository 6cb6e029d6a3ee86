"""Labels that never collide, where the viewer puts them (viewer/src/ui/labels.ts and maths/boxes.ts)."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headscape.draw.screen.edges import NodeNumbers
from headscape.draw.screen.looks import THEMES
from headscape.draw.screen.places import Places
from headscape.draw.screen.state import Chosen
from headscape.draw.words import clean_text
from headscape.trace.outputs import share_text
from headscape.trace.trace import Trace

Points = npt.NDArray[np.float64]

HEIGHT = 15.0
MOST_LABELS = 400
FROM_NODE = 7.0
# Free pixels around a label.
AIR = 1.0
SIZE_PX, CAPTION_PX = 12.0, 11.0


@dataclass(frozen=True)
class Wish:
    """A label, the corners (left, top) where it may stand, the best first, and how it is written."""

    text: str
    width: float
    spots: tuple[tuple[float, float], ...]
    priority: float
    colour: str
    size_px: float = SIZE_PX
    bold: bool = False
    name: str = ""


@dataclass(frozen=True, eq=False)
class Seen:
    """The nodes on the screen: x, y and depth (node, 3) and radii, CSS pixels."""

    trace: Trace
    chosen: Chosen
    nodes: NodeNumbers
    places: Places
    screen: Points
    radii: Points
    received: Points  # of each node
    measure: Callable[[str, float, bool], float]  # width of a text in CSS pixels

    def wish(
        self, text: str, node: int, sides: tuple[str, ...], *, priority: float, colour: str, **look: object
    ) -> Wish:
        """Return the wish for a label beside a node."""
        x, y = self.screen[node, :2]
        size, bold = float(look.get("size_px", SIZE_PX)), bool(look.get("bold", False))  # type: ignore[arg-type]
        width = float(np.ceil(self.measure(text, size, bold)))
        gap = float(look.get("radius", self.radii[node])) + FROM_NODE - 3  # type: ignore[arg-type]
        spots = {
            "left": (x - gap - width, y - HEIGHT / 2),
            "right": (x + gap, y - HEIGHT / 2),
            "above": (x - width / 2, y - gap - HEIGHT + 2),
            "below": (x - width / 2, y + gap - 1),
        }
        name = str(look.get("name", ""))
        return Wish(text, width, tuple(spots[s] for s in sides), priority, colour, size, bold, name)


def wish_labels(seen: Seen) -> list[Wish]:
    """Return all labels that there could be."""
    return [*_tokens(seen), *_answers(seen), *_captions(seen)]


def _tokens(seen: Seen) -> list[Wish]:
    trace, chosen, theme = seen.trace, seen.chosen, THEMES[seen.chosen.theme]
    wishes = []
    selection = chosen.selection or {}
    for place in seen.places.planes:
        side = trace.sides[place.side]
        tokens = trace.tokens(chosen.example, place.side)
        is_first, is_last = place.plane == 0, place.plane == side.planes - 1
        first = seen.nodes.first_of(place.side, place.plane)
        where = np.arange(first, first + side.length)
        there = where[np.isfinite(seen.screen[where, 0])]
        if not len(there):
            continue
        centre = seen.screen[there, :2].mean(0)
        reach = max(1.0, float(np.abs(seen.screen[there, 0] - centre[0]).max()))
        pictured = side.pictures is not None
        for node in there:
            token = int(node - first)
            picked = 0
            if selection.get("kind") == "token" and (selection["side"], selection["token"]) == (
                place.side,
                token,
            ):
                picked = 2 if selection.get("plane", 0) == place.plane else 1
            if not (chosen.view == "layer" or is_first or is_last) and picked < 2:
                continue
            if pictured and token not in side.unpictured and not picked:
                continue
            if chosen.view == "front" or place.shape == "column":
                sides = _column_sides(seen, (is_first, is_last), picked, place.centre[0])
            else:
                away = seen.screen[node, :2] - centre
                sides = _ring_sides(away, reach, chosen.view == "3d", (is_first, is_last), picked)
            if sides:
                share = float(np.nan_to_num(seen.received[node]))
                wishes.append(
                    seen.wish(
                        clean_text(tokens[token]), int(node), sides, bold=picked > 0, name=f"label-{node}",
                        priority=picked * 100 + share / 100, colour=theme.mark if picked else theme.ink,
                    )
                )  # fmt: skip
    return wishes


def _column_sides(seen: Seen, ends: tuple[bool, bool], picked: int, x: float) -> tuple[str, ...]:
    if seen.chosen.view == "layer":
        return ("right",) if x > 0 else ("left",)
    if ends[0]:
        return ("left",)
    # Rows are the same in every column: the right end is labelled where nothing stands behind it.
    is_last_side = seen.places.planes[-1].plane == seen.trace.sides[-1].planes - 1
    if ends[1] and ((seen.nodes.answers == 0 and is_last_side) or picked):
        return ("right",)
    return ("above", "below", "right", "left") if picked > 1 else ()


def _ring_sides(
    away: Points, reach: float, is_stack: bool, ends: tuple[bool, bool], picked: int
) -> tuple[str, ...]:
    """On a ring each token is labelled once: its left half on the first plane, its right half on the last."""
    is_left = away[0] < 0
    upright = "above" if away[1] < 0 else "below"
    level = "left" if is_left else "right"
    if is_stack and not picked and not (ends[0] if is_left else ends[1]):
        return ()
    return (upright, level) if abs(away[0]) < 0.25 * reach else (level, upright)


def _answers(seen: Seen) -> list[Wish]:
    outputs, chosen = seen.trace.outputs, seen.chosen
    if outputs is None:
        return []
    names, shares = outputs.names(chosen.example), outputs.probabilities[chosen.example]
    wishes = []
    for answer in range(seen.nodes.answers):
        node = seen.nodes.first[-1] + answer
        share = float(shares[answer])
        text = clean_text(names[answer], most=18)
        text = f"{text}  {share_text(share)}" if np.isfinite(share) else text
        if np.isfinite(seen.screen[node, 0]):
            wishes.append(
                seen.wish(
                    text, node, ("right",), priority=90 - answer, colour=THEMES[chosen.theme].ink,
                    bold=answer == 0, name=f"answer-{answer}",
                )
            )  # fmt: skip
    return wishes


def _captions(seen: Seen) -> list[Wish]:
    """Names of planes: what acts there."""
    chosen, trace = seen.chosen, seen.trace
    wishes = []
    for place in seen.places.planes if chosen.view != "layer" else ():
        calls = [c for c in trace.calls if (c.query_side, c.plane) == (place.side, place.plane)]
        # Without a call: behind the last layer; or a side that no layer works on, and is only read.
        text = "out" if place.plane else clean_text(trace.sides[place.side].name)
        if calls:
            text = f"L{calls[0].layer}{'×' if calls[0].kind == 'cross' else ''}"
        first = seen.nodes.first_of(place.side, place.plane)
        where = np.arange(first, first + trace.sides[place.side].length)
        there = where[np.isfinite(seen.screen[where, 0])]
        if not len(there):
            continue
        is_above = chosen.view == "front"
        y = seen.screen[there, 1]
        node = int(there[y.argmin() if is_above else y.argmax()])
        radius = max(8.0, float(seen.radii[node])) if is_above else 12.0
        wish = seen.wish(
            text, node, ("above",) if is_above else ("below",), priority=60, radius=radius,
            colour=THEMES[chosen.theme].soft, size_px=CAPTION_PX, name=f"caption-{place.side}-{place.plane}",
        )  # fmt: skip
        if not is_above:  # under the plane's middle
            shift = float(seen.screen[there, 0].mean() - seen.screen[node, 0])
            spots = tuple((x + shift, top) for x, top in wish.spots)
            wish = Wish(**{**wish.__dict__, "spots": spots})
        wishes.append(wish)
    return wishes


def place_labels(
    wishes: list[Wish], width: float, height: float, most: int = MOST_LABELS
) -> list[tuple[Wish, float, float]]:
    """Place as many labels as fit without overlap, by falling priority: (wish, left, top) of each."""
    placed: list[tuple[Wish, float, float]] = []
    boxes = np.empty((0, 4))
    for wish in sorted(wishes, key=lambda one: -one.priority):
        if len(placed) >= most:
            break
        for left, top in wish.spots:
            box = np.array([left - AIR, top - AIR, left + wish.width + AIR, top + HEIGHT + AIR])
            if box[0] < 0 or box[1] < 0 or box[2] > width or box[3] > height:
                continue
            hit = (
                (box[0] < boxes[:, 2])
                & (box[2] > boxes[:, 0])
                & (box[1] < boxes[:, 3])
                & (box[3] > boxes[:, 1])
            )
            if hit.any():
                continue
            boxes = np.vstack([boxes, box])
            placed.append((wish, left, top))
            break
    return placed
