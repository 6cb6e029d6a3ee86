"""How far a captured call is from a truth, and whether a model was left as it was found."""

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
import torch.nn.modules.module as module_hooks
import torch.overrides
from tests.zoo.case import Truth
from torch import Tensor, nn

HOOKS = [
    "_backward_hooks",
    "_backward_pre_hooks",
    "_forward_hooks",
    "_forward_pre_hooks",
    "_state_dict_hooks",
    "_load_state_dict_pre_hooks",
]
GLOBAL_HOOKS = [name for name in vars(module_hooks) if name.startswith("_global_") and "hooks" in name]


def dense(call: Any) -> np.ndarray:
    """Return all weights of a call, (batch, head, query, key), also where it kept only a window's keys."""
    if call.k is None:
        return np.stack([call.weights(example) for example in range(call.shape[0])])
    weights = np.zeros(call.shape)
    for example in range(call.shape[0]):
        keys, values = call.top(example)
        heads, queries, places = np.nonzero(keys >= 0)
        weights[example][heads, queries, keys[heads, queries, places]] = values[heads, queries, places]
    return weights


def difference(truth: Truth, call: Any) -> float:
    """Largest difference of weights; infinite where the shapes differ or a row is not there."""
    if truth.rows_of:
        return rows_difference(truth, call)
    weights = dense(call)
    absent = truth.weights.shape[2] - weights.shape[2]
    if absent > 0 and not truth.weights[:, :, :absent].any():  # a call of the last queries holds only those
        weights = np.pad(weights, ((0, 0), (0, 0), (absent, 0), (0, 0)))
    if weights.shape != truth.weights.shape:
        return float("inf")
    gap = np.abs(weights - truth.weights)
    if truth.real is not None:
        gap = gap.transpose(0, 2, 1, 3)[truth.real]
    return float("inf") if np.isnan(gap).any() else float(gap.max(initial=0))


def joined(truths: list[Truth]) -> list[Truth]:
    """Put together what one module computed in pieces: matrices of one path, with other edges each."""
    made: list[Truth] = []
    for truth in truths:
        last = made[-1] if made else None
        fits = last is not None and (last.path, last.weights.shape) == (truth.path, truth.weights.shape)
        if fits and last is not None and not ((last.weights != 0) & (truth.weights != 0)).any():
            made[-1] = last.but(weights=last.weights + truth.weights)
        else:
            made.append(truth)
    return made


def sorted_rows(weights: np.ndarray, length: int) -> np.ndarray:
    """Return (head, row, length): each row falling, filled up with zeros."""
    falling = -np.sort(-weights, axis=-1)
    falling = np.moveaxis(falling, 1, 0).reshape(weights.shape[1], -1, weights.shape[-1])
    missing = max(0, length - falling.shape[-1])
    return np.pad(falling, ((0, 0), (0, 0), (0, missing)))


def rows_difference(truth: Truth, call: Any) -> float:
    """Largest difference between rows of windows and rows of the call, as multisets for each head."""
    if tuple(call.shape[:2]) != (truth.rows_of, truth.weights.shape[1]):
        return float("inf")
    weights = dense(call)
    length = max(weights.shape[-1], truth.weights.shape[-1])
    worst = 0.0
    for wanted, rows in zip(sorted_rows(truth.weights, length), sorted_rows(weights, length), strict=True):
        seen = rows[rows.any(-1)]
        if len(seen) != len(wanted):
            return float("inf")
        left = np.ones(len(seen), bool)
        for row in wanted:  # the nearest that is left
            gaps = np.where(left, np.abs(seen - row).max(-1), np.inf)
            worst = max(worst, float(gaps.min()))
            left[int(gaps.argmin())] = False
    return worst


def tensors(value: Any) -> list[Tensor]:
    """Return all tensors of a model's answer, caches included."""
    if isinstance(value, Tensor):
        return list(value.unbind()) if value.is_nested else [value]
    if isinstance(value, dict):
        return [t for item in value.values() for t in tensors(item)]
    if isinstance(value, (list, tuple)):
        return [t for item in value for t in tensors(item)]
    if hasattr(value, "layers") and not isinstance(value, nn.Module):  # Hugging Face's caches
        return [t for layer in value.layers for t in tensors(list(vars(layer).values()))]
    return []


def same_bits(a: list[Tensor], b: list[Tensor]) -> bool:
    """Whether two lists of tensors are equal bit for bit (NaN included)."""
    return len(a) == len(b) and all(
        x.shape == y.shape and x.dtype == y.dtype and _bytes(x) == _bytes(y)
        for x, y in zip(a, b, strict=True)
    )


def _bytes(tensor: Tensor) -> bytes:
    return tensor.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes()


def state_of(model: nn.Module) -> dict[str, Any]:
    """Return everything that a capture might leave behind, on the model and in torch."""
    found: dict[str, Any] = {}
    for name, module in model.named_modules():
        found[f"{name} attributes"] = sorted(vars(module))
        found[f"{name} hooks"] = {hook: list(getattr(module, hook, ())) for hook in HOOKS}
        found[f"{name} mode"] = module.training
    found["parameters"] = [(name, id(p), p._version) for name, p in model.named_parameters()]
    found["global hooks"] = {name: len(getattr(module_hooks, name) or ()) for name in GLOBAL_HOOKS}
    found["function modes"] = len(torch.overrides._get_current_function_mode_stack())
    found["torch"] = [
        id(function)
        for function in (
            torch.overrides.has_torch_function,
            F.scaled_dot_product_attention,
            F.multi_head_attention_forward,
            F.softmax,
            torch.softmax,
            torch.Tensor.softmax,
            torch.matmul,
            nn.Module.__call__,
        )
    ]
    return found


def left_behind(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Return what differs between two states."""
    return [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)]
