"""What is kept of each row of attention."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from headscape.errors import OptionError

Rule = Literal["all", "top_k", "threshold", "nucleus"]


@dataclass(frozen=True)
class Keeping:
    """A rule that says which keys of a row are kept.

    Every rule but ``"all"`` lists keys by falling weight, equals in order of key; a weight of exactly 0 is
    never listed.

    Attributes
    ----------
    rule : str
        ``"all"``: the whole matrix. ``"top_k"``: the ``amount`` largest. ``"threshold"``: all weights of at
        least ``amount`` (at most ``1 / amount`` of them in a row that sums to 1). ``"nucleus"``: the fewest
        largest whose sum is at least ``amount`` times the row's own sum.
    amount : float
        A count, a weight or a share, as the rule says; 0 for ``"all"``.
    """

    rule: Rule
    amount: float = 0.0

    @classmethod
    def of(cls, keep: Any) -> "Keeping":
        """Read what a user passed as ``keep``.

        Parameters
        ----------
        keep : "all", int or dict
            A whole number from 1 is a top k; a dict holds one of ``top_k`` (from 1), ``threshold`` (above 0,
            at most 1) or ``nucleus`` (above 0, at most 1).

        Raises
        ------
        OptionError
            It is none of these.
        """
        if isinstance(keep, cls):
            return keep
        if isinstance(keep, str) and keep == "all":
            return cls("all")
        if _is_count(keep):
            return cls("top_k", int(keep))
        if isinstance(keep, dict) and len(keep) == 1:
            ((rule, amount),) = keep.items()
            if rule == "top_k" and _is_count(amount):
                return cls("top_k", int(amount))
            if rule in ("threshold", "nucleus") and _is_share(amount):
                return cls(rule, float(amount))
        raise OptionError(
            f'keep is {keep!r}; it takes "auto", "all" or a number of keys a row, from 1, or one of '
            '{"top_k": 16} (from 1), {"threshold": 0.01} and {"nucleus": 0.9} (above 0, at most 1).'
        )


def _is_count(value: Any) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and int(value) >= 1


def _is_share(value: Any) -> bool:
    return (
        isinstance(value, (int, float, np.number)) and not isinstance(value, bool) and 0 < float(value) <= 1
    )
