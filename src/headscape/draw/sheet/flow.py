"""The flow to the answer: routes from token to token, and beside each token what it brings."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from headscape.analysis.routes import RouteKind
from headscape.draw.sheet.heads import few
from headscape.draw.sheet.page import SMALL, Page, name_axis, plain
from headscape.draw.sheet.parts import Column, Sheet

# Points of the widest line.
_WIDEST = 5.0
# A line of the routes: the call it passes, and the rows where it starts and ends.
Line = tuple[int, int, int]
# Between columns.
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
    axes.xaxis.set_major_locator(FixedLocator([at + 0.5 for at in few(calls)]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda at, _: sheet.calls[int(at)]))
    name_axis(axes, theme, x="layer (left: input, right: answer)")
    if sheet.routes is None:
        page.absent(axes, "routes not known: see the text")
        return
    lines = {kind: _lines(sheet, kind) for kind in (RouteKind.RESIDUAL, RouteKind.ATTENTION)}
    rest = len(sheet.rows)  # tokens that share a row outweigh any token alone: they do not set the scale
    alone = [
        share for found in lines.values() for line, share in found.items() if rest not in (line[1], line[2])
    ]
    most = max(alone, default=1.0)
    for kind, found in lines.items():
        colour = theme.residual if kind is RouteKind.RESIDUAL else theme.one
        _draw_lines(axes, found, most, colour, kind.name.lower())
    places, _ = _places(sheet)
    answer = sheet.routes.answer
    for token in np.flatnonzero(answer.rows > 0.005).tolist():
        at = places.get((answer.side, token), rest)
        size = 2 + 40 * float(answer.rows[token])
        axes.scatter(
            [calls], [at], s=size, color=theme.ink, linewidths=0, zorder=5, clip_on=False, gid="answer"
        )


def _places(sheet: Sheet) -> tuple[dict[tuple[int, int], int], int]:
    """Return the row of each token that has one, and the row of all others."""
    return {row: n for n, row in enumerate(sheet.rows)}, len(sheet.rows)


def _lines(sheet: Sheet, kind: RouteKind) -> dict[Line, float]:
    """Return the share of the answer by line; edges of tokens that share a row share a line."""
    found: dict[Line, float] = {}
    if sheet.routes is None:
        return found
    edges = sheet.routes.edges
    edges = edges.select(edges.kind == kind)
    places, rest = _places(sheet)
    ends = zip(edges.layer.tolist(), edges.query.tolist(), edges.key.tolist(), strict=True)
    for (call, query, key), share in zip(ends, edges.importance.tolist(), strict=True):
        of_query, of_key = sheet.sides[call]
        end = places.get((of_query, query), rest)
        start = end if kind is RouteKind.RESIDUAL else places.get((of_key, key), rest)
        found[call, start, end] = found.get((call, start, end), 0.0) + share
    return found


def _draw_lines(axes: Axes, found: dict[Line, float], most: float, colour: str, gid: str) -> None:
    """Draw lines as wide as their share of the answer, the faint ones paler."""
    order = sorted(found, key=lambda line: found[line])
    part = [min(found[line] / most, 1.0) for line in order]
    ends = [[(call, start), (call + 1, end)] for call, start, end in order]
    colours = [to_rgba(colour, min(0.16 + 3.5 * one, 0.95)) for one in part]
    widths = [max(_WIDEST * one, 0.4) for one in part]
    axes.add_collection(LineCollection(ends, colors=colours, linewidths=widths, capstyle="round", gid=gid))


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
    for_answer = values < 0 if column.title.startswith("nobody") else values >= 0
    colours = np.where(for_answer, theme.plus, theme.minus) if words != "%" else [theme.one] * len(values)
    axes.barh(range(len(values)), values, 0.62, color=list(colours), gid=column.title)
    axes.axvline(0, color=theme.ink, linewidth=0.5)
    axes.xaxis.set_major_locator(MaxNLocator(2, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda at, _: f"{at:.3g}".replace("-", "−")))
    axes.grid(axis="x", color=theme.rim, linewidth=0.5)
    axes.margins(x=0.06)
