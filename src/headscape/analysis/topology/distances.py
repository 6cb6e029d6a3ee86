"""From attention to a graph of tokens: one weight and one distance for each pair."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from headscape.analysis.topology.matrices import expect_square
from headscape.errors import ShapeError, expect_option

Floats = npt.NDArray[np.floating]

# How two weights, i to j and j to i, become the weight of the pair.
SYMMETRISATIONS = ("max", "mean", "min")
# What rounding may add to a weight of 1 (bfloat16 included).
ROUNDING = 0.01
# Numbers by which rows are lengthened; one line of cache.
PADDING = 16


def symmetric_weights(weights: Floats, *, by: str = "max") -> Floats:
    """One weight for each pair of tokens, and none for a token with itself.

    Parameters
    ----------
    weights : (..., query, key) float array
        Attention of any number of heads over one set of tokens (query = key), 0 to 1. Causal heads are no
        special case: what may not be seen has weight 0.
    by : str
        ``"max"``: the stronger of the two ways (Kushnareva et al. 2021); ``"mean"``: half of ``A + A^T``;
        ``"min"``: both ways are needed, which leaves no edge in a causal head.

    Returns
    -------
    (..., token, token) array of the input's type
        Symmetric, 0 to 1, with zeros on the diagonal. NaN stays NaN.

    Raises
    ------
    ShapeError
        Not square (cross-attention: see :func:`bipartite_weights`), or a weight outside 0 to 1.
    OptionError
        No such symmetrisation.

    Notes
    -----
    ``max / 2 <= mean <= max``, so bars of the two are within a factor of two in weight but not equal.

    Examples
    --------
    >>> symmetric_weights(np.array([[0.9, 0.1], [0.4, 0.6]]))
    array([[0. , 0.4],
           [0.4, 0. ]])
    """
    expect_option("topology", "symmetrisation", by, SYMMETRISATIONS)
    expect_square("weights", weights)
    most = expect_shares("weights", weights)
    joined = np.empty(weights.shape, weights.dtype)
    join_ways(weights, by, joined)
    if most > 1:
        np.minimum(joined, 1, out=joined)
    return joined


def join_ways(weights: Floats, by: str, joined: Floats) -> None:
    """Write what :func:`symmetric_weights` returns into ``joined``, unchecked."""
    join = {"max": np.maximum, "mean": np.add, "min": np.minimum}[by]
    # Columns are read from rows that are a little longer: where a row has 2^n bytes, all of a column falls on
    # the same few lines of the processor's cache, and reading it takes twice as long.
    tokens = weights.shape[-1]
    longer = np.empty((tokens, tokens + PADDING), weights.dtype)[:, :tokens]
    for place in np.ndindex(weights.shape[:-2]):
        longer[...] = weights[place]
        join(weights[place], longer.T, out=joined[place])
    if by == "mean":
        joined *= 0.5
    np.einsum("...ii->...i", joined)[...] = 0


def attention_distances(weights: Floats, *, by: str = "max") -> Floats:
    """Distances between tokens: 1 minus their weight, and 0 from a token to itself.

    Parameters
    ----------
    weights : (..., query, key) float array
        As for :func:`symmetric_weights`.
    by : str
        How the two ways of a pair become one; see there.

    Returns
    -------
    (..., token, token) array of the input's type
        Symmetric, 0 (all attention) to 1 (none).

    References
    ----------
    .. [1] "Artificial Text Detection via Examining the Topology of Attention Maps", L. Kushnareva et al.,
       EMNLP 2021, doi:10.18653/v1/2021.emnlp-main.50

    Examples
    --------
    >>> attention_distances(np.array([[0.75, 0.25], [0.5, 0.5]]))
    array([[0. , 0.5],
           [0.5, 0. ]])
    """
    distances = symmetric_weights(weights, by=by)
    np.subtract(1, distances, out=distances)
    np.einsum("...ii->...i", distances)[...] = 0
    return distances


def bipartite_weights(weights: Floats) -> Floats:
    """Return cross-attention as the graph of all its tokens: queries first, then keys.

    Two queries have no attention to one another and two keys have none, so those pairs have weight 0, as any
    pair without attention in a graph of self-attention has.

    Parameters
    ----------
    weights : (..., query, key) float array
        Attention of queries of one sequence to keys of another, 0 to 1.

    Returns
    -------
    (..., query + key, query + key) array of the input's type
        Symmetric, with zeros on the diagonal.

    Examples
    --------
    >>> bipartite_weights(np.array([[0.75, 0.25]]))
    array([[0.  , 0.75, 0.25],
           [0.75, 0.  , 0.  ],
           [0.25, 0.  , 0.  ]])
    """
    if weights.ndim < 2 or 0 in weights.shape[-2:]:
        raise ShapeError(f"weights has shape {weights.shape}, but (..., query, key) with tokens is needed.")
    expect_shares("weights", weights)
    *leading, queries, keys = weights.shape
    square = np.zeros((*leading, queries + keys, queries + keys), weights.dtype)
    square[..., :queries, queries:] = np.minimum(weights, 1)
    square[..., queries:, :queries] = np.minimum(np.swapaxes(weights, -1, -2), 1)
    return square


def sink_keys(weights: Floats, *, least: float = 0.3) -> npt.NDArray[np.bool_]:
    """Tokens that draw a large share of a head's attention, whoever asks.

    Parameters
    ----------
    weights : (..., query, key) float array
        Attention, rows summing to 1; rows of NaN are left out.
    least : float
        Mean weight over queries from which a key counts as a sink, 0 to 1.

    Returns
    -------
    (..., key) bool array

    Notes
    -----
    The mean is over all queries; in a causal head later keys are seen by few, so that only early ones reach
    it. 0.3 is the threshold with which Gu et al. [1]_ speak of a sink; for their measure itself, over many
    texts, see :func:`headscape.analysis.sinks.find_sinks`.

    References
    ----------
    .. [1] "When Attention Sink Emerges in Language Models: An Empirical View", X. Gu et al., ICLR 2025,
       arXiv:2410.10781

    Examples
    --------
    >>> sink_keys(np.array([[0.8, 0.1, 0.1], [0.7, 0.2, 0.1], [0.6, 0.1, 0.3]]))
    array([ True, False, False])
    """
    is_there = ~np.isnan(weights).any(axis=-1, keepdims=True)
    count = np.maximum(is_there.sum(axis=-2), 1)
    return np.asarray(np.where(is_there, weights, 0).sum(axis=-2) / count >= least)


def without_tokens(square: Floats, left_out: Sequence[int] | npt.NDArray[np.integer]) -> Floats:
    """Return the graph without some of its tokens, (..., token, token); other weights stay as they are.

    Parameters
    ----------
    square : (..., token, token) array
        Weights or distances.
    left_out : sequence of int
        Places of the tokens.
    """
    expect_square("square", square)
    keep = np.ones(square.shape[-1], bool)
    keep[np.asarray(left_out, dtype=np.int64)] = False
    places = np.flatnonzero(keep)
    return square[..., places[:, None], places[None, :]]


def expect_shares(name: str, weights: Floats) -> float:
    """Return the largest weight; raise :class:`ShapeError` where one lies outside 0 to 1. NaN passes."""
    if not weights.size:
        return 0.0
    with np.errstate(invalid="ignore"):
        least, most = np.fmin.reduce(weights, axis=None), np.fmax.reduce(weights, axis=None)
    if least < 0 or most > 1 + ROUNDING:
        value = least if least < 0 else most
        place = tuple(int(i) for i in np.argwhere(weights == value)[0])
        raise ShapeError(
            f"{name} is {value:.4g} at {place}, outside 0 to 1. Pass attention after softmax, not scores."
        )
    return float(most)
