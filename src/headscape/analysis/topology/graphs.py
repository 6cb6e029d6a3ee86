"""From a trace to the graphs of its heads: which tokens are nodes, and which are left out."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headscape.analysis.rows import whole_rows
from headscape.analysis.topology.distances import (
    bipartite_weights,
    sink_keys,
    symmetric_weights,
    without_tokens,
)
from headscape.errors import LabelError, NoAttentionError, OptionError, ShapeError, expect_index
from headscape.trace.call import AttentionCall
from headscape.trace.trace import Trace

Reals = npt.NDArray[np.float64]

# Names no token, but those that a layer's heads look at most.
SINKS = "sinks"


@dataclass(frozen=True, eq=False)
class TokenGraphs:
    """The graphs of one call's heads: tokens as nodes, attention both ways as weight.

    Attributes
    ----------
    weights : (head, node, node) float32 array
        Symmetric, 0 to 1, diagonal 0. NaN throughout a head in which the model made a row NaN.
    labels : tuple of str
        Of the nodes.
    places : (node,) int array
        Each node's place among its side's tokens.
    queries : int
        Nodes of self-attention, all of them; of cross-attention the first ones, which ask, before the keys.
    is_cross : bool
        Whether the graph has two kinds of nodes, with edges between the kinds only.
    left_out : tuple of str
        Labels of the tokens that were to be left out, in order. Padding is left out without being named.
    """

    weights: npt.NDArray[np.float32]
    labels: tuple[str, ...]
    places: npt.NDArray[np.int64]
    queries: int
    is_cross: bool
    left_out: tuple[str, ...]


def token_graphs(
    trace: Trace,
    layer: int,
    example: int = 0,
    *,
    without: Sequence[int | str] = (),
    by: str = "max",
    expect_sums: bool = True,
) -> TokenGraphs:
    """Return the graphs of one layer's heads.

    Parameters
    ----------
    trace : Trace
        All weights have to be there.
    layer : int
        Number of the attention call.
    example : int
        Which example of the batch.
    without : sequence of int or str
        Tokens to leave out: places, labels ("[CLS]": every token of that label), or ``"sinks"``: tokens that
        on average over heads and queries get 0.3 of the attention or more. Weights of the others stay.
    by : str
        How the two ways of a pair become one; see
        :func:`headscape.analysis.topology.distances.symmetric_weights`.
    expect_sums : bool
        Whether a row that does not sum to 1 is an error. Turn it off for attention with a sink bias or a
        sigmoid.

    Returns
    -------
    TokenGraphs
        Without padded tokens. Cross-attention gives one graph of queries and keys together.

    Raises
    ------
    NotKeptError
        Only the top keys of each row were kept; capture with ``keep="all"``.
    ShapeError
        Rows do not sum to 1, or self-attention over cached keys whose queries are not in the trace.
    OptionError, LabelError
        No such layer, example or token.
    NoAttentionError
        All tokens are padding.
    """
    call = trace.calls[expect_index("trace", "layer", layer, len(trace.calls))]
    rows = _rows(call, example, expect_sums)
    is_cross = call.kind == "cross"
    if not is_cross and call.shape[2] != call.shape[3]:
        raise ShapeError(
            f"{call.site or 'the model itself'} has {call.shape[2]} queries for {call.shape[3]} keys of the "
            "same text: earlier queries ran in another pass (cached keys), or keys were added. The graph of "
            "tokens needs a row for each: capture one pass over the whole text."
        )
    query_there, key_there = ~call.padded(example), ~call.padded_keys(example)
    if not is_cross:
        query_there = key_there = query_there & key_there
    queries, keys = np.flatnonzero(query_there), np.flatnonzero(key_there)
    if not len(queries) or not len(keys):
        raise NoAttentionError(
            f"{call.site or 'the model itself'}: all tokens of example {example} are padding, so there is no "
            "graph."
        )
    rows = rows[:, queries[:, None], keys[None, :]]
    labels = [trace.tokens(example, call.query_side)[i] for i in queries]
    places = queries
    if is_cross:
        labels += [trace.tokens(example, call.key_side)[i] for i in keys]
        places = np.concatenate([queries, keys])
        square = bipartite_weights(rows.astype(np.float32))
    else:
        square = symmetric_weights(rows.astype(np.float32), by=by)
    out = _chosen(without, labels, places, rows, is_cross, call)
    keep = np.setdiff1d(np.arange(len(labels)), out)
    return TokenGraphs(
        np.asarray(without_tokens(square, out), np.float32),
        tuple(labels[i] for i in keep),
        places[keep].astype(np.int64),
        int((keep < len(queries)).sum()),
        is_cross,
        tuple(labels[i] for i in out),
    )


def _rows(call: AttentionCall, example: int, expect_sums: bool) -> Reals:
    try:
        rows = whole_rows(call, example, expect_sums=expect_sums)
    except ShapeError as error:
        raise ShapeError(f"{error} Pass expect_sums=False if that is meant.") from None
    # A query that may see nothing attends to nothing, which is known; NaN stays for what the model made NaN.
    rows[(call.visible(example) == 0) & ~call.padded(example)] = 0
    return rows


def _chosen(
    without: Sequence[int | str],
    labels: Sequence[str],
    places: npt.NDArray[np.int64],
    rows: Reals,
    is_cross: bool,
    call: AttentionCall,
) -> npt.NDArray[np.int64]:
    """Nodes that ``without`` names, rising."""
    out: set[int] = set()
    keys = len(labels) - rows.shape[2]
    for token in (without,) if isinstance(without, str) else without:
        if isinstance(token, str) and token == SINKS:
            found = keys + np.flatnonzero(sink_keys(rows.reshape(-1, rows.shape[2])))
        elif isinstance(token, str):
            found = np.array([i for i, label in enumerate(labels) if label == token], np.int64)
            if not len(found):
                raise LabelError(f"{call.site} has no token {token!r} to leave out; it has {_some(labels)}.")
        elif is_cross:
            raise OptionError(
                f"{call.site} is cross-attention, where a place names two tokens; leave out by label instead."
            )
        else:
            found = np.flatnonzero(places == token)
            if not len(found):
                raise OptionError(f"{call.site} has no token at place {token}; padding is left out already.")
        out.update(int(i) for i in found)
    if len(out) == len(labels):
        raise OptionError(f"all {len(labels)} tokens of {call.site} are to be left out; leave at least one.")
    return np.array(sorted(out), np.int64)


def _some(labels: Sequence[str]) -> str:
    return ", ".join(map(repr, labels[:12])) + (", …" if len(labels) > 12 else "")
