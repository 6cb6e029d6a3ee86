"""What modules of a model give in one forward pass, read with hooks that are gone afterwards."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from headscape.analysis.words import Alignment, pool_words
from headscape.errors import OptionError, ShapeError


def layer_states(model: nn.Module, inputs: Any, paths: Sequence[str]) -> dict[str, Tensor]:
    """Run a model once and return what some of its modules gave.

    Nothing stays on the model, also after an exception. Its mode is left as it is (call ``model.eval()`` to
    have no dropout), and no gradients are kept.

    Parameters
    ----------
    model : torch.nn.Module
        Any model. A compiled one runs uncompiled in this pass.
    inputs : mapping, tuple or anything else
        What the model is called with: keywords, arguments, or its only argument.
    paths : sequence of str
        Dotted names as in ``model.named_modules()``; "" is the model itself.

    Returns
    -------
    dict of str to tensor
        A copy of the first floating-point tensor that each module gave, by site: its path, with ``#n`` behind
        it where the module ran n times before in this pass, in the order in which they ended. Nested tensors
        are padded with zeros.

    Raises
    ------
    OptionError
        There is no such module, it did not run, or it gave no tensor.

    Examples
    --------
    >>> import torch
    >>> model = torch.nn.Sequential(torch.nn.Identity(), torch.nn.ReLU())
    >>> {site: state.tolist() for site, state in layer_states(model, torch.tensor([-1.0, 2.0]), "01").items()}
    {'0': [-1.0, 2.0], '1': [0.0, 2.0]}
    """
    modules = dict(model.named_modules())
    for path in paths:
        if path not in modules:
            near = difflib.get_close_matches(path, modules, n=3)
            raise OptionError(
                f"{type(model).__name__} has no module {path!r} among its {len(modules)}."
                + (
                    f" Did you mean {' or '.join(map(repr, near))}?"
                    if near
                    else " See model.named_modules()."
                )
            )
    found: dict[str, Tensor] = {}
    handles = []
    try:
        for path in dict.fromkeys(paths):
            handles.append(modules[path].register_forward_hook(_Keeper(path, found)))
        with torch.no_grad(), _uncompiled():
            _call(model, inputs)
    finally:
        for handle in handles:
            handle.remove()
    idle = [path for path in paths if path not in found]
    if idle:
        raise OptionError(
            f"{', '.join(map(repr, idle))} of {type(model).__name__} did not run in this pass, or another "
            "module reached past its forward(). Name a module around it or inside it."
        )
    return found


class _Keeper:
    """A forward hook that keeps a copy of what its module gives."""

    def __init__(self, path: str, found: dict[str, Tensor]) -> None:
        self._path = path
        self._found = found
        self._runs = 0

    def __call__(self, module: nn.Module, inputs: Any, output: Any) -> None:
        site = f"{self._path}#{self._runs}" if self._runs else self._path
        self._runs += 1
        tensor = _first_tensor(output)
        if tensor is None:
            raise OptionError(
                f"{site!r} ({type(module).__name__}) gave {type(output).__name__}, in which there is no "
                "floating-point tensor. Name a module that gives states."
            )
        if tensor.is_nested:
            tensor = tensor.to_padded_tensor(0.0)
        self._found[site] = tensor.detach().clone()  # what follows may write into it


def _first_tensor(output: Any) -> Tensor | None:
    if isinstance(output, Tensor):
        return output if output.is_floating_point() else None
    if isinstance(output, Mapping):
        parts = list(output.values())
    else:
        parts = list(output) if isinstance(output, (tuple, list)) else []
    return next((found for found in map(_first_tensor, parts) if found is not None), None)


def _call(model: nn.Module, inputs: Any) -> None:
    if isinstance(inputs, Mapping):
        model(**inputs)
    elif isinstance(inputs, tuple):
        model(*inputs)
    else:
        model(inputs)


def _uncompiled() -> AbstractContextManager[object]:
    """Run compiled modules eagerly: their programs were made without these hooks."""
    if "torch._dynamo" not in sys.modules:
        return nullcontext()
    stance: AbstractContextManager[object] = torch.compiler.set_stance("force_eager")
    return stance


def word_states(
    states: Mapping[str, Tensor], alignments: Sequence[Alignment]
) -> list[npt.NDArray[np.float32]]:
    """Return each example's states of words, (word, layer, width), the mean over a word's tokens.

    Parameters
    ----------
    states : mapping of str to (batch, token, width) tensor
        Layers in their order, as :func:`layer_states` gives them; all of one width.
    alignments : sequence of Alignment
        One an example, padding included.

    Raises
    ------
    ShapeError
        Layers differ in shape, or there are not as many examples as alignments.
    """
    shapes = {tuple(state.shape) for state in states.values()}
    if len(shapes) != 1 or len(next(iter(shapes))) != 3 or next(iter(shapes))[0] != len(alignments):
        raise ShapeError(
            f"states have shapes {', '.join(map(str, sorted(shapes)))}; wanted is one shape (batch, token, "
            f"width) for all layers, with a batch of {len(alignments)}, the number of alignments."
        )
    layers = [state.float().cpu().numpy() for state in states.values()]
    return [
        np.stack([pool_words(layer[n], one) for layer in layers], axis=1).astype(np.float32)
        for n, one in enumerate(alignments)
    ]
