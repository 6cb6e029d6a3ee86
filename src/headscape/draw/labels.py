"""Labels beside nodes, placed anew at each draw: outside their plane, apart from each other, never on top."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from matplotlib.backend_bases import RendererBase
from matplotlib.collections import LineCollection
from matplotlib.text import Text
from matplotlib.transforms import IdentityTransform

from headscape.draw.canvas import PlanesAxes
from headscape.draw.planes import rim
from headscape.draw.scene import Scene
from headscape.draw.words import clean_text
from headscape.trace.outputs import share_text

Points = npt.NDArray[np.float64]

# Above every plane: planes are stacked from 1000, ten apart.
TOP = 1_000_000
# With fewer planes there is room for labels on both sides of the first; else its right half is labelled at
# the last plane only.
FEW_PLANES = 5
# A label that has to stand further from its node than this many lines is left out.
FARTHEST_LINES = 3.0
# In a column each label stays in its row: within this many lines.
NEAR_LINES = 0.3
# Letters below this many points are read by nobody; then some rows go without a label.
SMALLEST_FONT = 5.0


@dataclass(frozen=True, eq=False)
class LabelSet:
    """Labels of one plane: their nodes, and on which sides of the plane they may stand."""

    nodes: npt.NDArray[np.intp]
    texts: list[Text]
    left: bool
    right: bool


def new_text(axes: PlanesAxes, scene: Scene, words: str, **style: object) -> Text:
    """Add text in pixels, on a patch of the paper's colour; never taken for mathematics."""
    options = {"fontsize": scene.font, "color": scene.theme.ink, **style}
    text = Text(0, 0, words, parse_math=False, usetex=False, zorder=TOP, va="center", **options)  # type: ignore[arg-type]
    text.set_transform(IdentityTransform())
    # A patch of paper, not an outline: outlined text is no text any more in SVG and PDF.
    text.set_bbox(
        {"facecolor": scene.theme.paper, "edgecolor": "none", "alpha": 0.72, "boxstyle": "square,pad=0.05"}
    )
    axes.add_artist(text)
    text.set_clip_on(False)
    return text


