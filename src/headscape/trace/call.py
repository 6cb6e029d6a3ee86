"""One execution of attention in a forward pass."""

from dataclasses import dataclass, field, fields
from typing import TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from headscape.errors import NotKeptError, OptionError, expect_index
from headscape.trace.listing import select_top, spread_rows
from headscape.trace.states import CallStates, StateArrays
from headscape.trace.stats import CallStats, TokenFlow

Floats: TypeAlias = npt.NDArray[np.float32]
Ints: TypeAlias = npt.NDArray[np.int32]
Flags: TypeAlias = npt.NDArray[np.bool_]

# Share of a row's attention that rounding may take from a list of all its keys.
WHOLE_MASS = 1e-5
TOP_K = 16  # keys a row keeps when nobody says how many


@dataclass(frozen=True, eq=False, repr=False)
class CallArrays:
    """The stored arrays of one call; all share the leading batch axis.

    ``weights`` is (batch, head, query, key) when ``keys`` is None, else (batch, head, query, k) beside
    ``keys`` (int32, -1 = none). ``value_norms`` is (batch, head, key) or None. ``flow`` is
    (batch, 4, query): residual, attention, stream, feed-forward. ``gradient`` is laid out as ``weights``, or
    None where it was not asked for; it is NaN until a backward pass fills it in. ``query_vectors`` (batch,
    head, query, width) and ``key_vectors`` (batch, head, key, width) are None where they were not.
    """

    weights: Floats
    keys: Ints | None
    kept: Floats
    visible: Ints
    padded: Flags
    padded_keys: Flags
    value_norms: Floats | None
    flow: Floats
    entropy: Floats
    distance: Floats
    first_key: Floats
    largest: Floats
    received: Floats
    gradient: Floats | None = None
    query_vectors: Floats | None = None
    key_vectors: Floats | None = None

    def __repr__(self) -> str:
        shapes = (f"{name} {array.shape}" for name, array in self.present().items())
        return f"CallArrays({', '.join(shapes)})"

    @property
    def is_whole(self) -> bool:
        """Whether every weight above 0 is there; see ``AttentionCall.is_whole``."""
        if self.keys is None:
            return True
        # Where a rule cut some rows shorter than others, a list may be long enough and still leave keys out.
        short = (self.keys >= 0).sum(-1) < self.visible
        return int(self.visible.max(initial=0)) <= self.weights.shape[-1] and not bool(
            (short & (self.kept < 1 - WHOLE_MASS)).any()
        )

    def present(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return the arrays that are there, by field name."""
        found = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: array for name, array in found.items() if array is not None}


@dataclass(frozen=True, eq=False)
class AttentionCall:
    """One execution of attention.

    Attributes
    ----------
    path : str
        Dotted name of the module, as in ``model.named_modules()``.
    site : str
        ``path``, with ``#n`` behind it when the module ran n times before in this pass.
    layer : int
        Place in the order of execution, from 0.
    kind : str
        ``"self"`` or ``"cross"``.
    source : str
        How it was seen: ``"sdpa"`` (scaled_dot_product_attention's arguments), ``"fused"`` (torch.nn's
        fast path, worked out from its arguments), ``"written"`` (the very matrix that met the values).
    query_side, key_side : int
        Which of ``trace.sides`` the rows and the columns belong to.
    plane : int
        Plane of the query side in which the call acts (0 is the first).
    shape : tuple of int
        (batch, head, query, key).
    self_check : float
        Largest absolute difference between weights times values, worked out again on sampled rows, and what
        the model's own code gave; NaN where the two could not be compared (dropout).
    nan_rows : int
        Rows that hold NaN. They stay NaN here and are left out of graphs and pictures.
    scale : float or None
        What products of :meth:`query_vectors` and :meth:`key_vectors` are multiplied with; None where vectors
        were not captured, or where it is not one number.
    """

    path: str
    site: str
    layer: int
    kind: str
    source: str
    query_side: int
    key_side: int
    plane: int
    shape: tuple[int, int, int, int]
    arrays: CallArrays = field(repr=False)
    self_check: float = float("nan")
    nan_rows: int = 0
    scale: float | None = None
    state_arrays: StateArrays | None = field(default=None, repr=False)

    @property
    def k(self) -> int | None:
        """How many keys each row kept; None where all were kept."""
        return None if self.arrays.keys is None else int(self.arrays.weights.shape[-1])

    @property
    def is_whole(self) -> bool:
        """Whether every weight above 0 was kept: the matrix itself, or lists of keys that leave none out."""
        return self.arrays.is_whole

    @property
    def has_values(self) -> bool:
        """Whether value norms were captured, so that contributions are known."""
        return self.arrays.value_norms is not None

    @property
    def has_vectors(self) -> bool:
        """Whether query and key vectors were captured."""
        return self.arrays.query_vectors is not None and self.arrays.key_vectors is not None

    @property
    def stats(self) -> CallStats:
        """Exact statistics over all keys, for the whole batch."""
        a = self.arrays
        return CallStats(a.entropy, a.distance, a.first_key, a.largest, a.received)

    def _example(self, example: int) -> int:
        return expect_index(f"call {self.site or '(root)'}", "example", example, self.shape[0])

    def weights(self, example: int = 0) -> Floats:
        """Attention weights after softmax and before dropout.

        Returns
        -------
        (head, query, key) float32 array
            Rows of padded queries are zero; rows the model made NaN stay NaN.

        Raises
        ------
        NotKeptError
            Only the top k keys of each row were kept.
        """
        if self.arrays.keys is not None and self.is_whole:
            return spread_rows(*self.top(example), self.shape[3])
        if self.arrays.keys is not None:
            raise NotKeptError(
                f"{self.site} kept the top {self.k} of {self.shape[3]} keys in each row, not the matrix. "
                'Use call.top() and call.kept_mass(), or capture with keep="all".'
            )
        return _one(self.arrays.weights, self._example(example))

    def top(self, example: int = 0, k: int | None = None) -> tuple[Ints, Floats]:
        """Largest weights of each row, falling; ties in order of key.

        Parameters
        ----------
        example : int
            Which example of the batch.
        k : int, optional
            How many. Default: what was kept, or 16 (fewer if there are fewer keys) where all was kept.

        Returns
        -------
        keys : (head, query, k) int32 array
            -1 where the row has no further key.
        weights : (head, query, k) float32 array
            0 where there is no key.

        Raises
        ------
        NotKeptError
            More were asked for than were kept.
        """
        index = self._example(example)
        if self.arrays.keys is not None:
            kept = self.arrays.weights.shape[-1]
            if k is not None and k > kept:
                raise NotKeptError(f"{self.site} kept {kept} keys a row, not {k}. Capture with keep={k}.")
            return self.arrays.keys[index, ..., :k], self.arrays.weights[index, ..., :k]
        k = min(TOP_K if k is None else k, self.shape[3])
        if k < 1:
            raise OptionError(f"top() was asked for {k} keys a row; ask for at least 1.")
        return select_top(self.arrays.weights[index], k)

    def weight(self, head: int | None, query: int, key: int, example: int = 0) -> float:
        """Return one weight, 0 to 1; NaN where it was not kept. ``head=None``: the mean over heads."""
        a, index = self.arrays, self._example(example)
        heads = (
            list(range(self.shape[1]))
            if head is None
            else [expect_index("call", "head", head, self.shape[1])]
        )
        row = expect_index("call", "query", query, self.shape[2])
        column = expect_index("call", "key", key, self.shape[3])
        if a.keys is None:
            return float(a.weights[index, heads, row, column].mean())
        is_here = a.keys[index, heads, row] == column
        found = np.where(is_here, a.weights[index, heads, row], 0).sum(-1)
        return float(np.where(is_here.any(-1) | self.is_whole, found, np.nan).mean())

    def kept_mass(self, example: int = 0) -> Floats:
        """Share of each row's attention that the kept edges hold, (head, query) float32, 0 to 1.

        1 (within rounding) where everything was kept, 0 for padded queries.
        """
        return _one(self.arrays.kept, self._example(example))

    def value_norms(self, example: int = 0) -> Floats:
        """Norm of each key's value after the head's part of the output projection, (head, key) float32.

        Raises
        ------
        NotKeptError
            Values were not captured.
        """
        if self.arrays.value_norms is None:
            raise NotKeptError(
                f"{self.site} has no values: they were not asked for, or the output projection is not known. "
                "Capture with values=True; trace.warnings says where that was not possible."
            )
        return _one(self.arrays.value_norms, self._example(example))

    def contribution(self, example: int = 0) -> Floats:
        """Norm of what each edge adds to the residual stream: ``|| weight * v_j W_O ||`` per head.

        Returns
        -------
        float32 array
            Laid out as :meth:`weights` where all was kept, else as the weights of :meth:`top`.

        Raises
        ------
        NotKeptError
            Values were not captured.
        """
        norms = self.value_norms(example)
        if self.arrays.keys is None:
            return _one(self.arrays.weights, self._example(example)) * norms[:, None, :]
        keys, weights = self.top(example)
        heads = np.arange(norms.shape[0])[:, None, None]
        return weights * np.where(keys < 0, np.float32(0), norms[heads, keys])

    def gradient(self, example: int = 0) -> Floats:
        """Gradient of the loss with respect to each weight, summed over the backward passes so far.

        Returns
        -------
        float32 array
            Laid out as :meth:`weights` where every weight was kept, else as the weights of :meth:`top`. 0
            where there is no edge (a weight of exactly 0).

        Raises
        ------
        NotKeptError
            Gradients were not asked for, or no backward pass has filled them in.
        """
        found, where = self.arrays.gradient, self.site or "the model itself"
        if found is None:
            raise NotKeptError(
                f"{where} has no gradients: they were not asked for, or its output takes part in no graph. "
                "Capture with gradients=True while gradients are enabled; trace.warnings says where that "
                "was not possible."
            )
        if found.size and np.isnan(found).all():
            raise NotKeptError(
                f"no gradient has reached {where}: call loss.backward() on this pass's output first. Where "
                "dropout acts on the weights they stay unknown; trace.warnings says so."
            )
        one = _one(found, self._example(example))
        if self.arrays.keys is None or not self.is_whole:
            return one
        return spread_rows(self.arrays.keys[example], one, self.shape[3])

    def query_vectors(self, example: int = 0) -> Floats:
        """Vectors of the queries as they met the keys, (head, query, width) float32.

        Rotary embeddings, norms and whatever else the model does to them are in them. Their products with
        :meth:`key_vectors`, times ``scale``, are the scores before masks and biases.

        Raises
        ------
        NotKeptError
            Vectors were not captured.
        """
        return _one(self._vectors(self.arrays.query_vectors), self._example(example))

    def key_vectors(self, example: int = 0) -> Floats:
        """Vectors of the keys as they met the queries, (head, key, width) float32.

        Keys that several heads share are repeated. NaN where no vector stands behind a key.

        Raises
        ------
        NotKeptError
            Vectors were not captured.
        """
        return _one(self._vectors(self.arrays.key_vectors), self._example(example))

    def _vectors(self, found: Floats | None) -> Floats:
        if found is None:
            raise NotKeptError(
                f"{self.site or 'the model itself'} has no query and key vectors: they were not asked for, "
                "or its scores are no product of two vectors. Capture with vectors=True; trace.warnings says "
                "where that was not possible."
            )
        return found

    def states(self, example: int = 0) -> CallStates:
        """Return the states that meet at this call, as vectors.

        Raises
        ------
        NotKeptError
            States were not captured.
        """
        if self.state_arrays is None:
            raise NotKeptError(
                f"{self.site or 'the model itself'} has no states: they were not asked for, the trace comes "
                "from a file (which holds none), or the call was put together from pieces. Capture with "
                "states=True."
            )
        return self.state_arrays.one(self._example(example))

    def visible(self, example: int = 0) -> Ints:
        """Return the number of keys each row may see, (head, query) int32; 0 for padded queries."""
        return _one(self.arrays.visible, self._example(example))

    def padded(self, example: int = 0) -> Flags:
        """Return which queries are padding, (query,) bool. They are never drawn as attention."""
        return _one(self.arrays.padded, self._example(example))

    def padded_keys(self, example: int = 0) -> Flags:
        """Return which keys are padding, (key,) bool."""
        return _one(self.arrays.padded_keys, self._example(example))

    def flow(self, example: int = 0) -> TokenFlow:
        """Return the norms of what meets at each token where this call joins the residual stream."""
        return TokenFlow(*self.arrays.flow[self._example(example)])


_Kind = TypeVar("_Kind", bound=np.generic)


def _one(batch: npt.NDArray[_Kind], example: int) -> npt.NDArray[_Kind]:
    """Return one example's array."""
    found: npt.NDArray[_Kind] = batch[example]
    return found
