"""``headscape.Wrapper``: a module that behaves as the one it wraps, and draws itself when asked to."""

import copy
import functools
import inspect
import itertools
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from headscape.errors import ConflictError, NoAttentionError, OptionError
from headscape.intercept.recorder import Options
from headscape.intercept.run import watch
from headscape.trace.trace import Trace
from headscape.view.show import LivePage

# What a wrapper remembers of earlier passes: the newest traces within this many bytes.
_TRACES_BYTES = 512 * 1024 * 1024
_RESERVED = ("viz", "viz_tokens")
_pages = itertools.count(1)


class _Forward:
    """Makes ``wrapper.forward`` the wrapper's own; a ``forward`` set on it reaches the module."""

    def __get__(self, wrapper: "Wrapper | None", owner: type) -> Any:
        return self if wrapper is None else wrapper._headscape_forward

    def __set__(self, wrapper: "Wrapper", value: Any) -> None:
        wrapper.__dict__["forward"] = value

    def __delete__(self, wrapper: "Wrapper") -> None:
        del wrapper.__dict__["forward"]


class Wrapper(nn.Module):
    """Wrap a module so that ``viz=True`` in its call draws what its attention did.

    The wrapper shares the module's attributes, so parameters, buffers, training mode, device, hooks and
    state-dict keys are the module's own. Without ``viz`` the call is handed on and nothing is installed. With
    it, output, gradients and random numbers are still the same bits, the pass is in :attr:`trace`, and the
    picture appears: inline in a notebook, as ``headscape.html`` in a script. Repeated calls, as in a
    training loop, add steps to that one page.

    Parameters
    ----------
    module : torch.nn.Module
        What to wrap.
    path : path, optional
        Where a script writes the page. Default: ``headscape.html`` in the current folder
        (``headscape-2.html`` for the second wrapper that draws).
    title : str, optional
        Title of the page. Default: the module's class.
    show : bool
        False records the trace and draws nothing.
    **options
        ``tokens``, ``keep``, ``values``, ``classes``, ``patches``, ``strict``, ``gradients``,
        ``vectors``: see :func:`headscape.capture`.

    Raises
    ------
    ConflictError
        The module's ``forward`` already takes an argument called ``viz`` or ``viz_tokens``.

    Examples
    --------
    >>> import torch, headscape
    >>> encoder = torch.nn.TransformerEncoder(torch.nn.TransformerEncoderLayer(8, 2), 2)
    >>> encoder = headscape.Wrapper(encoder, show=False)
    >>> output = encoder(torch.zeros(3, 1, 8), viz=True, viz_tokens=["a", "b", "c"])
    >>> encoder.trace.calls[0].shape
    (1, 2, 3, 3)
    """

    # Outside __dict__, which is the module's: nothing of the wrapper is ever found on the module.
    __slots__ = (
        "_headscape_forward",
        "_headscape_live",
        "_headscape_module",
        "_headscape_options",
        "_headscape_page",
        "_headscape_steps",
        "_headscape_traces",
    )

    forward: Any = _Forward()

    def __init__(
        self,
        module: nn.Module,
        *,
        path: str | os.PathLike[str] | None = None,
        title: str | None = None,
        show: bool = True,
        **options: Any,
    ) -> None:
        if isinstance(module, Wrapper):
            raise ConflictError(
                "this module is a headscape.Wrapper already; wrap wrapper.module, or use it as it is."
            )
        if not isinstance(module, nn.Module):
            raise OptionError(
                f"Wrapper() takes a torch.nn.Module, not {type(module).__name__}. Pass the model itself."
            )
        _expect_free_names(module)
        own = {
            "module": module,
            "options": Options.named("Wrapper", ("path", "title", "show"), **options),
            "page": (path, title, show),
            "live": None,
            "steps": 0,
            "traces": (),
        }
        for name, value in own.items():
            object.__setattr__(self, f"_headscape_{name}", value)
        object.__setattr__(self, "__dict__", module.__dict__)
        object.__setattr__(self, "_headscape_forward", _forward_like(self, module))

    @property
    def module(self) -> nn.Module:
        """The wrapped module itself."""
        found: nn.Module = self._headscape_module
        return found

    @property
    def trace(self) -> Trace:
        """What the last call with ``viz=True`` did.

        Raises
        ------
        NoAttentionError
            There was no such call yet.
        """
        if not self._headscape_traces:
            raise NoAttentionError("no pass was captured yet: call the model with viz=True.")
        newest: Trace = self._headscape_traces[-1]
        return newest

    @property
    def traces(self) -> tuple[Trace, ...]:
        """The newest captured passes, oldest first, within 512 MiB; ``trace.step`` numbers them all."""
        found: tuple[Trace, ...] = self._headscape_traces
        return found

    def __call__(self, *args: Any, viz: bool = False, viz_tokens: Any = None, **kwargs: Any) -> Any:
        """Call the module; with ``viz`` also record and draw what its attention did."""
        if not viz:
            return self._headscape_module(*args, **kwargs)
        return self._watched(self._headscape_module, args, kwargs, viz_tokens)

    def _watched(self, *call: Any) -> Any:
        run: Callable[..., Any] = self._pass
        if "torch._dynamo" in sys.modules:
            # Inside a compiled wrapper: Dynamo must trace neither the watching nor the module below it.
            run = torch.compiler.disable(run)  # type: ignore[no-untyped-call]
        return run(*call)

    def _pass(self, call: Callable[..., Any], args: Any, kwargs: Any, tokens: Any) -> Any:
        options = self._headscape_options
        if "tokens" in kwargs and "tokens" not in inspect.signature(self.module.forward).parameters:
            raise OptionError("labels for one call are passed as viz_tokens=..., not tokens=...")
        if tokens is not None:
            options = replace(options, tokens=tokens)
        self._set("steps", self._headscape_steps + 1)
        output, trace = watch(
            self.module, functools.partial(call, *args, **kwargs), options, step=self._headscape_steps
        )
        if trace is None:
            return output
        self._set("traces", _within_budget((*self._headscape_traces, trace)))
        path, title, show = self._headscape_page
        if show and trace.calls:
            if self._headscape_live is None:
                self._set("live", LivePage(_next_path(path), title or trace.model, strict=options.strict))
            self._headscape_live.add(trace)
        return output

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, f"_headscape_{name}", value)

    # What a module may define for itself, and what must return the wrapper.

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Return the module's own state dict, with its own keys."""
        return self.module.state_dict(*args, **kwargs)

    def load_state_dict(self, *args: Any, **kwargs: Any) -> Any:
        """Load a state dict into the module."""
        return self.module.load_state_dict(*args, **kwargs)

    def train(self, mode: bool = True) -> "Wrapper":
        """Set the module's training mode and return the wrapper."""
        self.module.train(mode)
        return self

    def _apply(self, fn: Any, recurse: bool = True) -> "Wrapper":
        self.module._apply(fn, recurse)  # type: ignore[no-untyped-call]
        return self

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_headscape_"):
            raise AttributeError(name)
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self._headscape_module, name)

    def __repr__(self) -> str:
        return f"Wrapper({self.module!r})"

    def __dir__(self) -> list[str]:
        return sorted({*object.__dir__(self), *dir(self.module)})

    def __deepcopy__(self, memo: dict[int, Any]) -> "Wrapper":
        return _rebuild(copy.deepcopy(self.module, memo), self._headscape_page, self._headscape_options)

    def __copy__(self) -> "Wrapper":
        return _rebuild(copy.copy(self.module), self._headscape_page, self._headscape_options)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return _rebuild, (self.module, self._headscape_page, self._headscape_options)


