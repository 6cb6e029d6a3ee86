"""The edges that a state of the viewer could draw, as columns (viewer/src/scene/build.ts)."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headscape.draw.screen.rows import Rows, partners, read_rows
from headscape.draw.screen.sinks import find_sinks
from headscape.draw.screen.state import Chosen
from headscape.graph.columns import Table
from headscape.trace.call import AttentionCall
from headscape.trace.trace import Trace

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Longs = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]

# Kinds, as in viewer/src/scene/edges.ts.
ATTENTION, VALUE, CROSS, RESIDUAL, ANSWER, FORWARD = KINDS = range(6)
# Parts of a score below this share of the largest are not drawn, and of one answer so many at most.
LEAST_PART = 0.1
MOST_PARTS = 16
# Answers that are drawn as nodes.
MOST_ANSWERS = 10


@dataclass(frozen=True, eq=False)
class ScreenEdges(Table):
    """One entry per edge; the columns are those of the viewer's edges.

    ``query`` and ``key`` are tokens (of ANSWER the answer and the token), ``start`` and ``end`` nodes,
    ``head`` -1 the mean (of FORWARD the half of a spindle). ``judged`` is what an edge is ranked by: the
    contribution of a value edge where it is known, else its mass, of which a row that sees one key only has
    what even attention gives. ``share`` is what stronger entries of its row hold, for the threshold by token.
    """

    kind: Longs
    call: Longs
    head: Longs
    query: Longs
    key: Longs
    start: Longs
    end: Longs
    weight: Floats
    reverse: Floats
    mass: Floats
    lift: Floats
    contribution: Floats
    judged: Floats
    flat: Flags
    share: Floats

    @property
    def by_value(self) -> Flags:
        """Whether an edge is judged by what its value carries."""
        return np.asarray((self.kind == VALUE) & np.isfinite(self.contribution))


@dataclass(frozen=True)
class Held:
    """What all drawn rows hold: attention (1 a row), contributions, edges of each kind."""

    mass: float
    carried: float
    totals: tuple[int, ...]


class NodeNumbers:
    """Numbers of nodes: tokens by side, plane and token, then the answers."""

    def __init__(self, trace: Trace, example: int) -> None:
        self.lengths = [side.length for side in trace.sides]
        self.planes = [side.planes for side in trace.sides]
        self.first = np.cumsum([0, *(a * b for a, b in zip(self.lengths, self.planes, strict=True))]).tolist()
        self.answers = 0
        if trace.outputs is not None:
            self.answers = min(len(trace.outputs.names(example)), MOST_ANSWERS)

    @property
    def count(self) -> int:
        """How many nodes there are."""
        return int(self.first[-1]) + self.answers

    def first_of(self, side: int, plane: int) -> int:
        """Return the node of a plane's first token."""
        return int(self.first[side]) + plane * self.lengths[side]


def drawn_kinds(chosen: Chosen, call: AttentionCall, number: int) -> list[int]:
    """Return which of a call's edges a view draws."""
    if chosen.view == "layer" and number != chosen.layer:
        return []
    is_front = chosen.view == "front"
    if call.kind == "cross" or call.query_side != call.key_side:
        return [CROSS] if chosen.attention or chosen.values or is_front else []
    if is_front:
        return [VALUE]
    if chosen.view == "layer":
        return [ATTENTION]
    return [ATTENTION] * chosen.attention + [VALUE] * chosen.values


def find_edges(trace: Trace, chosen: Chosen, nodes: NodeNumbers) -> tuple[ScreenEdges, Held]:
    """Return all edges that a threshold chooses from, and what they hold."""
    sinks = find_sinks(trace, chosen.example) if chosen.sinks == "folded" else [[] for _ in trace.sides]
    parts, mass, carried = [], 0.0, 0.0
    for number, call in enumerate(trace.calls):
        heads = chosen.drawn_heads(number, call.shape[1])
        kinds = drawn_kinds(chosen, call, number)
        if not heads or not kinds:
            continue
        rows = read_rows(trace, chosen, number, heads)
        folded = np.isin(np.arange(call.shape[3]), sinks[call.key_side])
        if rows.norm is not None and (VALUE in kinds or CROSS in kinds):
            with np.errstate(invalid="ignore"):
                carried += float(np.nansum(rows.weight.astype(float) * rows.norm[rows.head, rows.key]))
        for kind in kinds:
            part, of_part = _join(trace, chosen, rows, kind, folded, nodes)
            parts.append(part)
            # Attention that is drawn twice, within a plane and as ribbons, is counted once.
            mass += 0 if kind == VALUE and ATTENTION in kinds else of_part
    edges = ScreenEdges.join(parts) if parts else _empty()
    totals = np.bincount(edges.kind, minlength=len(KINDS))
    return edges, Held(mass, carried, tuple(totals.tolist()))


