"""The nodes of a graph: tokens of every plane, and the classes behind the last."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headscape.graph.columns import Edges, Flags, NodeKind, Nodes, SideInfo
from headscape.graph.joins import CallPlace, class_edges, make_edges
from headscape.trace.call import AttentionCall
from headscape.trace.outputs import Outputs
from headscape.trace.sides import Side
from headscape.trace.trace import Trace


@dataclass(frozen=True, eq=False)
class Ground:
    """What the edges of one example stand on.

    ``starts`` is the first node of each side, and behind the last side the first class; ``padded`` has
    each side's padding, (token,) bool.
    """

    trace: Trace
    example: int
    nodes: Nodes
    starts: npt.NDArray[np.int64]
    padded: list[Flags]

    def first_node(self, side: int, plane: int) -> int:
        """Return the node of a plane's first token."""
        return int(self.starts[side]) + plane * self.trace.sides[side].length


def side_info(side: Side) -> SideInfo:
    """Return what a graph remembers of a side."""
    unpictured = tuple(side.unpictured) if side.pictures is not None else ()
    return SideInfo(side.name, side.length, side.planes, side.grid, unpictured)


def lay_ground(trace: Trace, example: int) -> Ground:
    """Make all nodes of one example; columns that only the calls can fill are NaN."""
    sizes = [side.planes * side.length for side in trace.sides]
    padded = [_padding(trace, example, number) for number in range(len(trace.sides))]
    parts = [_token_nodes(side, example, number, padded[number]) for number, side in enumerate(trace.sides)]
    if trace.outputs is not None:
        planes = trace.sides[trace.outputs.side].planes
        parts.append(_class_nodes(trace.outputs, planes, example))
    return Ground(trace, example, Nodes.join(parts), np.cumsum([0, *sizes]), padded)


def _padding(trace: Trace, example: int, side: int) -> Flags:
    """Tokens that any call's mask calls padding."""
    padded = np.zeros(trace.sides[side].length, dtype=bool)
    for call in trace.calls:
        if call.query_side == side:
            of_call = call.padded(example)
            padded[len(padded) - len(of_call) :] |= of_call
        if call.key_side == side:
            of_keys = call.padded_keys(example)
            padded[: len(of_keys)] |= of_keys
    return padded


def _nodes(length: int, **given: npt.ArrayLike) -> Nodes:
    columns: dict[str, tuple[npt.DTypeLike, float]] = {
        "kind": (np.uint8, 0),
        **dict.fromkeys(("side", "plane", "token"), (np.int32, 0)),
        "label": (np.object_, 0),
        **dict.fromkeys(("padded", "nan"), (np.bool_, 0)),
        **dict.fromkeys(("received", "feed_forward", "score", "probability", "base"), (np.float32, np.nan)),
    }
    return Nodes(
        **{
            name: np.broadcast_to(np.asarray(given.get(name, default), dtype=dtype), (length,)).copy()
            for name, (dtype, default) in columns.items()
        }
    )


def _texts(labels: list[str]) -> npt.NDArray[np.object_]:
    texts = np.empty(len(labels), dtype=object)
    texts[:] = labels
    return texts


def _token_nodes(side: Side, example: int, number: int, padded: Flags) -> Nodes:
    return _nodes(
        side.planes * side.length,
        side=number,
        plane=np.repeat(np.arange(side.planes), side.length),
        token=np.tile(np.arange(side.length), side.planes),
        label=np.tile(_texts(side.texts(example)), side.planes),
        padded=np.tile(padded, side.planes),
    )


def _class_nodes(outputs: Outputs, planes: int, example: int) -> Nodes:
    names = outputs.texts(outputs.names(example))
    return _nodes(
        len(names),
        kind=NodeKind.CLASS,
        side=outputs.side,
        plane=planes,
        token=np.arange(len(names)),
        label=_texts(names),
        score=outputs.scores[example],
        probability=outputs.probabilities[example],
        base=outputs.base[example],
    )


def answer_edges(ground: Ground) -> Edges:
    """Return the edges from the last plane's tokens to the classes; none without known contributions."""
    outputs = ground.trace.outputs
    contribution = None if outputs is None else outputs.contribution(ground.example)
    if outputs is None or contribution is None:
        return make_edges(0)
    side = ground.trace.sides[outputs.side]
    real = np.flatnonzero(~ground.padded[outputs.side])
    last = ground.first_node(outputs.side, side.planes - 1)
    return class_edges(contribution, real, last, int(ground.starts[-1]))


def place_call(ground: Ground, call: AttentionCall, number: int) -> CallPlace:
    """Return where a call stands among the nodes."""
    query_side = ground.trace.sides[call.query_side]
    is_cross = call.kind == "cross"
    key_plane = ground.trace.sides[call.key_side].planes - 1 if is_cross else call.plane
    return CallPlace(
        number=number,
        layer=call.layer,
        here=ground.first_node(call.query_side, call.plane),
        there=ground.first_node(call.query_side, call.plane + 1),
        keys=ground.first_node(call.key_side, key_plane),
        # Fewer queries than tokens: a decoder that cached its first keys. The queries are the last tokens.
        shift=query_side.length - call.shape[2],
        is_dense=call.is_whole,
    )


def note_call(ground: Ground, call: AttentionCall, place: CallPlace, nan: Flags) -> None:
    """Fill in what a call knows of its nodes: attention received, NaN rows, the feed-forward's share."""
    nodes, example = ground.nodes, ground.example
    received = call.stats.received[example]
    keys = place.keys + np.arange(received.shape[-1])
    known = np.isfinite(received)
    mean = np.where(known, received, 0).sum(axis=0) / np.maximum(known.sum(axis=0), 1)
    so_far = np.nan_to_num(nodes.received[keys])  # cross-attention calls share their keys' plane
    nodes.received[keys] = np.where(nodes.padded[keys], np.nan, so_far + mean)
    queries = place.shift + np.arange(call.shape[2])
    nodes.nan[place.here + queries] |= nan.any(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        nodes.feed_forward[place.there + queries] = call.flow(example).feed_forward_share
