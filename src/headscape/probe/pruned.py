"""``run_pruned``: what a model answers when it runs with those edges only that a pruning keeps."""

from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from headscape.analysis.route_graph import keep_routes
from headscape.analysis.routes import find_routes
from headscape.errors import CaptureError, NoAttentionError, OptionError, expect_option
from headscape.graph.build import DIRECTIONS, build_graph
from headscape.graph.columns import EdgeKind
from headscape.graph.graph import Pruning, percent
from headscape.graph.kept import kept_entries
from headscape.intercept.assemble import answering_side
from headscape.intercept.calls import Found
from headscape.intercept.recorder import Options, Seen
from headscape.intercept.rerun import Rerun, rerun
from headscape.intercept.rows import aside
from headscape.intercept.shadows import tensors_in
from headscape.probe.answers import read
from headscape.probe.copies import Given
from headscape.probe.edits import Spots
from headscape.trace.call import AttentionCall
from headscape.trace.trace import Trace

Floats: TypeAlias = npt.NDArray[np.float32]
Flags: TypeAlias = npt.NDArray[np.bool_]
EdgesOf = Literal["pruned", "untouched"]
EDGES_OF: tuple[EdgesOf, ...] = ("pruned", "untouched")
# A row that keeps less than this share of its attention has nothing left that could be scaled up.
_NOTHING_LEFT = 1e-6


@dataclass(frozen=True, eq=False)
class PrunedRun:
    """What changed when a model ran with the edges of a pruning only.

    Attributes
    ----------
    pruning : str
        As ``"nucleus p=0.9"``.
    renormalise : bool
        Whether what was left of a row was scaled up to its old sum.
    edges_of : str
        ``"pruned"``: chosen of the weights met on the way, ``"untouched"``: of those of the plain pass.
    output_change : (example,) float32 array
        Norm of the change of the whole output (scores, or states) over that of the output.
    state_change : (example,) float32 array, or None
        The same of the tokens' last states, before the model's own head.
    cosine : (example,) float32 array, or None
        Cosine between the means of the real tokens' last states, plain and pruned, -1 to 1.
    divergence : (example,) float32 array, or None
        Kullback-Leibler divergence of the answer's probabilities, plain from pruned, in nats; None where the
        model gives no scores. Of a language model: of the token after the last one.
    divergence_of_tokens : (example, token) float32 array, or None
        The same at every token of a language model, NaN at padding.
    mass : (call,) float64 array
        Share of a row that was kept, mean over the rows of each call.
    edges, edges_before : (call,) int64 array
        Weights above 0 that were kept, of how many.
    empty_rows : int
        Rows that lost everything: their heads gave nothing there.
    """

    pruning: str
    renormalise: bool
    edges_of: EdgesOf
    output_change: Floats
    state_change: Floats | None
    cosine: Floats | None
    divergence: Floats | None
    divergence_of_tokens: Floats | None = field(repr=False)
    mass: npt.NDArray[np.float64] = field(repr=False)
    edges: npt.NDArray[np.int64] = field(repr=False)
    edges_before: npt.NDArray[np.int64] = field(repr=False)
    empty_rows: int

    def __str__(self) -> str:
        share = self.edges.sum() / max(1, self.edges_before.sum())
        said = [
            f"{self.pruning}{', renormalised' if self.renormalise else ''}: {percent(share)} of the edges, "
            f"{percent(float(self.mass.mean()))} of the attention; the output moved by "
            f"{self.output_change.mean():.3g} of its norm"
        ]
        if self.cosine is not None:
            said.append(f"cosine of mean states {self.cosine.mean():.4f}")
        if self.divergence is not None:
            said.append(f"divergence {self.divergence.mean():.3g} nats")
        if self.empty_rows:
            said.append(f"{self.empty_rows:,} rows lost everything")
        return ", ".join(said)


