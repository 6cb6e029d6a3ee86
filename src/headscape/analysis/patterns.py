"""Measures of one matrix of attention: entropy, distance, diagonals, and where a text repeats itself.

All take plain arrays, ``weights`` (..., query, key) after softmax and before dropout; a row is a query.
"""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from headscape.errors import OptionError, ShapeError

Doubles: TypeAlias = npt.NDArray[np.float64]
Flags: TypeAlias = npt.NDArray[np.bool_]
Weights: TypeAlias = npt.NDArray[np.floating]

# What Clark et al. 2019 mix in of uniform attention before they take logarithms.
CLARK_ENTROPY, CLARK_DIVERGENCE = 1e-4, 1e-3


def row_entropy(weights: Weights, *, smoothing: float = 0.0, unit: str = "bits") -> Doubles:
    """Entropy of each query's attention.

    0: the query looks at one key. log2(K) bits, or log(K) nats: it looks at all K keys alike.

    Parameters
    ----------
    weights : (..., query, key) float array
        Rows that sum to 1. A row that holds NaN gives NaN.
    smoothing : float
        Share of uniform attention mixed into each row first, 0 to 1: ``(1 - s) * weights + s / key``. Clark
        et al. take 1e-4 (:data:`CLARK_ENTROPY`).
    unit : str
        ``"bits"`` or ``"nats"``.

    Returns
    -------
    (..., query) float64 array

    References
    ----------
    .. [1] Clark, Khandelwal, Levy, Manning, "What Does BERT Look At?", section 3.2, 2019,
       doi:10.18653/v1/W19-4828

    Examples
    --------
    >>> row_entropy(np.array([[0.5, 0.5, 0, 0]])).tolist()
    [1.0]
    """
    if unit not in ("bits", "nats"):
        raise OptionError(f"row_entropy() has no unit {unit!r}; there is 'bits' and 'nats'.")
    p = np.asarray(weights, np.float64)
    p = (1 - smoothing) * p + smoothing / p.shape[-1]
    safe = np.where(p > 0, p, 1.0)
    bits = np.abs((safe * np.log2(safe)).sum(-1))
    bits = np.where(np.isnan(p).any(-1), np.nan, bits)
    found: Doubles = bits if unit == "bits" else bits * np.log(2)
    return found


def mean_distance(weights: Weights) -> Doubles:
    """Mean number of tokens between a query and what it attends to, (..., query) float64.

    The last query stands on the last key; with more keys than queries (a cache) the others stand before it.
    """
    queries, keys = weights.shape[-2:]
    gaps = np.abs(np.arange(queries)[:, None] + keys - queries - np.arange(keys))
    found: Doubles = np.einsum("...qk,qk->...q", np.asarray(weights, np.float64), gaps.astype(np.float64))
    return found


def diagonal(weights: Weights, offset: int) -> npt.NDArray[np.floating]:
    """Weights of the keys that stand ``offset`` tokens behind their query, (..., row).

    -1 is the previous token, 0 the same, 1 the next. Only rows that have such a key are there. The last query
    stands on the last key.
    """
    found: npt.NDArray[np.floating] = np.diagonal(
        weights, offset + weights.shape[-1] - weights.shape[-2], -2, -1
    )
    return found


def duplicate_pattern(ids: npt.ArrayLike) -> Flags:
    """Keys that hold an earlier copy of the query's token, (query, key) bool.

    ``ids`` (token,) may be numbers or texts. TransformerLens' pattern of a duplicate token head.

    Examples
    --------
    >>> duplicate_pattern(["a", "b", "a"])[2].tolist()
    [True, False, False]
    """
    return np.asarray(np.tril(copies(ids), -1))


def induction_pattern(ids: npt.ArrayLike) -> Flags:
    """Keys right behind an earlier copy of the query's token, (query, key) bool.

    The duplicate pattern shifted by one key, as in TransformerLens. What such a key holds is what a model
    that continues repetitions predicts next.

    References
    ----------
    .. [1] Olsson et al., "In-context Learning and Induction Heads", 2022, arXiv:2209.11895

    Examples
    --------
    >>> induction_pattern(["a", "b", "a"])[2].tolist()
    [False, True, False]
    """
    return shifted(duplicate_pattern(ids))


def copies(ids: npt.ArrayLike) -> Flags:
    """Keys that hold another copy of the query's token, on either side, (query, key) bool."""
    given = np.asarray(ids)
    if given.ndim != 1:
        raise ShapeError(f"ids has shape {given.shape}, but (token,) (1 axis) is needed.")
    alike: Flags = given[:, None] == given
    np.fill_diagonal(alike, False)
    return alike


def shifted(pattern: Flags) -> Flags:
    """Move a pattern one key on; the first key is left empty."""
    found = np.zeros_like(pattern)
    found[..., 1:] = pattern[..., :-1]
    return found


def pattern_score(weights: Weights, pattern: npt.ArrayLike) -> Doubles:
    """Share of all attention in a pattern, ``sum(weights * pattern) / sum(weights)``, (...) float64.

    TransformerLens' ``detect_head`` with its error measure ``"mul"``. Rows that hold NaN count as nothing.

    Parameters
    ----------
    weights : (..., query, key) float array
        Attention.
    pattern : (query, key) bool array
        For instance :func:`duplicate_pattern` or :func:`induction_pattern`.

    Raises
    ------
    ShapeError
        The pattern has other queries or keys.
    """
    mask = np.asarray(pattern, np.float64)
    if mask.shape != weights.shape[-2:]:
        raise ShapeError(
            f"pattern has shape {mask.shape}, but the weights have {weights.shape[-2]} queries and "
            f"{weights.shape[-1]} keys. Make it from as many tokens as the model saw."
        )
    p = np.asarray(weights, np.float64)
    p = np.where(np.isnan(p).any(-1, keepdims=True), 0, p)
    total = p.sum((-1, -2))
    with np.errstate(invalid="ignore"):
        found: Doubles = np.einsum("...qk,qk->...", p, mask) / np.where(total > 0, total, np.nan)
    return found


def prefix_matching(weights: Weights, period: int, *, before: int = 0) -> Doubles:
    """Attention to the token behind the earlier copy, on a sequence that is repeated, (...) float64, 0 to 1.

    Mean of ``weights[i, i - period + 1]`` over the rows of the second and later rounds.

    Parameters
    ----------
    weights : (..., query, key) float array
        Of ``before`` tokens, then the same ``period`` tokens at least twice.
    period : int
        Tokens in a round.
    before : int
        Tokens before the first round, such as a beginning-of-text token.

    Raises
    ------
    ShapeError
        There are fewer than two rounds.

    References
    ----------
    .. [1] Olsson et al., "In-context Learning and Induction Heads", 2022, arXiv:2209.11895

    Examples
    --------
    >>> rows = np.zeros((4, 4))
    >>> rows[[2, 3], [1, 2]] = 1  # a b a b: each second copy looks behind the first
    >>> prefix_matching(rows, 2).item()
    1.0
    """
    queries, keys = weights.shape[-2:]
    if queries != keys or period < 1 or queries < before + 2 * period:
        raise ShapeError(
            f"weights has {queries} queries and {keys} keys, but prefix matching needs as many of one as "
            f"of the other and two rounds of {period} behind {before} tokens: {before + 2 * period}."
        )
    rows = np.arange(before + period, queries)
    found: Doubles = weights[..., rows, rows - period + 1].mean(-1, dtype=np.float64)
    return found