def _rebuild(module: nn.Module, page: tuple[Any, Any, bool], options: Options) -> Wrapper:
    """Wrap a copied or unpickled module; the copy starts without traces."""
    path, title, show = page
    wrapper = Wrapper(module, path=path, title=title, show=show)
    wrapper._set("options", options)
    return wrapper


def _expect_free_names(module: nn.Module) -> None:
    try:
        names = inspect.signature(module.forward).parameters
    except (TypeError, ValueError):  # a forward without a Python signature takes no keywords of ours
        return
    for name in _RESERVED:
        if name in names:
            raise ConflictError(
                f"{type(module).__name__}.forward already has an argument {name!r}, so Wrapper cannot use "
                "that name. Use `with headscape.capture(model) as run: model(...)`; run.trace holds the pass."
            )


def _forward_like(wrapper: Wrapper, module: nn.Module) -> Callable[..., Any]:
    """Return the wrapper's ``forward``, with the module's signature and documentation."""

    def forward(*args: Any, viz: bool = False, viz_tokens: Any = None, **kwargs: Any) -> Any:
        if not viz:
            return module.forward(*args, **kwargs)
        return wrapper._watched(module.forward, args, kwargs, viz_tokens)

    if inspect.ismethod(module.forward):
        functools.update_wrapper(forward, module.forward)
    return forward


def _within_budget(traces: tuple[Trace, ...]) -> tuple[Trace, ...]:
    total, kept = 0, 0
    for trace in reversed(traces):
        total += sum(array.nbytes for call in trace.calls for array in call.arrays.present().values())
        if kept and total > _TRACES_BYTES:
            break
        kept += 1
    return traces[-kept:]


def _next_path(path: str | os.PathLike[str] | None) -> str | os.PathLike[str]:
    if path is not None:
        return path
    number = next(_pages)
    return "headscape.html" if number == 1 else f"headscape-{number}.html"