class Labels:
    """All labels of a figure; an axes calls it before each draw."""

    def __init__(self, axes: PlanesAxes, scene: Scene) -> None:
        self.axes = axes
        self.scene = scene
        self.sets: list[LabelSet] = []
        self.captions: list[tuple[Text, npt.NDArray[np.intp]]] = []
        self.gaps: dict[int, float] = {}  # lines between a node and its label, where not the usual
        self.leaders = LineCollection([], linewidths=0.5, colors=scene.theme.soft, zorder=TOP - 1)
        self.leaders.set_transform(IdentityTransform())
        self.leaders.set_gid("leaders")
        # On the figure: 3D axes take every collection of theirs for a 3D one.
        axes.figure.add_artist(self.leaders)
        self._add_tokens()
        self._add_classes()
        self._add_captions()
        axes.before_draw.append(self.place)

    def _add_tokens(self) -> None:
        graph = self.scene.graph
        planes = self.scene.planes()
        for side in sorted({side for side, _, _ in planes}):
            of_side = [members for s, _, members in planes if s == side]
            ends = [of_side[0]] if len(of_side) == 1 else [of_side[0], of_side[-1]]
            for place, whole in enumerate(ends):
                members = whole
                if side in self.scene.pictures:
                    members = members[np.isin(graph.nodes.token[members], graph.sides[side].unpictured)]
                texts = [
                    new_text(self.axes, self.scene, clean_text(str(graph.nodes.label[n]))) for n in members
                ]
                for text, node in zip(texts, members, strict=True):
                    text.set_gid(f"label-{node}")
                alone = len(ends) == 1
                is_right = alone or place == 1 or len(of_side) < FEW_PLANES
                self.sets.append(LabelSet(members, texts, left=place == 0, right=is_right))

    def _add_classes(self) -> None:
        classes, nodes = self.scene.classes(), self.scene.graph.nodes
        texts = []
        for place, node in enumerate(classes):
            share = float(nodes.probability[node])
            said = share_text(share) if np.isfinite(share) else "NaN"
            words = f"{clean_text(str(nodes.label[node]))}  {said}"
            is_answer = node == self.scene.answer
            weight = "bold" if is_answer else "normal"
            colour = self.scene.theme.mark if is_answer else self.scene.theme.ink
            text = new_text(self.axes, self.scene, words, fontweight=weight, color=colour)
            text.set_gid(f"class-{place}")
            self.gaps[id(text)] = 0.9
            texts.append(text)
        self.sets.append(LabelSet(classes, texts, left=False, right=True))

    def _add_captions(self) -> None:
        graph = self.scene.graph
        for side, plane, members in self.scene.planes():
            layers = [c.layer for c in graph.calls if (c.query_side, c.plane) == (side, plane)]
            if not layers:  # behind the last layer; or a side that no layer works on, and is only read
                words = "out" if plane else clean_text(graph.sides[side].name)
            else:
                words = f"layer {layers[0]}" if plane == 0 else f"{layers[0]}"
            text = new_text(
                self.axes,
                self.scene,
                words,
                color=self.scene.theme.soft,
                fontsize=self.scene.font * 0.9,
                ha="center",
            )
            text.set_gid(f"caption-{side}-{plane}")
            self.captions.append((text, members))

    def place(self, renderer: RendererBase) -> None:
        """Put every label where it can be read, and hide those for which there is no room."""
        line = self.scene.font * float(renderer.points_to_pixels(1.0)) * 1.18  # type: ignore[arg-type]
        leaders: list[Points] = []
        for labels in self.sets:
            if len(labels.nodes):
                leaders += self._place_set(labels, line)
        self.leaders.set_segments(leaders)
        for text, members in self.captions:
            at = self.axes.pixels(rim(self.scene, self.scene.at[members]))
            lowest = at[at[:, 1] < at[:, 1].min() + 1].mean(axis=0)
            text.set_position((lowest[0], lowest[1] - 0.8 * line))

    def _place_set(self, labels: LabelSet, line: float) -> list[Points]:
        at = self.axes.pixels(self.scene.at[labels.nodes])
        first = labels.nodes[0]
        nodes = self.scene.graph.nodes
        whole = np.flatnonzero(
            self.scene.drawn
            & (nodes.kind == nodes.kind[first])
            & (nodes.side == nodes.side[first])
            & (nodes.plane == nodes.plane[first])
        )
        around = self.axes.pixels(self.scene.at[whole])
        middle = (around[:, 0].min() + around[:, 0].max()) / 2
        to_right = at[:, 0] > middle + 0.5 if labels.left else np.ones(len(at), dtype=bool)
        if not labels.left:
            to_right &= at[:, 0] >= middle - 0.5
        farthest = FARTHEST_LINES * line
        if self.scene.layout == "line":  # a label that leaves its row names another
            line = self._fit_rows(labels, at, line)
            farthest = NEAR_LINES * line
        leaders: list[Points] = []
        shown = np.zeros(len(at), dtype=bool)
        importance = np.nan_to_num(nodes.received[labels.nodes])
        for is_right in (False, True):
            if not (labels.right if is_right else labels.left):
                continue
            group = np.flatnonzero(to_right == is_right)
            places = spread(at[group, 1], importance[group], line, farthest)
            for index, y in zip(group, places, strict=True):
                if np.isnan(y):
                    continue
                shown[index] = True
                leaders += self._put(labels.texts[index], at[index], y, is_right, line)
        for text, is_shown in zip(labels.texts, shown, strict=True):
            text.set_visible(bool(is_shown))
        return leaders

    def _fit_rows(self, labels: LabelSet, at: Points, line: float) -> float:
        """Make labels as small as their rows, down to what can be read; return their height in pixels."""
        rows = np.diff(np.sort(at[:, 1]))
        step = float(np.median(rows)) if len(rows) else line
        share = float(np.clip(step / line, min(1, SMALLEST_FONT / self.scene.font), 1))
        for text in labels.texts:
            text.set_fontsize(self.scene.font * share)
        return line * share

    def _put(self, text: Text, node: Points, y: float, is_right: bool, line: float) -> list[Points]:
        away = self.gaps.get(id(text), 0.62) * line + min(abs(y - node[1]) * 0.8, line)
        x = node[0] + (away if is_right else -away)
        text.set_position((x, y))
        text.set_horizontalalignment("left" if is_right else "right")
        if abs(y - node[1]) < 0.35 * line:
            return []
        return [np.array([node, (x + (-2 if is_right else 2), y)])]


def spread(
    y: npt.NDArray[np.float64], importance: npt.NDArray[np.floating], line: float, farthest: float
) -> npt.NDArray[np.float64]:
    """Return heights near ``y`` at least ``line`` apart; NaN for labels that find no room.

    Parameters
    ----------
    y : (label,) float array
        Wanted heights in pixels.
    importance : (label,) float array
        Where there is no room for all, the least important go first.
    line, farthest : float
        Least distance between labels, and most between a label and its wanted height, in pixels.

    Returns
    -------
    (label,) float array
        In the order of ``y``'s entries.
    """
    keep = np.arange(len(y))
    while len(keep):
        order = keep[np.argsort(y[keep], kind="stable")]
        placed = _apart(y[order], line)
        off = np.abs(placed - y[order])
        if off.max() <= farthest:
            out = np.full(len(y), np.nan)
            out[order] = placed
            return out
        # Give up the least important of the crowd around the label that is farthest off.
        worst = int(off.argmax())
        crowd = order[np.abs(y[order] - y[order[worst]]) <= max(4 * line, farthest)]
        keep = keep[keep != crowd[np.argmin(importance[crowd])]]
    return np.full(len(y), np.nan)


def _apart(y: npt.NDArray[np.float64], line: float) -> npt.NDArray[np.float64]:
    """Least-squares heights with a least distance, for rising ``y`` (pool adjacent violators)."""
    shifted = y - line * np.arange(len(y))
    blocks: list[list[float]] = []  # mean, count
    for value in shifted:
        blocks.append([float(value), 1.0])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            mean, count = blocks.pop()
            before, many = blocks[-1]
            blocks[-1] = [(before * many + mean * count) / (many + count), many + count]
    flat = np.concatenate([np.full(int(count), mean) for mean, count in blocks])
    return np.asarray(flat + line * np.arange(len(y)))
