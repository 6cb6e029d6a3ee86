"""What is known of a matrix of scores or weights that a model wrote, and of its meeting with values."""

from dataclasses import dataclass

from torch import Tensor

from headscape.intercept.factors import Factors
from headscape.intercept.layout import Axes


@dataclass(frozen=True)
class Grid:
    """What is known of a tensor of scores or weights; shadows have its shape.

    ``rows`` and ``keys`` are places of the two factors' tokens, ``hidden`` is True where a mask forbids.
    ``bent`` tells weights from scores; ``whole`` are the weights before dropout; ``is_half``: one factor was
    learned, not made from the input; ``is_added``: queries and keys were added, not multiplied; ``pieces``
    tells a product of several grids; ``source`` is the grid that the largest scores were taken from;
    ``is_deep`` tells a grid of features, not tokens; ``bend`` names what made weights of it;
    ``factors`` are the vectors that it is the product of, where somebody asked for them.
    """

    rows: Tensor | None
    keys: Tensor | None
    hidden: Tensor | None = None
    bent: bool = False
    whole: Tensor | None = None
    is_half: bool = False
    is_added: bool = False
    pieces: bool = False
    source: "Grid | None" = None
    is_deep: bool = False
    bend: str = ""
    query_from: int = -1
    key_from: int = -1
    factors: Factors | None = None


@dataclass(frozen=True)
class Meeting:
    """A matrix of weights that met values.

    ``rows`` has axes ``axes.others``, ``keys`` the shared ones of them and then ``axes.keys``; ``result``
    names the axes of the product, ``value`` those of the values.
    """

    grid: Grid
    axes: Axes
    weights: Tensor
    hidden: Tensor | None
    values: Tensor
    value_axes: tuple[str, ...]
    result_axes: tuple[str, ...]
    rows: Tensor | None
    keys: Tensor | None
