"""Induction heads, found by running a model on random tokens that repeat."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from headscape.analysis.patterns import duplicate_pattern, induction_pattern, pattern_score, prefix_matching
from headscape.analysis.rows import whole_rows
from headscape.errors import NoAttentionError, OptionError
from headscape.intercept.run import capture
from headscape.trace.call import AttentionCall
from headscape.trace.trace import Trace

Doubles: TypeAlias = npt.NDArray[np.float64]

# Prefix-matching score from which a head is counted as an induction head. On a sequence of two rounds of 50
# uniform attention gives about 0.013; heads that do it stand far apart from those that do not.
INDUCTION = 0.3


@dataclass(frozen=True, eq=False, repr=False)
class InductionScores:
    """Scores of all heads on random tokens that repeat, each (call, head) float64, 0 to 1.

    A call with fewer heads than others has NaN behind its last one.

    Attributes
    ----------
    sites : tuple of str
        The self-attention calls, in order of execution.
    layers : tuple of int
        ``call.layer`` of each.
    prefix_matching
        Mean attention, in the second round, to the token behind the earlier copy (Olsson et al.).
    induction, duplicate
        Share of all attention in TransformerLens' induction and duplicate-token patterns. Both rounds count,
        so that it is at most about one half.
    chance : (call,) float64 array
        Prefix matching of uniform attention over the keys each row may see.
    tokens : (text, token) int64 array
        What the model ran on.
    """

    sites: tuple[str, ...]
    layers: tuple[int, ...]
    prefix_matching: Doubles
    induction: Doubles
    duplicate: Doubles
    chance: Doubles
    tokens: npt.NDArray[np.int64]

    def heads(self, above: float = INDUCTION) -> list[tuple[int, int, float]]:
        """Return layer, head and prefix-matching score of the induction heads, strongest first."""
        found = [
            (self.layers[call], int(head), float(self.prefix_matching[call, head]))
            for call, head in np.argwhere(np.nan_to_num(self.prefix_matching) > above)
        ]
        return sorted(found, key=lambda one: -one[2])

    def __repr__(self) -> str:
        texts, length = self.tokens.shape
        return f"InductionScores({len(self.heads())} induction heads, {texts} texts of {length} tokens)"


def repeated_tokens(
    vocabulary: int, *, period: int = 50, texts: int = 8, start: int | None = None, seed: int = 0
) -> npt.NDArray[np.int64]:
    """Draw random tokens and repeat them once, (text, token) int64.

    Parameters
    ----------
    vocabulary : int
        Token ids are drawn from 0 to below this, without a repetition inside a round where there are enough.
    period : int
        Tokens in a round.
    texts : int
        How many sequences.
    start : int, optional
        A token to put before each, such as the model's beginning of text; it is not drawn again.
    seed : int
        The same seed draws the same tokens.
    """
    if vocabulary < 2 or period < 2 or texts < 1:
        raise OptionError(
            f"repeated_tokens() got vocabulary={vocabulary}, period={period} and texts={texts}; it needs at "
            "least two tokens, rounds of at least 2, and one text."
        )
    rng = np.random.default_rng(seed)
    pool = np.arange(vocabulary)
    pool = pool[pool != start]  # else the start would be one more copy
    rounds = [
        rng.permutation(pool)[:period] if len(pool) >= period else rng.choice(pool, period)
        for _ in range(texts)
    ]
    both = np.tile(np.stack(rounds), 2)
    if start is None:
        return both.astype(np.int64)
    return np.concatenate([np.full((texts, 1), start), both], 1).astype(np.int64)


def score_induction(
    model: nn.Module,
    vocabulary: int,
    *,
    period: int = 50,
    texts: int = 8,
    start: int | None = None,
    seed: int = 0,
    run: Callable[[Tensor], Any] | None = None,
) -> InductionScores:
    """Run a causal language model on random tokens that repeat, and score its heads.

    Parameters
    ----------
    model : nn.Module
        It is run once, in evaluation mode and without gradients, and left as it was.
    vocabulary : int
        Number of token ids to draw from.
    period, texts, start, seed
        As in :func:`repeated_tokens`.
    run : callable, optional
        Runs one forward pass of the model on token ids, a (text, token) int64 tensor on the model's device;
        default ``model(ids)``.

    Returns
    -------
    InductionScores

    Raises
    ------
    NoAttentionError
        No self-attention over all tokens was seen.
    ShapeError
        Rows do not sum to 1.

    Notes
    -----
    Random tokens have no meaning to go by, so only copying helps: a high score is induction and not knowledge
    of language. A head that looks back by a fixed number of tokens would score too; try another ``period``.

    References
    ----------
    .. [1] Olsson et al., "In-context Learning and Induction Heads", 2022, arXiv:2209.11895
    """
    ids = repeated_tokens(vocabulary, period=period, texts=texts, start=start, seed=seed)
    first = next(model.parameters(), None)
    given = torch.as_tensor(ids, device=None if first is None else first.device)
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        with capture(model, keep="all", values=False) as seen, torch.no_grad():
            (run or model)(given)
    finally:
        for module, was_training in modes:
            module.training = was_training
    return _score(seen.trace, ids, period, 0 if start is None else 1)


def _score(trace: Trace, ids: npt.NDArray[np.int64], period: int, before: int) -> InductionScores:
    length = ids.shape[1]
    calls = [c for c in trace.calls if c.shape[2:] == (length, length) and c.query_side == c.key_side]
    if not calls:
        shapes = ", ".join(str(call.shape) for call in trace.calls[:4]) or "nothing"
        raise NoAttentionError(
            f"no self-attention over all {length} tokens was seen ({shapes}). The model must read the whole "
            "sequence in one pass; pass run= if model(ids) is not how it is called."
        )
    tables = [np.full((len(calls), max(call.shape[1] for call in calls)), np.nan) for _ in range(3)]
    for n, call in enumerate(calls):
        scores = np.stack([_scores(call, text, ids[text], period, before) for text in range(len(ids))])
        for table, one in zip(tables, scores.mean(0), strict=True):
            table[n, : call.shape[1]] = one
    second = slice(before + period, length)
    chance = np.array([float((1 / call.visible()[:, second]).mean()) for call in calls])
    matching, induction, duplicate = tables
    return InductionScores(
        tuple(call.site for call in calls),
        tuple(call.layer for call in calls),
        matching,
        induction,
        duplicate,
        chance,
        ids,
    )


def _scores(call: AttentionCall, text: int, ids: npt.NDArray[np.int64], period: int, before: int) -> Doubles:
    """Return the three scores of one text, (score, head)."""
    weights = whole_rows(call, text)
    return np.stack(
        [
            prefix_matching(weights, period, before=before),
            pattern_score(weights, induction_pattern(ids)),
            pattern_score(weights, duplicate_pattern(ids)),
        ]
    )
