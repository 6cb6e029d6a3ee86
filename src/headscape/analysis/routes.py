"""Information-flow routes: the few edges through which the answer came, found from the top down."""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from headscape.analysis.answer import Answer, find_answer
from headscape.analysis.parts import read_parts
from headscape.analysis.steps import example_of, expect_joined
from headscape.errors import OptionError, expect_index
from headscape.graph.columns import Codes, Ints, Table
from headscape.trace.call import AttentionCall
from headscape.trace.trace import Trace

Doubles: TypeAlias = npt.NDArray[np.float64]
Longs: TypeAlias = npt.NDArray[np.int64]


class RouteKind(IntEnum):
    """What an edge of a route is: how something came into a token's state."""

    ATTENTION = 0
    RESIDUAL = 1  # past the attention
    FEED_FORWARD = 2
    BYPASS = 3  # past the feed-forward part


@dataclass(frozen=True, eq=False)
class RouteNodes(Table):
    """The states that routes go through.

    ``side``, ``plane`` and ``token`` say where (int32 arrays); ``importance`` is the share of the answer that
    passes the state through kept edges, 0 to 1 (float64).
    """

    side: Ints
    plane: Ints
    token: Ints
    importance: Doubles


@dataclass(frozen=True, eq=False)
class RouteEdges(Table):
    """The edges of routes, from the answer down.

    Attributes
    ----------
    kind : uint8 array
        :class:`RouteKind`.
    layer : int32 array
        ``call.layer`` of the call.
    query, key : int32 array
        Tokens of the query side and the key side; one and the same but for attention.
    weight : float64 array
        The part's share in the query's state, 0 to 1; attention: of all heads together.
    importance : float64 array
        Share of the answer that passes the edge: the query's importance times ``weight``.
    heads : (edge, head) float64 array
        What each head has in ``weight``; 0 but for attention.
    """

    kind: Codes
    layer: Ints
    query: Ints
    key: Ints
    weight: Doubles
    importance: Doubles
    heads: Doubles


@dataclass(frozen=True, eq=False)
class Routes:
    """The subgraph through which an answer came. Make one with :func:`find_routes`.

    Attributes
    ----------
    nodes, edges : RouteNodes, RouteEdges
        What was reached and kept.
    inputs : tuple of (token,) float64 arrays
        One per side: share of the answer that kept edges bring from each input token.
    tau : float
        Parts of a state up to this share were cut.
    mass : float
        Share of the answer that kept edges bring from the inputs, 0 to 1: the sum of ``inputs``.
    bias : float
        Share of the answer that ends in attention's output biases, which no token brings.
    answer : Answer
        Where the search began.
    notes : tuple of str
        What is not in the routes, in sentences.
    """

    nodes: RouteNodes
    edges: RouteEdges
    inputs: tuple[Doubles, ...] = field(repr=False)
    tau: float
    mass: float
    bias: float
    answer: Answer
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return (
            f"Routes({len(self.nodes)} states, {len(self.edges)} edges above {self.tau:g}, "
            f"{self.mass:.1%} of the answer from the inputs)"
        )


def find_routes(trace: Trace, example: int = 0, *, tau: float = 0.04, token: int | None = None) -> Routes:
    """Find the routes by which information reached the answer.

    Each state is a sum: the residual, what every head brings from every key, attention's output bias; then
    the feed-forward output and what it joins. A part counts by how much nearer the sum it brings the others:
    ``max(|sum|_1 - |sum - part|_1, 1e-5)``, as a share of all parts of that sum. From the answer's tokens
    down, parts above ``tau`` are followed, all heads of one key together.

    Parameters
    ----------
    trace : Trace
        Captured with ``keep="all", states=True``.
    example : int
        Which example of the batch.
    tau : float
        Share of a state, 0 to 1, that a part must exceed. 0 keeps all. A larger ``tau`` gives a subgraph.
    token : int, optional
        Token of the answering side's last plane to begin at. Default: all that feed the answer
        (:func:`headscape.analysis.answer.find_answer`), each with its share.

    Returns
    -------
    Routes

    Raises
    ------
    NotKeptError
        States or weights were not captured, or not seen at a token that a route reaches.
    ShapeError
        A call's keys are not tokens.
    OptionError
        No such example or token; ``tau`` is no share.

    Notes
    -----
    Only what is reached is worked out, so it takes a fraction of a full account: time grows with reached
    states x heads x keys x model width, memory with one block of that. Weights are shares before cutting;
    making them sum to 1 again, as the published method does, cuts nothing else. Biases are parts of their
    own: attention's output bias leads nowhere, the feed-forward part's belongs to it. Models that
    normalise after the sum are measured at the sum. Where a
    feed-forward part runs beside the attention and joins with it (GPT-J), what joins besides the edges is
    read as that part, and ``notes`` says so; where it joins later, it is read as if it followed. A norm
    between attention and residual (Gemma 2) is found from the states; see
    :mod:`headscape.analysis.reaching`.

    References
    ----------
    .. [1] "Information Flow Routes: Automatically Interpreting Language Models at Scale", Ferrando and
       Voita, EMNLP 2024, doi:10.18653/v1/2024.emnlp-main.965
    """
    if not 0 <= tau < 1:
        raise OptionError(
            f"tau={tau} is no share to cut at; pass 0 (keep all) or more, below 1, such as 0.04."
        )
    expect_joined(trace)
    index = example_of(trace, example)
    answer = find_answer(trace, index)
    if token is not None:
        place = expect_index("answering side", "token", token, len(answer.rows))
        one = np.zeros(len(answer.rows))
        one[place] = 1
        answer = Answer(answer.side, one, f"it begins at token {place}")
    search = _Search(trace, index, tau, answer)
    for call in reversed(trace.calls):
        search.descend(call)
    return search.routes()


