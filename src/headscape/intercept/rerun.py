"""Running a model with its attention changed: the road by which probes reach into a pass.

What is changed is what weights and values gave, at the very place where capture sees them meet; so whatever
can be captured can be changed. Nothing of the model is touched: the change lives in one pass.
"""

import functools
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from headscape.errors import CaptureError
from headscape.intercept.answer import find_scores, score_rows
from headscape.intercept.assemble import answering_side, assemble, axes_of_states
from headscape.intercept.below import is_compiled_script
from headscape.intercept.calls import Editor
from headscape.intercept.ledger import Ledger
from headscape.intercept.names import Names
from headscape.intercept.recorder import Options, Seen
from headscape.intercept.run import uncompiled
from headscape.intercept.watcher import Watcher
from headscape.trace.trace import Trace


@dataclass(frozen=True, eq=False)
class Rerun:
    """One pass that was run for a probe.

    Attributes
    ----------
    output : object
        What the model returned.
    trace : Trace
        What it did, as captured before any change of the same call (changes show in the calls behind it).
    scores : (batch, class) tensor, or None
        The model's scores: of classes, or of next tokens at the last real token.
    kind : str
        ``"classes"``, ``"next tokens"`` or ``""``.
    answer : Tensor or None
        The tensor of the output that the scores were read from.
    rows : callable or None
        Reads such scores from a tensor of that shape.
    state : (..., model) tensor, or None
        The tokens' last states.
    axes : str
        Axes of that state before its width: "bq", "qb", "q" or "b".
    seen : list of Seen
        The calls as they came; ``seen[n].place`` says which call of the trace each is (a part of).
    """

    output: Any
    trace: Trace
    scores: Tensor | None
    kind: str
    answer: Tensor | None
    rows: Callable[[Tensor], Tensor] | None
    state: Tensor | None
    axes: str
    seen: list[Seen]


def rerun(
    model: nn.Module,
    call: Callable[[], Any],
    options: Options,
    editor: Editor | None = None,
    *,
    ledger: Ledger | None = None,
) -> Rerun:
    """Run ``call``, one forward pass of ``model``, without gradients, changed by ``editor``.

    torch.nn's fused encoder layers are run by their parts, so the result may differ from the plain pass by
    rounding. Compiled modules run eagerly. A ``ledger`` notes every function.

    Raises
    ------
    CaptureError
        Something of the pass could not be followed; the message says where. An exception of the model's own
        passes through.
    """
    fixed = [*model.parameters(), *model.buffers()]
    watcher = Watcher(Names(model), options, fixed)
    watcher.calls.editor, watcher.ledger = editor, ledger
    if ledger is not None:
        watcher.lineage.on_part = ledger.part
    below = watcher.below() if is_compiled_script(model) else nullcontext()
    try:
        with torch.no_grad(), uncompiled(), below, watcher:
            output = call()
    except CaptureError as error:
        raise CaptureError(f"{type(model).__name__} could not be run with changes: {error}") from None
    if watcher.problems:
        raise CaptureError(
            f"{type(model).__name__} could not be run with changes: {'; '.join(watcher.problems[:3])}"
        )
    trace = assemble(
        watcher, output, model=type(model).__name__, step=None, has_answer=editor is None and options.values
    )
    scores, kind, axes, answer, rows = None, "", "bq", None, None
    if trace.calls:
        axes = axes_of_states(watcher)
        found = find_scores(output, watcher.tape, axes)
        if found is not None:
            (answer, kind), (_, padded) = found, answering_side(trace)
            rows = functools.partial(score_rows, kind=kind, padded=padded, axes=axes)
            scores = rows(answer.detach()).float()
    seen = list(watcher.recorder.calls)
    return Rerun(output, trace, scores, kind, answer, rows, watcher.tape.start, axes, seen)
