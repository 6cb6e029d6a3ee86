"""How far two graphs on the same tokens, or two groups of tokens in one graph, hang together differently."""

import numpy as np
import numpy.typing as npt

from headscape.analysis.topology.bars import Bars
from headscape.analysis.topology.cliques import LIMIT_S, MOST_NODES, h1_bars
from headscape.analysis.topology.forest import tree_weights
from headscape.analysis.topology.matrices import expect_distances
from headscape.errors import ShapeError

Floats = npt.NDArray[np.floating]
Reals = npt.NDArray[np.float64]
# Distances below this share of the mean count as 0, as in the published code.
TINY = 1e-6


def mtop_div(weights: Floats, prompt: npt.NDArray[np.bool_]) -> Reals:
    """How loosely a response hangs on its prompt: MTop-Div(response | prompt), as TOHA uses it.

    The tokens of the prompt count as one; the result is the sum of the H0 bars of what is left, which is the
    length of the shortest forest that ties every token of the response to the prompt. A response that the
    model wrote from the prompt is near it; one it made up is far.

    Parameters
    ----------
    weights : (..., token, token) float array
        Symmetric attention, 0 to 1; see :func:`headscape.analysis.topology.distances.symmetric_weights`.
    prompt : (token,) bool array
        Which tokens are the prompt. None of them: the sum of the H0 bars of the whole graph.

    Returns
    -------
    (...) float64 array
        0 (every token of the response attends with all its weight) to the number of response tokens. NaN
        where a graph holds NaN.

    Raises
    ------
    ShapeError
        ``weights`` is not symmetric, or ``prompt`` is not one flag for each token.

    Notes
    -----
    Distances are ``1 - weight``. Moving a token to the prompt never makes the result larger. One head says
    little: TOHA takes the mean over about ten heads that were chosen on labelled answers, and divides by
    nothing here, so longer responses score higher.

    References
    ----------
    .. [1] "Hallucination Detection in LLMs with Topological Divergence on Attention Graphs", A. Bazarova et
       al., 2025, arXiv:2504.10063
    .. [2] "Manifold Topology Divergence: a Framework for Comparing Data Manifolds", S. Barannikov et al.,
       NeurIPS 2021, arXiv:2106.04024

    Examples
    --------
    Two tokens of a response; one attends to the prompt with 0.9, the other to the first with 0.5:

    >>> w = np.array([[0, 0.9, 0.1], [0.9, 0, 0.5], [0.1, 0.5, 0]])
    >>> round(float(mtop_div(w, np.array([True, False, False]))), 6)
    0.6
    """
    expect_distances("weights", weights)
    flags = np.asarray(prompt)
    if flags.shape != weights.shape[-1:] or flags.dtype != bool:
        raise ShapeError(
            f"prompt is {flags.dtype} of shape {flags.shape}; pass one bool for each of the "
            f"{weights.shape[-1]} tokens."
        )
    tree = tree_weights(weights, joined=flags if flags.any() else None)
    return np.asarray((1 - tree).sum(axis=-1))


def rtd(first: Floats, second: Floats, *, most_nodes: int = MOST_NODES, limit_s: float = LIMIT_S) -> float:
    """Representation topology divergence of two graphs on the same tokens, one way.

    Sum of the H1 bars of :func:`rtd_bars`: what hangs together in ``second`` and not, or only later, in
    both graphs.

    Parameters
    ----------
    first, second : (token, token) float array
        Distances, as two models (or heads, or training steps) give them for the same tokens in order.
    most_nodes, limit_s
        As for :func:`headscape.analysis.topology.cliques.h1_bars`; the graph has twice as many nodes.

    Returns
    -------
    float
        >= 0; 0 for equal graphs. ``rtd(a, b)`` and ``rtd(b, a)`` differ; report both or their mean. NaN where
        the time limit ended the work (see :func:`rtd_bars`).
    """
    return rtd_bars(first, second, most_nodes=most_nodes, limit_s=limit_s).total


def rtd_bars(
    first: Floats, second: Floats, *, most_nodes: int = MOST_NODES, limit_s: float = LIMIT_S
) -> Bars:
    """Return the bars of H1 whose lengths :func:`rtd` adds up.

    Notes
    -----
    They are those of the distances ``[[0, m], [m, second]]`` on twice the tokens, where ``m`` is the larger
    of both distances: the first half is one point to which the common part of both graphs is tied, so that
    only what ``second`` has on its own leaves cycles. Distances below 1e-6 of the mean of ``m`` count as 0,
    as in the published code of [2]_. The tokens of both have to be the same: where tokenizers differ, merge
    pieces to words first.

    References
    ----------
    .. [1] "Representation Topology Divergence: A Method for Comparing Neural Network Representations", S.
       Barannikov et al., ICML 2022, arXiv:2201.00058
    .. [2] "Acceptability Judgements via Examining the Topology of Attention Maps", D. Cherniavskii et al.,
       Findings of EMNLP 2022, doi:10.18653/v1/2022.findings-emnlp.7
    """
    expect_distances("first", first)
    expect_distances("second", second)
    if first.shape != second.shape or first.ndim != 2:
        raise ShapeError(
            f"first has shape {first.shape} and second {second.shape}; both must be (token, token) over the "
            "same tokens. Where tokenizers differ, merge pieces to words first."
        )
    tokens = len(first)
    both = np.maximum(first, second).astype(np.float64)
    np.fill_diagonal(both, 0)
    block = np.zeros((2 * tokens, 2 * tokens))
    block[:tokens, tokens:] = block[tokens:, :tokens] = both
    block[tokens:, tokens:] = second
    np.fill_diagonal(block, 0)
    block[block < TINY * both.mean()] = 0
    return h1_bars(block, most_nodes=most_nodes, limit_s=limit_s)
