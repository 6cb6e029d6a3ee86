"""Runs a zoo case: captures it with headscape and holds everything that was promised against the truth."""

import time
import traceback
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tests.zoo.case import Case, Subject, Truth
from tests.zoo.compare import difference, joined, left_behind, same_bits, state_of, tensors
from tests.zoo.truth import TruthError
from torch import nn

import headscape
from headscape.errors import CaptureWarning, HeadscapeError, NoAttentionError

LEAST_SPREAD = 1e-3  # a truth's largest and smallest visible weight of some row differ by this much
# Other things that headscape may say of an exact capture.
ASIDE = ("contributions of its edges are not known", "as in linear attention and retention")


@dataclass
class Result:
    """What became of a case. ``found`` is "exact", "partial", "none" or "failed"."""

    case: Case
    found: str = "failed"
    calls: int = 0
    truths: int = 0
    worst: float = float("nan")
    faults: list[str] = field(default_factory=list)
    said: tuple[str, ...] = ()
    seconds: float = 0.0

    @property
    def is_met(self) -> bool:
        """Whether the case came out as it declares."""
        return not self.faults and self.found == self.case.expect


@dataclass
class Seen:
    """One capture: its traces, and what else was said."""

    output: list[torch.Tensor]
    traces: list[Any]
    said: tuple[str, ...]


def run_case(case: Case) -> Result:
    """Run one case; faults are noted, not raised."""
    began = time.perf_counter()
    result = Result(case)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # those of foreign libraries; headscape's are noted
            _fill(result)
    except TruthError as error:
        result.faults.append(f"truth: {error}")
    except HeadscapeError as error:
        result.faults.append(f"{type(error).__name__}: {str(error)[:300]}")
    except Exception as error:  # whatever it is, the table goes on
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}:{place.lineno}"
        result.faults.append(f"raised {type(error).__name__} at {where}: {str(error)[:200]}")
    result.seconds = time.perf_counter() - began
    return result


def _fill(result: Result) -> None:
    case = result.case
    torch.manual_seed(0)
    subject = case.make()
    model = subject.model.eval()
    torch.manual_seed(0)
    with torch.no_grad():
        before = tensors(subject.run(model))
    state = state_of(model)
    seen = capture(subject)
    result.faults += [f"left behind: {name}" for name in left_behind(state, state_of(model))[:4]]
    torch.manual_seed(0)
    with torch.no_grad():
        after = tensors(subject.run(model))
    if not before:
        result.faults.append("the run returned no tensors")
    if not same_bits(before, seen.output) or not same_bits(before, after):
        result.faults.append("outputs differ with capture off, on, off")
    truths = list(subject.truths())
    for truth in truths:
        check_tells_apart(truth)
    result.calls, result.truths = sum(len(t.calls) for t in seen.traces), len(truths)
    result.said = seen.said
    weighed = weigh(result, truths, seen)
    judge(result, weighed, seen)
    if result.found != "none":
        result.faults += check_self_checks(subject, seen)
    if subject.trains:
        result.faults += check_gradients(subject)
    if result.faults and case.expect in ("exact", result.found):
        result.found = "failed"


