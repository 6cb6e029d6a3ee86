"""What a zoo case is: a tiny model, one way to run it, and what its attention weights truly are."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np
from torch import nn

Expectation = Literal["exact", "partial", "none"]


@dataclass(frozen=True, eq=False)
class Truth:
    """One matrix that met the values, known from elsewhere than headscape.

    Attributes
    ----------
    weights
        (batch, head, query, key), before dropout. With ``rows_of`` the first axis holds windows or
        frames, and only the multiset of rows of each head is compared.
    path
        Dotted name of the module that ran it, as ``named_modules()`` has it.
    kind
        "self" or "cross"; None = not compared.
    real
        (batch, query) bool; False = a padded query, which is left out of the comparison. None = all real.
    rows_of
        The real batch size, where only rows are compared; else 0.
    step
        Which forward pass of the run, from 0.
    within
        Largest difference allowed; more than the default only where the model itself rounds its weights.
    """

    weights: np.ndarray
    path: str
    kind: str | None = "self"
    real: np.ndarray | None = None
    rows_of: int = 0
    step: int = 0
    within: float = 2e-5

    def but(self, **changes: Any) -> "Truth":
        """Return a copy with some fields changed."""
        return replace(self, **changes)


@dataclass(frozen=True, eq=False)
class Subject:
    """A model on the table.

    ``run(model)`` uses it once; ``truths()`` are its weights, in order of execution.
    """

    model: nn.Module
    run: Callable[[nn.Module], Any]
    truths: Callable[[], Sequence[Truth]]
    trains: bool = True
    has_dropout: bool = True
    strict: bool = True  # a refusal is an error then; false where the refusal is what is looked for
    checks_itself: bool = True  # call.self_check is to be a number
    checked_within: float = 1e-4  # how small; more where the model itself computes in half precision


@dataclass(frozen=True, eq=False)
class Case:
    """One row of the zoo's table."""

    family: str
    name: str
    make: Callable[[], Subject]
    expect: Expectation = "exact"
    says: str = ""  # a piece of the warning that must be there (partial and none: some warning, always)
    road: str = "by hand"
    slow: bool = False

    @property
    def id(self) -> str:
        """Name for pytest and the command line."""
        return f"{self.family}/{self.name}"


@dataclass
class Family:
    """Cases of one kind; ``add`` is a decorator for a function that returns a :class:`Subject`."""

    name: str
    cases: list[Case] = field(default_factory=list)

    def add(self, name: str, **options: Any) -> Callable[[Callable[[], Subject]], Callable[[], Subject]]:
        """Register the decorated function as a case."""

        def register(make: Callable[[], Subject]) -> Callable[[], Subject]:
            self.cases.append(Case(self.name, name, make, **options))
            return make

        return register
