"""Training a small classifier on one CPU core, the same way each time."""

import contextlib
import math
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from headscape.demo.scores import accuracy, macro_f1

Labels = npt.NDArray[np.int64]
# Called after each step with the steps done, the steps planned and a line that says how it goes.
Progress = Callable[[int, int, str], None]

# These matrices are so small that a second thread gains little, and where another program keeps one of two
# cores busy it waits ten times as long as it works. One thread also sums in one order on every machine.
THREADS = 1
# Batches of similar length are cut from pieces this many batches long: short enough to stay random.
_BATCHES_PER_PIECE = 20
_WARMUP_SHARE = 0.1
_LARGEST_GRADIENT = 1.0
_SCORING_BATCH = 256


class Part(ABC):
    """Examples to learn from or to be scored on: training, validation or test part."""

    labels: Labels

    @abstractmethod
    def batch(self, rows: Sequence[int]) -> Tensor:
        """Model input for these rows."""

    @abstractmethod
    def length(self, row: int) -> int:
        """Tokens of one row, so that rows of similar length share a batch."""

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class TextPart(Part):
    """Texts as token ids; 0 fills the shorter ones of a batch."""

    ids: list[list[int]]
    labels: Labels

    def batch(self, rows: Sequence[int]) -> Tensor:
        """Token ids (row, token), as wide as the longest of these rows."""
        width = max(len(self.ids[row]) for row in rows)
        return torch.tensor([self.ids[row] + [0] * (width - len(self.ids[row])) for row in rows])

    def length(self, row: int) -> int:
        """Tokens of one text."""
        return len(self.ids[row])


@dataclass(frozen=True)
class ImagePart(Part):
    """Pictures (row, height, width) with values from 0 to 1."""

    pictures: npt.NDArray[np.float32]
    labels: Labels

    def batch(self, rows: Sequence[int]) -> Tensor:
        """Pictures (row, height, width)."""
        return torch.from_numpy(self.pictures[list(rows)])

    def length(self, row: int) -> int:
        """All pictures are alike."""
        return 1


@dataclass(frozen=True)
class Recipe:
    """How long and how to train.

    ``blank_share`` of the words of each training text are replaced by the unknown token (id 1), so that
    the model does not hang on single words; 0 for pictures. ``spread`` is the standard deviation of
    the word embeddings that training starts from.
    """

    epochs: int
    batch: int = 64
    rate: float = 3e-3
    decay: float = 0.05
    smoothing: float = 0.05
    blank_share: float = 0.0
    spread: float = 0.01


@dataclass(frozen=True)
class Trained:
    """How training went: the validation scores per epoch, the epoch that was kept, the time it took."""

    accuracy: list[float]
    macro_f1: list[float]
    kept_epoch: int
    seconds: float


def train(
    model: nn.Module,
    part: Part,
    valid: Part,
    *,
    recipe: Recipe,
    seed: int = 0,
    progress: Progress | None = None,
) -> Trained:
    """Train ``model`` in place and leave it in eval mode with the weights that did best on ``valid``.

    AdamW with a warm-up and a cosine; what is scored and kept is the moving average of the weights.
    The same seed gives the same weights on the same machine and PyTorch; PyTorch's random state and
    thread count are put back afterwards.
    """
    start = time.perf_counter()
    with torch.random.fork_rng(devices=[]), threads(THREADS):
        torch.manual_seed(seed)
        kept, scores = _train(model, part, valid, recipe, random.Random(seed), progress)
    best = kept[0]
    model.load_state_dict(kept[1])
    model.eval()
    return Trained([s[0] for s in scores], [s[1] for s in scores], best, time.perf_counter() - start)


