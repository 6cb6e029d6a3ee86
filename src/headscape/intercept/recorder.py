"""What was seen in one pass, call by call, within a stated budget of memory."""

import weakref
from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from torch import Tensor

from headscape.errors import expect_option
from headscape.intercept.factors import Vectors
from headscape.intercept.gradients import Backward, Live
from headscape.intercept.keeping import Keeping
from headscape.intercept.rows import OutputCheck, Scores, Written, aside, forbids, value_norms
from headscape.intercept.settle import Standing
from headscape.intercept.states import States, numbers
from headscape.intercept.stream import gather
from headscape.trace.call import TOP_K, CallArrays
from headscape.trace.measure import Facts, keep_top

# With keep="auto" the weights of one pass are kept whole up to this many bytes, and as top k beyond it:
# 12 layers x 12 heads x 482 tokens fit.
DENSE_LIMIT_BYTES = 128 * 1024 * 1024

# Whether gradients come ("" = they do, or nobody asked), or why not.
GradientState = Literal["", "no graph", "dropped", "pieces"]
Keep = Literal["auto", "all"] | int | dict[str, float]


@dataclass(frozen=True)
class Options:
    """What a capture was asked for; see :func:`headscape.capture`."""

    tokens: Any = None
    keep: Keep = "auto"
    values: bool = True
    classes: tuple[str, ...] | None = None
    patches: Any = None
    strict: bool = False
    gradients: bool = False
    vectors: bool = False
    states: bool = False

    @classmethod
    def named(cls, owner: str, also: tuple[str, ...] = (), **given: Any) -> "Options":
        """Build options from keywords of ``owner``; a misspelt one is answered with what there is.

        ``also`` names options that the owner takes itself.
        """
        known = [*also, *(f.name for f in fields(cls))]
        for name in given:
            expect_option(owner, "option", name, known)
        if given.get("classes") is not None:
            given["classes"] = tuple(str(name) for name in given["classes"])
        return cls(**given)

    def __post_init__(self) -> None:
        if self.keep != "auto":
            Keeping.of(self.keep)


@dataclass(frozen=True)
class Origin:
    """Where a call stands in the model, and what is known of it beside its scores.

    Tensors are laid out as (group, head, ...), see :class:`headscape.intercept.layout.Layout`.
    """

    path: str
    source: str
    kind: str
    query_from: int  # newest call the queries follow, -1 for none
    key_from: int
    standing: Standing
    frame: int = 0  # which run of the module's forward made it
    padded_keys: Tensor | None = None  # (group, key) bool, where the model was told
    value: Tensor | None = None  # (group, head, key, width)
    projection: Tensor | None = None  # (output, head * width)
    extra_keys: int = 0  # keys that no token stands behind (bias_k, zero attention)
    pieces: bool = False  # a factor of a product of several matrices
    has_own_rows: bool = False  # each head has rows of other tokens
    of_pieces: int = 1  # how many calls of one run of the module stand beside it
    bend: str = ""  # what made weights of scores, in code written by hand


@dataclass
class Seen:
    """One recorded call, before sides and planes are known."""

    origin: Origin
    shape: tuple[int, int, int, int]
    arrays: CallArrays
    self_check: float = float("nan")
    nan_rows: int = 0
    half: bool = False  # computed in less than float32
    size: float = 1.0  # largest number in the output that the self-check compares
    largest_sum: float = 1.0  # largest sum of a row of weights
    scale: float | None = None  # of products of vectors
    value: Tensor | None = field(default=None, repr=False)  # waits for its output projection
    gradients: GradientState = ""
    backward: Callable[[], Backward | None] = lambda: None  # a weak reference: the graph holds it
    states: States | None = field(default=None, repr=False)
    place: tuple[int, int] = (0, 0)  # which call of the trace it is (a part of), and its first head there

    @property
    def flow(self) -> npt.NDArray[np.float32]:
        """Norms of what meets, (example, 4, row); filled while the pass goes on."""
        return self.arrays.flow

    def project(self, projection: Tensor) -> None:
        """Work out the value norms once the output projection, (output, head * width), is known."""
        if self.states is not None and self.states.projection is None:
            self.states.projection = numbers(projection)
        if self.value is None:
            return
        standing, value = self.origin.standing, self.value
        groups = projection.shape[1] // max(1, value.shape[1] * value.shape[3])
        norms = value_norms(value.repeat_interleave(groups, dim=1) if groups > 1 else value, projection)
        self.arrays = replace(
            self.arrays, value_norms=norms if standing.is_plain else standing.spread_keys(norms)
        )
        self.value = None


