"""The function mode: sees every torch function of one pass, lets each run, and notes what it did."""

import weakref
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from headscape.errors import CaptureError, LabelError
from headscape.intercept.answer import Tape
from headscape.intercept.lineage import Lineage, Mark, state_norms
from headscape.intercept.names import Names
from headscape.intercept.plain import open_copy
from headscape.intercept.recorder import Options, Origin, Recorder, Seen
from headscape.intercept.rows import OutputCheck, Scores, aside
from headscape.intercept.torch_nn import FusedLayer, Scope, bound, padded_of, sdpa_scores, unfold

_FUSED_LAYER = torch._transformer_encoder_layer_fwd
_FUSED_ATTENTION = torch._native_multi_head_attention
_TO_NESTED = getattr(torch, "_nested_tensor_from_mask", None)


class Watcher(TorchFunctionMode):
    """Watches one forward pass of one model.

    Every function is run as it is and its result handed back untouched; what is noted is worked out beside
    it on detached arguments. A failure of that side work never reaches the model: it becomes a warning
    (or :class:`CaptureError` with ``strict=True``).
    """

    def __init__(self, names: Names, options: Options) -> None:
        super().__init__()
        self.names = names
        self.options = options
        self.recorder = Recorder(options)
        self.lineage = Lineage()
        self.tape = Tape()
        self.problems: list[str] = []
        self._scopes: list[Scope] = []
        self._lengths: dict[int, tuple[weakref.ref[Tensor], int]] = {}  # nested tensor -> padded length
        self._handlers: dict[Any, Callable[..., Any]] = {
            F.multi_head_attention_forward: self._multi_head,
            F.scaled_dot_product_attention: self._scaled_dot_product,
            _FUSED_LAYER: self._fused_layer,
            _FUSED_ATTENTION: self._fused_attention,
        }

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if self._scopes:
            result = func(*args, **kwargs)
            inner = self._scopes[-1].inner.get(func)
            if inner is not None:
                self.attempt("looking inside torch.nn's attention", inner, result, *args, **kwargs)
            return result
        handler = self._handlers.get(func)
        if handler is not None:
            return handler(func, args, kwargs)
        self.attempt("following the model's states", self.lineage.before, func, args)
        result = func(*args, **kwargs)
        if isinstance(result, (Tensor, tuple, list)):
            self.attempt("following the model's states", self._follow, func, args, kwargs, result)
        return result

    def attempt(self, doing: str, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run side work; a failure is noted, never passed on (unless strict, or labels do not fit)."""
        try:
            return work(*args, **kwargs)
        except LabelError:  # the caller's own
            raise
        except Exception as error:  # whatever goes wrong here must not reach the user's forward
            if self.options.strict:
                raise CaptureError(f"{doing} failed: {type(error).__name__}: {error}") from error
            where = self.names.running() or "the model itself"
            note = f"{doing} failed in {where}: {type(error).__name__}: {error}"
            if note not in self.problems:
                self.problems.append(note)
            return None

    def _follow(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        state = self.lineage.state
        projecting = func is F.linear and bool(args) and isinstance(args[0], Tensor)
        before = self.lineage.mark(args[0]) if projecting else None
        self.lineage.after(func, args, kwargs, result)
        if (
            before is not None
            and before.role == "branch"
            and self.recorder.calls[before.call].value is not None
        ):
            seen = self.recorder.calls[before.call]
            with aside(args[0].device):
                seen.project(args[1] if len(args) > 1 else kwargs["weight"])
            self.lineage.put(result, replace(before, time=self.lineage.tick()))
        if func is _TO_NESTED:
            self._lengths[id(result)] = (weakref.ref(result), int(args[0].shape[1]))
        if self.lineage.state is not state and self.lineage.state is not None:
            self.tape.restart(self.lineage.state, self.lineage.mark(self.lineage.state))
        else:
            self.tape.note(func, args, kwargs, result)

    # torch.nn.functional.multi_head_attention_forward

    def _multi_head(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        scope, began = Scope(), self.lineage.tick()
        function = open_copy(func)
        if function is func:
            self.problems.append(
                "torch.nn.functional.multi_head_attention_forward has no Python code to look into"
            )
            return func(*args, **kwargs)
        self._scopes.append(scope)
        try:
            with self:
                result = function(*args, **kwargs)
        finally:
            self._scopes.pop()
        self.attempt(
            "recording torch.nn's attention",
            self._record_multi_head,
            bound(func, args, kwargs),
            scope,
            began,
            result,
        )
        return result

    def _record_multi_head(self, named: dict[str, Any], scope: Scope, began: int, result: Any) -> None:
        query, key = named["query"], named["key"]
        output = result[0].detach()
        batched = query.dim() == 3
        rows, value = unfold(scope, query.shape[1] if batched else 1)
        check = None
        if not scope.drops and self.options.values:
            shown = output.transpose(0, 1) if batched else output.unsqueeze(0)
            check = OutputCheck(value, shown, named["out_proj_weight"], named["out_proj_bias"])
        origin = Origin(
            path=self.names.running(),
            source="sdpa" if isinstance(rows, Scores) else "written",
            kind="self" if same_sequence(query, key, named["value"]) else "cross",
            query_from=self.lineage.newest_call([query]),
            key_from=self.lineage.newest_call([key]),
            padded_keys=padded_of(named["key_padding_mask"]),
            value=value,
            projection=named["out_proj_weight"],
            extra_keys=rows.shape[3] - (key.shape[0]),
        )
        seen = self.recorder.record(rows, origin, check)
        if check is not None:
            seen.self_check, seen.size = check.largest, check.size
        self._begin(seen, began, result[0], "qb" if batched else "q")

    def _begin(self, seen: Seen, began: int, output: Tensor, axes: Any, role: Any = "branch") -> None:
        seen.half = output.dtype in (torch.float16, torch.bfloat16)
        call = len(self.recorder.calls) - 1
        self.lineage.begin_call(call, began, seen.flow)
        mark = Mark(call, role, self.lineage.tick(), axes)
        self.lineage.put(output, mark)
        self.tape.restart(output, mark)

    # torch.nn.functional.scaled_dot_product_attention, called by the model itself

    def _scaled_dot_product(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        began = self.lineage.tick()
        result = func(*args, **kwargs)
        self.attempt(
            "recording scaled_dot_product_attention", self._record_fused_call, args, kwargs, began, result
        )
        return result

    def _record_fused_call(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], began: int, result: Tensor
    ) -> None:
        rows, value, drops = sdpa_scores(*args, **kwargs)
        names = ("query", "key")
        query, key = (args[i] if len(args) > i else kwargs[name] for i, name in enumerate(names))
        follows = [self.lineage.newest_call([t]) for t in (query, key)]
        alike = follows[0] == follows[1] and rows.shape[2] == rows.shape[3]
        origin = Origin(
            self.names.running(), "sdpa", "self" if alike else "cross", follows[0], follows[1], value=value
        )
        check = None
        if not drops and self.options.values:
            heads = result.detach().reshape(*rows.shape[:3], -1)
            check = OutputCheck(value, heads.transpose(1, 2).flatten(2))
        seen = self.recorder.record(rows, origin, check)
        if check is not None:
            seen.self_check, seen.size = check.largest, check.size
        self._begin(seen, began, result, "bq" if result.dim() > 2 else "q")

    # torch.nn's fused fast paths

    def _fused_layer(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        began = self.lineage.tick()
        result = func(*args, **kwargs)
        layer = FusedLayer.of_layer(args, kwargs)
        self.attempt("recording a fused encoder layer", self._record_fused, layer, began, result, True)
        return result

    def _fused_attention(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        began = self.lineage.tick()
        result = func(*args, **kwargs)
        layer = FusedLayer.of_attention(args, kwargs)
        self.attempt("recording fused attention", self._record_fused, layer, began, result[0], False)
        return result

    def _record_fused(self, layer: FusedLayer, began: int, result: Tensor, is_layer: bool) -> None:
        src = layer.named["src"]
        with aside(src.device):
            state, lengths = self._padded(src.detach())
            batch, length = state.shape[:2]
            given = layer.norm(state, 1) if is_layer and layer.named["norm_first"] else state
            query, key, value = layer.project(given)
            mask, padded = layer.mask_and_padding(batch, length)
            if lengths is not None:
                padded = torch.arange(length, device=src.device)[None, :] >= lengths[:, None]
                mask = ~padded.view(batch, 1, 1, length)
        path = self.names.running()
        attends = "self_attn" if is_layer else ""
        follows = self.lineage.newest_call([src])
        origin = Origin(
            f"{path}.{attends}".strip("."),
            "fused",
            "self",
            follows,
            follows,
            padded,
            value,
            layer.named["proj_weight"],
        )
        mixed = torch.zeros_like(query)

        def mix(start: int, weights: Tensor) -> None:
            mixed[:, :, start : start + weights.shape[2]] = torch.matmul(weights.to(value.dtype), value)

        seen = self.recorder.record(Scores(query, key, mask), origin, mix)
        with aside(src.device):
            attention = layer.output(mixed)
            made = finish_layer(layer, state, attention, seen) if is_layer else attention
            seen.self_check = self._gap(made, result, seen)
        self._begin(seen, began, result, "bq", "stream" if is_layer else "branch")
        if result.is_nested:
            self._lengths[id(result)] = (weakref.ref(result), length)

    def _padded(self, src: Tensor) -> tuple[Tensor, Tensor | None]:
        """Return (batch, token, model) and, for nested input, the real length of each example."""
        if not src.is_nested:
            return src, None
        lengths = [part.shape[0] for part in src.unbind()]
        known = next(
            (
                n
                for ref, n in self._lengths.values()
                if (t := ref()) is not None and t.data_ptr() == src.data_ptr()
            ),
            0,
        )
        full = max(known, *lengths)
        shape = (len(lengths), full, src.size(2))
        return torch.nested.to_padded_tensor(src, 0.0, shape), torch.tensor(lengths, device=src.device)

    def _gap(self, made: Tensor, result: Tensor, seen: Seen) -> float:
        shown = self._padded_like(result.detach(), made)
        real = torch.from_numpy(~seen.arrays.padded)
        gap = (made - shown).abs()[real]
        broken = real & shown.isnan().any(-1).cpu() & ~made.isnan().any(-1).cpu()
        if bool(broken.any()):
            seen.spoil(broken.numpy())
        gap = gap[torch.isfinite(gap)]
        seen.size = float(shown[real].abs().nan_to_num(0, 0, 0).max()) if gap.numel() else 1.0
        return float(gap.max()) if gap.numel() else float("nan")

    @staticmethod
    def _padded_like(result: Tensor, made: Tensor) -> Tensor:
        return torch.nested.to_padded_tensor(result, 0.0, tuple(made.shape)) if result.is_nested else result


def finish_layer(layer: FusedLayer, state: Tensor, attention: Tensor, seen: Seen) -> Tensor:
    """Work out the rest of a fused encoder layer, noting the norms of what meets; return its output."""
    norm_first = layer.named["norm_first"]
    stream = state + attention if norm_first else layer.norm(state + attention, 1)
    forward = layer.feed_forward(layer.norm(stream, 2) if norm_first else stream)
    for row, part in enumerate((state, attention, stream, forward)):
        seen.flow[:, row] = norms_of_real(part, seen)
    return stream + forward if norm_first else layer.norm(stream + forward, 2)


def norms_of_real(part: Tensor, seen: Seen) -> Any:
    """Return the norm of each token's state, (batch, query), NaN for padded tokens."""
    norms = state_norms(part, "bq").copy()
    norms[seen.arrays.padded] = float("nan")
    return norms


def same_sequence(query: Tensor, key: Tensor, value: Tensor) -> bool:
    """Whether queries and keys stand for the same tokens."""
    if query is key or query is value:
        return True
    return query.shape == key.shape and torch.equal(query.detach(), key.detach())
