"""The function mode: sees every torch function of one pass, lets each run, and notes what it did."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from headscape.errors import CaptureError, LabelError
from headscape.intercept.answer import Tape
from headscape.intercept.below import Below, kernel_arguments
from headscape.intercept.calls import Arguments, Calls, Found
from headscape.intercept.flex import is_flex, read_flex
from headscape.intercept.fused import Inside, Parts
from headscape.intercept.grids import Grids
from headscape.intercept.ledger import Ledger
from headscape.intercept.lineage import Lineage
from headscape.intercept.names import Names
from headscape.intercept.nested import Nested
from headscape.intercept.ops import ADDS_IN_PLACE, PRODUCTS, WRITES, name_of
from headscape.intercept.places import Places
from headscape.intercept.plain import open_copy
from headscape.intercept.recorder import Options
from headscape.intercept.rows import Scores, Written, aside
from headscape.intercept.shadows import tensors_in
from headscape.intercept.torch_nn import FusedLayer, Scope, bound, live_of, padded_of, unfold
from headscape.intercept.unseen import unseen

_FUSED_LAYER = torch._transformer_encoder_layer_fwd
_FUSED_ATTENTION = torch._native_multi_head_attention
_FOLLOWING = "following the model's states"
_TRANSFORMED = (
    "the model ran under a transform of torch.func (vmap, grad, jvp): its tensors stand for several runs at "
    "once and cannot be recorded. Capture a plain call of the model instead."
)
_is_wrapped = torch._C._functorch.is_functorch_wrapped_tensor


class Watcher(TorchFunctionMode):
    """Watches one forward pass of one model.

    Every function is run as it is and its result handed back untouched; what is noted is worked out beside
    it on detached arguments. A failure of that side work never reaches the model: it becomes a warning
    (or :class:`CaptureError` with ``strict=True``).
    """

    def __init__(self, names: Names, options: Options, fixed: list[Tensor]) -> None:
        super().__init__()
        self.names = names
        self.options = options
        self.places = Places(fixed)
        self.lineage = Lineage(self.places)
        self.grids = Grids(self.places, self.lineage.newest_call, with_factors=options.vectors)
        self.calls = Calls(names, options, self.places, self.lineage)
        self.recorder = self.calls.recorder
        self.nested = Nested(self.places)
        self.tape = Tape()
        self.ledger: Ledger | None = None
        self.problems: list[str] = []
        self._above = 0  # Python functions that are being run
        self._scopes: list[Scope] = []
        self._handlers: dict[Any, Callable[..., Any]] = {
            F.multi_head_attention_forward: self._multi_head,
            F.scaled_dot_product_attention: self._scaled_dot_product,
            _FUSED_LAYER: self._fused,
            _FUSED_ATTENTION: self._fused,
        }

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        self._above += 1
        try:
            return self._seen(func, args, kwargs)
        finally:
            self._above -= 1

    def _seen(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self._scopes:
            result = func(*args, **kwargs)
            inner = self._scopes[-1].inner.get(func)
            if inner is not None:
                self.attempt("looking inside torch.nn's attention", inner, result, *args, **kwargs)
            if self.ledger is not None:
                self.attempt(_FOLLOWING, self.ledger.note, func, args, kwargs, result)
            return result
        name = name_of(func)
        handler = self._flex if is_flex(func) else self._handlers.get(func)
        if handler is None and name == "scaled_dot_product_attention":  # an exported program's
            handler = self._scaled_dot_product
        if self._is_transformed(args, handler is not None or name in PRODUCTS):
            return func(*args, **kwargs)
        if handler is not None:
            return handler(func, args, kwargs)
        if name in ADDS_IN_PLACE:
            self.attempt(_FOLLOWING, self.lineage.before, name, args)
        result = func(*args, **kwargs)
        if name in WRITES:
            self.attempt(_FOLLOWING, self._write, name, func, args, kwargs)
        elif isinstance(result, (Tensor, tuple, list)) and type(result) is not torch.Size:
            self.attempt(_FOLLOWING, self.follow, name, func, args, kwargs, result)
        return result

    def below(self) -> Below:
        """Return a mode that sees what compiled code runs, for models that hold some."""

        def follow(name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
            if isinstance(result, (Tensor, tuple, list)):
                self.attempt(_FOLLOWING, self.follow, name, func, args, kwargs, result)

        def kernel(name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
            named, began = kernel_arguments(func, args, kwargs), self.lineage.tick()
            self.attempt(f"recording {name}", self._record_kernel, (), named, began, result[0])

        return Below(lambda: self._above > 0, follow, kernel)

    def _is_transformed(self, args: tuple[Any, ...], matters: bool) -> bool:
        """Whether a transform of torch.func (vmap, grad) makes these arguments: they cannot be kept."""
        first = args[0] if args else None
        if not isinstance(first, Tensor) or not _is_wrapped(first):
            return False
        if matters and _TRANSFORMED not in self.problems:
            self.problems.append(_TRANSFORMED)
        return True

    def attempt(self, doing: str, work: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Run side work; a failure is noted, never passed on (unless strict, or labels do not fit)."""
        try:
            with unseen():
                return work(*args, **kwargs)
        except LabelError:  # the caller's own
            raise
        except Exception as error:  # whatever goes wrong here must not reach the user's forward
            if self.options.strict:
                raise CaptureError(f"{doing} failed: {type(error).__name__}: {error}") from error
            where = self.names.running()[0] or "the model itself"
            note = f"{doing} failed in {where}: {type(error).__name__}: {error}"
            if note not in self.problems:
                self.problems.append(note)
            return None

    def follow(
        self, name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any
    ) -> None:
        """Note what one function did to states, scores and weights."""
        began, state = self.lineage.tick(), self.lineage.state
        with torch.no_grad():
            self.places.follow(name, func, args, kwargs, result)
            meeting = self.grids.follow(name, func, args, kwargs, result)
            self.lineage.after(name, func, args, kwargs, result)
            self._project(name, args, kwargs, result)
            self.nested.follow(name, args, result)
        if meeting is not None:
            mark = self.calls.record_meeting(meeting, result, began)
            self.tape.restart(result, mark)
        elif self.lineage.state is not state and self.lineage.state is not None:
            self.tape.restart(self.lineage.state, self.lineage.mark(self.lineage.state))
        else:
            self.tape.note(func, args, kwargs, result)
        if self.ledger is not None:
            self.ledger.note(func, args, kwargs, result)

    def _write(self, name: str, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        with torch.no_grad():
            self.places.write(name, func, args, kwargs)
            self.lineage.wrote(args, kwargs)
            if self.ledger is not None and args:
                self.ledger.clobber(args[0])

    def _project(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        """See the output projection of a call: the first learned map on what its heads gave."""
        inputs = list(tensors_in((*args, *kwargs.values())))
        place = 1 if name == "addmm" else 0
        if name not in ("linear", "addmm", "matmul", "conv1d", "conv2d") or len(inputs) <= place + 1:
            return
        branch, weight = inputs[place], inputs[place + 1]
        mark = self.lineage.mark(branch)
        if mark is None or mark.role != "branch" or not self.places.is_fixed(weight):
            return
        self.lineage.put(result, replace(mark, time=self.lineage.tick()))
        features, seen = self.lineage.features(branch), self.recorder.calls[mark.call]
        if features is None or seen.value is None or features.numel() == 0:
            return
        run, shape = (seen.origin.path, seen.origin.frame), seen.value.shape
        axis = 1 if name.startswith("conv") else -1
        if name.startswith("conv"):
            weight = weight.flatten(1) if weight.shape[2:].numel() == 1 else weight.new_empty(0, 0)
        elif name != "linear":
            weight = weight.t() if weight.dim() == 2 else weight.new_empty(0, 0)
        order = features.movedim(axis, -1).reshape(-1, features.shape[axis])[0].long()
        whole = torch.equal(order.sort().values, torch.arange(len(order), device=order.device))
        if weight.dim() == 2 and weight.shape[1] == len(order) and whole:
            columns = weight[:, torch.argsort(order).to(weight.device)]
            for one in self.recorder.calls:  # queries taken in chunks: the same projection for all
                same_run = (one.origin.path, one.origin.frame) == run
                if same_run and one.value is not None and one.value.shape == shape:
                    one.project(columns)

    # torch.nn.functional.multi_head_attention_forward

    def _multi_head(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        scope, began = Scope(), self.lineage.tick()
        function = open_copy(func)
        if function is func:
            self.problems.append(
                "torch.nn.functional.multi_head_attention_forward has no Python code to look into"
            )
            return func(*args, **kwargs)
        named = self.attempt("reading torch.nn's arguments", bound, func, args, kwargs)
        if named is not None:
            scope.met = lambda: self.attempt(
                "recording torch.nn's attention", self._record_multi_head, named, scope, began
            )
        self._scopes.append(scope)
        try:
            with self:
                result = function(*args, **kwargs)
        finally:
            self._scopes.pop()
            scope.met = None  # it holds the scope, and with it tensors
        self.attempt("recording torch.nn's attention", self._end_multi_head, named, scope, result[0])
        return result

    def _record_multi_head(self, named: dict[str, Any], scope: Scope, began: int) -> None:
        query, key = named["query"], named["key"]
        is_batched = query.dim() == 3
        rows, value, mixed = unfold(scope, query.shape[1] if is_batched else 1)
        ends = [self._places_first(t, is_batched) for t in (query, key)]
        found = Found(
            "sdpa" if isinstance(rows, Scores) else "written", rows, value, None if scope.drops else mixed,
            (ends[0], ends[1]), (self.lineage.newest_call([query]), self.lineage.newest_call([key])),
            is_alike=same_sequence(query, key, named["value"]),
            padded_keys=padded_of(named["key_padding_mask"]), projection=named["out_proj_weight"],
            extra_keys=rows.shape[3] - key.shape[0], live=live_of(scope, mixed.shape),
            vectors=scope.vectors(rows.shape[0]) if self.options.vectors else None,
        )  # fmt: skip
        scope.recorded = *self.calls.record(found, began), ends[0]

    def _end_multi_head(self, named: dict[str, Any] | None, scope: Scope, output: Tensor) -> None:
        if named is None:
            return
        if scope.recorded is None:
            if scope.rows is None:
                raise RuntimeError("torch.nn's attention ran without a softmax that headscape knows")
            return
        seen, meet, codes = scope.recorded
        made = seen.origin.standing
        if codes is None and made.row_codes is not None:
            codes = torch.as_tensor(made.row_codes, dtype=torch.int32, device=output.device)
        if codes is not None:
            codes = codes.t() if named["query"].dim() == 3 else codes[0]
            self.places.put(output, codes.unsqueeze(-1).expand(output.shape))
        self.tape.restart(output, self.calls.begin(seen, meet, output, None, "branch"))

    def _places_first(self, state: Tensor, is_batched: bool) -> Tensor | None:
        """Return (batch, token) places of a state whose first axis is the tokens."""
        codes = None if self.places.is_fixed(state) else self.places.rows(state)
        if codes is None:
            return None
        return codes.t() if is_batched else codes.unsqueeze(0)

    # torch.nn.functional.scaled_dot_product_attention, called by the model itself

    def _scaled_dot_product(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        began = self.lineage.tick()
        result = func(*args, **kwargs)
        self.attempt(
            "recording scaled_dot_product_attention", self._record_kernel, args, kwargs, began, result
        )
        return result

    def _record_kernel(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], began: int, result: Tensor
    ) -> None:
        with aside(result.device):
            arguments = Arguments.of(args, kwargs)
            mark = self.calls.record_scores(arguments, result, began)
        self.tape.restart(result, mark)

    def _flex(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        began = self.lineage.tick()
        result = func(*args, **kwargs)
        self.attempt("recording flex_attention", self._record_flex, args, kwargs, began, result[0])
        return result

    def _record_flex(self, args: tuple[Any, ...], kwargs: dict[str, Any], began: int, result: Tensor) -> None:
        with aside(result.device):
            mark = self.calls.record_scores(read_flex(args, kwargs), result, began, "flex")
        self.tape.restart(result, mark)

    # torch.nn's fused fast paths

    def _fused(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        began, is_layer = self.lineage.tick(), func is _FUSED_LAYER
        inside = Inside(with_factors=self.options.vectors, with_states=self.options.states)
        with inside:
            result = func(*args, **kwargs)
        layer = FusedLayer.of(args, kwargs, is_layer=is_layer)
        output = result if is_layer else result[0]
        self.attempt(
            "recording a fused encoder layer",
            self._record_fused,
            layer,
            inside.parts,
            began,
            output,
            is_layer,
        )
        return result

    def _record_fused(
        self, layer: FusedLayer, parts: Parts, began: int, result: Tensor, is_layer: bool
    ) -> None:
        src = layer.named["src"]
        with aside(src.device):
            codes, lengths, full = self.nested.places(src)
            batch, heads = src.size(0), layer.named["num_heads"]
            mask, padded = layer.mask_and_padding(batch, full) if lengths is None else (None, None)
            if lengths is not None:
                padded = torch.arange(full, device=src.device)[None, :] >= lengths[:, None]
                mask = ~padded.view(batch, 1, 1, full)
            rows, value, mixed = read_parts(
                parts, mask, (batch, heads, layer.named["embed_dim"] // heads, full)
            )
            follows = self.lineage.newest_call([src])
            found = Found(
                "fused", rows, value, mixed, (codes, codes), (follows, follows), is_alike=True,
                suffix="self_attn" if is_layer else "", padded_keys=padded,
                projection=layer.named["proj_weight"], vectors=parts.vectors(batch, full),
            )  # fmt: skip
            seen, meet = self.calls.record(found, began)
            if is_layer:
                note_sums(parts, seen.flow, seen.arrays.padded)
                if seen.states is not None:
                    seen.states.take_fused(parts.summed, layer.named)
        if not result.is_nested:
            self.places.put(result, None if codes is None else codes.unsqueeze(-1).expand(result.shape))
        else:
            self.nested.put(result, codes, full)
        mark = self.calls.begin(seen, meet, result, None, "stream" if is_layer else "branch")
        self.tape.restart(result, mark)


def read_parts(
    parts: Parts, mask: Tensor | None, shape: tuple[int, int, int, int]
) -> tuple[Scores | Written, Tensor, Tensor | None]:
    """Return rows, values and what they gave, of what was seen inside a fused call.

    ``shape`` is (batch, head, width, token): nested examples are padded to it.
    """
    batch, heads, width, full = shape
    mixed = parts.mixed
    if parts.weights is not None and parts.value is not None and mixed is not None:
        missing = full - parts.weights.shape[2]
        weights, value = parts.weights, parts.value
        if missing:
            weights = F.pad(weights, (0, missing, 0, missing))
            value, mixed = (F.pad(t, (0, 0, 0, missing)) for t in (value, mixed))
        return Written(weights, mask), value, mixed
    if parts.kernel is None and not batch:
        nothing = torch.zeros(0, heads, full, full, device="cpu")
        return Written(nothing), torch.zeros(0, heads, full, width, device="cpu"), None
    if parts.kernel is None or mixed is None:
        raise RuntimeError("torch's fused kernel ran without weights or a kernel that headscape knows")
    query, key, value = parts.kernel[:3]
    return Scores(query, key, mask, scale=parts.kernel_options.get("scale")), value, mixed


def note_sums(parts: Parts, flow: Any, padded: Any) -> None:
    """Fill in the norms of the two sums of an encoder layer: attention + residual, feed-forward + stream."""
    for (part, state), rows in zip(parts.sums[:2], ((1, 0), (3, 2)), strict=False):
        for norms, row in ((part, rows[0]), (state, rows[1])):
            length = min(norms.shape[1], flow.shape[2])
            flow[:, row, :length] = norms.cpu().numpy()[:, :length]
            flow[:, row][padded] = float("nan")


def same_sequence(query: Tensor, key: Tensor, value: Tensor) -> bool:
    """Whether queries and keys stand for the same tokens."""
    if query is key or query is value:
        return True
    return query.shape == key.shape and torch.equal(query.detach(), key.detach())