def _empty() -> ScreenEdges:
    longs, floats = np.zeros(0, np.int64), np.zeros(0, np.float32)
    return ScreenEdges(
        longs, longs, longs, longs, longs, longs, longs,
        floats, floats, floats, floats, floats, floats, np.zeros(0, bool), floats,
    )  # fmt: skip


def _worth(rows: Rows, kind: int, single: Doubles, back: Doubles) -> tuple[Doubles, Doubles]:
    """Return the lift and the contribution of each edge; ``back`` is the other direction's part, or 0."""
    call, key = rows.call, rows.key
    seen_back = rows.visible[rows.head, np.clip(key - rows.shift, 0, call.shape[2] - 1)]
    lift = np.maximum(single * rows.visible[rows.head, rows.query], back * seen_back)
    added = np.full(len(key), np.nan)
    if rows.norm is not None:
        token = np.minimum(rows.query + rows.shift, rows.norm.shape[1] - 1)
        there = rows.norm[rows.head, token] if kind == ATTENTION else 0
        added = single * rows.norm[rows.head, key] + back * there
    return lift, added


def _join(
    trace: Trace, chosen: Chosen, rows: Rows, kind: int, folded: Flags, nodes: NodeNumbers
) -> tuple[ScreenEdges, float]:
    """Return the edges of one kind of a call, and the attention (or difference) of its rows."""
    call, weight, key = rows.call, rows.weight, rows.key
    token = rows.query + rows.shift
    is_loop = (token == key) if kind == ATTENTION else np.zeros(len(key), bool)
    pair = chosen.direction if kind == ATTENTION and chosen.direction in ("sum", "asymmetry") else None
    partner = np.full(len(key), -1)
    reverse = np.full(len(key), np.nan, np.float32)
    if kind == ATTENTION:
        partner, found = partners(rows)
        reverse[~is_loop] = found[~is_loop]
    folded_query = (
        folded[np.minimum(token, len(folded) - 1)] & (token < len(folded)) if pair else is_loop & False
    )
    keep = ~folded[key]
    back = np.where(folded_query, np.float32(np.nan), reverse)
    mass = weight.astype(float)
    if pair == "sum":
        # An undirected edge is told from the token that attends more.
        keep &= is_loop | ~((back > weight) | ((back == weight) & (key < token)))
        mass = mass + np.where(~is_loop & (back > 0), back, 0)
    elif pair == "asymmetry":
        keep &= ~is_loop & ~folded_query & (back < weight)
        mass = mass - back
    both = (back > 0) & (pair == "sum") & ~is_loop
    share = _row_shares(rows, kind, chosen, keep, np.where(pair == "asymmetry", mass, weight), folded)
    if pair == "sum":
        share = np.where(partner >= 0, np.minimum(share, share[partner]), share)
    single = mass if pair == "asymmetry" else weight.astype(float)
    visible = rows.visible[rows.head, rows.query]
    lift, added = _worth(rows, kind, single, np.where(both, back, 0))
    here = nodes.first_of(call.query_side, call.plane if kind == ATTENTION else call.plane + 1) + token
    key_plane = nodes.planes[call.key_side] - 1 if kind == CROSS else call.plane
    there_node = nodes.first_of(call.key_side, key_plane) + key
    even = 1 / max(int(call.visible(chosen.example).max(initial=1)), 1)
    judged = np.where((kind == VALUE) & ~np.isnan(added), added, np.where(visible == 1, mass * even, mass))
    from_query = kind == ATTENTION and chosen.direction != "backward"
    edges = ScreenEdges(
        kind=np.full(len(key), kind),
        call=np.full(len(key), rows.number),
        head=rows.heads[rows.head],
        query=token,
        key=key,
        start=here if from_query else there_node,
        end=there_node if from_query else here,
        weight=weight,
        reverse=reverse,
        mass=mass.astype(np.float32),
        lift=lift.astype(np.float32),
        contribution=added.astype(np.float32),
        judged=judged.astype(np.float32),
        flat=rows.flat[rows.head],
        share=share,
    )
    return edges.select(keep), float(mass[keep].sum()) if pair == "asymmetry" else rows.whole


