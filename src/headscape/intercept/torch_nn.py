"""What the arguments of torch.nn's own attention functions mean."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from headscape.intercept.factors import Vectors
from headscape.intercept.gradients import Live
from headscape.intercept.rows import Scores, Written, forbids

# Positions of the arguments of torch._transformer_encoder_layer_fwd, in the order torch.nn passes them.
_LAYER_ARGUMENTS = (
    "src", "embed_dim", "num_heads", "qkv_weight", "qkv_bias", "proj_weight", "proj_bias", "use_gelu",
    "norm_first", "eps", "norm_weight_1", "norm_bias_1", "norm_weight_2", "norm_bias_2", "ffn_weight_1",
    "ffn_bias_1", "ffn_weight_2", "ffn_bias_2", "mask", "mask_type",
)  # fmt: skip
_MHA_ARGUMENTS = (
    "src", "key", "value", "embed_dim", "num_heads", "qkv_weight", "qkv_bias", "proj_weight", "proj_bias",
    "mask", "need_weights", "average_attn_weights", "mask_type",
)  # fmt: skip
_PADDING_ONLY = 1  # mask_type: 0 = (query, key), 1 = key padding (batch, key), 2 = both merged


@dataclass
class Scope:
    """What was seen inside one call of ``F.multi_head_attention_forward``."""

    rows: Scores | Written | None = None
    value: Tensor | None = None
    mixed: Tensor | None = None
    output: Tensor | None = None  # the very tensor that torch.nn goes on with
    drops: bool = False
    met: Callable[[], None] | None = None  # called when weights have met values
    recorded: Any = None  # what was recorded then: the call, what meets at it, places of its rows
    _weights: Tensor | None = None
    _dropped: Tensor | None = None
    _mask: Tensor | None = None
    _factors: tuple[Tensor, Tensor] | None = None
    inner: dict[Any, Callable[..., None]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.inner = {
            F.scaled_dot_product_attention: self._fused,
            F.softmax: self._softmax,
            F.dropout: self._dropout,
            torch.baddbmm: self._masked_product,
            torch.bmm: self._product,
        }

    def _fused(self, result: Tensor, *args: Any, **kwargs: Any) -> None:
        self.rows, self.value, self.drops = sdpa_scores(*args, **kwargs)
        self.output, self.mixed = result, _four_axes(result)
        if self.met is not None:
            self.met()

    def _softmax(self, result: Tensor, *args: Any, **kwargs: Any) -> None:
        self._weights = result

    def _dropout(self, result: Tensor, *args: Any, **kwargs: Any) -> None:
        if self._weights is not None and args[0] is self._weights:
            self._dropped, self.drops = result, True

    def _masked_product(
        self, result: Tensor, mask: Tensor, first: Tensor, second: Tensor, **kwargs: Any
    ) -> None:
        self._mask, self._factors = mask, (first, second)

    def vectors(self, batch: int) -> Vectors | None:
        """Return the vectors of a product that torch.nn wrote: its queries are scaled already."""
        if self._factors is None or not isinstance(self.rows, Written):
            return None
        query, key = self._factors[0], self._factors[1].transpose(-2, -1)
        query, key = (t.reshape(batch, -1, *t.shape[-2:]) for t in (query, key))
        return Vectors(query, key, scale=1.0)

    def _product(self, result: Tensor, first: Tensor, second: Tensor, **kwargs: Any) -> None:
        if self._weights is None:
            self._factors = first, second
        if self._weights is not None and (first is self._weights or first is self._dropped):
            self.rows = Written(self._weights.detach(), self._mask)
            self.value, self.output, self.mixed = second, result, result
            if self.met is not None:
                self.met()


def live_of(scope: Scope, shape: torch.Size) -> Live | Literal["dropped"] | None:
    """Return a scope's output for gradients; ``shape`` is (batch, head, query, width)."""
    if scope.drops or scope.output is None:
        return "dropped" if scope.drops else None
    return Live(scope.output, lambda t: t.reshape(shape))


