"""Inside torch.nn's fused kernels: one native function each, run by its own parts so that they can be seen.

``torch._transformer_encoder_layer_fwd`` and ``torch._native_multi_head_attention`` call smaller native
functions. A dispatch mode that hands the outer call on to its own backend sees each of them with its
arguments: the very weights, values and sums that the kernel worked with, and nothing is computed twice.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from headscape.intercept.factors import Vectors
from headscape.intercept.ops import name_of

_WHOLE = ("_transformer_encoder_layer_fwd", "_native_multi_head_attention")
_KERNELS = ("_scaled_dot_product_", "_flash_attention", "_efficient_attention")


@dataclass
class Parts:
    """What was seen inside one fused call."""

    weights: Tensor | None = None
    value: Tensor | None = None
    mixed: Tensor | None = None  # what the heads gave, (batch, head, query, width)
    factors: tuple[Tensor, Tensor] | None = None  # (batch * head, query, width), (batch * head, width, key)
    kernel: tuple[Any, ...] | None = None  # query, key, value of a kernel that keeps no weights
    kernel_options: dict[str, Any] = field(default_factory=dict)
    sums: list[tuple[Tensor, Tensor]] = field(default_factory=list)  # norms of the two summands
    summed: list[tuple[Tensor, Tensor]] = field(default_factory=list)  # they themselves, if asked for

    def vectors(self, batch: int, full: int) -> Vectors | None:
        """Return the vectors of the weights, padded to ``full`` tokens; torch.nn has scaled the queries."""
        if self.weights is None or self.factors is None:
            return None
        query, key = self.factors[0], self.factors[1].transpose(1, 2)
        query, key = (torch.nn.functional.pad(t, (0, 0, 0, full - t.shape[1])) for t in (query, key))
        query, key = (t.reshape(batch, -1, full, t.shape[2]) for t in (query, key))
        return Vectors(query, key, scale=1.0)


class Inside(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees the native functions that a fused one is made of."""

    def __init__(self, *, with_factors: bool = False, with_states: bool = False) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.parts = Parts()
        self._with_factors = with_factors
        self._with_states = with_states
        self._soft: Tensor | None = None

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = func.overloadpacket.__name__
        if name in _WHOLE:
            with self:
                return func.redispatch(_backend(args[0]), *args, **kwargs)
        if name == "add_" and isinstance(args[1], Tensor):
            self.parts.sums.append((_norms(args[0]), _norms(args[1])))
            if self._with_states and not args[0].is_nested:
                self.parts.summed.append((args[0].clone(), args[1].clone()))
        result = func(*args, **kwargs)
        if name_of(func) in ("softmax", "_nested_tensor_softmax_with_shape"):
            self._soft = result
        elif name == "bmm" and self._soft is not None and self.parts.weights is None:
            self._meet(args, result)
        elif name == "bmm" and self._with_factors and self._soft is None:
            self.parts.factors = args[0].clone(), args[1]  # torch puts its result where the queries were
        elif any(part in name for part in _KERNELS):
            self.parts.kernel, self.parts.kernel_options = args, kwargs
            self.parts.mixed = result[0] if isinstance(result, tuple) else result
        return result

    def _meet(self, args: tuple[Any, ...], result: Tensor) -> None:
        soft = self._soft
        if soft is None or args[0].shape != (soft.shape[0] * soft.shape[1], *soft.shape[2:]):
            return
        shape = soft.shape[:2]
        self.parts.weights = soft
        self.parts.value = args[1].view(*shape, *args[1].shape[1:])
        self.parts.mixed = result.view(*shape, *result.shape[1:])


def _backend(tensor: Tensor) -> Any:
    """Return the dispatch keys of the backend that a tensor's functions run on."""
    kind = tensor.device.type.upper()
    name = f"NestedTensor{kind}" if tensor.is_nested else kind
    return torch._C.DispatchKeySet(getattr(torch._C.DispatchKey, name))


def _norms(state: Tensor) -> Tensor:
    """Norm of each token's state, (batch, query); NaN where a nested state has no token."""
    if not state.is_nested:
        norms: Tensor = torch.linalg.vector_norm(state.float(), dim=-1)
        return norms
    parts = [torch.linalg.vector_norm(part.float(), dim=-1) for part in state.unbind()]
    return torch.nn.utils.rnn.pad_sequence(parts, batch_first=True, padding_value=float("nan"))