class _Search:
    """The search from the top down: importance and reach of every side's states in the plane it stands at."""

    def __init__(self, trace: Trace, example: int, tau: float, answer: Answer) -> None:
        self.trace, self.example, self.tau, self.answer = trace, example, tau, answer
        self.importance = [np.zeros(side.length) for side in trace.sides]
        self.importance[answer.side] = answer.rows.copy()
        self.reached = [one > 0 for one in self.importance]
        self.plane = [side.planes - 1 for side in trace.sides]
        self.heads = max(call.shape[1] for call in trace.calls)
        self.bias = 0.0
        self.parts: list[RouteEdges] = []
        self.stops: list[RouteNodes] = []
        self.without: list[str] = []
        self.beside: list[str] = []

    def descend(self, call: AttentionCall) -> None:
        """Go from the states behind a call to those before it."""
        side, first = call.query_side, self.trace.sides[call.query_side].length - call.shape[2]
        own = slice(first, first + call.shape[2])
        query = np.flatnonzero(self.reached[side][own])
        importance = self.importance[side][own][query]
        before, reached = self.importance[side], self.reached[side]
        self._stop(side)
        before[own], reached[own] = 0, False
        self.plane[side] -= 1
        if not len(query):
            return
        shares = read_parts(call, self.example, query)
        token, alive = query + first, np.ones(len(query), dtype=bool)
        if shares.feed_forward is None and not shares.beside.any():
            self.without.append(call.site or "the model itself")
        if shares.feed_forward is not None:
            kept = []
            bypass = 1 - shares.feed_forward
            for kind, share in ((RouteKind.FEED_FORWARD, shares.feed_forward), (RouteKind.BYPASS, bypass)):
                passes = share > self.tau
                self._add(kind, call, (token, token), share, importance, passes)
                kept.append(np.where(passes, share, 0))
            importance = importance * (kept[0] + kept[1])
            alive = kept[0] + kept[1] > 0
        if shares.beside.any():
            self.beside.append(call.site or "the model itself")
        for kind, share in ((RouteKind.RESIDUAL, shares.residual), (RouteKind.FEED_FORWARD, shares.beside)):
            passes = alive & (share > self.tau)
            self._add(kind, call, (token, token), share, importance, passes)
            before[token[passes]] += (importance * share)[passes]
            reached[token[passes]] = True
        self.bias += float((importance * shares.bias).sum())
        edge = shares.attention.sum(0)  # (reached query, key)
        row, key = np.nonzero(alive[:, None] & (edge > self.tau))
        every = np.ones(len(row), dtype=bool)
        heads = shares.attention[:, row, key].T
        self._add(RouteKind.ATTENTION, call, (token[row], key), edge[row, key], importance[row], every, heads)
        np.add.at(self.importance[call.key_side], key, importance[row] * edge[row, key])
        self.reached[call.key_side][key] = True

    def _add(
        self,
        kind: RouteKind,
        call: AttentionCall,
        ends: tuple[Longs, Longs],
        weight: Doubles,
        importance: Doubles,
        passes: npt.NDArray[np.bool_],
        heads: Doubles | None = None,
    ) -> None:
        count = int(passes.sum())
        by_head = np.zeros((count, self.heads))
        if heads is not None:
            by_head[:, : heads.shape[1]] = heads[passes]
        self.parts.append(
            RouteEdges(
                kind=np.full(count, kind, np.uint8),
                layer=np.full(count, call.layer, np.int32),
                query=ends[0][passes].astype(np.int32),
                key=ends[1][passes].astype(np.int32),
                weight=weight[passes],
                importance=(importance * weight)[passes],
                heads=by_head,
            )
        )

    def _stop(self, side: int) -> None:
        """Remember the states reached in the plane that a side stands at."""
        token = np.flatnonzero(self.reached[side])
        self.stops.append(
            RouteNodes(
                np.full(len(token), side, np.int32),
                np.full(len(token), self.plane[side], np.int32),
                token.astype(np.int32),
                self.importance[side][token],
            )
        )

    def routes(self) -> Routes:
        """Return what was found."""
        for side in range(len(self.trace.sides)):
            self._stop(side)
        notes = []
        if self.without:
            notes.append(f"no feed-forward part was seen behind {', '.join(reversed(self.without))}")
        if self.beside:
            where = ", ".join(reversed(self.beside))
            notes.append(
                f"what joins the residual beside the edges of {where} is read as its feed-forward part"
            )
        return Routes(
            nodes=RouteNodes.join(self.stops),
            edges=RouteEdges.join([*self.parts, _no_edges(self.heads)]),
            inputs=tuple(self.importance),
            tau=self.tau,
            mass=float(sum(one.sum() for one in self.importance)),
            bias=self.bias,
            answer=self.answer,
            notes=tuple(notes),
        )


def _no_edges(heads: int) -> RouteEdges:
    ints, doubles = np.zeros(0, np.int32), np.zeros(0)
    return RouteEdges(np.zeros(0, np.uint8), ints, ints, ints, doubles, doubles, np.zeros((0, heads)))
