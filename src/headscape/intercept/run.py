"""``headscape.capture``: watch the forward passes of a model inside a ``with`` block."""

import os
import sys
import threading
import warnings
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from torch import nn
from torch.utils._pytree import tree_leaves

from headscape.errors import CaptureError, CaptureWarning, HeadscapeError, NoAttentionError, OptionError
from headscape.intercept.assemble import assemble
from headscape.intercept.below import is_compiled_script
from headscape.intercept.doorway import Doorway, close_door, open_door
from headscape.intercept.names import Names
from headscape.intercept.plain import keeping_fast_paths
from headscape.intercept.recorder import Keep, Options
from headscape.intercept.unseen import unseen
from headscape.intercept.watcher import Watcher
from headscape.trace.joins import verb
from headscape.trace.trace import Trace

_NO_NUMBERS = (
    "the tensors of this pass hold no numbers (meta device or fake tensors): there are no weights to record"
)


def watch(
    model: nn.Module, call: Callable[[], Any], options: Options, *, step: int | None = None
) -> tuple[Any, Trace | None]:
    """Run ``call``, one forward pass of ``model``, and return its result with the trace of what it did.

    The result is the model's own, bit for bit. An exception of the model passes through unchanged. The trace
    is None where nothing could be recorded; a :class:`CaptureWarning` then says why.
    """
    if torch._C._is_tracing() or torch.compiler.is_compiling():  # what is watched would be in the program
        return _traced(model, call, options), None
    fixed = [*model.parameters(), *model.buffers()]
    watcher = Watcher(Names(model), options, fixed)
    below = watcher.below() if is_compiled_script(model) else nullcontext()
    with uncompiled(), keeping_fast_paths(), below, watcher:
        output = call()
    trace = None
    try:
        with unseen():
            if _has_no_numbers(output):
                watcher.problems[:] = [_NO_NUMBERS]
                watcher.recorder.calls.clear()
            trace = assemble(watcher, output, model=type(model).__name__, step=step)
    except HeadscapeError:
        raise
    except Exception as error:  # the user's forward has run: keep it
        if options.strict:
            raise CaptureError(
                f"putting the trace together failed: {type(error).__name__}: {error}"
            ) from error
        watcher.problems.append(f"putting the trace together failed: {type(error).__name__}: {error}")
    if trace is not None and not trace.calls and not watcher.problems:
        warnings.warn(trace.warnings[0], CaptureWarning, stacklevel=4)
    if watcher.problems and options.strict:
        raise CaptureError(f"{type(model).__name__} could not be captured: {'; '.join(watcher.problems[:3])}")
    if watcher.problems:
        warnings.warn(
            f"headscape could not capture everything of {type(model).__name__}; the model's result is not "
            f"affected. Lost: {'; '.join(watcher.problems[:3])}. Pass strict=True to raise instead.",
            CaptureWarning,
            stacklevel=4,
        )
    return output, trace


def uncompiled() -> AbstractContextManager[object]:
    """Run compiled modules and functions eagerly for this one pass; they keep their compiled code."""
    # flex_attention compiles itself: it too must not be traced with the watching in it.
    if "torch._dynamo" not in sys.modules and "torch.nn.attention.flex_attention" not in sys.modules:
        return nullcontext()
    stance: AbstractContextManager[object] = torch.compiler.set_stance("force_eager")
    return stance


def _traced(model: nn.Module, call: Callable[[], Any], options: Options) -> Any:
    text = (
        f"{type(model).__name__} was being made into a program (torch.jit.trace, torch.export), so this pass "
        "is not captured. Capture a plain call of the model, or the finished program."
    )
    if options.strict:
        raise CaptureError(text)
    warnings.warn(text, CaptureWarning, stacklevel=5)
    return call()


def _has_no_numbers(output: Any) -> bool:
    return any(
        t.is_meta or type(t).__name__ == "FakeTensor"
        for t in tree_leaves(output)
        if isinstance(t, torch.Tensor)
    )


