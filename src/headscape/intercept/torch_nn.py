"""What the arguments of torch.nn's own attention functions mean."""

import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from headscape.intercept.rows import Scores, Written, forbids

# Positions of the arguments of torch._transformer_encoder_layer_fwd, in the order torch.nn passes them.
_LAYER_ARGUMENTS = (
    "src", "embed_dim", "num_heads", "qkv_weight", "qkv_bias", "proj_weight", "proj_bias", "use_gelu",
    "norm_first", "eps", "norm_weight_1", "norm_bias_1", "norm_weight_2", "norm_bias_2", "ffn_weight_1",
    "ffn_bias_1", "ffn_weight_2", "ffn_bias_2", "mask", "mask_type",
)  # fmt: skip
_MHA_ARGUMENTS = (
    "query", "key", "value", "embed_dim", "num_head", "qkv_weight", "qkv_bias", "proj_weight", "proj_bias",
    "mask", "need_weights", "average_attn_weights", "mask_type",
)  # fmt: skip
_PADDING_ONLY = 1  # mask_type: 0 = (query, key), 1 = key padding (batch, key), 2 = both merged


@dataclass
class Scope:
    """What was seen inside one call of ``F.multi_head_attention_forward``."""

    rows: Scores | Written | None = None
    value: Tensor | None = None
    drops: bool = False
    _weights: Tensor | None = None
    _dropped: Tensor | None = None
    _mask: Tensor | None = None
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

    def _softmax(self, result: Tensor, *args: Any, **kwargs: Any) -> None:
        self._weights = result

    def _dropout(self, result: Tensor, *args: Any, **kwargs: Any) -> None:
        if self._weights is not None and args[0] is self._weights:
            self._dropped, self.drops = result, True

    def _masked_product(self, result: Tensor, mask: Tensor, *args: Any, **kwargs: Any) -> None:
        self._mask = mask

    def _product(self, result: Tensor, first: Tensor, second: Tensor, **kwargs: Any) -> None:
        if self._weights is not None and (first is self._weights or first is self._dropped):
            self.rows = Written(self._weights.detach(), self._mask)
            self.value = second


def unfold(scope: Scope, batch: int) -> tuple[Scores | Written, Tensor]:
    """Return rows and values of a scope as (batch, head, ...): heads unfolded from the batch."""
    rows, value = scope.rows, scope.value
    if rows is None or value is None:
        raise RuntimeError("torch.nn's attention ran without a softmax that headscape knows")
    if isinstance(rows, Written) and rows.weights.dim() == 3:
        mask = rows.mask
        if mask is not None and mask.dim() == 3 and mask.shape[0] != 1:
            mask = mask.reshape(batch, -1, *mask.shape[1:])
        rows = Written(rows.weights.reshape(batch, -1, *rows.weights.shape[1:]), mask)
        value = value.reshape(batch, -1, *value.shape[1:])
    return rows, value


def sdpa_scores(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    **options: Any,  # scale, enable_gqa: keyword-only in torch
) -> tuple[Scores, Tensor, bool]:
    """Return scores, values and whether weights were dropped, from the arguments of the function of torch."""
    query, key, value = (_four_axes(t) for t in (query, key, value))
    if options.get("enable_gqa") and key.shape[1] != query.shape[1]:
        key, value = (t.repeat_interleave(query.shape[1] // t.shape[1], dim=1) for t in (key, value))
    if attn_mask is not None:
        attn_mask = attn_mask.detach()
        if attn_mask.dim() > 4:
            attn_mask = attn_mask.flatten(0, -4)
        elif attn_mask.dim() == 3:
            attn_mask = attn_mask.unsqueeze(1) if query.shape[1] == 1 else attn_mask
    scores = Scores(query.detach(), key.detach(), attn_mask, is_causal, options.get("scale"))
    return scores, value.detach(), dropout_p > 0


def _four_axes(tensor: Tensor) -> Tensor:
    if tensor.dim() == 2:
        return tensor[None, None]
    if tensor.dim() == 3:
        return tensor.unsqueeze(1)
    return tensor.flatten(0, -4) if tensor.dim() > 4 else tensor


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
    def of_layer(cls, args: tuple[Any, ...], kwargs: dict[str, Any]) -> "FusedLayer":
        """Read the arguments of a whole fused encoder layer."""
        return cls(
            {"mask": None, "mask_type": None} | dict(zip(_LAYER_ARGUMENTS, args, strict=False)) | kwargs
        )

    @classmethod
    def of_attention(cls, args: tuple[Any, ...], kwargs: dict[str, Any]) -> "FusedLayer":
        """Read the arguments of fused self-attention alone."""
        found = dict(zip(_MHA_ARGUMENTS, args, strict=False)) | kwargs
        found["src"], found["num_heads"] = found["query"], found["num_head"]
        return cls({"mask": None, "mask_type": None} | found)

    def detached(self, name: str) -> Any:
        """Return one argument, detached if it is a tensor."""
        value = self.named[name]
        return value.detach() if isinstance(value, Tensor) else value

    def mask_and_padding(self, batch: int, length: int) -> tuple[Tensor | None, Tensor | None]:
        """Return the mask as the kernel reads it (True = may attend), and the padded keys if it names them.

        The fused kernels turn an additive mask into bool: anything but 0 forbids.
        """
        mask, kind = self.detached("mask"), self.named["mask_type"]
        if mask is None:
            return None, None
        forbidden = mask.to(torch.bool)
        if kind == _PADDING_ONLY:
            return ~forbidden.view(batch, 1, 1, length), forbidden.view(batch, length)
        while forbidden.dim() < 4:
            forbidden = forbidden.unsqueeze(0)
        return ~forbidden, None

    def project(self, state: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return query, key and value, each (batch, head, token, width), of a (batch, token, model) state."""
        heads = self.named["num_heads"]
        packed = F.linear(state, self.detached("qkv_weight"), self.detached("qkv_bias"))
        parts = packed.reshape(*packed.shape[:2], 3, heads, packed.shape[-1] // (3 * heads)).permute(
            2, 0, 3, 1, 4
        )
        return parts[0], parts[1], parts[2]

    def output(self, mixed: Tensor) -> Tensor:
        """Return the output projection of (batch, head, token, width) mixed values."""
        return F.linear(
            mixed.transpose(1, 2).flatten(2), self.detached("proj_weight"), self.detached("proj_bias")
        )

    def norm(self, state: Tensor, number: int) -> Tensor:
        """Return layer norm 1 or 2 of a state."""
        weight, bias = self.detached(f"norm_weight_{number}"), self.detached(f"norm_bias_{number}")
        return F.layer_norm(state, state.shape[-1:], weight, bias, self.named["eps"])

    def feed_forward(self, state: Tensor) -> Tensor:
        """Return the two linear maps with the activation between."""
        act = F.gelu if self.named["use_gelu"] else F.relu
        hidden = act(F.linear(state, self.detached("ffn_weight_1"), self.detached("ffn_bias_1")))
        return F.linear(hidden, self.detached("ffn_weight_2"), self.detached("ffn_bias_2"))
