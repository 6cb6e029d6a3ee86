"""The map of heads: what the score does without each of them, and what each looks at."""

import textwrap

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

from headscape.draw.sheet.page import SMALL, Page, diverging, name_axis
from headscape.draw.sheet.parts import Reals, Sheet
from headscape.draw.theme import oklab

# A letter a role. Roles without one (mixed, too little text) stay blank in the map.
LETTERS = {
    "previous token": "p", "next token": "n", "same token": "s", "first token": "f", "separator": "e",
    "special tokens": "t", "punctuation": "c", "induction": "i", "duplicate": "d", "local": "l",
    "uniform": "u", "broad": "b", "mixed": "·", "too little text": "?",
}  # fmt: skip
# Points that a cell needs for its letter.
_ROOM = 6.5
# Letters of the key that fit into a column's width.
_KEY_WIDTH = 74


def table_of(rows: tuple[Reals, ...]) -> Reals:
    """Return (call, head), NaN where a call has fewer heads than another."""
    table = np.full((len(rows), max(map(len, rows))), np.nan)
    for place, row in zip(table, rows, strict=True):
        place[: len(row)] = row
    return table


def draw_heads(page: Page, sheet: Sheet, left: float, top: float, width: float, height: float) -> None:
    """Draw the map with its scale on the right and the key of roles below."""
    theme = page.theme
    table = table_of(sheet.changes)
    calls, heads = table.shape
    axes = page.axes(left, top, width - 0.42, height)
    most = float(np.nanmax(np.abs(table), initial=0)) or 1.0
    colours = diverging(theme)
    image = axes.imshow(table, cmap=colours, vmin=-most, vmax=most, aspect="auto", gid="heads")
    axes.set_xticks(np.arange(-0.5, heads), minor=True)
    axes.set_yticks(np.arange(-0.5, calls), minor=True)
    axes.grid(which="minor", color=theme.paper, linewidth=0.6)
    axes.tick_params(which="minor", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(min(heads, 12), integer=True))
    axes.yaxis.set_major_locator(FixedLocator(few(calls)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda at, _: sheet.calls[int(at)]))
    name_axis(axes, theme, x="head", y="layer")
    for spine in axes.spines.values():
        spine.set_visible(False)
    bar = page.axes(left + width - 0.36, top, 0.07, height)
    scale = page.figure.colorbar(image, cax=bar)
    scale.outline.set_visible(False)
    scale.locator = MaxNLocator(5, steps=[1, 2, 5, 10])
    scale.update_ticks()
    bar.tick_params(labelsize=SMALL, length=2, width=0.6, pad=2, colors=theme.ink, color=theme.rim)
    bar.yaxis.set_major_formatter(FuncFormatter(lambda at, _: f"{at:+g}".replace("-", "−") if at else "0"))
    if min((width - 0.42) / heads, height / calls) * 72 >= _ROOM:
        _write_letters(page, sheet, table / most, axes)
    call, head = sheet.head
    frame = Rectangle((head - 0.5, call - 0.5), 1, 1, fill=False, edgecolor=theme.ink, linewidth=1.2)
    frame.set_gid("strongest")
    axes.add_patch(frame)
    listed = "   ".join(f"{LETTERS[name]} {name} {many}" for name, many in sheet.roles.counts().items())
    key = _wrapped(listed)
    page.write(left, top + height + 0.34, key, gid="roles")


def _wrapped(listed: str) -> str:
    """Break a key between its entries, not within."""
    whole = listed.replace(" ", "\u00a0").replace("\u00a0\u00a0\u00a0", "   ")
    return "\n".join(textwrap.wrap(whole, _KEY_WIDTH, drop_whitespace=True)).replace("\u00a0", " ")


def few(count: int, most: int = 12) -> list[int]:
    """Return ticks for so many places."""
    step = -(-count // most)
    return list(range(0, count, step))


def _write_letters(page: Page, sheet: Sheet, share: Reals, axes: Axes) -> None:
    theme = page.theme
    colours = diverging(theme)
    ends = sorted((theme.paper, theme.ink), key=lambda colour: float(oklab(colour)[0]))
    for call, row in enumerate(share):
        for head, value in enumerate(row[: len(sheet.changes[call])]):
            letter = LETTERS[sheet.roles.of(call, head).name]
            red, green, blue, _ = colours((float(np.nan_to_num(value)) + 1) / 2)
            cell = f"#{round(red * 255):02x}{round(green * 255):02x}{round(blue * 255):02x}"
            ink = ends[0] if oklab(cell)[0] > 0.6 else ends[1]
            axes.text(head, call, letter, ha="center", va="center", fontsize=SMALL, color=ink, gid="role")