class Run:
    """The forward passes that ran inside one ``with headscape.capture(model)`` block.

    Attributes
    ----------
    traces : list of Trace
        One for each forward pass, in order.
    """

    def __init__(self, model: nn.Module, options: Options) -> None:
        if not isinstance(model, nn.Module):
            raise OptionError(
                f"capture() takes a torch.nn.Module, not {type(model).__name__}. Pass the model itself."
            )
        wrapped = getattr(type(model), "_headscape_module", None)  # a Wrapper: watch the module inside it
        self._model: nn.Module = model if wrapped is None else wrapped.__get__(model)
        self._options = options
        self._door: Doorway | None = None
        self._busy: set[int] = set()  # threads that are in a pass
        self.thread = threading.get_ident()
        self._passes = 0
        self.traces: list[Trace] = []

    @property
    def trace(self) -> Trace:
        """The last forward pass.

        Raises
        ------
        NoAttentionError
            No forward pass has run yet.
        """
        if not self.traces:
            raise NoAttentionError("no forward pass has run yet: call the model inside the `with` block.")
        return self.traces[-1]

    def to_html(self, path: str | os.PathLike[str] | None = None, **options: Any) -> Path:
        """Write one offline page of all passes, as steps, and return its path.

        Options: ``labels``, ``title``, ``note`` and ``view``, as in :func:`headscape.view.page.write_page`.
        """
        written: Path = verb("to_html")(self._seen(), path, **options)
        return written

    def show(self, **options: Any) -> Any:
        """Show all passes, as steps: inline in a notebook, as a file whose path is printed in a script.

        Options: ``labels``, ``title``, ``note``, ``view`` and ``path``, as in
        :func:`headscape.view.show.show`.
        """
        return verb("show")(self._seen(), **options)

    def _seen(self) -> list[Trace]:
        return [trace._seen() for trace in self.traces] if self.traces else [self.trace]

    def __enter__(self) -> "Run":
        if self._door is not None:
            raise CaptureError(
                "this capture is already running: call headscape.capture(model) again for another."
            )
        self.thread = threading.get_ident()
        self._door = open_door(self._model, self)
        return self

    def visit(self, call: Callable[[], Any]) -> Any:
        """Run ``call``, one forward pass of the model, and add its trace."""
        here = threading.get_ident()
        is_again = torch._C._current_graph_task_id() != -1  # a checkpoint runs it again, for backward
        if is_again or here in self._busy:  # or the model calls itself: one pass
            return call()
        self._busy.add(here)
        try:
            self._passes += 1
            output, trace = watch(self._model, call, self._options, step=self._passes)
        finally:
            self._busy.discard(here)
        if trace is not None:
            self.traces.append(trace)
        return output

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        if self._door is not None:
            close_door(self._door, self)
            self._door = None


def capture(
    model: nn.Module,
    tokens: Sequence[str] | Sequence[Sequence[str]] | dict[str, Any] | None = None,
    keep: Keep = "auto",
    values: bool = True,
    *,
    classes: Sequence[str] | None = None,
    patches: Any = None,
    **switches: bool,
) -> Run:
    """Watch the attention of every forward pass of ``model`` inside a ``with`` block.

    Outputs, gradients and random numbers are the same bits as without; nothing stays on the model afterwards.

    Parameters
    ----------
    model : torch.nn.Module
        Any module. What is seen: torch.nn's attention with its fast paths, ``scaled_dot_product_attention``,
        ``flex_attention``, and attention written by hand (a product of two states, bent by a softmax or
        another function, that meets a third). What is not is said in ``trace.warnings``.
    tokens : labels, optional
        One label a token: a list for every example alike, a list of lists for one each, or a dict by side
        (``{"source": ..., "target": ...}``) for an encoder-decoder. Padding may be left out.
    keep : "auto", "all", int or dict
        ``"all"`` keeps every weight; a number keeps that many keys a row, with the mass they hold;
        ``{"threshold": 0.01}`` keeps weights from 0.01 on, ``{"nucleus": 0.9}`` the fewest keys that hold
        90 % of a row; ``"auto"`` keeps all while one pass's weights fit into 128 MiB, and 16 keys a row
        beyond. Statistics are exact over all keys, whatever is kept.
    values : bool
        Also record what the edges carry (contributions) and the norms of residual and feed-forward parts.
    classes : sequence of str, optional
        Names of the model's classes, in the order of its output.
    patches : array, optional
        Pictures of the last tokens, (batch, patch, height, width[, 3]): uint8, or floats from 0 to 1.
    strict : bool, default False
        Raise :class:`CaptureError` where headscape's own work fails, instead of warning.
    gradients : bool, default False
        Also note the gradient of the loss with respect to each kept weight, when ``loss.backward()`` runs:
        ``call.gradient()``. Later backward passes add to it, as they do to ``.grad`` (and it is scaled where
        the loss is, as with a GradScaler). Until the graph of the pass is gone, its values are held: batch x
        heads x keys x head width numbers a call, which most graphs hold anyway, but checkpointed ones do not.
        Where dropout acts on the weights the gradient is not known and stays NaN; ``trace.warnings`` says so.
    vectors : bool, default False
        Also keep the query and key vectors that met, ``call.query_vectors()`` and ``call.key_vectors()``:
        batch x heads x (queries + keys) x head width numbers a call. The neuron view shows them.
    states : bool, default False
        Also keep values, output projections and the states that meet where a call joins the residual stream:
        ``call.states()``. Some five times batch x tokens x model width numbers a call; not written to files.

    Returns
    -------
    Run
        ``run.trace`` is the last pass, ``run.traces`` all of them.

    Raises
    ------
    OptionError
        There is no such option.
    LabelError
        From the model's call: labels do not fit the tokens the model saw.

    Examples
    --------
    >>> import torch, headscape
    >>> layer = torch.nn.TransformerEncoderLayer(8, 2, batch_first=True)
    >>> encoder = torch.nn.TransformerEncoder(layer, 2).eval()
    >>> with headscape.capture(encoder, tokens=["a", "b", "c"]) as run:
    ...     output = encoder(torch.zeros(1, 3, 8))
    >>> [call.path for call in run.trace.calls]
    ['layers.0.self_attn', 'layers.1.self_attn']
    """
    options = Options.named(
        "capture", (), tokens=tokens, keep=keep, values=values, classes=classes, patches=patches, **switches
    )
    return Run(model, options)
