"""The flow to the answer: routes from token to token, and beside each token what it brings."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from headscape.analysis.routes import RouteKind
from headscape.draw.sheet.heads import _few
from headscape.draw.sheet.page import SMALL, Page, name_axis, plain
from headscape.draw.sheet.parts import Column, Sheet
from headscape.draw.theme import Theme

# Points of the line that the whole answer would pass.
_WIDEST = 7.0
# Share of a column's width between columns.
_GAP_IN = 0.14


def draw_flow(page: Page, sheet: Sheet, box: tuple[float, float, float, float], split: float) -> None:
    """Draw routes on the left of ``split`` (inches) and the columns of numbers on the right."""
    left, top, width, height = box
    axes = page.axes(left, top, split - left, height)
    rows = len(sheet.rows) + (sheet.others > 0)
    _draw_routes(page, axes, sheet)
    labels = [plain(label) for label in sheet.labels]
    axes.yaxis.set_major_locator(FixedLocator(range(rows)))
    axes.set_yticklabels([*labels, *([f"{sheet.others} others"] if sheet.others else [])], parse_math=False)
    axes.tick_params(axis="y", length=0, labelsize=SMALL)
    axes.set_ylim(rows - 0.4, -0.6)
    room = (left + width - split) / len(sheet.columns)
    for place, column in enumerate(sheet.columns):
        at = split + _GAP_IN + place * room
        _draw_column(page, page.axes(at, top, room - _GAP_IN, height), column, rows, sheet.unit)


def _draw_routes(page: Page, axes: Axes, sheet: Sheet) -> None:
    theme = page.theme
    calls = len(sheet.changes)
    axes.set_xlim(0, calls + 0.25)
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.xaxis.set_major_locator(FixedLocator([at + 0.5 for at in _few(calls)]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda at, _: sheet.calls[int(at)]))
    name_axis(axes, theme, x="layer (left: input, right: answer)")
    if sheet.routes is None:
        page.absent(axes, "routes not known: see the text")
        return
    places = {row: n for n, row in enumerate(sheet.rows)}
    rest = len(sheet.rows)
    edges = sheet.routes.edges
    for kind, colour in ((RouteKind.RESIDUAL, theme.residual), (RouteKind.ATTENTION, theme.one)):
        found = edges.select(edges.kind == kind)
        found = found.select(np.argsort(found.importance))
        lines, sizes = [], []
        for call, query, key, importance in zip(
            found.layer.tolist(), found.query.tolist(), found.key.tolist(), found.importance, strict=True
        ):
            of_query, of_key = sheet.sides[call]
            start, end = places.get((of_key, key), rest), places.get((of_query, query), rest)
            if kind is RouteKind.RESIDUAL:
                start = end
            lines.append([(call, start), (call + 1, end)])
            sizes.append(float(importance))
        _draw_lines(axes, lines, np.array(sizes), colour, theme, str(kind.name).lower())
    answer = sheet.routes.answer
    for token in np.flatnonzero(answer.rows > 0.005).tolist():
        at = places.get((answer.side, token), rest)
        size = 2 + 40 * float(answer.rows[token])
        axes.scatter([calls], [at], s=size, color=theme.ink, linewidths=0, zorder=5, clip_on=False, gid="answer")


def _draw_lines(
    axes: Axes, lines: list[list[tuple[float, float]]], share: np.ndarray, colour: str, theme: Theme, gid: str
) -> None:
    """Draw lines as wide as their share of the answer, the faint ones paler."""
    from matplotlib.colors import to_rgba

    colours = [to_rgba(colour, float(np.clip(0.18 + 6 * one, 0, 0.95))) for one in share]
    widths = np.clip(_WIDEST * np.sqrt(share) * 0.6, 0.15, _WIDEST)
    axes.add_collection(LineCollection(lines, colors=colours, linewidths=widths, capstyle="round", gid=gid))


def _draw_column(page: Page, axes: Axes, column: Column, rows: int, unit: str) -> None:
    theme = page.theme
    axes.set_ylim(rows - 0.4, -0.6)
    axes.yaxis.set_major_locator(FixedLocator([]))
    axes.spines["left"].set_visible(False)
    words = column.unit or unit
    axes.set_title(column.title, fontsize=SMALL, color=theme.ink, pad=3, gid="column")
    name_axis(axes, theme, x="% of the answer" if words == "%" else words)
    if column.values is None:
        page.absent(axes, "not known")
        return
    values = np.nan_to_num(column.values)
    for_answer = values < 0 if column.title.startswith("without") else values >= 0
    colours = np.where(for_answer, theme.plus, theme.minus) if words != "%" else [theme.one] * len(values)
    axes.barh(range(len(values)), values, 0.62, color=list(colours), gid=column.title)
    axes.axvline(0, color=theme.ink, linewidth=0.5)
    axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.grid(axis="x", color=theme.rim, linewidth=0.5)
    axes.margins(x=0.06)