def _row_shares(
    rows: Rows, kind: int, chosen: Chosen, keep: Flags, value: npt.NDArray[np.floating], folded: Flags
) -> Floats:
    """Share of its row that stronger entries hold: 0 for the strongest, 1 for what is no edge."""
    out = np.ones(len(rows.key), np.float32)
    if chosen.prune != "row":
        return out
    if kind == VALUE and rows.norm is not None:
        added = value * rows.norm[rows.head, rows.key]
        value = np.where(np.isnan(added), value, added)
    is_backward = kind == ATTENTION and chosen.direction == "backward"
    is_sum = kind == ATTENTION and chosen.direction == "sum"
    row = rows.head * max(rows.call.shape[2:]) + (rows.key if is_backward else rows.query)
    part = np.flatnonzero(~folded[rows.key] if is_sum else keep)
    values = value[part].astype(np.float32)
    order = part[np.lexsort((part, -values, row[part]))]
    sorted_row, sorted_value = row[order], value[order].astype(np.float32).astype(float)
    starts = np.flatnonzero(np.diff(sorted_row, prepend=-1))
    sizes = np.diff(np.append(starts, len(order)))
    before = np.cumsum(sorted_value) - sorted_value
    before -= np.repeat(before[starts], sizes)
    total = np.repeat(np.add.reduceat(sorted_value, starts), sizes) if len(starts) else sorted_value
    out[order] = np.minimum(np.divide(before, total, out=np.zeros_like(before), where=total > 0), 1)
    return out


def fixed_edges(trace: Trace, chosen: Chosen, nodes: NodeNumbers) -> ScreenEdges:
    """Return each real token's own state carried on, and each answer's parts: always drawn."""
    parts = []
    if chosen.view == "layer":
        return _empty()
    for number, call in enumerate(trace.calls if chosen.residual or chosen.feed_forward else ()):
        padded = trace.padded(chosen.example, call.query_side)
        shift = trace.sides[call.query_side].length - call.shape[2]
        query = np.flatnonzero(~padded[shift:])
        flow = call.flow(chosen.example)
        own, added = flow.residual[query].astype(float), flow.attention[query].astype(float)
        with np.errstate(invalid="ignore", divide="ignore"):
            share = own / (own + added)
        start = nodes.first_of(call.query_side, call.plane) + query + shift
        end = nodes.first_of(call.query_side, call.plane + 1) + query + shift
        with np.errstate(invalid="ignore", divide="ignore"):
            widened = flow.feed_forward[query] / (flow.stream[query] + flow.feed_forward[query])
        tokens = query + shift
        if chosen.residual:
            parts.append(_fixed(RESIDUAL, number, (tokens, tokens), (start, end), share))
        for half in (0, 1) if chosen.feed_forward else ():
            at = np.flatnonzero(widened > 0)
            ends = (start[at], end[at])
            parts.append(_fixed(FORWARD, number, (tokens[at], tokens[at]), ends, widened[at], head=half))
    outputs = trace.outputs
    contribution = None if outputs is None else outputs.contribution(chosen.example)
    if outputs is not None and contribution is not None and chosen.answers:
        drawn = np.nan_to_num(contribution[: nodes.answers])
        size = np.abs(drawn)
        # The strongest of each answer, and none far below the largest of all.
        least = (
            np.sort(size, axis=1)[:, ::-1][:, min(MOST_PARTS, size.shape[1]) - 1]
            if size.shape[1] >= MOST_PARTS
            else np.zeros(len(size))
        )
        keep = (size > 0) & (size >= np.maximum(LEAST_PART * size.max(initial=0), least[:, None]))
        keep &= ~trace.padded(chosen.example, outputs.side)
        answer, token = np.nonzero(keep)
        start = nodes.first_of(outputs.side, nodes.planes[outputs.side] - 1) + token
        end = nodes.first[-1] + answer
        parts.append(_fixed(ANSWER, -1, (answer, token), (start, end), drawn[answer, token]))
    return ScreenEdges.join(parts) if parts else _empty()


def _fixed(
    kind: int,
    call: int,
    pair: tuple[Longs, Longs],
    ends: tuple[Longs, Longs],
    weight: npt.ArrayLike,
    head: int = -1,
) -> ScreenEdges:
    length = len(pair[0])
    none, values = np.full(length, np.nan, np.float32), np.asarray(weight, np.float32)
    zero = np.zeros(length, np.float32)
    return ScreenEdges(
        np.full(length, kind), np.full(length, call), np.full(length, head), *pair, *ends,
        values, none, zero, none, values, zero, np.zeros(length, bool), none,
    )  # fmt: skip
