"""Shares of things counted, with how sure a count makes them."""

import math
from dataclasses import dataclass

from headscape.errors import ShapeError

# Standard deviations on each side of a 95 % interval.
SURE = 1.959963984540054


@dataclass(frozen=True)
class Rate:
    """``hits`` of ``total``.

    Examples
    --------
    >>> Rate(9, 10).share
    0.9
    >>> [round(end, 3) for end in Rate(9, 10).interval]
    [0.596, 0.982]
    """

    hits: int
    total: int

    def __post_init__(self) -> None:
        if not 0 <= self.hits <= self.total:
            raise ShapeError(
                f"{self.hits} hits of {self.total} is no rate: hits lie between 0 and the total."
            )

    @property
    def share(self) -> float:
        """Hits over total, 0 to 1; NaN of nothing."""
        return self.hits / self.total if self.total else float("nan")

    @property
    def interval(self) -> tuple[float, float]:
        """95 % interval of Wilson (1927), 0 to 1; the whole range where nothing was counted.

        It takes the counted things for independent. Words of one sentence are not quite, so the true interval
        is somewhat wider; and it knows nothing of how many heads the best one was picked from.

        References
        ----------
        .. [1] Wilson, "Probable Inference, the Law of Succession, and Statistical Inference", Journal of the
           American Statistical Association 22, 1927, doi:10.1080/01621459.1927.10502953
        """
        if not self.total:
            return 0.0, 1.0
        n, p, z = self.total, self.share, SURE
        middle = (p + z * z / (2 * n)) / (1 + z * z / n)
        half = z / (1 + z * z / n) * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
        return max(0.0, middle - half), min(1.0, middle + half)
