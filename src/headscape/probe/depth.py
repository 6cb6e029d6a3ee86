"""At which depth of a model something can be read off its states with a linear probe."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from headscape.analysis.rates import Rate
from headscape.errors import LabelError, OptionError, ShapeError

Doubles: TypeAlias = npt.NDArray[np.float64]

# A gain smaller than this, over all layers, is none: the expected layer would be noise divided by noise.
LEAST_GAIN = 1e-12
# Items whose states are gathered at once for scoring: some 100 MB of a small BERT.
SCORED_AT_ONCE = 4096


def centre_of_gravity(shares: npt.ArrayLike) -> float:
    """Return the mean layer of a mix, ``sum_l l * s_l``, 0 to the number of the last layer.

    Parameters
    ----------
    shares : (layer,) float array
        The mix's shares, >= 0, summing to 1; layer 0 are the embeddings.

    Raises
    ------
    ShapeError
        They are no shares.

    References
    ----------
    .. [1] Tenney et al., "BERT Rediscovers the Classical NLP Pipeline", 2019, doi:10.18653/v1/P19-1452

    Examples
    --------
    >>> centre_of_gravity([0.25, 0.25, 0.5])
    1.25
    """
    s = _expect_shares(shares)
    return float(np.arange(len(s)) @ s)


def divergence_from_even(shares: npt.ArrayLike) -> float:
    """Return how far a mix is from taking all layers alike: ``KL(s || uniform)`` in nats.

    0 for an even mix, ``log(number of layers)`` where one layer has everything. A centre of gravity in the
    middle means little where this is small.

    Raises
    ------
    ShapeError
        They are no shares.

    Examples
    --------
    >>> divergence_from_even([0.5, 0.5])
    0.0
    """
    s = _expect_shares(shares)
    some = s[s > 0]
    return float(some @ np.log(some * len(s)))


def _expect_shares(shares: npt.ArrayLike) -> Doubles:
    s = np.asarray(shares, dtype=np.float64)
    if s.ndim != 1 or not len(s) or not (s >= 0).all() or abs(s.sum() - 1) > 1e-4:
        raise ShapeError(
            f"shares has shape {s.shape} and sum {s.sum():.4g}; wanted are numbers >= 0, one a layer, that "
            "sum to 1: the softmax of the mix's weights."
        )
    found: Doubles = s / s.sum()
    return found


def expected_layer(scores: npt.ArrayLike) -> tuple[float, Doubles]:
    """Return the layer at which cumulative probes gain on average, and the gains.

    ``sum_l l * gain_l / sum_l gain_l`` with ``gain_l = score_l - score_(l-1)`` for l >= 1; ``score_l`` is
    that of a probe that sees layers 0 to l.

    Parameters
    ----------
    scores : (layer,) float array
        One a cumulative probe, from layer 0 on.

    Returns
    -------
    expected : float
        From 1 to the last layer if no gain is negative; a negative one can push it beyond either end. NaN
        where the scores do not change from first to last.
    gains : (layer - 1,) float64 array
        Of layers 1 on; look for negative ones.

    Raises
    ------
    ShapeError
        There are not at least two scores.

    References
    ----------
    .. [1] Tenney et al., "BERT Rediscovers the Classical NLP Pipeline", 2019, doi:10.18653/v1/P19-1452

    Examples
    --------
    >>> expected_layer([0.5, 0.5, 0.9])[0]
    2.0
    """
    found = np.asarray(scores, dtype=np.float64)
    if found.ndim != 1 or len(found) < 2 or not np.isfinite(found).all():
        raise ShapeError(
            f"scores has shape {found.shape}; wanted are at least two numbers, of probes on layers 0, "
            "0 to 1, 0 to 2 and so on."
        )
    gains = np.diff(found)
    total = found[-1] - found[0]
    if abs(total) < LEAST_GAIN:
        return float("nan"), gains
    return float(np.arange(1, len(found)) @ gains / total), gains


class MixProbe(nn.Module):
    """A linear classifier on a mix of layers, ``gamma * sum_l s_l x^(l)`` with ``s = softmax(a)``.

    Parameters
    ----------
    layers, width, classes : int
        What it sees of how many layers, and what it tells apart.
    parts : int
        How many words one item is about (2 for a word and its head); their mixed states stand side by side.
    """

    def __init__(self, layers: int, width: int, classes: int, *, parts: int = 1) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.zeros(layers))
        self.gamma = nn.Parameter(torch.ones(()))
        self.weight = nn.Parameter(torch.zeros(classes, parts * width))
        self.bias = nn.Parameter(torch.zeros(classes))

    @property
    def shares(self) -> Doubles:
        """The mix, (layer,) float64, summing to 1."""
        found: Doubles = self.a.detach().double().softmax(0).numpy()
        return found

    def mix(self, states: Tensor) -> Tensor:
        """Mix (..., layer, width) into (..., width)."""
        return self.gamma * torch.einsum("l,...lw->...w", self.a.softmax(0), states)

    def forward(self, states: Tensor) -> Tensor:
        """Return scores, (item, class), from (item, part, layer, width) states."""
        return nn.functional.linear(self.mix(states).flatten(1), self.weight, self.bias)


@dataclass(frozen=True, eq=False)
class LabelledWords:
    """States of words, and what is to be read off them.

    Attributes
    ----------
    states : (word, layer, width) float32 tensor
        Layer 0 are the embeddings.
    items : (item, part) int64 tensor
        Words that each item is about.
    labels : (item,) int64 tensor
        What each item is.
    """

    states: Tensor
    items: Tensor
    labels: Tensor

    def __post_init__(self) -> None:
        if self.states.ndim != 3 or self.items.ndim != 2:
            raise ShapeError(
                f"states has shape {tuple(self.states.shape)} and items {tuple(self.items.shape)}; wanted "
                "are (word, layer, width) and (item, part)."
            )
        if not len(self.labels) or len(self.labels) != len(self.items):
            raise LabelError(f"{len(self.items)} items have {len(self.labels)} labels; each needs one.")
        if int(self.items.min()) < 0 or int(self.items.max()) >= len(self.states):
            raise LabelError(
                f"items name words {int(self.items.min())} to {int(self.items.max())}; there are states of "
                f"words 0 to {len(self.states) - 1}."
            )


@dataclass(frozen=True)
class Training:
    """How a probe is trained: Adam on the mean cross-entropy.

    ``seed`` draws the order of items; weights start at zero, the mix even.
    """

    epochs: int = 10
    batch: int = 256
    rate: float = 3e-3
    seed: int = 0


PLAIN = Training()


def train_mix_probe(
    data: LabelledWords, *, layers: int | None = None, classes: int | None = None, training: Training = PLAIN
) -> MixProbe:
    """Train a linear probe on a mix of the first layers.

    Parameters
    ----------
    data : LabelledWords
        What to learn from.
    layers : int, optional
        How many layers it sees, from the embeddings on; all by default.
    classes : int, optional
        How many labels there are; by default one more than the largest.
    training : Training
        Epochs, batch, rate and seed. torch's own random numbers are not touched.

    Raises
    ------
    OptionError
        There are not as many layers.
    """
    most = data.states.shape[1]
    layers = most if layers is None else layers
    if not 1 <= layers <= most:
        raise OptionError(f"the states have {most} layers, so a probe cannot see {layers} of them.")
    classes = int(data.labels.max()) + 1 if classes is None else classes
    probe = MixProbe(layers, data.states.shape[2], classes, parts=data.items.shape[1])
    adam = torch.optim.Adam(probe.parameters(), lr=training.rate)
    rng = np.random.default_rng(training.seed)
    states = data.states[:, :layers]
    with torch.enable_grad():
        for _ in range(training.epochs):
            order = torch.from_numpy(rng.permutation(len(data.labels)))
            for at in torch.split(order, training.batch):
                adam.zero_grad()
                loss = nn.functional.cross_entropy(probe(states[data.items[at]]), data.labels[at])
                loss.backward()  # type: ignore[no-untyped-call]
                adam.step()
    return probe.eval().requires_grad_(False)


def score_mix_probe(probe: MixProbe, data: LabelledWords) -> Rate:
    """Return how many items the probe names rightly."""
    layers, right = len(probe.a), 0
    for at in torch.split(torch.arange(len(data.labels)), SCORED_AT_ONCE):
        guess = probe(data.states[data.items[at], :layers]).argmax(-1)
        right += int((guess == data.labels[at]).sum())
    return Rate(right, len(data.labels))


@dataclass(frozen=True, eq=False)
class DepthScore:
    """At which depth something can be read off, by Tenney's two measures.

    Attributes
    ----------
    shares : (layer,) float64 array
        The mix of the probe that sees all layers.
    centre : float
        Its centre of gravity, a layer.
    divergence : float
        How far it is from an even mix, nats.
    scores : tuple of Rate
        Of probes on layers 0 to l, on the scored data.
    expected : float
        The expected layer; outside 1 to the last layer only if some gain is negative.
    gains : (layer - 1,) float64 array
        What each layer adds to the score.
    commonest : Rate
        Score of always naming the commonest label of the training data.
    """

    shares: Doubles
    centre: float
    divergence: float
    scores: tuple[Rate, ...]
    expected: float
    gains: Doubles
    commonest: Rate


def measure_depth(train: LabelledWords, scored: LabelledWords, *, training: Training = PLAIN) -> DepthScore:
    """Train cumulative probes on one set of words and score them on another.

    Costs one training a layer. Labels that occur only among ``scored`` count as wrong.

    Parameters
    ----------
    train, scored : LabelledWords
        Of the same model and the same numbering of labels.
    training : Training
        Epochs, batch, rate and seed of every probe.

    Raises
    ------
    ShapeError
        The two have other layers, widths or parts, or only one layer.

    References
    ----------
    .. [1] Tenney et al., "BERT Rediscovers the Classical NLP Pipeline", 2019, doi:10.18653/v1/P19-1452
    """
    one, other = (tuple(d.states.shape[1:]) + tuple(d.items.shape[1:]) for d in (train, scored))
    if one != other or one[0] < 2:
        raise ShapeError(
            f"trained on (layer, width, part) = {one}, scored on {other}; both have to be alike, of two "
            "layers or more."
        )
    classes = int(max(train.labels.max(), scored.labels.max())) + 1
    probes = [
        train_mix_probe(train, layers=n, classes=classes, training=training) for n in range(1, one[0] + 1)
    ]
    scores = tuple(score_mix_probe(probe, scored) for probe in probes)
    expected, gains = expected_layer([score.share for score in scores])
    shares = probes[-1].shares
    commonest = int((scored.labels == train.labels.bincount().argmax()).sum())
    return DepthScore(
        shares,
        centre_of_gravity(shares),
        divergence_from_even(shares),
        scores,
        expected,
        gains,
        Rate(commonest, len(scored.labels)),
    )