class Recorder:
    """Collects the calls of one pass."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.calls: list[Seen] = []
        self._padded: dict[int, npt.NDArray[np.bool_]] = {}  # space -> (example, token)
        self._bytes = 0
        self._over = False

    def record(
        self,
        rows: Scores | Written,
        origin: Origin,
        check: OutputCheck | None = None,
        live: Live | Literal["dropped"] | None = None,
        vectors: Vectors | None = None,
    ) -> Seen:
        """Work out one call's rows and keep what was asked for."""
        standing, shape = origin.standing, rows.shape
        with aside(rows.device):
            padded, padded_keys = self._padding(rows, origin)
            norms = None
            if self.options.values and origin.value is not None and origin.projection is not None:
                norms = value_norms(origin.value, origin.projection)
            flow = np.full((shape[0], 4, shape[2]), np.nan, np.float32)
            where = (None, None) if standing.is_plain and standing.rows == shape[3] else standing.positions()
            arrays = gather(rows, self._keeping(shape), Facts(padded, padded_keys, norms, flow, *where))
            if check is not None:
                check.look(rows, arrays.largest)
        raw = arrays
        if not standing.is_plain:
            arrays = standing.spread(arrays)
            shape = (arrays.flow.shape[0], shape[1], arrays.flow.shape[2], standing.key_space.length)
        if vectors is not None:
            query, key = vectors.settled(standing, shape[1])
            arrays = replace(arrays, query_vectors=query, key_vectors=key)
        seen = Seen(origin, shape, arrays, scale=None if vectors is None else vectors.scale)
        if self.options.gradients:
            self._await_backward(seen, live, raw)
        broken = np.isnan(arrays.entropy) & (arrays.visible > 0)
        if arrays.keys is None and isinstance(rows, Written):  # rows hidden from all keys may hold NaN
            broken |= np.isnan(arrays.weights).any(-1)
        seen.nan_rows = int((broken & ~arrays.padded[:, None]).sum())
        if check is not None:
            seen.self_check, seen.size = check.largest, check.size
        if arrays.weights.size:
            with np.errstate(invalid="ignore", divide="ignore"):
                seen.largest_sum = float(
                    np.nanmax(np.nan_to_num(arrays.weights).sum(-1) / arrays.kept, initial=0)
                )
        if self.options.states and origin.value is not None:
            seen.states = States((shape[0], shape[2]))
            seen.states.keep_values(origin.value, standing)
            if origin.projection is not None:
                seen.states.projection = numbers(origin.projection)
        if self.options.values and origin.projection is None:
            seen.value = None if origin.value is None else origin.value.detach()
        # A view of the values keeps all of a block's projections alive: let go of it.
        seen.origin = replace(origin, value=None, projection=None)
        self.calls.append(seen)
        self._count(seen)
        return seen

    def _keeping(self, shape: tuple[int, int, int, int]) -> Keeping:
        if self.options.keep != "auto":
            return Keeping.of(self.options.keep)
        size = 4 * shape[0] * shape[1] * shape[2] * shape[3]
        cut = self._over or self._bytes + size > DENSE_LIMIT_BYTES
        return Keeping.of(TOP_K if cut else "all")

    def _count(self, seen: Seen) -> None:
        self._bytes += seen.arrays.weights.nbytes
        cut = seen.arrays.keys is not None and seen.origin.standing.is_plain
        if self.options.keep == "auto" and cut and not self._over:
            self._over = True  # one trace, one form: what was kept whole before is cut too
            for earlier in self.calls:
                earlier.arrays = keep_top(earlier.arrays, TOP_K)
                backward = earlier.backward()
                if backward is not None:
                    backward.aim(earlier.arrays)

    def _await_backward(self, seen: Seen, live: Live | Literal["dropped"] | None, raw: CallArrays) -> None:
        """Have the call's gradients filled in when a backward pass reaches its output."""
        arrays = replace(seen.arrays, gradient=np.full_like(seen.arrays.weights, np.nan))
        if live == "dropped":
            seen.gradients, seen.arrays = "dropped", arrays
            return
        origin, strict = seen.origin, self.options.strict
        if live is None or origin.value is None or not live.output.requires_grad:
            seen.gradients = "no graph"
        else:
            where = origin.path or "the model itself"
            backward = Backward(where, origin.value, live.lay, origin.standing, raw, arrays, strict=strict)
            live.output.register_hook(backward)  # type: ignore[no-untyped-call]
            seen.arrays, seen.backward = arrays, weakref.ref(backward)

    def _padding(
        self, rows: Scores | Written, origin: Origin
    ) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        """Return which rows, (group, query), and which keys, (group, key), are padding."""
        group, _, query, key = rows.shape
        standing = origin.standing
        if origin.padded_keys is not None:
            known = origin.padded_keys.detach().cpu().numpy().astype(bool)
            keys = np.zeros((group, key), bool)
            keys[:, : known.shape[1]] = known
        else:
            keys = hidden_keys(rows.mask, rows.shape)
        if standing.order.shape[1] == 1 and not origin.extra_keys:
            at = standing.spread_keys(keys)
            self._padded.setdefault(standing.key_space.number, at)
        if origin.kind == "self" and query == key - origin.extra_keys:
            return keys[:, :query].copy(), keys
        told = self._padded.get(standing.query_space.number)
        if told is None or len(told) != len(standing.order):
            return np.zeros((group, query), bool), keys
        at = np.maximum(standing.queries, 0)
        found = np.stack([one[where] for one, where in zip(told, at, strict=True)]).reshape(group, query)
        return found[np.argsort(standing.order.reshape(-1))], keys


def hidden_keys(mask: Tensor | None, shape: tuple[int, int, int, int]) -> npt.NDArray[np.bool_]:
    """Return which keys no query of any head may see, (group, key) bool: padding, as far as a mask tells."""
    group, _, query, key = shape
    if mask is None:
        return np.zeros((group, key), bool)
    hidden = forbids(mask)
    while hidden.dim() < 4:
        hidden = hidden.unsqueeze(0)
    if hidden.shape[-2] not in (1, query):
        return np.zeros((group, key), bool)
    found: npt.NDArray[np.bool_] = hidden.all(dim=2).all(dim=1).expand(group, key).cpu().numpy()
    return found.copy()