def check_tells_apart(truth: Truth) -> None:
    """Assert that a truth can tell keys and heads apart: uniform weights would agree with anything."""
    weights = np.nan_to_num(truth.weights)
    if truth.weights.ndim != 4:
        raise TruthError(f"{truth.path}: {truth.weights.shape} is not (batch, head, query, key)")
    inside = np.where(weights != 0, weights, np.nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        spread = np.nanmax(np.nanmax(inside, -1) - np.nanmin(inside, -1))
        over_heads = np.ptp(weights, axis=1).max()
    is_choice = (weights != 0).sum(-1).max() > 1  # some row has two keys or more
    if spread < LEAST_SPREAD and is_choice:
        raise TruthError(f"{truth.path}: every row is uniform (largest spread {spread:.2g})")
    if over_heads < LEAST_SPREAD and weights.shape[1] > 1 and is_choice:
        raise TruthError(f"{truth.path}: all heads are alike")


def capture(subject: Subject, **options: Any) -> Seen:
    """Run the subject's model once under capture."""
    torch.manual_seed(0)
    run = headscape.capture(subject.model, keep="all", strict=subject.strict, **options)
    with warnings.catch_warnings(record=True) as noted, torch.set_grad_enabled(subject.model.training):
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", CaptureWarning)
        try:
            with run:
                output = subject.run(subject.model)
        except NoAttentionError:
            pass  # the engine before empty traces; the missing trace is a fault of its own
    said = [str(note.message) for note in noted if issubclass(note.category, CaptureWarning)]
    return Seen(
        tensors(output), run.traces, tuple(w for trace in run.traces for w in trace.warnings) + tuple(said)
    )


def weigh(result: Result, truths: list[Truth], seen: Seen) -> bool:
    """Compare calls with truths in order; return whether all weights, paths and kinds agree."""
    faults: list[str] = []
    steps = sorted({truth.step for truth in truths} | set(range(len(seen.traces))))
    worst = []
    for step in steps:
        wanted = joined([truth for truth in truths if truth.step == step])
        calls = list(seen.traces[step].calls) if step < len(seen.traces) else []
        if len(wanted) != len(calls):
            paths = [c.path for c in calls][:6]
            faults.append(f"pass {step}: {len(calls)} calls for {len(wanted)} truths; calls {paths}")
        for number, (truth, call) in enumerate(zip(wanted, calls, strict=False)):
            where = f"pass {step} call {number} ({call.path}, {call.source})"
            gap = difference(truth, call)
            worst.append(gap)
            if not gap <= truth.within:
                seen_shape = "" if gap < np.inf else f", shape {tuple(call.shape)}"
                faults.append(f"{where}: differs by {gap:.2g} from {truth.weights.shape}{seen_shape}")
            if call.path != truth.path:
                faults.append(f"{where}: the path is {truth.path!r}")
            if truth.kind is not None and call.kind != truth.kind:
                faults.append(f"{where}: {call.kind}, not {truth.kind}")
    result.worst = max(worst, default=float("nan"))
    if result.case.expect == "exact":
        result.faults += faults[:6]
    return bool(truths) and not faults


def judge(result: Result, weighed: bool, seen: Seen) -> None:
    """Name what was found, and note what was not said."""
    case = result.case
    if weighed:
        result.found = "exact"
    elif result.calls == 0 and result.truths == 0 and case.expect != "partial":
        result.found = "none"
    else:  # some of it, or none of what there is
        result.found = "partial"
    aside = ASIDE if case.expect == "exact" else ASIDE[:1]
    said = [sentence for sentence in seen.said if not any(text in sentence for text in aside)]
    if case.expect == "exact":
        surplus = [sentence for sentence in said if not case.says or case.says not in sentence]
        if weighed and surplus:
            result.faults.append(f"exact, yet it warns: {[s[:160] for s in surplus[:2]]}")
    elif not seen.traces:
        result.faults.append("there is no trace")
    is_awaited = bool(case.says) or case.expect != "exact"
    if is_awaited and not any(case.says in sentence for sentence in said):
        result.faults.append(f"no warning says {case.says!r}: {[s[:120] for s in seen.said]}")
    if result.found != case.expect and not result.faults:
        result.faults.append(f"found {result.found}, declared {case.expect}")


def check_self_checks(subject: Subject, seen: Seen) -> list[str]:
    """Return calls whose own check of P V against the model's output is missing or large."""
    if not subject.checks_itself:
        return []
    gaps = [(call.path, call.self_check) for trace in seen.traces for call in trace.calls]
    return [f"self_check of {path} is {gap:.2g}" for path, gap in gaps if not gap <= subject.checked_within][
        :2
    ]


def gradients(subject: Subject) -> list[torch.Tensor]:
    """Return output and parameter gradients of one seeded training pass."""
    model: nn.Module = subject.model
    model.zero_grad(set_to_none=True)
    torch.manual_seed(7)
    output = [t for t in tensors(subject.run(model)) if t.requires_grad]
    sum((t.double() ** 2).mean() for t in output).backward()
    found = [p.grad.clone() for p in model.parameters() if p.grad is not None]
    model.zero_grad(set_to_none=True)
    return [t.detach() for t in output] + found + [torch.rand(2)]


def check_gradients(subject: Subject) -> list[str]:
    """Return faults of a training pass under capture: other gradients, other random numbers."""
    subject.model.train()
    plain = gradients(subject)
    try:
        with headscape.capture(subject.model, strict=True):
            watched = gradients(subject)
    except NoAttentionError:
        return []
    finally:
        subject.model.eval()
    if len(plain) < 3:
        return ["no gradients in training"]
    return [] if same_bits(plain, watched) else ["outputs, gradients or random numbers differ in training"]