def run_pruned(
    model: nn.Module,
    inputs: Any,
    name: str = "nucleus",
    *,
    renormalise: bool = True,
    edges_of: EdgesOf = "pruned",
    direction: str = "directed",
    **options: float,
) -> PrunedRun:
    """Run a model with only those edges that a pruning keeps, in all heads at once.

    Parameters
    ----------
    model : torch.nn.Module
        In ``eval()`` mode. It is not touched.
    inputs : tensor, tuple or dict
        What the model is called with: one argument, several, or keywords.
    name : str
        A pruning of :meth:`headscape.graph.graph.Graph.prune`, or ``"routes"``
        (:func:`headscape.analysis.routes.find_routes`), whose edges are those of the untouched pass.
    renormalise : bool
        Whether the weights left in a row are scaled up to its old sum; else what is dropped adds nothing.
    edges_of : "pruned" or "untouched"
        ``"pruned"``: each call's edges are chosen of the weights as it has them in the pruned pass, after the
        calls before it have lost theirs: the model as it would be if it always pruned. ``"untouched"``: they
        are the edges of the plain pass, those that a graph of its trace shows.
    direction : "directed" or "sum"
        ``"directed"``: each weight is an edge. ``"sum"``: a pair of tokens is, and keeps both its weights.
    **options
        Of that pruning.

    Returns
    -------
    PrunedRun

    Raises
    ------
    OptionError
        No such pruning or option, or the model is in training mode.
    CaptureError
        The model's pass could not be followed closely enough to be changed; or a call came in pieces that
        share rows, where only ``edges_of="untouched"`` can be done.

    Notes
    -----
    A pruning that keeps everything (``"nucleus"`` with ``p=1``) changes nothing: not one bit. Rows of padding
    and attention to padding are in no graph and stay as they are. Whether the change falls as ``p`` rises is a
    finding, not a law. Cost: two passes that keep all weights, and the pruning of each call and example.

    Examples
    --------
    >>> import torch
    >>> layer = torch.nn.TransformerEncoderLayer(8, 2, batch_first=True)
    >>> encoder = torch.nn.TransformerEncoder(layer, 2).eval()
    >>> run_pruned(encoder, torch.rand(1, 3, 8), "nucleus", p=1.0).output_change
    array([0.], dtype=float32)
    """
    inner = getattr(type(model), "_headscape_module", None)  # a Wrapper
    model = model if inner is None else inner.__get__(model)
    pruner = Pruner(model, inputs, states=name == "routes")
    return pruner.run(name, renormalise=renormalise, edges_of=edges_of, direction=direction, **options)


class Pruner:
    """A model and inputs whose untouched pass is known; prunings are asked of it one after the other.

    Parameters
    ----------
    model, inputs
        As for :func:`run_pruned`.
    states : bool
        Whether ``"routes"`` will be asked for.
    """

    def __init__(self, model: nn.Module, inputs: Any, *, states: bool = False) -> None:
        if model.training:
            raise OptionError(
                "run_pruned() was given a model in training mode, where dropout would be taken for an effect "
                "of the pruning. Call model.eval() first."
            )
        self.model = model
        self.given = Given.of(inputs)
        self._keep = Options(keep="all", values=False, strict=True)
        asked = Options(keep="all", values=states, states=states, strict=True)
        self.base = rerun(model, self.given.call(model), asked)
        if not self.base.trace.calls:
            raise NoAttentionError(self.base.trace.warnings[0])

    def run(
        self,
        name: str = "nucleus",
        *,
        renormalise: bool = True,
        edges_of: EdgesOf = "pruned",
        direction: str = "directed",
        **options: float,
    ) -> PrunedRun:
        """Run with one pruning; as :func:`run_pruned`."""
        expect_option("run_pruned()", "edges_of", edges_of, EDGES_OF)
        expect_option("graph", "direction", direction, DIRECTIONS)
        if name == "routes":
            edges_of = "untouched"
        chooser = _Chooser(name, options, direction, self.base.trace, is_met=edges_of == "pruned")
        places = [seen.place for seen in self.base.seen]
        keeper = _Keeper(chooser, places, renormalise=renormalise)
        after = rerun(self.model, self.given.call(self.model), self._keep, keeper)
        if len(after.seen) != len(self.base.seen) or after.trace.batch != self.base.trace.batch:
            raise CaptureError(
                f"the pruned model made {len(after.seen)} attention calls where it had made "
                f"{len(self.base.seen)}: its course depends on what is pruned."
            )
        return self._compare(after, str(Pruning(name, dict(options))), keeper, edges_of)

    def _compare(self, after: Rerun, pruning: str, keeper: "_Keeper", edges_of: EdgesOf) -> PrunedRun:
        base, examples = self.base, self.base.trace.batch
        tables = [read(one, base, examples, None).output for one in (base, after)]
        states = [_states(one, examples) for one in (base, after)]
        state_change = cosine = divergence = None
        if states[0] is not None and states[1] is not None:
            state_change = _moved(states[0], states[1])
            means = [_mean_state(state, base.trace) for state in (states[0], states[1])]
            cosine = torch.nn.functional.cosine_similarity(*means, dim=-1).float().numpy()
        if base.scores is not None and after.scores is not None:
            divergence = _divergence(base.scores, after.scores)
        tally = keeper.tally
        calls = sorted(tally)
        return PrunedRun(
            pruning,
            keeper.renormalise,
            edges_of,
            _moved(*tables),
            state_change,
            cosine,
            divergence,
            _divergence_of_tokens(base, after),
            np.array([tally[n].mass / max(1, tally[n].rows) for n in calls]),
            np.array([tally[n].edges for n in calls], np.int64),
            np.array([tally[n].edges_before for n in calls], np.int64),
            sum(tally[n].empty for n in calls),
        )


