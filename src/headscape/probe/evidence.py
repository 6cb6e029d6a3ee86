"""A pass captured with all that measures need."""

from typing import Any

import numpy as np
import torch
from torch import nn

from headscape.intercept.answer import score_rows
from headscape.intercept.assemble import answering_side
from headscape.intercept.run import capture
from headscape.intercept.shadows import tensors_in
from headscape.probe.answers import Target, expect_class, expect_module, watch
from headscape.probe.copies import Given
from headscape.trace.call import Flags
from headscape.trace.outputs import Outputs
from headscape.trace.trace import Trace

# How far a score that is read again may be from the one in the trace: float32 as it was written down.
_SAME = 1e-5


def judging_trace(
    model: nn.Module, inputs: Any, *, target: Target = None, tokens: Any = None, classes: Any = None
) -> Trace:
    """Capture a pass with all that measures need: every weight, states, and gradients of the watched score.

    The model's own gradients are left as they were.

    Parameters
    ----------
    model, inputs, target
        As for :func:`judge`. Without scores and without a target no gradient is taken.
    tokens, classes
        Labels, as for :func:`headscape.capture`.
    """
    model = expect_module("judge()", model)
    call = Given.of(inputs).call(model)
    before = [p.grad for p in model.parameters()]
    for parameter in model.parameters():  # backward() adds to what is there
        parameter.grad = None
    needs = [p for p in model.parameters() if p.is_floating_point() and not p.requires_grad]
    for parameter in needs:  # a frozen model has no graph for the gradients to come through
        parameter.requires_grad_(True)
    try:
        with torch.inference_mode(False), torch.enable_grad():
            watching = capture(model, tokens, "all", classes=classes, states=True, gradients=True)
            with watching as run:
                output = call()
            score = _watched(run.trace, output, target)
            if score is not None and score.requires_grad:
                score.sum().backward()  # type: ignore[no-untyped-call]
    finally:
        for parameter in needs:
            parameter.requires_grad_(False)
        for parameter, kept in zip(model.parameters(), before, strict=True):
            parameter.grad = kept
    return run.trace


def _watched(trace: Trace, output: Any, target: Target) -> torch.Tensor | None:
    """Return the score of each example, with its graph."""
    if callable(target):
        return watch(target, output, trace.batch)
    if trace.outputs is None:
        return None
    rows = _score_rows(trace, trace.outputs, output)
    if rows is None:
        return None
    best = torch.from_numpy(trace.outputs.class_ids[:, 0].astype(np.int64))
    ids = best if target is None else torch.full_like(best, expect_class(target, rows.shape[1]))
    watched: torch.Tensor = rows.gather(1, ids.to(rows.device)[:, None])[:, 0]
    return watched


def _score_rows(trace: Trace, known: Outputs, output: Any) -> torch.Tensor | None:
    """Return the table (example, class) that the trace's scores were read from; None where it is not found.

    Which of several outputs it is, and whether tokens or examples come first, is told by the scores.
    """
    _, padded = answering_side(trace)
    ids = torch.from_numpy(known.class_ids[:, :1].astype(np.int64))
    wanted = torch.from_numpy(known.scores[:, :1]).float()
    for table in tensors_in((getattr(output, "logits", None), output)):
        if table.is_nested or not table.is_floating_point():
            continue
        for axes in ("bq", "qb"):
            rows = _laid(table, known.kind, padded, axes)
            if rows is None or rows.shape[1] <= int(ids.max()):
                continue
            found = rows.detach().float().cpu().gather(1, ids)
            if torch.allclose(found, wanted, rtol=_SAME, atol=_SAME):
                return rows
    return None


def _laid(table: torch.Tensor, kind: str, padded: Flags, axes: str) -> torch.Tensor | None:
    """Return the rows of scores in a table whose axes are these; None where it cannot hold any."""
    if table.dim() < (2 if kind == "next tokens" else 1):
        return None
    if kind != "next tokens":
        fits = table.shape[:-1].numel() == len(padded)
    elif table.dim() == 2:
        fits = len(padded) == 1
    else:
        fits = table.dim() == 3 and table.shape[axes.index("b")] == len(padded)
    return score_rows(table, kind, padded, axes) if fits else None
