"""Prunings of one attention call without its graph: which of its weights a pruning keeps."""

from dataclasses import replace

import numpy as np

from headscape.errors import expect_option
from headscape.graph.build import DIRECTIONS
from headscape.graph.columns import EdgeKind, Edges, Flags
from headscape.graph.joins import CallPlace, make_edges, summed_edges
from headscape.graph.prune import choose_edges
from headscape.graph.rows import CallRows, read_call
from headscape.trace.call import AttentionCall


def kept_entries(
    call: AttentionCall,
    example: int,
    name: str,
    options: dict[str, float],
    *,
    direction: str = "directed",
) -> Flags:
    """Return which weights of one call stay in the graph of its heads after a pruning.

    The same as ``trace.graph(example, direction=...).prune(name, **options)`` keeps of this call.

    Parameters
    ----------
    call : AttentionCall
        Its weights, or the top keys of each row.
    example : int
        Which example of the batch.
    name, options
        As for :meth:`headscape.graph.graph.Graph.prune`.
    direction : str
        ``"directed"``: each weight is an edge. ``"sum"``: two weights of a pair of tokens are one, and stay
        together. Cross-attention is directed in any case.

    Returns
    -------
    (head, query, key) bool array
        True where there is a weight above 0 between real tokens and it stays.

    Raises
    ------
    OptionError
        No such pruning, option or direction.
    """
    expect_option("graph", "direction", direction, DIRECTIONS)
    _, heads, queries, keys = call.shape
    is_cross = call.kind == "cross"
    padded = call.padded(example), call.padded_keys(example)
    read = read_call(call, example, np.arange(heads), padded, mean=False)
    place = CallPlace(
        number=0,
        layer=call.layer,
        here=0,
        there=0,
        keys=queries if is_cross else 0,
        shift=0 if is_cross else max(0, keys - queries),
        is_dense=call.is_whole,
    )
    in_pairs = direction == "sum" and not is_cross
    edges = summed_edges(read, place) if in_pairs else _directed(read, place, is_cross)
    rows = replace(read.rows, query=(read.rows.query + place.shift).astype(np.int32))
    stays = choose_edges(name, edges, options, rows)
    kept = np.zeros((heads, queries, keys), dtype=bool)
    kept[edges.head[stays], edges.query[stays] - place.shift, edges.key[stays]] = True
    back = stays & edges.both_ways & (edges.reverse > 0)
    kept[edges.head[back], edges.key[back] - place.shift, edges.query[back]] = True
    return kept


def _directed(read: CallRows, place: CallPlace, is_cross: bool) -> Edges:
    """One edge per entry, with those columns that prunings read."""
    e = read.entries
    query = e.query.astype(np.int64) + place.shift
    return make_edges(
        len(e),
        kind=EdgeKind.CROSS if is_cross else EdgeKind.ATTENTION,
        call=place.number,
        layer=place.layer,
        head=e.head,
        source=query + place.here,
        target=e.key.astype(np.int64) + place.keys,
        query=query,
        key=e.key,
        weight=e.weight,
        mass=e.weight,
        lift=e.weight * read.rows.visible[read.row],
    )
