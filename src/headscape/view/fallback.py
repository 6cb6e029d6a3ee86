"""The picture that stands where no viewer runs: on GitHub, in exported and in untrusted notebooks."""

import io
import math

from headscape.trace.joins import verb
from headscape.trace.trace import Trace

WIDTH_PX, HEIGHT_PX = 800, 450
_DPI = 80
# Weights that Matplotlib draws from within about a second; of a larger trace only its last layers are drawn.
MOST_WEIGHTS = 1_500_000


def draw_picture(trace: Trace, example: int = 0) -> bytes | None:
    """Draw one example as a small PNG.

    Parameters
    ----------
    trace : Trace
        Of a large one only the last layers are drawn; the picture's text says which.
    example : int
        Which example of its batch.

    Returns
    -------
    bytes or None
        None where even one layer is too large to be drawn in passing.
    """
    layers: list[int] = []
    left = MOST_WEIGHTS
    for call in reversed(trace.calls):
        left -= math.prod(call.shape[1:])
        if left < 0:
            break
        layers.append(call.layer)
    if not layers:
        return None
    is_whole = len(layers) == len(trace.calls)
    figure = verb("figure")(
        trace,
        example,
        layers=None if is_whole else sorted(set(layers)),
        figsize=(WIDTH_PX / _DPI, HEIGHT_PX / _DPI),
    )
    png = io.BytesIO()
    figure.savefig(png, format="png", dpi=_DPI)
    return png.getvalue()
