"""Edges from the entries of a call: within a plane, between planes, across sides, to the classes."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from headscape.graph.columns import EdgeKind, Edges, Floats
from headscape.graph.rows import CallRows, ranks

Longs = npt.NDArray[np.int64]
# Cells of a table that finds the other direction of a pair at once: 128 MB. Longer contexts are searched.
MOST_CELLS = 32_000_000


@dataclass(frozen=True)
class CallPlace:
    """Where a call stands: its number, layer, and the first node of each plane it touches.

    ``here`` is the query side's plane in which it acts, ``there`` the plane behind it, ``keys`` the plane
    its keys stand in. ``shift`` is added to a query to get its token (queries may be the last tokens only).
    """

    number: int
    layer: int
    here: int
    there: int
    keys: int
    shift: int
    is_dense: bool


def make_edges(length: int, **given: npt.ArrayLike) -> Edges:
    """Return ``length`` edges with the columns given; others are NaN, 0 or -1 (head, call, layer)."""
    columns: dict[str, tuple[npt.DTypeLike, float]] = {
        "kind": (np.uint8, 0),
        **dict.fromkeys(("call", "layer", "head"), (np.int32, -1)),
        **dict.fromkeys(("source", "target", "query", "key", "rank"), (np.int32, 0)),
        **dict.fromkeys(("weight", "reverse", "mass", "lift", "contribution"), (np.float32, np.nan)),
        "both_ways": (np.bool_, 0),
        "strength": (np.float32, 0),
    }
    return Edges(
        **{
            name: np.broadcast_to(np.asarray(given.get(name, default), dtype=dtype), (length,)).copy()
            for name, (dtype, default) in columns.items()
        }
    )


def directed_edges(read: CallRows, place: CallPlace, kind: EdgeKind) -> Edges:
    """One edge per entry.

    Attention runs from the query's node to the key's in one plane, value and cross edges from the key's node
    to the query's in the next plane.
    """
    e = read.entries
    query = e.query.astype(np.int64) + place.shift
    query_node = query + (place.here if kind == EdgeKind.ATTENTION else place.there)
    key_node = e.key.astype(np.int64) + place.keys
    source, target = (query_node, key_node) if kind == EdgeKind.ATTENTION else (key_node, query_node)
    return make_edges(
        len(e),
        kind=kind,
        call=place.number,
        layer=place.layer,
        head=e.head,
        source=source,
        target=target,
        query=query,
        key=e.key,
        weight=e.weight,
        reverse=_reverse(read, place) if kind == EdgeKind.ATTENTION else np.nan,
        mass=e.weight,
        lift=e.weight * read.rows.visible[read.row],
        contribution=e.contribution,
        rank=ranks(e, read.row),
    )


def _reverse(read: CallRows, place: CallPlace) -> Floats:
    """Attention from key to query: 0 where masked, NaN where a top-k trace did not keep it."""
    other = _other_way(read, place)
    missing = np.float32(0 if place.is_dense else np.nan)
    return np.where(other >= 0, read.entries.weight[other], missing).astype(np.float32)


def _other_way(read: CallRows, place: CallPlace) -> Longs:
    """Entry with the other direction of each one's pair; -1 where there is none."""
    e = read.entries
    query = e.query.astype(np.int64) + place.shift
    size = int(max(query.max(initial=0), e.key.max(initial=0))) + 1
    heads, head = np.unique(e.head, return_inverse=True)
    table = (
        np.full(len(heads) * size * size, -1, dtype=np.int32) if len(heads) * size**2 < MOST_CELLS else None
    )
    if table is not None:
        table[(head * size + query) * size + e.key] = np.arange(len(e))
        found: Longs = table[(head * size + e.key) * size + query].astype(np.int64)
        return found
    names = (head * size + query) * size + e.key  # rising: entries are sorted
    wanted = (head * size + e.key) * size + query
    at = np.minimum(np.searchsorted(names, wanted), max(len(names) - 1, 0))
    return np.where(names[at] == wanted, at, -1)


def summed_edges(read: CallRows, place: CallPlace) -> Edges:
    """One undirected edge per pair of tokens and head, holding both directions: ``W = A + A^T``.

    ``query`` and ``key`` are named so that ``weight >= reverse``: the query is the token that attends more.
    """
    each = directed_edges(read, place, EdgeKind.ATTENTION)
    other = _other_way(read, place)
    is_pair = (other >= 0) & (each.query != each.key)
    back = np.where(is_pair, each.weight[other], np.float32(-1))
    # Of two directions the stronger stays, of equals the one to the earlier key.
    stays = (each.weight > back) | ((each.weight == back) & (each.key < each.query))
    edges = each.select(stays)
    owner = np.flatnonzero(is_pair[stays])
    second = other[stays][owner]
    edges.mass[owner] += each.weight[second]
    edges.contribution[owner] += each.contribution[second]
    edges.lift[owner] = np.maximum(edges.lift[owner], each.lift[second])
    edges.rank[owner] = np.minimum(edges.rank[owner], each.rank[second])
    edges.both_ways[:] = True
    return edges


def residual_edges(tokens: Longs, place: CallPlace, residual: Floats, attention: Floats) -> Edges:
    """Each token's own state, carried to the next plane; ``tokens`` are the real ones."""
    with np.errstate(invalid="ignore", divide="ignore"):
        share = residual / (residual + attention)
    return make_edges(
        len(tokens),
        kind=EdgeKind.RESIDUAL,
        call=place.number,
        layer=place.layer,
        source=tokens + place.here,
        target=tokens + place.there,
        query=tokens,
        key=tokens,
        weight=share,
        mass=0,
        contribution=residual,
    )


def class_edges(contribution: Floats, tokens: Longs, last_plane: int, first_class: int) -> Edges:
    """Each real token of the last plane to each answer; ``contribution`` is (answer, token), signed."""
    answers = len(contribution)
    answer, token = np.repeat(np.arange(answers), len(tokens)), np.tile(tokens, answers)
    weight = contribution[answer, token]
    return make_edges(
        len(answer),
        kind=EdgeKind.CLASS,
        source=token + last_plane,
        target=answer + first_class,
        query=answer,
        key=token,
        weight=weight,
        mass=np.abs(weight),
        contribution=weight,
    )
