"""What the units and heads of a model do on a fixed batch: the signals of its functional graph."""

import contextlib
import difflib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from headscape.errors import OptionError, ShapeError, expect_option
from headscape.intercept.run import capture
from headscape.probe.copies import Given
from headscape.trace.trace import Trace

Signals: TypeAlias = npt.NDArray[np.float32]

# As many nodes as cycles can be worked out for in seconds.
MOST_UNITS = 512


@dataclass(frozen=True, eq=False)
class Units:
    """Activations of sampled units over the probe's tokens.

    Attributes
    ----------
    signals : (unit, sample) float32 array
        One row a unit, one column a token of the probe.
    sites : tuple of str
        Module of each unit; ``"path#n"`` where the module had run n times before in that pass.
    indices : (unit,) int64 array
        Place of each unit on its module's last axis.
    total : int
        How many units there were to sample from.
    left_out : dict of str to str
        Modules that were looked at and not read, and why.
    """

    signals: Signals
    sites: tuple[str, ...]
    indices: npt.NDArray[np.int64]
    total: int
    left_out: dict[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        units, samples = self.signals.shape
        return f"Units({units} of {self.total} units of {len(set(self.sites))} modules, {samples} samples)"


def read_units(
    model: nn.Module,
    inputs: Any,
    *,
    modules: Sequence[str] | None = None,
    side: str = "input",
    samples: Any = None,
    most: int = MOST_UNITS,
    seed: int = 0,
) -> Units:
    """Run ``model`` once and read the activations of a sample of its units.

    Parameters
    ----------
    model : torch.nn.Module
        Any. It runs in eval mode without gradients; afterwards its modes are as they were and no hook is
        left, also after an exception.
    inputs : object
        As for :func:`headscape.knock_out`: a tuple or list is passed as arguments, a mapping as keywords, all
        else alone.
    modules : sequence of str, optional
        Dotted names of the modules to read. Default: every module with a weight matrix that has more inputs
        than outputs, which are the second layers of feed-forward blocks: what goes into them are the
        hidden units, after their activation function.
    side : "input" or "output"
        Whether to read what goes into the named modules or what comes out.
    samples : (batch, token) bool array, optional
        Which positions count; leave padding out with it. Default all.
    most : int
        How many units to draw, each as likely as any other.
    seed : int
        Same seed, same units, for models of the same shape: as it has to be over checkpoints.

    Returns
    -------
    Units
        Modules whose input has other leading axes than the rest (a classifier behind pooling) are in
        ``left_out``, unless they were named: then they raise.

    Raises
    ------
    OptionError
        No module has that name, or a named one did not run, or none is found without names.
    ShapeError
        The named modules' activations do not share their leading axes, or ``samples`` does not fit them.

    Notes
    -----
    Holds ``most`` units x samples numbers a module during the pass. Values are not rounded to float16, as
    the published code does before it correlates them.

    Examples
    --------
    >>> block = nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Linear(16, 4))
    >>> read_units(block, torch.randn(2, 5, 4), most=8)
    Units(8 of 16 units of 1 modules, 10 samples)
    """
    expect_option("read_units()", "side", side, ("input", "output"))
    if most < 1:
        raise OptionError(f"read_units was asked for most={most} units; ask for 1 or more.")
    reader = _Reader(side if modules is not None else "input", modules is None, most, seed)
    hooked = _named(model, modules) if modules is not None else _with_matrix(model)
    with contextlib.ExitStack() as stack:
        stack.enter_context(_quietly(model))
        for name, module in hooked.items():
            handle = module.register_forward_hook(reader.hook(name), with_kwargs=True)
            stack.callback(handle.remove)
        Given.of(inputs).call(model)()
    if modules is not None:
        still = [name for name in hooked if name not in reader.runs]
        if still:
            raise OptionError(
                f"{', '.join(still[:3])} did not run as a module in this pass (its parent may read the "
                "weights itself), so there is nothing to read. Name another module."
            )
    return reader.units(samples)


def read_heads(model: nn.Module, inputs: Any) -> Trace:
    """Run ``model`` once and return the trace of its attention, with every weight kept.

    For :func:`headscape.analysis.functional_heads.compare_heads`: pass the same batch at every checkpoint.
    The model runs in eval mode without gradients, and its modes are put back.

    Parameters
    ----------
    model : torch.nn.Module
        What :func:`headscape.capture` takes.
    inputs : object
        As in :func:`read_units`.

    Raises
    ------
    CaptureError, NoAttentionError
        As ``headscape.capture(model, strict=True)``.
    """
    call = Given.of(inputs).call(model)
    with _quietly(model), capture(model, keep="all", values=False, strict=True) as run:
        call()
    return run.trace


@dataclass(frozen=True)
class _Found:
    """Drawn units of one module's run: values (..., drawn), which they are, and out of how many."""

    values: Tensor
    indices: npt.NDArray[np.int64]
    width: int


class _Reader:
    def __init__(self, side: str, only_narrowing: bool, most: int, seed: int) -> None:
        self.side, self.only_narrowing, self.most, self.seed = side, only_narrowing, most, seed
        self.runs: dict[str, int] = {}
        self.found: dict[str, _Found] = {}

    def hook(self, name: str) -> Callable[[nn.Module, tuple[Any, ...], dict[str, Any], Any], None]:
        def read(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
            before, after = _first_tensor((args, kwargs)), _first_tensor(output)
            run = self.runs.get(name, 0)
            self.runs[name] = run + 1
            value = before if self.side == "input" else after
            if value is None or value.dim() < 2 or not value.is_floating_point():
                return
            if self.only_narrowing and (after is None or value.shape[-1] <= after.shape[-1]):
                return
            order = np.random.default_rng([self.seed, len(self.found)]).permutation(value.shape[-1])
            order = order[: self.most]
            drawn = value[..., torch.from_numpy(order).to(value.device)]
            self.found[f"{name}#{run}" if run else name] = _Found(
                drawn.to("cpu", torch.float32), order, value.shape[-1]
            )

        return read

    def units(self, samples: Any) -> Units:
        if not self.found:
            what = "with more inputs than outputs ran" if self.only_narrowing else "gave a tensor with units"
            raise OptionError(
                f"no module {what}, so there are no units to read. Name them: "
                'read_units(model, inputs, modules=["encoder.layers.0.linear2"]).'
            )
        kept = None if samples is None else torch.as_tensor(np.asarray(samples)).bool()
        leading = self._leading(kept)
        alike = {site: one for site, one in self.found.items() if one.values.shape[:-1] == leading}
        left_out = {
            site: f"leading axes {tuple(one.values.shape[:-1])} instead of {tuple(leading)}"
            for site, one in self.found.items()
            if site not in alike
        }
        if not alike or (left_out and not self.only_narrowing):
            seen = ", ".join(f"{site} {tuple(one.values.shape[:-1])}" for site, one in self.found.items())
            raise ShapeError(
                f"the activations have the leading axes {seen}; units of one graph need the same, and "
                f"samples their shape ({tuple(leading)})."
            )
        signals, sites, indices = _draw(alike, kept, self.most, self.seed)
        return Units(signals, sites, indices, sum(one.width for one in alike.values()), left_out)

    def _leading(self, kept: Tensor | None) -> torch.Size:
        """The leading axes that most modules share (the first to run, of several)."""
        if kept is not None:
            return kept.shape
        shapes = [one.values.shape[:-1] for one in self.found.values()]
        return max(shapes, key=shapes.count)


def _draw(
    alike: dict[str, _Found], kept: Tensor | None, most: int, seed: int
) -> tuple[Signals, tuple[str, ...], npt.NDArray[np.int64]]:
    widths = [one.width for one in alike.values()]
    # How many units of each module a draw from all of them takes; which ones, the hooks have drawn.
    counts = np.array(widths)
    if sum(widths) > most:
        counts = np.random.default_rng(seed).multivariate_hypergeometric(widths, most, method="marginals")
    signals: list[Signals] = []
    sites: list[str] = []
    indices: list[npt.NDArray[np.int64]] = []
    for (site, one), count in zip(alike.items(), counts, strict=True):
        order = np.argsort(one.indices[:count])
        values = one.values[..., :count][..., torch.from_numpy(order)]
        values = values.flatten(0, -2) if kept is None else values[kept]
        signals.append(values.numpy().T)
        sites += [site] * int(count)
        indices.append(one.indices[:count][order])
    return np.ascontiguousarray(np.concatenate(signals)), tuple(sites), np.concatenate(indices)


def _first_tensor(value: Any) -> Tensor | None:
    if isinstance(value, Tensor):
        return value
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, tuple | list):
        return next((found for found in map(_first_tensor, value) if found is not None), None)
    return None


def _named(model: nn.Module, names: Sequence[str]) -> dict[str, nn.Module]:
    there = dict(model.named_modules())
    for name in names:
        if name not in there:
            near = difflib.get_close_matches(name, there, n=1)
            guess = f"Did you mean {near[0]!r}?" if near else "model.named_modules() lists them."
            raise OptionError(
                f"{type(model).__name__} has no module {name!r} among its {len(there)}. {guess}"
            )
    return {name: there[name] for name in names}


def _with_matrix(model: nn.Module) -> dict[str, nn.Module]:
    """Return modules that hold a matrix of their own; whether it narrows shows when they run."""
    return {
        name: module
        for name, module in model.named_modules()
        if any(p.dim() == 2 for p in module.parameters(recurse=False))
        and not isinstance(module, nn.Embedding)
    }


@contextlib.contextmanager
def _quietly(model: nn.Module) -> Iterator[None]:
    """Eval mode, no gradients, and no compiled code, which would run past hooks; all put back afterwards."""
    modes = [(module, module.training) for module in model.modules()]
    is_compiling = "torch._dynamo" in sys.modules
    eager = torch.compiler.set_stance("force_eager") if is_compiling else contextlib.nullcontext()
    try:
        model.eval()
        with torch.no_grad(), eager:
            yield
    finally:
        for module, mode in modes:
            module.training = mode
