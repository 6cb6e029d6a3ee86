"""What was seen in one pass, call by call, within a stated budget of memory."""

from collections.abc import Callable
from dataclasses import dataclass, field, fields, replace
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from torch import Tensor

from headscape.errors import expect_option
from headscape.intercept.keeping import Keeping
from headscape.intercept.plain_rows import blocks_of
from headscape.intercept.rows import (
    OutputCheck,
    Scores,
    Written,
    aside,
    forbids,
    value_norms,
    weights_of,
)
from headscape.intercept.stream import gather
from headscape.trace.call import TOP_K, CallArrays
from headscape.trace.measure import Facts, keep_top

# With keep="auto" the weights of one pass are kept whole up to this many bytes, and as top k beyond it:
# 12 layers x 12 heads x 482 tokens fit.
DENSE_LIMIT_BYTES = 128 * 1024 * 1024

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
    """Where a call stands in the model, and what is known of it beside its scores."""

    path: str
    source: str
    kind: str
    query_from: int  # newest call the queries follow, -1 for none
    key_from: int
    padded_keys: Tensor | None = None  # (batch, key) bool, where the model was told
    value: Tensor | None = None  # (batch, head, key, width)
    projection: Tensor | None = None  # (output, head * width)
    extra_keys: int = 0  # keys that no token stands behind (bias_k, zero attention)


@dataclass
class Seen:
    """One recorded call, before sides and planes are known."""

    origin: Origin
    shape: tuple[int, int, int, int]
    arrays: CallArrays
    flow: npt.NDArray[np.float32]
    self_check: float = float("nan")
    nan_rows: int = 0
    half: bool = False  # computed in less than float32
    size: float = 1.0  # largest number in the output that the self-check compares
    value: Tensor | None = field(default=None, repr=False)  # waits for its output projection

    def spoil(self, rows: npt.NDArray[np.bool_]) -> None:
        """Mark rows, (batch, query) bool, that came out as NaN in the model's own kernel."""
        example, query = np.nonzero(rows)
        for array in (self.arrays.weights, self.arrays.entropy, self.arrays.distance, self.arrays.largest):
            array[example, :, query] = np.nan
        self.nan_rows += self.shape[1] * len(query)

    def project(self, projection: Tensor) -> None:
        """Work out the value norms once the output projection is known."""
        if self.value is not None:
            self.arrays = replace(self.arrays, value_norms=value_norms(self.value, projection))
            self.value = None


class Recorder:
    """Collects the calls of one pass."""

    def __init__(self, options: Options) -> None:
        self.options = options
        self.calls: list[Seen] = []
        self._bytes = 0
        self._over = False

    def record(
        self,
        rows: Scores | Written,
        origin: Origin,
        watch: OutputCheck | Callable[[int, Tensor], None] | None = None,
    ) -> Seen:
        """Work out one call's rows and keep what was asked for; ``watch`` gets every block of weights."""
        device = rows.query.device if isinstance(rows, Scores) else rows.weights.device
        shape = rows.shape
        with aside(device):
            padded, padded_keys = self._padding(rows, origin)
            norms = None
            if self.options.values and origin.value is not None and origin.projection is not None:
                norms = value_norms(origin.value, origin.projection)
            flow = np.full((shape[0], 4, shape[2]), np.nan, np.float32)
            facts = Facts(padded, padded_keys, norms, flow)
            arrays = gather(rows, self._keeping(shape), facts)
            if isinstance(watch, OutputCheck):
                watch.look(rows)
            elif watch is not None:
                for here in blocks_of(shape[0] * shape[1], shape[2], shape[3]):
                    watch(here.start, weights_of(rows, here)[0])
        seen = Seen(origin, shape, arrays, flow)
        broken = np.isnan(arrays.entropy) & (arrays.visible > 0)
        if arrays.keys is None and isinstance(rows, Written):  # rows hidden from all keys may hold NaN
            broken |= np.isnan(arrays.weights).any(-1)
        seen.nan_rows = int((broken & ~padded[:, None]).sum())
        if self.options.values and origin.projection is None:
            seen.value = None if origin.value is None else origin.value.detach()
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
        if self.options.keep == "auto" and seen.arrays.keys is not None and not self._over:
            self._over = True  # one trace, one form: what was kept whole before is cut too
            for earlier in self.calls:
                earlier.arrays = keep_top(earlier.arrays, TOP_K)

    def _padding(
        self, rows: Scores | Written, origin: Origin
    ) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
        batch, _, query, key = rows.shape
        if origin.padded_keys is not None:
            known = origin.padded_keys.detach().cpu().numpy().astype(bool)
            keys = np.zeros((batch, key), bool)
            keys[:, : known.shape[1]] = known
        else:
            keys = hidden_keys(rows.mask, rows.shape)
        if origin.kind == "self" and query == key - origin.extra_keys:
            return keys[:, :query].copy(), keys
        earlier = self.calls[origin.query_from].arrays.padded if origin.query_from >= 0 else None
        if earlier is not None and earlier.shape == (batch, query):
            return earlier.copy(), keys
        return np.zeros((batch, query), bool), keys


def hidden_keys(mask: Tensor | None, shape: tuple[int, int, int, int]) -> npt.NDArray[np.bool_]:
    """Return which keys no query of any head may see, (batch, key) bool: padding, as far as a mask tells."""
    batch, _, query, key = shape
    if mask is None:
        return np.zeros((batch, key), bool)
    hidden = forbids(mask)
    while hidden.dim() < 4:
        hidden = hidden.unsqueeze(0)
    if hidden.shape[-2] not in (1, query):
        return np.zeros((batch, key), bool)
    found: npt.NDArray[np.bool_] = hidden.all(dim=2).all(dim=1).expand(batch, key).cpu().numpy()
    return found.copy()