@dataclass
class _Tally:
    """What was kept of one call, over all examples."""

    mass: float = 0.0
    rows: int = 0
    edges: int = 0
    edges_before: int = 0
    empty: int = 0

    def add(self, call: AttentionCall, example: int, kept: Flags) -> None:
        """Count one example of a call (or of a piece of it)."""
        weights = np.nan_to_num(call.weights(example)).astype(np.float64)
        total = weights.sum(-1)
        real = (total > 0) & ~call.padded(example)
        share = np.where(kept, weights, 0).sum(-1)[real] / total[real]
        there = (weights > 0) & ~call.padded(example)[:, None] & ~call.padded_keys(example)
        self.mass += float(share.sum())
        self.rows += int(real.sum())
        self.edges += int((kept & there).sum())
        self.edges_before += int(there.sum())
        self.empty += int((share <= _NOTHING_LEFT).sum())


class _Chooser:
    """Says which weights of a call stay, as it is met or as the untouched trace has it."""

    def __init__(
        self, name: str, options: dict[str, float], direction: str, trace: Trace, *, is_met: bool
    ) -> None:
        self._name, self._options, self._direction = name, options, direction
        self.trace, self._is_met = trace, is_met
        self._routes: list[list[Flags]] = (
            [self._routes_of(e) for e in range(trace.batch)] if name == "routes" else []
        )

    def call(self, layer: int, first_head: int, seen: Seen) -> AttentionCall:
        """Return the call of which weights are chosen; met calls are what the pass has just recorded."""
        call = self.trace.calls[layer]
        if not self._is_met:
            return call
        _, heads, queries, keys = call.shape
        if (seen.shape[2], seen.shape[3]) != (queries, keys) or seen.shape[1] not in (1, heads):
            raise CaptureError(
                f"{call.site or 'the model itself'} is worked out in pieces, none of which holds whole rows: "
                'which edges stay can only be told of the untouched pass. Pass edges_of="untouched".'
            )
        return replace(call, arrays=seen.arrays, shape=seen.shape)

    def kept(self, call: AttentionCall, example: int) -> Flags:
        """Return which weights of a call stay, (head, query, key)."""
        if self._routes:
            return self._routes[example][self.trace.calls.index(call)]
        found = kept_entries(call, example, self._name, self._options, direction=self._direction)
        # What is in no graph stays as it is: rows of padding, rows that are NaN, attention to padding.
        broken = np.isnan(call.weights(example)).any(-1)
        found |= (call.padded(example) | broken)[..., None] | call.padded_keys(example)
        return found

    def _routes_of(self, example: int) -> list[Flags]:
        """Return the weights of each call that lie on routes to the answer."""
        graph = build_graph(self.trace, example, direction="directed")
        routes = find_routes(self.trace, example, **self._options)  # type: ignore[arg-type]
        edges = graph.edges.select(keep_routes(graph.edges, routes))
        edges = edges.select(np.isin(edges.kind, (EdgeKind.ATTENTION, EdgeKind.CROSS)))
        found = []
        for number, call in enumerate(self.trace.calls):
            shift = self.trace.sides[call.query_side].length - call.shape[2]
            e = edges.select(edges.call == number)
            kept = np.zeros(call.shape[1:], dtype=bool)
            kept[e.head, e.query - shift, e.key] = True
            found.append(kept | call.padded(example)[:, None] | call.padded_keys(example))
        return found


