"""What the panels of a page about a model's heads are drawn from: plain numbers."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headscape.analysis.roles import Roles
from headscape.analysis.routes import Routes
from headscape.analysis.topology.of_trace import LayerTopology

Reals = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Column:
    """One number for each token row.

    ``title`` and ``unit`` say what it is; ``values`` is (row,), None where it is not known.
    """

    title: str
    unit: str
    values: Reals | None


@dataclass(frozen=True, eq=False)
class Layers:
    """What parts of the model add to the score, in its units.

    Attributes
    ----------
    attention, feed_forward : (call,) float64 arrays
        By call, and by the feed-forward part behind it (NaN where there is none).
    inputs, offsets : float
        What the first states and the learned offsets add.
    score : float
        The sum.
    is_exact : bool
        Whether the parts add up to the score.
    """

    attention: Reals
    feed_forward: Reals
    inputs: float
    offsets: float
    score: float
    is_exact: bool


@dataclass(frozen=True, eq=False)
class Judged:
    """A measure's rank correlation with the knock-outs, (example,) from -1 to 1."""

    name: str
    rho: Reals


@dataclass(frozen=True, eq=False)
class Sheet:
    """All that a page shows.

    Attributes
    ----------
    title, said : str
        Heading, and the line below it.
    unit : str
        What changes of the score are counted in.
    changes : tuple of (head,) float64 arrays
        One per call: mean change of the score without the head.
    roles : Roles
        Role of each head.
    rows : tuple of (int, int)
        Tokens shown, (side, token), in reading order.
    labels : tuple of str
        Their labels.
    others : int
        How many tokens are not shown; their numbers are in one more row at the end.
    columns : tuple of Column
        Numbers of each row.
    routes : Routes or None
        Routes to the answer.
    layers : Layers or None
        Direct contributions by part.
    judged : tuple of Judged
        Measures, the best first.
    shape : tuple of LayerTopology
        Topology of each call; empty where it is not known.
    head : (int, int)
        The head whose bars are drawn, (call, head).
    calls : tuple of str
        A short name for each call.
    sides : tuple of (int, int)
        Query side and key side of each call.
    """

    title: str
    said: str
    unit: str
    changes: tuple[Reals, ...]
    roles: Roles
    rows: tuple[tuple[int, int], ...]
    labels: tuple[str, ...]
    others: int
    columns: tuple[Column, ...]
    routes: Routes | None
    layers: Layers | None
    judged: tuple[Judged, ...]
    shape: tuple[LayerTopology, ...]
    head: tuple[int, int]
    calls: tuple[str, ...]
    sides: tuple[tuple[int, int], ...]
