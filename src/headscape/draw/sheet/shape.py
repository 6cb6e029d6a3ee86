"""The topology of one head, small: bars, components and cycles over the weight."""

import numpy as np

from headscape.draw.bars import draw_bars, draw_components, draw_ranks, stack_axes
from headscape.draw.sheet.page import HEIGHT_IN, SMALL, WIDTH_IN, Page, shrink
from headscape.draw.sheet.parts import Sheet


def draw_shape(page: Page, sheet: Sheet, left: float, top: float, width: float, height: float) -> None:
    """Draw three charts one above the other on one axis of weights."""
    call, head = sheet.head
    if not sheet.shape or np.isnan(sheet.shape[call].deaths[head]).any():
        page.absent(page.axes(left, top, width, height))
        return
    box = (left / WIDTH_IN, 1 - (top + height) / HEIGHT_IN, (left + width) / WIDTH_IN, 1 - top / HEIGHT_IN)
    axes = stack_axes(page.figure, box, (0.46, 0.24, 0.30), page.theme)
    layer = sheet.shape[call]
    draw_bars(axes[0], layer, head, page.theme)
    draw_components(axes[1], layer, head, page.theme)
    draw_ranks(axes[2], layer, head, page.theme)
    for one in axes:
        shrink(one)
        one.xaxis.label.set_fontsize(SMALL)
        for spine in one.spines.values():
            spine.set_linewidth(0.6)
