"""The functional graph of heads: how alike the attention of each two heads is."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from headscape.analysis.functional import correlate_units
from headscape.analysis.rows import whole_rows
from headscape.errors import ShapeError, expect_option
from headscape.trace.trace import Trace

Reals = npt.NDArray[np.float64]


def compare_heads(trace: Trace, *, examples: Sequence[int] | None = None, by: str = "divergence") -> Reals:
    """Weights of the functional graph of heads, over all layers.

    Parameters
    ----------
    trace : Trace
        One pass over a fixed batch, with every weight kept. All calls must have the same queries and keys.
    examples : sequence of int, optional
        Which examples of the batch; default all.
    by : "divergence" or "correlation"
        ``1 - sqrt(JS)``, with the Jensen-Shannon divergence in bits, mean over rows [1]_; or the absolute
        correlation of the weights, with each row's hidden keys left out (:func:`correlate_units`).

    Returns
    -------
    (node, node) float64 array
        Node ``h`` of layer ``l`` comes after all heads of the layers before, as in :func:`name_heads`. 1:
        the two heads look alike everywhere; 0: they never look at the same key.

    Raises
    ------
    NotKeptError
        Only the top keys were kept.
    OptionError
        No such ``by``.
    ShapeError
        Fewer than two heads, layers that differ in their queries or keys, no row that all heads have, or
        rows that do not sum to 1.

    Notes
    -----
    The square root of the mean divergence is a metric, as each row's is [1]_. Time heads² x rows x keys.

    References
    ----------
    .. [1] "A new metric for probability distributions", D. M. Endres and J. E. Schindelin, IEEE Transactions
       on Information Theory 49, 2003, doi:10.1109/TIT.2003.813506

    Examples
    --------
    >>> from headscape.trace.by_hand import trace_of
    >>> same, other = np.eye(3), np.roll(np.eye(3), 1, axis=0)
    >>> compare_heads(trace_of([same, other], [same]))
    array([[1., 0., 1.],
           [0., 1., 0.],
           [1., 0., 1.]])
    """
    expect_option("compare_heads()", "by", by, ("divergence", "correlation"))
    rows = _shared_rows(trace, range(trace.batch) if examples is None else examples)
    if by == "divergence":
        return 1 - np.sqrt(_divergences(rows))
    seen = (rows > 0).any(axis=0)  # keys that a mask hides are zero in every head
    return correlate_units(rows[:, seen])


def name_heads(trace: Trace) -> list[tuple[int, int]]:
    """Layer and head of each node of :func:`compare_heads`."""
    return [(call.layer, head) for call in trace.calls for head in range(call.shape[1])]


def _shared_rows(trace: Trace, examples: Sequence[int]) -> Reals:
    """Every head's rows, (node, row, key), of queries that have a whole row in all heads."""
    sizes = {call.shape[2:] for call in trace.calls}
    heads = sum(call.shape[1] for call in trace.calls)
    if len(sizes) != 1 or heads < 2:
        seen = ", ".join(f"{queries} x {keys}" for queries, keys in sorted(sizes)) or "none"
        raise ShapeError(
            f"the trace has {heads} heads with maps (queries x keys) of {seen}; comparing heads needs two or "
            "more with maps of one size. Capture an encoder and a decoder in passes of their own."
        )
    stacks = [
        np.concatenate([whole_rows(call, example) for call in trace.calls], axis=0) for example in examples
    ]
    rows: Reals = np.concatenate(stacks, axis=1) if stacks else np.empty((heads, 0, 1))
    rows = rows[:, ~np.isnan(rows).any(axis=(0, 2))]
    if not rows.shape[1]:
        raise ShapeError(
            "no query has a whole row in all heads: every one is padded, hidden or NaN somewhere."
        )
    return rows


def _divergences(rows: Reals) -> Reals:
    """Jensen-Shannon divergence of each two heads in bits, mean over rows, (node, node)."""
    own = _negative_entropy(rows)
    found = np.zeros((len(rows), len(rows)))
    for node in range(len(rows) - 1):
        mixed = _negative_entropy((rows[node] + rows[node + 1 :]) / 2)
        found[node, node + 1 :] = (own[node] + own[node + 1 :]) / 2 - mixed
    found = np.clip(found, 0, 1)  # rounding may leave it by 1e-16
    return found + found.T


def _negative_entropy(rows: Reals) -> Reals:
    """Sum of p log2 p, mean over rows, (node,)."""
    found: Reals = (rows * np.log2(np.where(rows > 0, rows, 1))).sum(axis=-1).mean(axis=-1)
    return found
