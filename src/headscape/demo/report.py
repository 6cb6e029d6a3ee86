"""The encoder beside what it must beat, on the same test part, and what that comparison says."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headscape.demo.scores import accuracy, macro_f1

Labels = npt.NDArray[np.int64]

MAJORITY = "majority class"
# Two standard errors: a larger difference comes by chance in about 1 of 20 comparisons.
_STANDARD_ERRORS = 2.0


@dataclass(frozen=True)
class Score:
    """How one model did on the test part."""

    name: str
    accuracy: float
    macro_f1: float


@dataclass(frozen=True)
class KindScore:
    """How the linear model and the encoder did on one kind of sentence (share right, 0 to 1)."""

    kind: str
    size: int
    linear: float
    encoder: float


@dataclass(frozen=True)
class Comparison:
    """Majority, linear model and encoder on ``size`` test examples, and the sentence that sums it up."""

    size: int
    scores: tuple[Score, Score, Score]
    verdict: str
    kinds: tuple[KindScore, ...] = ()


def compare(
    truth: Labels,
    *,
    majority: Labels,
    linear: tuple[str, Labels],
    encoder: tuple[str, Labels],
    classes: int,
    kinds: Sequence[str] = (),
) -> Comparison:
    """Score three lists of predictions against ``truth``.

    ``linear`` and ``encoder`` come with the name they are reported by; ``kinds`` gives the kind of each
    example, if there are kinds.
    """
    named = {MAJORITY: majority, linear[0]: linear[1], encoder[0]: encoder[1]}
    first, second, third = (_score(name, truth, found, classes) for name, found in named.items())
    by_kind = []
    for kind in sorted(set(kinds) - {""}):
        rows = np.array([other == kind for other in kinds])
        right = [accuracy(truth[rows], found[rows]) for found in (linear[1], encoder[1])]
        by_kind.append(KindScore(kind, int(rows.sum()), *right))
    verdict = " ".join(
        judge(truth, encoder[1], other, names=(encoder[0], name))
        for name, other in named.items()
        if name != encoder[0]
    )
    return Comparison(len(truth), (first, second, third), verdict, tuple(by_kind))


def _score(name: str, truth: Labels, found: Labels, classes: int) -> Score:
    return Score(name, accuracy(truth, found), macro_f1(truth, found, classes=classes))


def judge(truth: Labels, encoder: Labels, other: Labels, *, names: tuple[str, str]) -> str:
    """Say whether the encoder beats another model on the same examples, and whether that may be chance.

    The difference is held against its standard error over the examples on which only one of the two is
    right (McNemar 1947, doi:10.1007/BF02295996).
    """
    better = int(((encoder == truth) & (other != truth)).sum())
    worse = int(((encoder != truth) & (other == truth)).sum())
    points = 100 * (better - worse) / len(truth)
    is_clear = abs(better - worse) > _STANDARD_ERRORS * math.sqrt(max(better + worse, 1))
    mine, its = names
    if is_clear and better > worse:
        return f"The {mine} beats the {its} by {points:.1f} points."
    if is_clear:
        return f"The {mine} does not beat the {its}: it is {-points:.1f} points behind."
    return (
        f"The {mine} does not clearly beat the {its}: it is {abs(points):.1f} points "
        f"{'ahead' if points > 0 else 'behind' if points < 0 else 'apart'}, which {len(truth):,} test "
        "examples cannot tell from chance."
    )