class _Keeper:
    """An editor (see :mod:`headscape.intercept.rerun`) that leaves a model only what is chosen."""

    def __init__(self, chooser: _Chooser, places: list[tuple[int, int]], *, renormalise: bool) -> None:
        self._chooser = chooser
        self._places = places
        self.renormalise = renormalise
        self.tally: dict[int, _Tally] = {}

    def edit(self, number: int, seen: Seen, found: Found) -> Tensor | None:
        """Return what the heads give of what they keep, (group, head, query, width)."""
        if found.mixed is None:
            raise RuntimeError("dropout acts on the weights of this model: call model.eval() first")
        layer, first_head = self._places[number]
        call = self._chooser.call(layer, first_head, seen)
        tally = self.tally.setdefault(layer, _Tally())
        is_first = not tally.rows or call.shape[1] != self._chooser.trace.calls[layer].shape[1]
        spots, heads = Spots(seen, found, call), found.rows.shape[1]
        new = None
        with aside(found.value.device):
            for example in range(call.shape[0]):
                kept = self._chooser.kept(call, example)
                if is_first:
                    tally.add(call, example, kept)
                if call.shape[1] != heads:
                    kept = kept[first_head : first_head + heads]
                for window, group in enumerate(spots.groups[example].tolist()):
                    stays = spots.stays(kept, example, window)
                    if not stays.all():
                        new = found.mixed.clone() if new is None else new
                        self._leave(new[group], stays, spots, example, window)
        return new

    def _leave(self, new: Tensor, stays: Flags, spots: Spots, example: int, window: int) -> None:
        """Leave one group, (head, query, width), what its kept weights bring."""
        weights, value = spots.weights_and_values(example, window)
        here = torch.from_numpy(stays).to(new.device)[..., : weights.shape[-1]]
        rows = ((weights > 0) & ~here).any(-1)
        kept = torch.where(here, weights, torch.zeros_like(weights))
        mixed = torch.matmul(kept, value[:, : weights.shape[-1]])
        if self.renormalise:
            total, left = weights.sum(-1, keepdim=True), kept.sum(-1, keepdim=True)
            there = left > _NOTHING_LEFT * total
            mixed = torch.where(there, mixed * total / left.clamp_min(1e-30), torch.zeros_like(mixed))
        new.copy_(torch.where(rows[..., None], mixed.to(new.dtype), new))


def _moved(before: Tensor, after: Tensor) -> Floats:
    """Norm of the change over that of what was before, (example,)."""
    size = before.flatten(1).norm(dim=1).clamp_min(1e-30)
    found: Floats = ((after - before).flatten(1).norm(dim=1) / size).numpy()
    return found


def _divergence(before: Tensor, after: Tensor) -> Floats:
    """Kullback-Leibler divergence of the last axis' probabilities, in nats."""
    logs = [torch.log_softmax(scores.detach().double().cpu(), -1) for scores in (before, after)]
    found: Floats = (logs[0].exp() * (logs[0] - logs[1])).sum(-1).clamp_min(0).float().numpy()
    return found


def _states(found: Rerun, examples: int) -> Tensor | None:
    """Return the tokens' last states, (example, token, width), padding zeroed; None if they are laid out otherwise."""
    state = found.state
    if state is None or state.is_nested or state.dim() < 2:
        return None
    state = state.detach().float().cpu()
    if found.axes == "qb" and state.dim() == 3:
        state = state.transpose(0, 1)
    if found.axes == "q" and examples == 1:
        state = state.unsqueeze(0)
    if state.shape[0] != examples:
        return None
    state = state.reshape(examples, -1, state.shape[-1])
    _, padded = answering_side(found.trace)
    if state.shape[:2] == padded.shape:
        state = state.masked_fill(torch.from_numpy(padded)[..., None], 0)
    return state


def _mean_state(states: Tensor, trace: Trace) -> Tensor:
    """Mean over real tokens, (example, width); padded states are 0."""
    _, padded = answering_side(trace)
    real = states.shape[1] - torch.from_numpy(padded).sum(1, keepdim=True)
    if states.shape[:2] != padded.shape:
        real = torch.full((len(states), 1), states.shape[1])
    return states.double().sum(1) / real.clamp_min(1)


def _divergence_of_tokens(base: Rerun, after: Rerun) -> Floats | None:
    """Divergence at every token whose scores the model returned, (example, token)."""
    if base.kind != "next tokens" or base.scores is None:
        return None
    _, padded = answering_side(base.trace)
    tables = []
    for one in (base, after):
        wanted = (*padded.shape, base.scores.shape[1])
        fit = [t for t in tensors_in((one.output,)) if t.is_floating_point() and tuple(t.shape) == wanted]
        if not fit:
            return None
        tables.append(fit[0])
    found = _divergence(*tables)
    found[padded] = np.nan
    return found
