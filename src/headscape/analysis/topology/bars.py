"""Bars of persistent homology."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Reals = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Bars:
    """When the holes of one dimension appear and vanish, as the distance grows.

    Attributes
    ----------
    birth, death : (bar,) float64 array
        Distances, sorted by birth, then death. ``death`` is infinity where the hole was still there at
        ``longest``: such a bar is open, and how long it lasts is not known.
    dimension : int
        0: components, 1: cycles that no filled triangles close.
    longest : float
        Edges above this distance were not looked at; infinity where all were.
    stopped : str
        Empty where the bars are whole, else what ended the work early ("time limit of 60 s"). Then there
        are no bars, which does not mean that there are no holes.
    """

    birth: Reals
    death: Reals
    dimension: int
    longest: float = np.inf
    stopped: str = ""

    def __len__(self) -> int:
        return len(self.birth)

    def __repr__(self) -> str:
        if self.stopped:
            return f"Bars(H{self.dimension}, not known: {self.stopped})"
        return f"Bars(H{self.dimension}, {len(self)} bars, {int(self.is_open.sum())} of them open)"

    @property
    def is_open(self) -> npt.NDArray[np.bool_]:
        """Which bars had not ended at ``longest``, (bar,) bool."""
        return np.isinf(self.death)

    @property
    def closed(self) -> "Bars":
        """The bars that ended."""
        return self._select(~self.is_open)

    @property
    def lengths(self) -> Reals:
        """Death minus birth of each bar, (bar,); infinity for open ones."""
        return self.death - self.birth

    @property
    def total(self) -> float:
        """Sum of the lengths of the closed bars; NaN where the work was stopped."""
        return float(self.closed.lengths.sum()) if not self.stopped else float("nan")

    @property
    def life(self) -> float:
        """Mean length of the closed bars (Corneanu's lambda); NaN without one, or where stopped."""
        return _mean(self.closed.lengths)

    @property
    def midlife(self) -> float:
        """Mean of ``(birth + death) / 2`` over the closed bars (Corneanu's mu); NaN without one.

        The code published with the paper works out ``birth / 2 + death`` [1]_, a slip of operator
        precedence; its midlives cannot be compared with these.

        References
        ----------
        .. [1] "Computing the Testing Error Without a Testing Set", C. A. Corneanu, S. Escalera and A. M.
           Martinez, CVPR 2020, doi:10.1109/CVPR42600.2020.00275
        """
        ended = self.closed
        return _mean((ended.birth + ended.death) / 2)

    def longer_than(self, least: float) -> "Bars":
        """Return the bars at least this long (open ones too); short ones are often sampling noise."""
        return self._select(self.lengths >= least)

    def _select(self, keep: npt.NDArray[np.bool_]) -> "Bars":
        return Bars(self.birth[keep], self.death[keep], self.dimension, self.longest, self.stopped)


def _mean(values: Reals) -> float:
    return float(values.mean()) if len(values) else float("nan")
