"""Which test examples the page shows: ones that read well, right and wrong."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.int64]

# A graph of 12 to 25 tokens can be read, and has something to read.
FEWEST_TOKENS = 12
MOST_TOKENS = 25
_SURE = 0.9
_NEGATIONS = frozenset(
    {"not", "no", "never", "nobody", "nothing", "hardly", "without", "cannot"}
    | {
        f"{verb}n't"
        for verb in ("was", "is", "do", "did", "ca", "could", "wo", "does", "have", "are", "would")
    }
)
_TURNS = frozenset(("but", "although", "though", "still", "however"))


def choose_texts(
    tokens: Sequence[Sequence[str]],
    truth: Labels,
    probabilities: npt.NDArray[np.float32],
    linear: Labels,
    *,
    right: int = 4,
    wrong: int = 3,
) -> list[int]:
    """Rows of test texts to show: first one that is right and sure, then a wrong one, then more of both.

    Among those that are right, texts with a negation or a turn ("but") that the linear model gets wrong come
    first, and the labels take turns. Among those that are wrong, the surest come first. Where a model is
    never right or never wrong there are fewer rows.
    """
    predicted = probabilities.argmax(axis=1)
    sure = probabilities.max(axis=1)

    def interest(row: int) -> tuple[bool, int, float]:
        words = set(tokens[row])
        fits = FEWEST_TOKENS <= len(tokens[row]) <= MOST_TOKENS
        speaks = bool(words & _NEGATIONS) + bool(words & _TURNS) + int(linear[row] != truth[row])
        return fits and bool(sure[row] >= _SURE), speaks, float(sure[row])

    ranked = sorted(range(len(truth)), key=interest, reverse=True)
    hits = take_turns([row for row in ranked if predicted[row] == truth[row]], truth, right)
    misses = [row for row in ranked if predicted[row] != truth[row]]
    misses.sort(key=lambda row: (not FEWEST_TOKENS <= len(tokens[row]) <= MOST_TOKENS, -sure[row]))
    return hits[:1] + misses[:1] + hits[1:] + misses[1:wrong]


def choose_pictures(truth: Labels, probabilities: npt.NDArray[np.float32], *, right: int = 5) -> list[int]:
    """Rows of test pictures to show: the surest right one, then wrong ones, then other digits."""
    predicted = probabilities.argmax(axis=1)
    ranked = np.argsort(-probabilities.max(axis=1), kind="stable").tolist()
    hits = take_turns([row for row in ranked if predicted[row] == truth[row]], truth, right)
    misses = [row for row in ranked if predicted[row] != truth[row]]
    return hits[:1] + misses[:3] + hits[1:]


def take_turns(rows: Sequence[int], labels: Labels, count: int) -> list[int]:
    """The first ``count`` rows such that no label comes again before each label had its turn."""
    left = list(rows)
    taken: list[int] = []
    while left and len(taken) < count:
        turn: set[int] = set()
        for row in list(left):
            if int(labels[row]) not in turn and len(taken) < count:
                turn.add(int(labels[row]))
                taken.append(row)
                left.remove(row)
    return taken
