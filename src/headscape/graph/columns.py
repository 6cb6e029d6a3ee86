"""The tables of a graph: one array per column, one entry per node, edge or row of attention."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from enum import IntEnum
from typing import Any, Self

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int32]
Flags = npt.NDArray[np.bool_]
Codes = npt.NDArray[np.uint8]


class NodeKind(IntEnum):
    """What a node stands for."""

    TOKEN = 0
    CLASS = 1


class EdgeKind(IntEnum):
    """What an edge stands for."""

    ATTENTION = 0
    VALUE = 1
    RESIDUAL = 2
    CLASS = 3
    CROSS = 4


@dataclass(frozen=True, eq=False)
class Table:
    """Columns of one length."""

    def __len__(self) -> int:
        return len(getattr(self, fields(self)[0].name))

    def select(self, index: npt.NDArray[Any]) -> Self:
        """Return the entries of a bool mask or an integer index, in that order."""
        return type(self)(**{f.name: getattr(self, f.name)[index] for f in fields(self)})

    @classmethod
    def join(cls, parts: Sequence[Self]) -> Self:
        """Return one table of all parts' entries (at least one part)."""
        return cls(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(cls)})

    def columns(self) -> dict[str, npt.NDArray[Any]]:
        """Return the columns by name."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


@dataclass(frozen=True, eq=False)
class Nodes(Table):
    """One entry per token and plane, then one per class.

    Attributes
    ----------
    kind : uint8 array
        :class:`NodeKind`.
    side, plane, token : int32 array
        Where the node stands. A class node has the plane behind the last one of its side, and for
        ``token`` its place among the answers (0 = highest score).
    label : object array of str
        The token's or class's text as it came.
    padded : bool array
        Padding: kept in the table so that positions stay regular, never joined by an edge.
    nan : bool array
        The model made this token's row NaN in at least one head of the call that acts in this plane.
    received : float32 array
        Attention the token gets in this plane: mean over heads of what all queries give it. 1 = as much as
        it could give away. NaN for class nodes and where no call acts (the last plane).
    feed_forward : float32 array
        Share of the feed-forward in the state it joins on the way *into* this plane, 0 to 1; NaN unknown.
    score, probability, base : float32 array
        Class nodes: logit, softmax over all classes, and what no token adds to the logit. Else NaN.
    """

    kind: Codes
    side: Ints
    plane: Ints
    token: Ints
    label: npt.NDArray[np.object_]
    padded: Flags
    nan: Flags
    received: Floats
    feed_forward: Floats
    score: Floats
    probability: Floats
    base: Floats


@dataclass(frozen=True, eq=False)
class Edges(Table):
    """One entry per edge.

    Attributes
    ----------
    kind : uint8 array
        :class:`EdgeKind`.
    call, layer : int32 array
        Place in ``graph.calls`` and order of execution; -1 for class edges.
    head : int32 array
        -1: the mean over heads, or an edge that no head owns.
    source, target : int32 array
        Node indices. Attention: the query's node and the key's, in one plane. Value and cross: from the key's
        node to the query's node in the next plane (the way the information goes). Residual: a token to
        itself in the next plane. Class: a token of the last plane to a class.
    query, key : int32 array
        Tokens of the row and the column; for class edges the answer and the token.
    weight : float32 array
        Attention from query to key, 0 to 1 (top-k traces: NaN where only the reverse was kept). Residual:
        share of the residual where attention joins it, 0 to 1, NaN unknown. Class: what the token adds to
        the logit, signed.
    reverse : float32 array
        Attention from key to query; NaN where there is none, where it was not kept, and between planes.
    mass : float32 array
        Attention this edge holds: ``weight + reverse`` for the undirected edges of ``direction="sum"``,
        else ``weight``; a token's attention to itself counts once. 0 to 2.
    lift : float32 array
        ``weight`` x number of keys the row may see, 1 = uniform; of two directions the larger.
    contribution : float32 array
        Norm of what the edge adds to the residual stream (both directions summed for undirected edges);
        NaN where values were not captured. Class: same as ``weight``.
    rank : int32 array
        Place of the key in its row by weight, 1 = strongest; of two directions the better. 0 = no row.
    both_ways : bool array
        An undirected edge, which stands in its query's row and in its key's.
    strength : float32 array
        What is drawn: 0 to 1 after the graph's scale.
    """

    kind: Codes
    call: Ints
    layer: Ints
    head: Ints
    source: Ints
    target: Ints
    query: Ints
    key: Ints
    weight: Floats
    reverse: Floats
    mass: Floats
    lift: Floats
    contribution: Floats
    rank: Ints
    both_ways: Flags
    strength: Floats

    @property
    def is_forced(self) -> Flags:
        """Edges whose rows may see one key only: their weight is 1 whatever the model does.

        A value edge whose contribution is known says something all the same.
        """
        known = (self.kind == EdgeKind.VALUE) & np.isfinite(self.contribution)
        single = ~self.both_ways | self.is_loop | ~(self.reverse > 0)
        # Of one key in sight the lift is the weight.
        return np.asarray(single & (self.weight > 0) & (self.lift <= self.weight) & ~known & self.is_prunable)

    @property
    def telling(self) -> Floats:
        """The measure, less 2 for edges that say nothing: below all that do."""
        return np.where(self.is_forced, self.measure - 2, self.measure).astype(np.float32)

    @property
    def measure(self) -> Floats:
        """What pruning and scales compare: attention held; for value edges the contribution where known."""
        is_value = (self.kind == EdgeKind.VALUE) & np.isfinite(self.contribution)
        measure = np.where(is_value, self.contribution, self.mass)
        return np.nan_to_num(np.abs(measure)).astype(np.float32)

    @property
    def is_prunable(self) -> Flags:
        """Attention, cross and value edges; the residual and the classes are the frame and always stay."""
        frame = (self.kind == EdgeKind.RESIDUAL) | (self.kind == EdgeKind.CLASS)
        return np.asarray(~frame)

    @property
    def is_loop(self) -> Flags:
        """Attention of a token to itself."""
        return np.asarray(self.source == self.target)


@dataclass(frozen=True, eq=False)
class Rows(Table):
    """One entry per row of attention: call, head (-1 = mean), query.

    Attributes
    ----------
    call, head, query : int32 array
        Which row.
    visible : int32 array
        Keys the row may see.
    total : float32 array
        Attention the row gives in all (1 after softmax).
    kept : float32 array
        Of that, what the trace kept and joins real tokens: the graph cannot show more.
    flat : bool array
        The row tells its keys apart no better than noise: largest - smallest weight below 0.02 / visible
        keys, or a single key in sight.
    """

    call: Ints
    head: Ints
    query: Ints
    visible: Ints
    total: Floats
    kept: Floats
    flat: Flags


@dataclass(frozen=True)
class CallInfo:
    """What a graph remembers of one attention call.

    ``heads`` are the heads in the graph; ``uniform`` those of them whose every row is flat (-1 = the
    mean); ``nan_rows`` counts rows left out because the model made them NaN.
    """

    layer: int
    site: str
    kind: str
    query_side: int
    key_side: int
    plane: int
    heads: tuple[int, ...]
    has_values: bool
    k: int | None
    uniform: tuple[int, ...]
    nan_rows: int


@dataclass(frozen=True)
class SideInfo:
    """What a graph remembers of one side: see ``trace.Side``."""

    name: str
    length: int
    planes: int
    grid: tuple[int, ...] | None
    unpictured: tuple[int, ...]
