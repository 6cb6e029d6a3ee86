"""``headscape.knock_out``: what a model answers when heads, edges or tokens are taken out."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from torch import nn

from headscape.errors import CaptureError, NoAttentionError, OptionError, expect_option
from headscape.intercept.recorder import Options
from headscape.intercept.rerun import Rerun, rerun
from headscape.probe.answers import Reading, Target, expect_module, read
from headscape.probe.copies import Axis, Given
from headscape.probe.edits import By, Plan, Remover, expect_way
from headscape.probe.removals import Edge, Removal, Unit, read_removals
from headscape.probe.results import KnockOuts

Floats: TypeAlias = npt.NDArray[np.float32]
# Copies of a batch run together up to this many tokens: beyond it a pass gains nothing on a processor.
_MOST_TOKENS = 8192
# By how much of the largest number an untouched copy may differ from the plain pass, for copies to be used.
_SAME = 1e-3


def knock_out(
    model: nn.Module,
    inputs: Any,
    *,
    heads: str | Sequence[Any] | None = None,
    edges: Sequence[Edge | Sequence[Edge]] | None = None,
    tokens: str | Sequence[Any] | None = None,
    by: By = "zero",
    target: Target = None,
    **options: Any,
) -> KnockOuts:
    """Run a model with parts of its attention removed, and say by how much its answer moves.

    Attention is changed where weights meet values, in any model that can be captured; the model itself is not
    touched. Many knock-outs share a pass.

    Parameters
    ----------
    model : torch.nn.Module
        In ``eval()`` mode.
    inputs : tensor, tuple or dict
        What the model is called with: one argument, several, or keywords.
    heads : "each" or list, optional
        ``(layer, head)`` for each knock-out, or a list of such lists, each removed together. ``"each"``:
        every head by itself.
    edges : list, optional
        ``(layer, head, query, key)`` likewise; None as the head means all heads of the layer. In examples of
        the batch alike.
    tokens : "each" or list, optional
        Token numbers, or ``(side, token)``: no query of any layer attends to it any more. Its own state stays
        where it is, and may still be pooled into the answer.
    by : "zero", "renormalise" or "mean"
        ``"zero"``: what is removed adds nothing. ``"renormalise"``: the weights left in a row are scaled up
        to its old sum (edges and tokens). ``"mean"``: edges and tokens carry the mean of the head's values
        over the real keys instead of their own; heads give the mean of what they give over all real rows of
        these inputs.
    target : int, callable or None
        The score that is watched: None the best answer of the untouched model, a class (or token) number, or
        a function that takes the model's output and returns one number an example, (batch,).
    labels : (batch,) int array, optional
        Right classes (or next tokens); the change of their cross-entropy is then in ``loss_change``.
    classes : sequence of str, optional
        Names of the model's classes.
    most_tokens : int, default 8192
        How many tokens a pass may have: smaller takes less memory.

    Returns
    -------
    KnockOuts
        Changes by knock-out and example.

    Raises
    ------
    OptionError
        Nothing, or something that the model does not have, was to be removed; or the model is in training
        mode.
    CaptureError
        The model's pass could not be followed closely enough to be changed.

    Notes
    -----
    An edge that the model gives no weight changes nothing. Knock-outs measure one pass with the rest of the
    model as it is: parts that stand in for each other look unimportant one by one (McGrath et al. 2023, "The
    Hydra Effect", arXiv:2307.15771), and a removed part takes the model off the states it was trained on,
    which ``by="mean"`` does less. Cost: one forward pass a batch of copies, plus, for edges and tokens, the
    weights of the changed calls.

    References
    ----------
    .. [1] P. Michel, O. Levy, G. Neubig, "Are Sixteen Heads Really Better than One?", 2019, arXiv:1905.10650
    .. [2] M. Geva et al., "Dissecting Recall of Factual Associations in Auto-Regressive Language Models",
       2023, arXiv:2304.14767 (edges)

    Examples
    --------
    >>> import torch, headscape
    >>> layer = torch.nn.TransformerEncoderLayer(8, 2, batch_first=True)
    >>> encoder = torch.nn.TransformerEncoder(layer, 2).eval()
    >>> headscape.knock_out(encoder, torch.rand(1, 3, 8), heads="each").output_change.shape
    (4, 1)
    """
    run = Knocker(model, inputs, **options)
    removals = read_removals(run.base.trace, {"heads": heads, "edges": edges, "tokens": tokens})
    return run.remove(removals, by=by, target=target)


@dataclass(eq=False)
class _Settings:
    labels: Any = None
    classes: Sequence[str] | None = None
    most_tokens: int = _MOST_TOKENS


class Knocker:
    """A model and inputs whose untouched pass is known; knock-outs are asked of it one after the other.

    Parameters and errors as in :func:`knock_out`.
    """

    def __init__(self, model: nn.Module, inputs: Any, **options: Any) -> None:
        for name in options:
            expect_option("knock_out()", "option", name, _Settings.__dataclass_fields__)
        settings = _Settings(**options)
        model = expect_module("knock_out()", model)
        if settings.most_tokens < 1:
            raise OptionError(f"knock_out() got most_tokens={settings.most_tokens}; pass 1 or more.")
        if model.training:
            raise OptionError(
                "knock_out() was given a model in training mode, where dropout would be taken for an effect "
                "of the knock-out. Call model.eval() first."
            )
        self.model = model
        self.given = Given.of(inputs)
        self.labels = settings.labels
        self.most_tokens = settings.most_tokens
        names = None if settings.classes is None else tuple(map(str, settings.classes))
        self._options = Options(keep=1, values=False, strict=True)
        self.base = rerun(model, self.given.call(model), Options(strict=True, classes=names))
        if not self.base.trace.calls:
            raise NoAttentionError(self.base.trace.warnings[0])
        if not self.base.trace.batch:
            raise OptionError("knock_out() was given inputs of no example; pass one at least.")
        self.copies_apart = 0.0
        self._axis: Axis | None = None  # not tried yet

    @property
    def examples(self) -> int:
        """Examples in the inputs."""
        return self.base.trace.batch

    def __call__(self, asked: Mapping[str, Any]) -> KnockOuts:
        """Answer a viewer: ``trace.widget(knock_out=Knocker(model, inputs))``.

        ``asked["options"]`` are options of :func:`knock_out`: heads, edges or tokens, and by.
        """
        options = dict(asked["options"])
        by = options.pop("by", "zero")
        units: tuple[Unit, ...] = ("heads", "edges", "tokens")
        given = {unit: options.get(unit) for unit in units}
        return self.remove(read_removals(self.base.trace, given), by=by)

    def remove(self, removals: Sequence[Removal], *, by: By = "zero", target: Target = None) -> KnockOuts:
        """Run the knock-outs and return what they changed."""
        expect_way(by, removals)
        before = read(self.base, self.base, self.examples, target)
        after: list[Reading] = []
        idle: list[bool] = []
        runs, at = 0, 0
        while at < len(removals):
            many = self._copies(before.needs_alone)
            these = removals[at : at + many]
            found, used = self._run(these, by, target)
            after += found
            idle += [n not in used for n in range(len(these))]
            runs, at = runs + 1, at + len(these)
        return KnockOuts.of(
            tuple(removals), by, before, after, outputs=self.base.trace.outputs, labels=self.labels,
            idle=np.array(idle, bool), runs=runs, copies_apart=self.copies_apart,
        )  # fmt: skip

    def _copies(self, needs_alone: bool) -> int:
        """Return how many knock-outs fit into one pass."""
        if needs_alone:
            return 1
        if self._axis is None:
            self._axis = self._find_axis()
        if self._axis == "none":
            return 1
        tokens = self.examples * max(side.length for side in self.base.trace.sides)
        return max(1, self.most_tokens // max(1, tokens) - 1)

    def _find_axis(self) -> Axis:
        """See by which axis the batch can be repeated: two copies must give what one gives."""
        order: tuple[Axis, ...] = ("second", "first") if self.base.axes == "qb" else ("first", "second")
        for axis in order:
            given = self.given.repeated(self.examples, 2, axis)
            try:
                found = rerun(self.model, given.call(self.model), self._options)
                readings = self._read(found, 2, None)
            except Exception:  # noqa: S112  # a model that takes no other batch than this one
                continue
            if max(self._apart(one) for one in readings) <= _SAME:
                return axis
        return "none"

    def _read(self, found: Rerun, copies: int, target: Target) -> list[Reading]:
        """Return what each copy of a pass gave."""
        if len(found.seen) != len(self.base.seen) or found.trace.batch != copies * self.examples:
            raise CaptureError(
                f"the model made {len(found.seen)} attention calls on {found.trace.batch} examples where it "
                f"had made {len(self.base.seen)} on {self.examples} for each of {copies} copies: its course "
                "depends on what is removed, or on the size of the batch."
            )
        whole = read(found, self.base, copies * self.examples, target)
        return [whole.part(n * self.examples, self.examples) for n in range(copies)]

    def _apart(self, reading: Reading) -> float:
        """How far an untouched copy is from the plain pass, as a share of its largest number."""
        base = read(self.base, self.base, self.examples, None)
        if reading.output.shape != base.output.shape:
            return float("inf")
        size = float(base.output.abs().max()) + 1e-30
        return float((reading.output - base.output).abs().max()) / size

    def _run(self, removals: Sequence[Removal], by: By, target: Target) -> tuple[list[Reading], set[int]]:
        """Run some knock-outs in one pass, beside an untouched copy where there are copies."""
        alone = self._axis in (None, "none") or (len(removals) == 1 and by != "mean")
        if alone and by == "mean" and any(removal.unit == "heads" for removal in removals):
            return self._run_after(removals[0], target)
        axis = self._axis or "none"
        held: list[Removal | None] = list(removals) if alone else [None, *removals]
        given = self.given if alone else self.given.repeated(self.examples, len(held), axis)
        remover = self._remover(held, by)
        found = rerun(self.model, given.call(self.model), self._options, remover)
        readings = self._read(found, len(held), target)
        if alone:
            return readings, remover.used
        self.copies_apart = max(self.copies_apart, self._apart(readings[0]))
        if self.copies_apart > _SAME:
            raise CaptureError(
                f"an untouched copy in the same pass differs from the plain pass by {self.copies_apart:.2g} "
                "of its largest number: examples of one batch depend on each other, or the model draws "
                "random numbers. Pass most_tokens=1 to run knock-outs one by one."
            )
        return readings[1:], {n - 1 for n in remover.used}

    def _run_after(self, removal: Removal, target: Target) -> tuple[list[Reading], set[int]]:
        """Remove heads by their mean where copies cannot share a pass: note the means, then use them."""
        first = self._remover([None], "mean")
        first.notes = {}
        rerun(self.model, self.given.call(self.model), self._options, first)
        second = self._remover([removal], "mean")
        second.means = first.notes
        found = rerun(self.model, self.given.call(self.model), self._options, second)
        return self._read(found, 1, target), second.used

    def _remover(self, held: list[Removal | None], by: By) -> Remover:
        places = [seen.place for seen in self.base.seen]
        return Remover(Plan(held, self.examples, by), places, self.base.trace.calls)
