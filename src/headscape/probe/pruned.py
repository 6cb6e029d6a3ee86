"""``run_pruned``: what a model answers when it runs with those edges only that a pruning keeps."""

from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from headscape.errors import CaptureError, NoAttentionError, OptionError, expect_option
from headscape.graph.build import DIRECTIONS
from headscape.graph.graph import Pruning, percent
from headscape.intercept.assemble import answering_side
from headscape.intercept.recorder import Options
from headscape.intercept.rerun import Rerun, rerun
from headscape.intercept.shadows import tensors_in
from headscape.probe.answers import expect_module, read
from headscape.probe.copies import Given
from headscape.probe.keeper import Chooser, Keeper

Floats: TypeAlias = npt.NDArray[np.float32]
EdgesOf = Literal["pruned", "untouched"]
EDGES_OF: tuple[EdgesOf, ...] = ("pruned", "untouched")


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
        A pruning of :meth:`headscape.graph.graph.Graph.prune`, or ``"routes"`` (``tau=0.04``): what
        :func:`headscape.analysis.routes.find_routes` finds in the untouched pass, in all heads. What does
        not lead to the answer is gone then, so look at the answer and not at all tokens' states.
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
    and attention to padding are in no graph and stay as they are. Whether the change falls as ``p`` rises is
    a finding, not a law. Cost: two passes that keep all weights, and the pruning of each call and example.

    Examples
    --------
    >>> import torch
    >>> layer = torch.nn.TransformerEncoderLayer(8, 2, batch_first=True)
    >>> encoder = torch.nn.TransformerEncoder(layer, 2).eval()
    >>> run_pruned(encoder, torch.rand(1, 3, 8), "nucleus", p=1.0).output_change
    array([0.], dtype=float32)
    """
    pruner = Pruner(expect_module("run_pruned()", model), inputs, states=name == "routes")
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
        chooser = Chooser(name, options, direction, self.base.trace, is_met=edges_of == "pruned")
        places = [seen.place for seen in self.base.seen]
        keeper = Keeper(chooser, places, renormalise=renormalise)
        after = rerun(self.model, self.given.call(self.model), self._keep, keeper)
        if len(after.seen) != len(self.base.seen) or after.trace.batch != self.base.trace.batch:
            raise CaptureError(
                f"the pruned model made {len(after.seen)} attention calls where it had made "
                f"{len(self.base.seen)}: its course depends on what is pruned."
            )
        return self._compare(after, str(Pruning(name, dict(options))), keeper, edges_of)

    def _compare(self, after: Rerun, pruning: str, keeper: Keeper, edges_of: EdgesOf) -> PrunedRun:
        base, examples = self.base, self.base.trace.batch
        tables = [read(one, base, examples, None).output for one in (base, after)]
        states = [_states(one, examples) for one in (base, after)]
        state_change = cosine = divergence = None
        if states[0] is not None and states[1] is not None:
            state_change = _moved(states[0], states[1])
            # Sums point where means point; padding is 0.
            plain, pruned = (state.double().sum(1) for state in (states[0], states[1]))
            cosine = torch.nn.functional.cosine_similarity(plain, pruned, dim=-1).float().numpy()
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
    """Return the tokens' last states, (example, token, width), padding zeroed; None where there are none."""
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
