"""How good a list of predictions is: accuracy and macro-F1."""

import numpy as np
import numpy.typing as npt

Labels = npt.NDArray[np.integer]


def accuracy(truth: Labels, predicted: Labels) -> float:
    """Share of predictions that are right, 0 to 1."""
    return float((truth == predicted).mean())


def macro_f1(truth: Labels, predicted: Labels, *, classes: int) -> float:
    """Mean over classes of F1 = 2 TP / (2 TP + FP + FN), 0 to 1.

    A class that is neither true nor predicted anywhere counts as 0, as one that is never found does.
    """
    f1 = []
    for label in range(classes):
        hit = int(((truth == label) & (predicted == label)).sum())
        named = int((truth == label).sum() + (predicted == label).sum())
        f1.append(2 * hit / named if named else 0.0)
    return float(np.mean(f1))
