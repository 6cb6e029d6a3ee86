"""The page: small panels about what each head of a model is for, aligned, fit for print."""

from typing import cast

from matplotlib.axes import Axes

from headscape.draw.canvas import AttentionFigure, open_figure
from headscape.draw.sheet.flow import draw_flow
from headscape.draw.sheet.heads import draw_heads
from headscape.draw.sheet.judged import draw_judged
from headscape.draw.sheet.layers import draw_parts, draw_sums
from headscape.draw.sheet.page import FONT, HEIGHT_IN, WIDTH_IN, Page, plain
from headscape.draw.sheet.parts import Sheet
from headscape.draw.sheet.shape import draw_shape
from headscape.draw.theme import choose_theme

# Inches. Left edges of headings, and of the axes beneath them, in both columns; right edge of all.
_LEFT, _RIGHT = 0.12, 3.85
_LEFT_AXES, _RIGHT_AXES, _END = 0.55, 4.3, 6.78


def draw_sheet(sheet: Sheet, theme: str = "light") -> AttentionFigure:
    """Draw the page.

    Parameters
    ----------
    sheet : Sheet
        What the panels show.
    theme : str
        ``"light"`` or ``"dark"``.

    Returns
    -------
    Figure
        A Matplotlib Figure of 7 x 9.2 inches.

    Raises
    ------
    OptionError
        No such theme.
    """
    colours = choose_theme(theme)
    page = Page(open_figure((WIDTH_IN, HEIGHT_IN), colours.paper), colours)
    page.write(_LEFT, 0.12, plain(sheet.title, most=90), gid="title", fontsize=FONT * 1.5, weight="bold")
    page.write(_LEFT, 0.34, plain(sheet.said, most=134), gid="said", soft=True, fontsize=FONT)
    page.head(_LEFT, 0.62, "a", f"Change of the score without each head ({sheet.unit}), and its role")
    draw_heads(page, sheet, _LEFT_AXES, 0.88, 3.25 - _LEFT_AXES + 0.3, 1.85)
    exact = sheet.layers is None or sheet.layers.is_exact
    score = "" if sheet.layers is None else f": {sheet.layers.score:.2f}" if exact else " (first order)"
    page.head(_RIGHT, 0.62, "b", f"Parts that make the score{score}")
    draw_parts(page, _upper(page), sheet)
    page.head(_RIGHT, 1.98, "c", "Topology of every head: 0 one hub, 1 no attention")
    draw_sums(page, page.axes(_RIGHT_AXES, 2.2, _END - _RIGHT_AXES, 0.85), sheet)
    page.head(_LEFT, 3.46, "d", "Flow to the answer: routes, and what each token does to the score")
    page.write(4.92, 3.475, "■ for the answer", gid="for", color=colours.plus)
    page.write(5.95, 3.475, "■ against it", gid="against", color=colours.minus)
    draw_flow(page, sheet, (0.95, 3.82, _END - 0.95, 2.66), 3.72)
    page.head(_LEFT, 6.96, "e", "How well measures foretell (a)")
    draw_judged(page, page.axes(1.25, 7.2, 3.5 - 1.25, 1.6), sheet)
    call, head = sheet.head
    page.head(_RIGHT, 6.96, "f", f"Token graph of the framed head: layer {sheet.calls[call]}, head {head}")
    draw_shape(page, sheet, _RIGHT_AXES, 7.32, _END - _RIGHT_AXES, 1.48)
    return cast("AttentionFigure", page.figure)


def _upper(page: Page) -> Axes:
    axes = page.axes(_RIGHT_AXES, 0.88, _END - _RIGHT_AXES, 0.98)
    axes.tick_params(labelbottom=False)
    return axes