def unfold(scope: Scope, batch: int) -> tuple[Scores | Written, Tensor, Tensor]:
    """Return rows, values and what they gave, of a scope, as (batch, head, ...): heads out of the batch."""
    rows, value, mixed = scope.rows, scope.value, scope.mixed
    if rows is None or value is None or mixed is None:
        raise RuntimeError("torch.nn's attention ran without a softmax that headscape knows")
    if isinstance(rows, Written) and rows.weights.dim() == 3:
        mask = rows.mask
        if mask is not None and mask.dim() == 3 and mask.shape[0] != 1:
            mask = mask.reshape(batch, -1, *mask.shape[1:])
        rows = Written(rows.weights.reshape(batch, -1, *rows.weights.shape[1:]), mask)
        value = value.reshape(batch, -1, *value.shape[1:])
        mixed = mixed.reshape(batch, -1, *mixed.shape[1:])
    return rows, value.detach(), mixed.detach()


def sdpa_options(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    **options: Any,  # scale, enable_gqa: keyword-only in torch
) -> dict[str, Any]:
    """Return the arguments of ``scaled_dot_product_attention`` by name."""
    return {
        "query": query, "key": key, "value": value,
        "attn_mask": None if attn_mask is None else attn_mask.detach(),
        "dropout_p": dropout_p, "is_causal": is_causal, "scale": options.get("scale"),
        "enable_gqa": bool(options.get("enable_gqa")),
    }  # fmt: skip


def sdpa_scores(*args: Any, **kwargs: Any) -> tuple[Scores, Tensor, bool]:
    """Return scores, values and whether weights were dropped, of torch.nn's own call of the kernel."""
    named = sdpa_options(*args, **kwargs)
    query, key, value = (_four_axes(named[name]) for name in ("query", "key", "value"))
    mask = named["attn_mask"]
    if mask is not None and mask.dim() == 3:
        mask = mask.unsqueeze(1) if query.shape[1] == 1 else mask
    scores = Scores(query.detach(), key.detach(), mask, named["is_causal"], named["scale"])
    return scores, value.detach(), named["dropout_p"] > 0


def _four_axes(tensor: Tensor) -> Tensor:
    if tensor.dim() == 2:
        return tensor[None, None]
    return tensor.unsqueeze(1) if tensor.dim() == 3 else tensor


def bound(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a Python function by name, defaults filled in."""
    found = inspect.signature(function).bind(*args, **kwargs)
    found.apply_defaults()
    return dict(found.arguments)


def padded_of(key_padding_mask: Tensor | None) -> Tensor | None:
    """Return (batch, key) bool, True = padding, from a bool or additive key padding mask."""
    if key_padding_mask is None:
        return None
    mask = key_padding_mask.detach()
    mask = mask if mask.dtype == torch.bool else forbids(mask)
    return mask.unsqueeze(0) if mask.dim() == 1 else mask


@dataclass(frozen=True)
class FusedLayer:
    """Arguments of torch's fused encoder layer, or of its fused self-attention, by name."""

    named: dict[str, Any]

    @classmethod
    def of(cls, args: tuple[Any, ...], kwargs: dict[str, Any], *, is_layer: bool) -> "FusedLayer":
        """Read the arguments of a whole fused encoder layer, or of fused self-attention alone."""
        names = _LAYER_ARGUMENTS if is_layer else _MHA_ARGUMENTS
        found: dict[str, Any] = (
            {"mask": None, "mask_type": None} | dict(zip(names, args, strict=False)) | kwargs
        )
        renamed = {"query": "src", "num_head": "num_heads"}
        return cls({renamed.get(name, name): value for name, value in found.items()})

    def mask_and_padding(self, batch: int, length: int) -> tuple[Tensor | None, Tensor | None]:
        """Return the mask as the kernel reads it (True = may attend), and the padded keys if it names them.

        The fused kernels turn an additive mask into bool: anything but 0 forbids.
        """
        mask, kind = self.named["mask"], self.named["mask_type"]
        if mask is None:
            return None, None
        forbidden = mask.detach().to(torch.bool)
        if kind == _PADDING_ONLY:
            return ~forbidden.view(batch, 1, 1, length), forbidden.view(batch, length)
        while forbidden.dim() < 4:
            forbidden = forbidden.unsqueeze(0)
        return ~forbidden, None
