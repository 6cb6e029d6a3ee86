"""A pass captured with all that measures need."""

from typing import Any

import numpy as np
import torch
from torch import nn

from headscape.intercept.assemble import answering_side
from headscape.intercept.run import capture
from headscape.probe.answers import Target
from headscape.probe.copies import Given
from headscape.trace.trace import Trace


def judging_trace(model: nn.Module, inputs: Any, *, target: Target = None) -> Trace:
    """Capture a pass with all that measures need: every weight, states, and gradients of the watched score.

    The model's own gradients are left as they were.

    Parameters
    ----------
    model, inputs, target
        As for :func:`judge`. Without scores and without a target no gradient is taken.
    """
    given = Given.of(inputs)
    before = [p.grad for p in model.parameters()]
    for parameter in model.parameters():  # backward() adds to what is there
        parameter.grad = None
    needs = [p for p in model.parameters() if p.is_floating_point() and not p.requires_grad]
    for parameter in needs:  # a frozen model has no graph for the gradients to come through
        parameter.requires_grad_(True)
    try:
        with torch.enable_grad(), capture(model, keep="all", states=True, gradients=True) as run:
            output = given.call(model)()
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
        found: torch.Tensor = target(output)
        return found
    if trace.outputs is None:
        return None
    logits = (
        output["logits"]
        if isinstance(output, dict) and "logits" in output
        else getattr(output, "logits", output)
    )
    if isinstance(logits, (tuple, list)):
        logits = logits[0]
    if trace.outputs.kind == "next tokens":
        _, padded = answering_side(trace)
        last = padded.shape[1] - 1 - (~padded)[:, ::-1].argmax(-1)
        last = last - (padded.shape[1] - logits.shape[1])
        logits = logits[torch.arange(len(last)), torch.from_numpy(last.copy()).clamp_min(0)]
    logits = logits.reshape(trace.batch, -1)
    best = torch.from_numpy(trace.outputs.class_ids[:, 0].astype(np.int64))
    ids = best if target is None else torch.full_like(best, int(target))
    watched: torch.Tensor = logits.gather(1, ids.to(logits.device)[:, None])[:, 0]
    return watched
