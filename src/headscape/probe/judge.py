"""``headscape.judge``: which measure tells the truth about this model, held against real knock-outs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
from torch import nn

from headscape.analysis.scores import (
    EDGE_MEASURES,
    HEAD_MEASURES,
    TOKEN_MEASURES,
    edge_scores,
    head_scores,
    token_scores,
)
from headscape.errors import HeadscapeError, OptionError, expect_option
from headscape.probe.answers import Target
from headscape.probe.direct import direct
from headscape.probe.edits import By
from headscape.probe.evidence import judging_trace
from headscape.probe.knock_out import Knocker
from headscape.probe.ranks import spearman
from headscape.probe.removals import Removal, Unit, every
from headscape.probe.results import KnockOuts
from headscape.trace.trace import Trace

Doubles: TypeAlias = npt.NDArray[np.float64]
_KNOWN = {"heads": HEAD_MEASURES, "edges": EDGE_MEASURES, "tokens": TOKEN_MEASURES}
# What judge() adds to the measures of analysis: an account that needs the model, and the floor of all.
_OWN = ("direct", "random")
# How far, in bits, a row's entropy may be in two runs of one pass: a model in half precision, run twice.
_SAME_BITS = 0.05
_MOST_ON_A_CURVE = 20_000  # edges that are removed together one by one take their time
FRACTIONS = (0.0, 0.02, 0.05, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0)


@dataclass(frozen=True, eq=False, repr=False)
class Judgement:
    """How well each measure foretells what knock-outs do.

    Attributes
    ----------
    units : str
        ``"heads"``, ``"edges"`` or ``"tokens"``.
    by : str
        How they were removed.
    measures : tuple of str
        In order of their mean rank correlation, the best first.
    parts : tuple of tuple
        The units that were knocked out, one by one.
    effects : (unit, example) float64 array
        Absolute change of the watched score (of the output, where none is watched).
    scores : dict
        By measure, its number for each of these units, (unit, example) float64.
    spearman : dict
        By measure, its rank correlation with the effects, (example,) float64, -1 to 1; NaN where one of the
        two is constant.
    fractions : (point,) float64 array
        Shares of the units removed (or kept) at the points of the curves.
    deletion, insertion : dict
        By measure, the watched score after removing (keeping only) that share of the units, the highest
        first, (point, example) float64. Empty without curves.
    missing : dict
        By measure, why it could not be worked out.
    """

    units: Unit
    by: By
    measures: tuple[str, ...]
    parts: tuple[tuple[Any, ...], ...]
    effects: Doubles
    scores: dict[str, Doubles]
    spearman: dict[str, Doubles]
    fractions: Doubles
    deletion: dict[str, Doubles]
    insertion: dict[str, Doubles]
    missing: dict[str, str]

    def __repr__(self) -> str:
        best = self.measures[0] if self.measures else "none"
        return f"Judgement({len(self.parts)} {self.units}, {self.effects.shape[1]} examples, best: {best})"

    def drop(self, measure: str) -> float:
        """Return how far the score falls on the deletion curve, in the mean: more is better."""
        curve = self.deletion[measure]
        return float(np.nanmean(_area(self.fractions, curve[0] - curve)))

    def loss(self, measure: str) -> float:
        """Return how much of the score is missing on the insertion curve, likewise: less is better."""
        curve = self.insertion[measure]
        return float(np.nanmean(_area(self.fractions, curve[-1] - curve)))

    def rows(self) -> list[tuple[str, float, float, float, float]]:
        """Return (measure, mean Spearman, its standard deviation over examples, drop, loss), best first."""
        found = []
        for name in self.measures:
            rho = self.spearman[name][np.isfinite(self.spearman[name])]
            mean, spread = (float(rho.mean()), float(rho.std())) if len(rho) else (float("nan"),) * 2
            curves = (self.drop(name), self.loss(name)) if name in self.deletion else (float("nan"),) * 2
            found.append((name, mean, spread, *curves))
        return found

    def table(self) -> str:
        """Return the measures as text, the best first."""
        lines = [
            f"{len(self.parts)} {self.units} of {self.effects.shape[1]} examples, removed alone ({self.by})",
            f"{'measure':<22}{'Spearman':>16}{'deletion':>10}{'insertion':>10}",
        ]
        for name, mean, spread, drop, loss in self.rows():
            lines.append(f"{name:<22}{mean:>9.2f} ±{spread:>5.2f}{drop:>10.3f}{loss:>10.3f}")
        return "\n".join(lines + [f"{name}: {why}" for name, why in self.missing.items()])


def judge(
    trace: Trace | None,
    model: nn.Module,
    inputs: Any,
    *,
    units: Unit = "heads",
    measures: Sequence[str] | None = None,
    by: By = "zero",
    target: Target = None,
    **options: Any,
) -> Judgement:
    """Rank heads, edges or tokens by each measure, and score the measures against real knock-outs.

    Parameters
    ----------
    trace : Trace or None
        A pass of the model on these inputs, captured with ``keep="all", states=True, gradients=True`` after
        ``backward()`` of the watched score. None: it is made here (:func:`judging_trace`). A measure that the
        trace lacks something for is left out, and ``missing`` says why.
    model : torch.nn.Module
        In ``eval()`` mode.
    inputs : tensor, tuple or dict
        What the model is called with; every example is judged by itself.
    units : "heads", "edges" or "tokens"
        What is ranked and removed.
    measures : sequence of str, optional
        Those of :mod:`headscape.analysis.scores`, ``"direct"`` (absolute share of the score along the
        residual stream; heads and edges) and ``"random"``. Default: all.
    by, target
        As for :func:`headscape.knock_out`.
    edges : int, default 200
        How many edges of each example are removed one by one: half of them drawn among all that have a
        weight, half among the strongest hundredth.
    curves : bool, default True
        Also work out deletion and insertion curves: sixteen more runs for each measure and example. Not where
        a pass has more than 20,000 edges.
    seed : int, default 0
        Of the drawn edges and the random order.
    most_tokens : int
        As for :func:`headscape.knock_out`.
    knocked : KnockOuts, optional
        What removing each of these units alone did, where that is known already; saves the runs.

    Returns
    -------
    Judgement

    Raises
    ------
    OptionError
        No such unit, measure or option.

    Notes
    -----
    The truth here is the change when a unit alone is removed; a unit whose work others take over has a small
    effect and is not useless. Deletion and insertion remove many together, in the order of the measure: the
    two truths may disagree, and both are told. Cost: units / copies that fit into a pass, for each example.

    References
    ----------
    .. [1] S. Abnar, W. Zuidema, "Quantifying Attention Flow in Transformers", ACL 2020,
       doi:10.18653/v1/2020.acl-main.385 (rank correlation with blank-out)
    .. [2] V. Petsiuk, A. Das, K. Saenko, "RISE: Randomized Input Sampling for Explanation of Black-box
       Models", 2018, arXiv:1806.07421 (deletion and insertion)
    """
    settings = _Settings.of(options)
    expect_option("judge()", "unit", units, _KNOWN)
    known = (*_KNOWN[units], *(name for name in _OWN if units != "tokens" or name != "direct"))
    for name in measures or ():
        expect_option("judge()", f"measure of {units}", name, known)
    if trace is None:
        trace = judging_trace(model, inputs, target=target)
    whole = Knocker(model, inputs, most_tokens=settings.most_tokens)
    court = _Court(trace, whole, units, by, target, settings)
    numbers, missing = court.measure(model, inputs, tuple(measures or known))
    return court.sentence(numbers, missing)


@dataclass(frozen=True)
class _Settings:
    edges: int = 200
    curves: bool = True
    seed: int = 0
    most_tokens: int = 8192
    knocked: KnockOuts | None = None

    @classmethod
    def of(cls, options: dict[str, Any]) -> "_Settings":
        for name in options:
            expect_option("judge()", "option", name, cls.__dataclass_fields__)
        return cls(**options)


def _expect_same(given: Trace, own: Trace) -> None:
    """Raise unless a trace is one of the pass that is judged."""
    shapes = [[call.shape for call in trace.calls] for trace in (given, own)]
    if shapes[0] != shapes[1]:
        pair = next((pair for pair in zip(*shapes, strict=False) if pair[0] != pair[1]), shapes)
        raise OptionError(
            f"judge() was given a trace of {given.batch} examples and {len(given.calls)} calls, but the "
            f"inputs give {own.batch} and {len(own.calls)} (shapes {pair[0]} and {pair[1]} first differ): "
            "pass those of that very pass."
        )
    for one, other in zip(given.calls, own.calls, strict=True):
        apart = np.abs(one.arrays.entropy - other.arrays.entropy)
        if (apart > _SAME_BITS).any():
            raise OptionError(
                f"judge() was given a trace in which {one.site or 'the model itself'} attends in another way "
                f"than on these inputs (a row's entropy differs by {np.nanmax(apart):.2g} bits): pass the "
                "trace of that very pass, or None."
            )


class _Court:
    """One trial: the units, what removing them does, and what measures say of them."""

    def __init__(
        self, trace: Trace, knocker: Knocker, units: Unit, by: By, target: Target, settings: _Settings
    ) -> None:  # fmt: skip
        self.trace, self.units, self.by, self.target = trace, units, by, target
        self._knocker, self._settings = knocker, settings
        self._rng = np.random.default_rng(settings.seed)
        _expect_same(trace, knocker.base.trace)
        self.parts = self._draw()

    def _draw(self) -> list[tuple[Any, ...]]:
        if self.units != "edges":
            return list(every(self.trace, self.units))
        weights = np.nanmean(
            [self._flat(edge_scores(self.trace, "weight", e)) for e in range(self.trace.batch)], 0
        )
        there = np.flatnonzero(weights > 0)
        strong = there[np.argsort(-weights[there], kind="stable")][: max(1, len(there) // 100)]
        half = self._settings.edges // 2
        chosen = self._rng.choice(strong, min(half, len(strong)), replace=False)
        rest = np.setdiff1d(there, chosen)
        chosen = np.concatenate(
            [
                chosen,
                self._rng.choice(rest, min(self._settings.edges - len(chosen), len(rest)), replace=False),
            ]
        )
        return [self._edge(n) for n in np.sort(chosen).tolist()]

    def _edge(self, n: int) -> tuple[int, ...]:
        for call in self.trace.calls:
            size = int(np.prod(call.shape[1:]))
            if n < size:
                return (call.layer, *(int(i) for i in np.unravel_index(n, call.shape[1:])))
            n -= size
        raise IndexError(n)

    @staticmethod
    def _flat(arrays: Sequence[Doubles]) -> Doubles:
        return np.concatenate([np.nan_to_num(one).reshape(-1) for one in arrays])

    def measure(
        self, model: nn.Module, inputs: Any, names: tuple[str, ...]
    ) -> tuple[dict[str, list[Any]], dict[str, str]]:
        """Return every measure's numbers, by example all of them in order, and why some are missing."""
        found: dict[str, list[Any]] = {}
        missing: dict[str, str] = {}
        for name in names:
            try:
                found[name] = self._numbers(model, inputs, name)
            except HeadscapeError as error:
                missing[name] = str(error)
        return found, missing

    def _numbers(self, model: nn.Module, inputs: Any, name: str) -> list[Doubles]:
        examples = range(self.trace.batch)
        if name == "random":
            size = len(self._numbers(model, inputs, "weight")[0])
            return [self._rng.random(size) for _ in examples]
        if name == "direct":
            account = direct(model, inputs, target=self.target)
            if self.units == "heads":
                return [
                    np.concatenate([np.abs(account.heads(n)[e]) for n in range(len(account.edges))])
                    for e in examples
                ]
            return [self._flat([np.abs(edges[e]) for edges in account.edges]) for e in examples]
        if self.units == "heads":
            return [np.concatenate(head_scores(self.trace, name, e)) for e in examples]
        if self.units == "edges":
            return [self._flat(edge_scores(self.trace, name, e)) for e in examples]
        sides = sorted({side for side, _ in self.parts})
        by_side = [[token_scores(self.trace, name, e, side=side) for side in sides] for e in examples]
        return [np.array([one[sides.index(side)][token] for side, token in self.parts]) for one in by_side]

    def sentence(self, numbers: dict[str, list[Any]], missing: dict[str, str]) -> Judgement:
        """Knock the units out and compare."""
        removals = [Removal(self.units, (part,)) for part in self.parts]
        done = self._knocked(removals)
        effects = np.abs(done.change if done.change is not None else done.output_change).astype(np.float64)
        at = self._places()
        scores = {name: np.stack([one[at] for one in found], 1) for name, found in numbers.items()}
        rho = {
            name: np.array([spearman(found[:, e], effects[:, e]) for e in range(effects.shape[1])])
            for name, found in scores.items()
        }
        order = sorted(
            rho,
            key=lambda name: -np.nan_to_num(np.nanmean(rho[name]) if np.isfinite(rho[name]).any() else -2),
        )
        fractions = np.array(FRACTIONS)
        deletion: dict[str, Doubles] = {}
        insertion: dict[str, Doubles] = {}
        count = max((len(one) for found in numbers.values() for one in found), default=0)
        if self._settings.curves and done.change is not None and count <= _MOST_ON_A_CURVE:
            for name in order:
                deletion[name], insertion[name] = self._curves(numbers[name], fractions)
        return Judgement(
            self.units, self.by, tuple(order), tuple(self.parts), effects, scores, rho, fractions, deletion,
            insertion, missing,
        )  # fmt: skip

    def _knocked(self, removals: list[Removal]) -> KnockOuts:
        known = self._settings.knocked
        if known is None:
            return self._knocker.remove(removals, by=self.by, target=self.target)
        if known.by != self.by or list(known.removals) != removals:
            raise OptionError(
                f"judge() was given knocked={known!r}, which does not remove each of its {len(removals)} "
                f"{self.units} by {self.by!r}, one by one. Leave knocked= out."
            )
        return known

    def _places(self) -> npt.NDArray[np.int64]:
        """Return where the knocked-out units stand among all that measures number."""
        if self.units != "edges":
            return np.arange(len(self.parts))
        starts = np.cumsum([0, *(int(np.prod(call.shape[1:])) for call in self.trace.calls)])
        found = [
            starts[layer] + np.ravel_multi_index((head, query, key), self.trace.calls[layer].shape[1:])
            for layer, head, query, key in self.parts
        ]
        return np.array(found, np.int64)

    def _curves(self, numbers: list[Any], fractions: Doubles) -> tuple[Doubles, Doubles]:
        """Return the watched score along deletion and insertion, (point, example) each."""
        curves = np.full((2, len(fractions), self.trace.batch), np.nan)
        for example, one in enumerate(numbers):
            order = np.argsort(-np.nan_to_num(one, nan=-1), kind="stable")
            removals, places = [], []
            for point, fraction in enumerate(fractions):
                cut = round(fraction * len(order))
                for which, gone in enumerate((order[:cut], order[cut:])):
                    removals.append(Removal(self.units, tuple(self._part(n) for n in gone.tolist())))
                    places.append((which, point))
            done = self._knocker.remove(removals, by=self.by, target=self.target)
            if done.change is None or done.before is None:
                continue
            for (which, point), change in zip(places, done.change, strict=True):
                curves[which, point, example] = done.before[example] + change[example]
        return curves[0], curves[1]

    def _part(self, n: int) -> tuple[Any, ...]:
        return self._edge(n) if self.units == "edges" else self.parts[n]


def _area(at: Doubles, curve: Doubles) -> Doubles:
    """Area under each column, at from 0 to 1."""
    found: Doubles = ((curve[1:] + curve[:-1]) / 2 * np.diff(at)[:, None]).sum(0)
    return found
