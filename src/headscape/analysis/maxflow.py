"""Attention flow: how much each input could send to the answer, when weights are capacities."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from headscape.analysis.answer import Answer, find_answer, side_padding
from headscape.analysis.steps import HALF, Share, example_of, expect_joined, read_step
from headscape.errors import MissingExtraError, ShapeError, expect_index
from headscape.trace.trace import Trace

Doubles: TypeAlias = npt.NDArray[np.float64]
Longs: TypeAlias = npt.NDArray[np.int64]

# SciPy's flows are 32-bit integers: a capacity of 1 becomes this many units, and sums of flows up to 2 fit.
UNITS = 2**30


@dataclass(frozen=True, eq=False)
class AttentionFlow:
    """The largest flow from the answer down to each input.

    Attributes
    ----------
    inputs : tuple of (token,) float64 arrays
        One per side: the largest flow to each token on its own, 0 to 1. NaN for padding.
    answer : Answer
        Where the flow starts; 1 in all.
    """

    inputs: tuple[Doubles, ...] = field(repr=False)
    answer: Answer

    @property
    def shares(self) -> tuple[Doubles, ...]:
        """The flows as shares of the sum over all inputs."""
        total = sum(float(np.nansum(one)) for one in self.inputs)
        return tuple(one / total if total > 0 else one for one in self.inputs)


@dataclass(frozen=True, eq=False)
class Pipes:
    """A network: edge n carries up to ``capacity[n]`` from ``tail[n]`` to ``head[n]``."""

    tail: Longs
    head: Longs
    capacity: Doubles
    nodes: int


def attention_flow(
    trace: Trace, example: int = 0, *, token: int | None = None, share: Share = HALF
) -> AttentionFlow:
    """Find the largest flow from the answer to every input token.

    States are nodes; an edge's capacity is its weight, mean over heads, times attention's share, and a
    token's own earlier state has the residual's share. Each input's flow is worked out on its own: several
    together may not fit.

    Parameters
    ----------
    trace : Trace
        Captured with ``keep="all"``.
    example : int
        Which example of the batch.
    token : int, optional
        Token of the answering side's last plane to start from. Default: all that feed the answer, each with
        its share as capacity (:func:`headscape.analysis.answer.find_answer`).
    share : float or "measured"
        Attention's share, as for :func:`headscape.analysis.rollout.rollout`.

    Returns
    -------
    AttentionFlow

    Raises
    ------
    MissingExtraError
        SciPy is not installed.
    NotKeptError, ShapeError, OptionError
        As for :func:`headscape.analysis.rollout.rollout`; ShapeError also for rows the model made NaN.

    Notes
    -----
    Attention flow [1]_. Capacities are rounded down to 2^-30, so flows are exact to about 1e-7 and never too
    large. It bounds what could pass, not what did: in a dense network nearly every token could get the whole,
    and flows then hardly differ. One maximum flow an input token: 128 tokens through 6 layers take one to
    two seconds.

    References
    ----------
    .. [1] "Quantifying Attention Flow in Transformers", Abnar and Zuidema, ACL 2020,
       doi:10.18653/v1/2020.acl-main.385

    Examples
    --------
    >>> from headscape.trace.synthetic import example_trace
    >>> flow = attention_flow(example_trace())
    >>> bool((flow.inputs[0] <= 1).all())
    True
    """
    expect_joined(trace)
    index = example_of(trace, example)
    answer = find_answer(trace, index)
    if token is not None:
        place = expect_index("answering side", "token", token, len(answer.rows))
        rows = np.zeros(len(answer.rows))
        rows[place] = 1
        answer = Answer(answer.side, rows, f"it starts at token {place}")
    pipes, inputs, source = _lay_pipes(trace, index, answer, share)
    padded = [side_padding(trace, index, side) for side in range(len(trace.sides))]
    found = []
    for first, hidden in zip(inputs, padded, strict=True):
        real = np.flatnonzero(~hidden)
        flows = np.full(len(hidden), np.nan)
        flows[real] = largest_flows(pipes, source, (first + real).tolist())
        found.append(flows)
    return AttentionFlow(tuple(found), answer)


def largest_flows(pipes: Pipes, source: int, sinks: Sequence[int]) -> Doubles:
    """Return the largest flow from one node to each of some others, (sink,) float64.

    Parameters
    ----------
    pipes : Pipes
        The network; edges between the same two nodes add up to at most 1.
    source : int
        Where flows start. All of its edges together carry at most 1.
    sinks : sequence of int
        Where they go, one at a time.

    Raises
    ------
    MissingExtraError
        SciPy is not installed.
    """
    try:
        from scipy.sparse import csr_array
        from scipy.sparse.csgraph import maximum_flow
    except ImportError:
        raise MissingExtraError(
            'attention flow needs SciPy for its maximum flows. Install it with: pip install "headscape[flow]"'
        ) from None
    units = np.floor(pipes.capacity * UNITS).astype(np.int32)
    there = units > 0
    # Places of 32 bits: SciPy 1.12 takes no others.
    ends = (pipes.tail[there].astype(np.int32), pipes.head[there].astype(np.int32))
    network = csr_array((units[there], ends), shape=(pipes.nodes, pipes.nodes))
    network.sum_duplicates()
    return np.array([maximum_flow(network, source, sink).flow_value / UNITS for sink in sinks], np.float64)


def _lay_pipes(trace: Trace, example: int, answer: Answer, share: Share) -> tuple[Pipes, list[int], int]:
    """Return the network of a pass, the first input node of each side, and the node behind the answer."""
    sizes = [side.planes * side.length for side in trace.sides]
    starts = np.cumsum([0, *sizes])
    lengths = [side.length for side in trace.sides]
    now = [0] * len(trace.sides)
    tails, heads, capacities = [], [], []

    def add(tail: Longs, head: Longs, capacity: Doubles) -> None:
        tails.append(tail)
        heads.append(head)
        capacities.append(capacity)

    for call in trace.calls:
        step = read_step(trace, call, example, share=share)
        joined = step.mix.sum(0) * step.share[:, None]
        if np.isnan(joined).any():
            raise ShapeError(
                f"{call.site or 'the model itself'} has rows that are NaN, so their capacities are not "
                "known. trace.warnings and call.nan_rows say more."
            )
        side, length = call.query_side, lengths[call.query_side]
        here = starts[side] + now[side] * length
        keys = starts[call.key_side] + now[call.key_side] * lengths[call.key_side]
        query, key = np.nonzero(joined > 0)
        add(here + length + step.shift + query, keys + key, joined[query, key])
        keeps = np.ones(length)
        keeps[step.shift : step.shift + call.shape[2]] = 1 - step.share
        tokens = np.arange(length)
        add(here + length + tokens, here + tokens, keeps)
        now[side] += 1
    source = int(starts[-1])
    fed = np.flatnonzero(answer.rows)
    last = starts[answer.side] + now[answer.side] * lengths[answer.side]
    add(np.full(len(fed), source), last + fed, answer.rows[fed])
    pipes = Pipes(np.concatenate(tails), np.concatenate(heads), np.concatenate(capacities), source + 1)
    return pipes, [int(start) for start in starts[:-1]], source