def _train(
    model: nn.Module,
    part: Part,
    valid: Part,
    recipe: Recipe,
    rng: random.Random,
    progress: Progress | None,
) -> tuple[tuple[int, dict[str, Tensor]], list[tuple[float, float]]]:
    optimizer = _optimizer(model, recipe)
    loss_of = nn.CrossEntropyLoss(label_smoothing=recipe.smoothing)
    per_epoch = math.ceil(len(part) / recipe.batch)
    steps = recipe.epochs * per_epoch
    # A moving average over about half an epoch.
    rule = get_ema_multi_avg_fn(1 - 2 / max(per_epoch, 3))  # type: ignore[no-untyped-call]
    average = AveragedModel(model, multi_avg_fn=rule)
    scores: list[tuple[float, float]] = []
    kept: tuple[int, dict[str, Tensor]] = (0, {})
    said = "first pass over the training part"
    step = 0
    for epoch in range(recipe.epochs):
        model.train()
        for rows in _batches(part, recipe.batch, rng):
            step += 1
            for group in optimizer.param_groups:
                group["lr"] = recipe.rate * _schedule(step / steps)
            inputs = part.batch(rows)
            if recipe.blank_share:
                inputs = blank(inputs, recipe.blank_share)
            loss = loss_of(model(inputs), torch.from_numpy(part.labels[rows]))
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), _LARGEST_GRADIENT)
            optimizer.step()
            average.update_parameters(model)
            if progress:
                progress(step, steps, said)
        predicted = predict(average.module, valid).argmax(axis=1)
        classes = int(max(part.labels.max(), valid.labels.max())) + 1
        scores.append((accuracy(valid.labels, predicted), macro_f1(valid.labels, predicted, classes=classes)))
        if scores[-1] == max(scores):
            kept = (epoch, {name: value.clone() for name, value in average.module.state_dict().items()})
        said = f"{scores[-1][0]:.1%} right on the validation part"
        if progress:
            progress(step, steps, said)
    return kept, scores


def predict(model: nn.Module, part: Part) -> npt.NDArray[np.float32]:
    """Class probabilities (row, class) for every row of ``part``, in its order."""
    was_training = model.training
    model.eval()
    rows = sorted(range(len(part)), key=part.length)
    found: list[npt.NDArray[np.float32]] = []
    with torch.no_grad():
        for start in range(0, len(rows), _SCORING_BATCH):
            scores = model(part.batch(rows[start : start + _SCORING_BATCH]))
            found.append(scores.softmax(dim=-1).numpy())
    model.train(was_training)
    ordered = np.empty((len(rows), found[0].shape[1]), dtype=np.float32)
    ordered[rows] = np.concatenate(found)
    return ordered


def blank(ids: Tensor, share: float) -> Tensor:
    """Replace ``share`` of the tokens by the unknown token (id 1); padding (id 0) stays."""
    return torch.where((torch.rand(ids.shape) < share) & (ids > 0), 1, ids)


@contextlib.contextmanager
def threads(count: int) -> Iterator[None]:
    """Let PyTorch use ``count`` threads inside the block."""
    before = torch.get_num_threads()
    torch.set_num_threads(min(count, before))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() <= 1]
    groups = [
        {"params": matrices, "weight_decay": recipe.decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=recipe.rate, betas=(0.9, 0.98), fused=True)


def _schedule(done: float) -> float:
    """Share of the full learning rate when ``done`` (0 to 1) of the steps are done."""
    if done < _WARMUP_SHARE:
        return done / _WARMUP_SHARE
    return 0.5 * (1 + math.cos(math.pi * (done - _WARMUP_SHARE) / (1 - _WARMUP_SHARE)))


def _batches(part: Part, size: int, rng: random.Random) -> Iterator[list[int]]:
    rows = list(range(len(part)))
    rng.shuffle(rows)
    batches: list[list[int]] = []
    piece = size * _BATCHES_PER_PIECE
    for start in range(0, len(rows), piece):
        near = sorted(rows[start : start + piece], key=part.length)
        batches += [near[i : i + size] for i in range(0, len(near), size)]
    rng.shuffle(batches)
    yield from batches
