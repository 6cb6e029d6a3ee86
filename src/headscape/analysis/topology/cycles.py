"""H1 of attention heads: cycles of tokens above a cut in weight, with and without the tokens all look at."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headscape.analysis.topology.bars import Bars
from headscape.analysis.topology.cliques import LIMIT_S, MOST_NODES, h1_bars_each
from headscape.analysis.topology.distances import without_tokens
from headscape.analysis.topology.matrices import expect_distances
from headscape.errors import OptionError

Floats = npt.NDArray[np.floating]

# Edges below this many times 1/tokens are left out: the bars above them stay what they are, and trained heads
# keep about a sixth of their edges.
SHARE = 2.0
# A weight this close below the cut counts as reaching it: float32 rounds 2/tokens either way.
ROUNDING = 1e-6


def token_cycles(
    weights: Floats, *, share: float = SHARE, most_nodes: int = MOST_NODES, limit_s: float = LIMIT_S
) -> list[Bars]:
    """Bars of H1 of heads' token graphs, edges of weak attention left out.

    Parameters
    ----------
    weights : (..., token, token) float array
        Symmetric, 0 to 1; see :func:`headscape.analysis.topology.distances.symmetric_weights`.
    share : float
        Keep edges of weight ``share / tokens`` and more. A cycle that is still there at the cut is an open
        bar. 0 keeps every edge.
    most_nodes, limit_s
        As for :func:`headscape.analysis.topology.cliques.h1_bars`, for each head.

    Returns
    -------
    list of Bars
        One for each head, in the order of the leading axes. Distances are ``1 - weight``.

    Notes
    -----
    A token that all others attend to (a sink) is joined to everything, and fills every cycle as soon as its
    edges enter: see :func:`cycles_with_and_without`.
    """
    return token_cycles_each([(weights, share)], most_nodes=most_nodes, limit_s=limit_s)[0]


def token_cycles_each(
    layers: Sequence[tuple[Floats, float]], *, most_nodes: int = MOST_NODES, limit_s: float = LIMIT_S
) -> list[list[Bars]]:
    """Return what :func:`token_cycles` does for many pairs of weights and share, in one child process."""
    distances: list[Floats] = []
    longest: list[float] = []
    counts: list[int] = []
    for weights, share in layers:
        expect_distances("weights", weights)
        if share < 0:
            raise OptionError(f"token_cycles was given share={share}; it is 0 (every edge) or more.")
        tokens = weights.shape[-1]
        heads = 1 - weights.reshape(-1, tokens, tokens).astype(np.float64)
        heads[:, np.arange(tokens), np.arange(tokens)] = 0
        distances += list(heads)
        longest += [1 - share / tokens * (1 - ROUNDING) if share else np.inf] * len(heads)
        counts.append(len(heads))
    bars = iter(h1_bars_each(distances, longest=longest, most_nodes=most_nodes, limit_s=limit_s))
    return [[next(bars) for _ in range(count)] for count in counts]


@dataclass(frozen=True, eq=False)
class CyclesBothWays:
    """H1 of heads with all their tokens, and without some.

    Attributes
    ----------
    whole, rest : tuple of Bars
        With all tokens, and without those left out; one for each head.
    left_out : (token,) int array
        Places of the tokens that ``rest`` lacks.
    """

    whole: tuple[Bars, ...]
    rest: tuple[Bars, ...]
    left_out: npt.NDArray[np.int64]


def cycles_with_and_without(
    weights: Floats,
    left_out: Sequence[int] | npt.NDArray[np.integer],
    *,
    share: float = SHARE,
    most_nodes: int = MOST_NODES,
    limit_s: float = LIMIT_S,
) -> CyclesBothWays:
    """Return the bars of H1 with all tokens and without sinks or special tokens.

    Parameters
    ----------
    weights : (..., token, token) float array
        As for :func:`token_cycles`.
    left_out : sequence of int
        Places of tokens to leave out the second time. Weights of the others stay as they are, and the cut
        stays where it was.
    share, most_nodes, limit_s
        As for :func:`token_cycles`.
    """
    expect_distances("weights", weights)
    tokens = weights.shape[-1]
    places = np.unique(np.asarray(left_out, dtype=np.int64).reshape(-1) % tokens)
    if len(places) == tokens:
        raise OptionError(f"all {tokens} tokens are to be left out; leave at least one.")
    rest = without_tokens(weights, places)
    # The same cut in weight, though fewer tokens are left.
    both = [(weights, share), (rest, share * rest.shape[-1] / tokens)]
    whole_bars, rest_bars = token_cycles_each(both, most_nodes=most_nodes, limit_s=limit_s)
    return CyclesBothWays(tuple(whole_bars), tuple(rest_bars), places)
