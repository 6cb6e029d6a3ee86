"""Handwritten digits for a small vision transformer: no download, scikit-learn brings them along."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from headscape.demo.baselines import expect_sklearn
from headscape.demo.training import ImagePart

DIGITS = tuple(str(digit) for digit in range(10))
SIDE_PX = 8
PATCH_PX = 2
GRID = SIDE_PX // PATCH_PX
# The largest value of a pixel in scikit-learn's digits.
_WHITE = 16.0


@dataclass(frozen=True)
class DigitParts:
    """Pictures of digits (row, 8, 8) with values from 0 to 1, in three parts."""

    train: ImagePart
    valid: ImagePart
    test: ImagePart


def load_digit_parts() -> DigitParts:
    """Read scikit-learn's 1,797 digits and cut them 80 / 10 / 10 % with a fixed seed."""
    expect_sklearn()
    from sklearn.datasets import load_digits

    found = load_digits()
    pictures = (found.images / _WHITE).astype(np.float32)
    labels = found.target.astype(np.int64)
    order = np.random.default_rng(0).permutation(len(labels))
    size = len(order) // 10

    def cut(rows: npt.NDArray[np.int64]) -> ImagePart:
        return ImagePart(pictures[rows], labels[rows])

    return DigitParts(cut(order[2 * size :]), cut(order[size : 2 * size]), cut(order[:size]))


def cut_patches(pictures: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """Cut pictures (row, 8, 8) into patches (row, 16, 2, 2), row by row from the top left."""
    rows = len(pictures)
    cells = pictures.reshape(rows, GRID, PATCH_PX, GRID, PATCH_PX)
    return cells.transpose(0, 1, 3, 2, 4).reshape(rows, GRID * GRID, PATCH_PX, PATCH_PX)


def patch_names() -> list[str]:
    """What the 16 patches are called: their row and column, counted from 1."""
    return [f"r{row}c{column}" for row in range(1, GRID + 1) for column in range(1, GRID + 1)]


class DigitClassifier(nn.Module):
    """Patches to digit scores by an ``nn.TransformerEncoder``: a small vision transformer.

    The scores are linear in the mean of the patches' last states.
    """

    def __init__(self, *, width: int = 48, heads: int = 4, layers: int = 4, dropout: float = 0.1) -> None:
        super().__init__()
        self.patches = nn.Linear(PATCH_PX * PATCH_PX, width)
        self.positions = nn.Parameter(torch.randn(GRID * GRID, width) * 0.1)
        self.dropout = nn.Dropout(dropout)
        layer = nn.TransformerEncoderLayer(
            width, heads, 2 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(
            layer, layers, norm=nn.LayerNorm(width), enable_nested_tensor=False
        )
        self.classify = nn.Linear(width, len(DIGITS))

    def forward(self, pictures: Tensor) -> Tensor:
        """Scores (batch, digit) of pictures (batch, 8, 8) with values from 0 to 1."""
        cells = pictures.reshape(-1, GRID, PATCH_PX, GRID, PATCH_PX)
        patches = cells.transpose(2, 3).reshape(-1, GRID * GRID, PATCH_PX * PATCH_PX)
        states = self.encoder(self.dropout(self.patches(patches) + self.positions))
        scores: Tensor = self.classify(states.mean(dim=1))
        return scores
