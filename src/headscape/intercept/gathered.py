"""The arrays of one call while they are being filled."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from headscape.intercept.keeping import Keeping
from headscape.trace.call import CallArrays, Floats, Ints
from headscape.trace.measure import Facts


def allocate(shape: tuple[int, ...], dtype: Any, fill: int = 0) -> npt.NDArray[Any]:
    """Return a new array. Everything that the streaming pass keeps or works in comes from here."""
    return np.full(shape, fill, dtype) if fill else np.zeros(shape, dtype)


@dataclass
class Gathered:
    """The arrays of one call while they are being filled.

    ``lists`` holds (keys, weights) of consecutive blocks of queries where a rule lists keys and they are not
    written in place.
    """

    shape: tuple[int, int, int, int]
    keeping: Keeping
    facts: Facts
    weights: Floats | None = None
    keys: Ints | None = None
    lists: list[tuple[Ints, Floats]] = field(default_factory=list)

    def __post_init__(self) -> None:
        rows = self.shape[:3]
        self.kept, self.entropy, self.distance, self.first, self.largest = (
            allocate(rows, np.float32) for _ in range(5)
        )
        self.visible = allocate(rows, np.int32)
        self.received = allocate((*self.shape[:2], self.shape[3]), np.float32)
        if self.keeping.rule == "all":
            self.weights = allocate(self.shape, np.float32)

    def arrays(self) -> CallArrays:
        """Return what was filled in, with what was hidden blanked."""
        hidden = np.broadcast_to(self.facts.padded[:, None], self.visible.shape)
        self.visible[hidden] = 0
        self.kept[hidden] = 0
        for measured in (self.entropy, self.distance, self.first, self.largest):
            measured[self.visible == 0] = np.nan
        if self.weights is None:
            self.keys, self.weights = self._listed()
        facts = self.facts
        return CallArrays(
            self.weights, self.keys, self.kept, self.visible, facts.padded, facts.padded_keys,
            facts.value_norms, facts.flow, self.entropy, self.distance, self.first, self.largest,
            self.received,
        )  # fmt: skip

    def _listed(self) -> tuple[Ints, Floats]:
        if len(self.lists) == 1:
            return self.lists[0]
        width = max((keys.shape[3] for keys, _ in self.lists), default=0)
        keys = allocate((*self.shape[:3], width), np.int32, fill=-1)
        weights = allocate((*self.shape[:3], width), np.float32)
        start = 0
        for some_keys, some_weights in self.lists:
            here = np.s_[:, :, start : start + some_keys.shape[2], : some_keys.shape[3]]
            keys[here], weights[here] = some_keys, some_weights
            start += some_keys.shape[2]
        return keys, weights
