"""A parser that sees nothing but attention: how much syntax the heads hold together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from headscape.analysis.rates import Rate
from headscape.analysis.syntax import OFFSETS
from headscape.analysis.treebank import ROOT, Sentence
from headscape.errors import OptionError, ShapeError

Parsed: TypeAlias = tuple[Sentence, npt.NDArray[np.floating]]

# As Clark et al. train it.
LEARNING_RATE = 2e-3


class AttentionProbe(nn.Module):
    """Score every word as every other word's head by weighing the heads' attention between the two.

    ``p(i is the head of j) ~ exp(sum_k w_k A_k[i, j] + u_k A_k[j, i])``, where ``A_k`` is one head's
    attention between words and candidate 0 is the root, for which a special token stands. There are two
    weights a head and nothing else. The loss is convex in them, so they may well start at zero.

    Parameters
    ----------
    columns : int
        Number of heads, over all layers.

    References
    ----------
    .. [1] Clark et al., "What Does BERT Look At? An Analysis of BERT's Attention", section 5, 2019,
       doi:10.18653/v1/W19-4828
    """

    def __init__(self, columns: int) -> None:
        super().__init__()
        self.to_dependent = nn.Parameter(torch.zeros(columns))  # w: the candidate looks at the dependent
        self.to_head = nn.Parameter(torch.zeros(columns))  # u: the dependent looks at the candidate

    def forward(self, weights: Tensor) -> Tensor:
        """Return log probabilities, (word, candidate), from (column, 1 + word, 1 + word) attention.

        Candidate 0 is the root, candidate n is word n - 1; a word is never its own head.
        """
        size = weights.shape[-1]
        both = torch.stack([self.to_dependent, self.to_head]) @ weights.reshape(len(weights), -1)
        to_dependent, to_head = both.reshape(2, size, size)
        scores = to_dependent.T + to_head
        own = torch.eye(size, dtype=torch.bool, device=scores.device)
        found: Tensor = scores.masked_fill(own, -torch.inf)[1:].log_softmax(-1)
        return found

    def attach(self, weights: npt.NDArray[np.floating]) -> npt.NDArray[np.int64]:
        """Return each word's likeliest head, (word,) int64: the index of a word, -1 for the root."""
        with torch.no_grad():
            found = self(torch.as_tensor(weights, dtype=torch.float32)).argmax(-1) - 1
        heads: npt.NDArray[np.int64] = found.numpy()
        return heads


@dataclass(frozen=True)
class AttachmentScore:
    """Unlabelled attachment score: words whose head was found, roots among them.

    ``but_punct`` leaves out words whose relation is "punct".
    """

    words: Rate
    but_punct: Rate


def train_attention_probe(
    pairs: Sequence[Parsed], *, epochs: int = 1, rate: float = LEARNING_RATE, seed: int = 0
) -> AttentionProbe:
    """Train a probe, one sentence a step, with Adam and the mean loss over the sentence's words.

    Parameters
    ----------
    pairs : sequence of (Sentence, (column, 1 + word, 1 + word) array)
        Attention between words with the root in front:
        ``word_maps(trace, alignment.with_root())``. Not those that are scored later.
    epochs : int
        Rounds over the sentences; the paper takes one over 40,000.
    rate : float
        Learning rate of Adam.
    seed : int
        Draws the order of the sentences; torch's own random numbers are not touched.

    Raises
    ------
    OptionError
        There is no sentence.
    ShapeError
        A sentence's array has another shape or another number of heads, or holds NaN.
    """
    if not pairs:
        raise OptionError("there is no sentence to train on. Pass pairs of a Sentence and its word weights.")
    columns = len(pairs[0][1])
    ready = [_tensors(number, sentence, weights, columns) for number, (sentence, weights) in enumerate(pairs)]
    probe = AttentionProbe(columns)
    adam = torch.optim.Adam(probe.parameters(), lr=rate)
    rng = np.random.default_rng(seed)
    with torch.enable_grad():
        for _ in range(epochs):
            for at in rng.permutation(len(ready)):
                weights, heads = ready[at]
                adam.zero_grad()
                loss = nn.functional.nll_loss(probe(weights), heads)
                loss.backward()  # type: ignore[no-untyped-call]
                adam.step()
    return probe.eval().requires_grad_(False)


def _tensors(
    number: int, sentence: Sentence, weights: npt.NDArray[np.floating], columns: int
) -> tuple[Tensor, Tensor]:
    """Return attention and wanted candidates, (word,), of one sentence."""
    _expect_fit(number, sentence, weights, columns)
    return torch.as_tensor(weights, dtype=torch.float32), torch.from_numpy(sentence.heads - ROOT)


def _expect_fit(number: int, sentence: Sentence, weights: npt.NDArray[np.floating], columns: int) -> None:
    size = len(sentence) + 1
    if weights.shape != (columns, size, size):
        raise ShapeError(
            f"sentence {number} ({' '.join(sentence.words[:6])} ...) has weights of shape {weights.shape}; "
            f"wanted is (column, 1 + word, 1 + word) = ({columns}, {size}, {size}), the root in front: take "
            "alignment.with_root()."
        )
    if np.isnan(weights).any():
        raise ShapeError(
            f"sentence {number} ({' '.join(sentence.words[:6])} ...) has NaN in its weights: padding was "
            "aligned with a word, or the model gave NaN."
        )


def score_attention_probe(probe: AttentionProbe, pairs: Iterable[Parsed]) -> AttachmentScore:
    """Return how many words the probe attaches to their head.

    Raises
    ------
    ShapeError
        A sentence's array has another shape or another number of heads, or holds NaN.
    """
    guesses = []
    for number, (sentence, weights) in enumerate(pairs):
        _expect_fit(number, sentence, weights, len(probe.to_head))
        guesses.append((sentence, probe.attach(weights)))
    return score_attachments(guesses)


def score_attachments(guesses: Iterable[tuple[Sentence, npt.NDArray[np.int64]]]) -> AttachmentScore:
    """Return how many words have the guessed head, from sentences and (word,) guesses, -1 for the root."""
    right = total = right_but = total_but = 0
    for sentence, heads in guesses:
        is_right = heads == sentence.heads
        is_punct = np.array([r.split(":")[0] == "punct" for r in sentence.relations], dtype=bool)
        right, total = right + int(is_right.sum()), total + len(sentence)
        right_but += int(is_right[~is_punct].sum())
        total_but += int((~is_punct).sum())
    return AttachmentScore(Rate(right, total), Rate(right_but, total_but))


def offset_attachments(sentence: Sentence, offset: int) -> npt.NDArray[np.int64]:
    """Attach each word to the word ``offset`` places further on; to the root where the sentence ends."""
    heads = np.arange(len(sentence)) + offset
    return np.where((heads < 0) | (heads >= len(sentence)), ROOT, heads)


def score_offsets(sentences: Sequence[Sentence]) -> dict[int, AttachmentScore]:
    """Return the attachment score of every fixed offset, best first: what needs no model at all.

    +1 is the right-branching baseline (the head is the next word), -1 the left-branching one.
    """
    found = {
        offset: score_attachments((one, offset_attachments(one, offset)) for one in sentences)
        for offset in OFFSETS
    }
    return dict(sorted(found.items(), key=lambda item: -item[1].words.hits))
