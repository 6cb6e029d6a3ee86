"""From a trace to a graph."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from headscape.errors import OptionError, expect_index, expect_option
from headscape.graph.columns import CallInfo, EdgeKind, Edges, Rows
from headscape.graph.graph import Graph, Shares
from headscape.graph.ground import Ground, answer_edges, lay_ground, note_call, place_call, side_info
from headscape.graph.joins import directed_edges, residual_edges, summed_edges
from headscape.graph.rows import CallRows, read_call
from headscape.graph.scales import SCALES, scale_edges
from headscape.trace.call import AttentionCall
from headscape.trace.measure import sums_note
from headscape.trace.trace import Trace

Longs = npt.NDArray[np.int64]

DIRECTIONS = ("sum", "directed")
HEADS = ("each", "mean")


def build_graph(
    trace: Trace,
    example: int = 0,
    *,
    direction: str = "sum",
    heads: str | Sequence[int] = "each",
    scale: str = "rank",
    layers: Sequence[int] | None = None,
) -> Graph:
    """Build the graph of one example.

    Every attention call is a plane of token nodes with its attention as edges in it. Value edges and the
    residual lead to the next plane, cross-attention from the other side's last plane, and behind the last
    plane stand the classes, each joined to the tokens by what their last states add to its logit.

    Parameters
    ----------
    trace : Trace
        What the model did.
    example : int
        Which example of the batch.
    direction : str
        ``"sum"``: one undirected edge per pair of tokens with both directions summed, ``W = A + A^T``, as in
        the term paper. ``"directed"``: one edge per query and key.
    heads : str or sequence of int
        ``"each"``: edges of every head; ``"mean"``: of the mean over heads; or the heads to take (calls with
        fewer heads give those they have).
    scale : str
        ``"minmax"``, ``"rank"``, ``"lift"``, ``"log"`` or ``"contribution"``: how weights become strengths
        from 0 to 1; see :mod:`headscape.graph.scales`.
    layers : sequence of int, optional
        Calls to take, by ``call.layer``. Default: all. Planes keep their places.

    Returns
    -------
    Graph
        Every edge with attention above 0 between real tokens. ``graph.notes`` tells what is missing.

    Raises
    ------
    OptionError
        No such example, direction, head, scale or layer; the message lists what there is.
    NotKeptError
        ``scale="contribution"`` on a trace without values.

    Notes
    -----
    Time and memory grow with the kept weights: some 60 bytes for each, twice (attention and value edges).

    Examples
    --------
    >>> from headscape.trace.synthetic import example_trace
    >>> graph = build_graph(example_trace(layers=2, heads=1), heads="mean")
    >>> small = graph.prune("nucleus", p=0.5)
    >>> len(small.edges) < len(graph.edges)
    True
    """
    expect_option("graph", "direction", direction, DIRECTIONS)
    expect_option("graph", "scale", scale, SCALES)
    ground = lay_ground(trace, expect_index("trace", "example", example, trace.batch))
    calls = _choose_calls(trace, layers)
    parts = [_read(ground, call, n, heads, direction) for n, call in enumerate(calls)]
    edges = Edges.join([*(p.edges for p in parts), answer_edges(ground)])
    infos = tuple(p.info for p in parts)
    edges = replace(edges, strength=scale_edges(scale, edges, infos))
    rows = Rows.join([p.rows for p in parts])
    return Graph(
        nodes=ground.nodes,
        edges=edges,
        rows=rows,
        calls=infos,
        sides=tuple(side_info(side) for side in trace.sides),
        direction=direction,
        scale=scale,
        totals=_totals(edges, rows, len(infos)),
        notes=_notes(parts, rows),
        model=trace.model,
        answer=trace.outputs.kind if trace.outputs is not None else "",
        method=trace.outputs.method if trace.outputs is not None else "none",
    )


@dataclass(frozen=True, eq=False)
class _Part:
    """What one call gives to the graph."""

    edges: Edges
    rows: Rows
    info: CallInfo
    lost: float  # attention to padding, in rows


def _choose_calls(trace: Trace, layers: Sequence[int] | None) -> list[AttentionCall]:
    if not trace.calls:
        raise OptionError("This trace has no attention calls, so there is no graph of it.")
    if layers is None:
        return list(trace.calls)
    there = {call.layer: call for call in trace.calls}
    missing = [layer for layer in layers if layer not in there]
    if missing or not len(layers):
        raise OptionError(
            f"layers={list(layers)} asks for {missing or 'nothing'}, but the trace has layers "
            f"{min(there)} to {max(there)}."
        )
    return [there[layer] for layer in sorted(set(layers))]


def _choose_heads(heads: str | Sequence[int], call: AttentionCall, trace: Trace) -> Longs:
    if isinstance(heads, str):
        expect_option("graph", "heads", heads, HEADS)
        return np.arange(call.shape[1])
    most = max(c.shape[1] for c in trace.calls)
    chosen = sorted({expect_index("trace", "head", int(head), most) for head in heads})
    if not chosen:
        raise OptionError('heads is empty; name at least one head, or pass "each" or "mean".')
    return np.array([head for head in chosen if head < call.shape[1]], dtype=np.int64)


def _read(
    ground: Ground, call: AttentionCall, number: int, heads: str | Sequence[int], direction: str
) -> _Part:
    chosen = _choose_heads(heads, call, ground.trace)
    place = place_call(ground, call, number)
    queries = ground.padded[call.query_side][place.shift : place.shift + call.shape[2]]
    keys = ground.padded[call.key_side][: call.shape[3]]
    read = read_call(call, ground.example, chosen, (queries, keys), mean=heads == "mean")
    note_call(ground, call, place, read.nan)
    if call.kind == "cross":
        joined = [directed_edges(read, place, EdgeKind.CROSS)]
    else:
        is_sum = direction == "sum"
        within = summed_edges(read, place) if is_sum else directed_edges(read, place, EdgeKind.ATTENTION)
        joined = [within, directed_edges(read, place, EdgeKind.VALUE)]
    flow = call.flow(ground.example)
    real = np.flatnonzero(~queries)
    residual = residual_edges(real + place.shift, place, flow.residual[real], flow.attention[real])
    rows = replace(
        read.rows,
        call=np.full(len(read.rows), number, dtype=np.int32),
        query=(read.rows.query + place.shift).astype(np.int32),
    )
    return _Part(Edges.join([*joined, residual]), rows, _info(call, read), read.lost)


def _info(call: AttentionCall, read: CallRows) -> CallInfo:
    rows = read.rows
    heads = np.unique(rows.head)
    # A head says something if one of its rows does.
    speaks = np.unique(rows.head[~rows.flat])
    return CallInfo(
        layer=call.layer,
        site=call.site,
        kind=call.kind,
        query_side=call.query_side,
        key_side=call.key_side,
        plane=call.plane,
        heads=tuple(heads.tolist()),
        has_values=call.has_values,
        k=None if call.is_whole else call.k,
        uniform=tuple(np.setdiff1d(heads, speaks).tolist()),
        nan_rows=int(read.nan.sum()),
    )


def _notes(parts: list[_Part], rows: Rows) -> tuple[str, ...]:
    """Say in sentences what of the calls is not in the graph."""
    notes = []
    nan = {p.info.layer: p.info.nan_rows for p in parts if p.info.nan_rows}
    if nan:
        notes.append(f"{sum(nan.values())} rows are NaN and left out (layers {', '.join(map(str, nan))})")
    lost = sum(p.lost for p in parts)
    if lost > 1e-4:
        notes.append(f"attention worth {lost:.3g} rows goes to padding and is left out")
    k = sorted({p.info.k for p in parts if p.info.k is not None})
    if k:
        kept = float(rows.kept.sum() / max(rows.total.sum(), 1e-30))
        many = " or ".join(map(str, k))
        notes.append(f"capture kept the top {many} keys of each row: {kept:.1%} of the attention")
    sums = sums_note(rows.total)
    if sums:
        notes.append(f"{sums}: shares are of what the rows hold")
    return tuple(notes)


def _totals(edges: Edges, rows: Rows, calls: int) -> Shares:
    pruned = edges.select(edges.is_prunable)
    code = pruned.call.astype(np.int64) * 8 + pruned.kind
    names, place = np.unique(code, return_inverse=True)
    count = np.bincount(place, minlength=len(names))
    mass = np.bincount(place, pruned.measure, len(names)).astype(np.float64)
    call, kind = np.divmod(names, 8)
    # Rows give their whole attention, kept or not; what value edges carried beyond the kept is not known.
    whole = np.bincount(rows.call, rows.total, calls)[call]
    mass_total = np.where(kind == EdgeKind.VALUE, mass, whole)
    layer = np.zeros(calls, dtype=np.int32)
    layer[pruned.call] = pruned.layer
    return Shares(
        kind=kind.astype(np.uint8),
        call=call.astype(np.int32),
        layer=layer[call],
        shown=count,
        total=count,
        mass_shown=mass,
        mass_total=mass_total,
    )
