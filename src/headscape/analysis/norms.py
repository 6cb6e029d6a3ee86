"""Norm-based contributions: what edges add to the residual stream, with residual and norm where wanted."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from headscape.analysis.reaching import read_reaching
from headscape.analysis.rows import whole_rows
from headscape.errors import NotKeptError, ShapeError
from headscape.trace.call import AttentionCall
from headscape.trace.states import CallStates, Norm

Doubles: TypeAlias = npt.NDArray[np.float64]
Floats: TypeAlias = npt.NDArray[np.float32]

# Numbers that one block of keys' vectors may hold: 64 MB of float64.
MOST_NUMBERS = 8_000_000


def head_norms(call: AttentionCall, example: int = 0) -> Doubles:
    """Norm of what each edge of each head adds to the residual stream: ``|| A_h[i, j] f_h(x_j) ||``.

    Parameters
    ----------
    call : AttentionCall
        Captured with ``keep="all", values=True``.
    example : int
        Which example of the batch.

    Returns
    -------
    (head, query, key) float64 array
        >= 0, in units of the residual stream. NaN rows for padded queries and rows the model made NaN.

    Raises
    ------
    NotKeptError
        Values were not captured, or only the top keys were kept.

    Notes
    -----
    Where a model normalises the attention's output before it joins the residual (Gemma 2), these are norms
    before that; :func:`mixed_norms` and what follows it count the norm.

    References
    ----------
    .. [1] "Attention is Not Only a Weight: Analyzing Transformers with Vector Norms", Kobayashi et al.,
       EMNLP 2020, doi:10.18653/v1/2020.emnlp-main.574
    """
    rows = whole_rows(call, example, expect_sums=False)
    return rows * call.value_norms(example)[:, None, :]


def mixed_norms(call: AttentionCall, example: int = 0) -> Doubles:
    """Norm of what each key adds to a query through all heads together: ``|| sum_h A_h[i, j] f_h(x_j) ||``.

    Heads may cancel, so it is at most the sum of :func:`head_norms` over heads (a test).

    Parameters
    ----------
    call : AttentionCall
        Captured with ``keep="all", states=True``.
    example : int
        Which example of the batch.

    Returns
    -------
    (query, key) float64 array
        >= 0, in units of the residual stream. NaN rows for padded queries and rows the model made NaN.

    Raises
    ------
    NotKeptError
        States were not captured, the output projection was not seen, or only the top keys were kept.

    Notes
    -----
    A norm between the output projection and the residual is counted
    (:mod:`headscape.analysis.reaching`). The vectors are never formed: products of the heads' vectors at one
    key give all norms. Memory grows with heads x keys x model, time with
    heads^2 x keys x (model + queries).

    References
    ----------
    .. [1] "Attention is Not Only a Weight: Analyzing Transformers with Vector Norms", Kobayashi et al.,
       EMNLP 2020, doi:10.18653/v1/2020.emnlp-main.574
    """
    rows = whole_rows(call, example, expect_sums=False)
    reaching = read_reaching(call, call.states(example), rows)
    return _mixed(reaching.rows, reaching.carried)


def _mixed(rows: Doubles, carried: Floats) -> Doubles:
    heads, keys, width = carried.shape
    found = np.empty((rows.shape[1], keys))
    step = max(1, MOST_NUMBERS // (heads * max(width, rows.shape[1])))
    for first in range(0, keys, step):
        here = slice(first, first + step)
        by_key = carried[:, here].transpose(1, 0, 2).astype(np.float64)  # (key, head, model)
        products = by_key @ by_key.transpose(0, 2, 1)  # (key, head, head)
        weights = rows[..., here].transpose(2, 1, 0)  # (key, query, head)
        squares = ((weights @ products) * weights).sum(-1)
        found[:, here] = np.sqrt(np.maximum(squares, 0)).T  # rounding may leave -1e-17
    return found


def block_norms(call: AttentionCall, example: int = 0) -> Doubles:
    """Norm of what each token adds to a query's state behind the attention block, residual and norm with it.

    A query's own part is its attention to itself and its residual. In a model that normalises after the
    attention, parts go through that layer norm with the standard deviation that the whole state had.

    Parameters
    ----------
    call : AttentionCall
        Self-attention captured with ``keep="all", states=True``.
    example : int
        Which example of the batch.

    Returns
    -------
    (query, key) float64 array
        NaN rows for padded queries and where the residual was not seen.

    Raises
    ------
    NotKeptError
        States were not captured, or only the top keys were kept.
    ShapeError
        The call is cross-attention: a query has no key of its own. Use :func:`mixing_ratio`.

    Notes
    -----
    Models that normalise before the attention have no norm behind the sum; there the parts of the plain sum
    are measured. The output bias and the norm's own bias belong to no token and are left out.

    References
    ----------
    .. [1] "Incorporating Residual and Normalization Layers into Analysis of Masked Language Models",
       Kobayashi et al., EMNLP 2021, doi:10.18653/v1/2021.emnlp-main.373
    """
    if call.kind != "self":
        raise ShapeError(
            f"{call.site or 'the model itself'} is cross-attention: its queries and keys are other tokens, "
            "so the residual belongs to no key. mixing_ratio() works on it."
        )
    rows = whole_rows(call, example, expect_sums=False)
    states = call.states(example)
    block, reaching = _block(call, states), read_reaching(call, states, rows)
    rows, carried = reaching.rows, reaching.carried
    found = _mixed(rows, _through(block.norm, carried)) / block.scale[:, None]
    own, key = np.arange(call.shape[2]), _own_keys(call)
    self_part = np.einsum("hq,hqm->qm", rows[:, own, key], carried[:, key])
    kept = _through(block.norm, self_part + block.residual) / block.scale[:, None]
    found[own, key] = np.linalg.norm(kept, axis=-1)
    found[np.isnan(kept).any(-1)] = np.nan
    return found


@dataclass(frozen=True, eq=False)
class Mixing:
    """What mixes and what preserves at each query of one attention block.

    ``mix`` and ``preserve`` are norms, (query,) float64; NaN for padded queries and where the residual was
    not seen. ``with_norm`` tells whether they went through a layer norm behind the sum.
    """

    mix: Doubles
    preserve: Doubles
    with_norm: bool

    @property
    def ratio(self) -> Doubles:
        """Mixing ratio of each query, ``mix / (mix + preserve)``, 0 to 1."""
        return self.mix / (self.mix + self.preserve)


def mixing_ratio(call: AttentionCall, example: int = 0) -> Mixing:
    """Compare what a query takes from other tokens with what it keeps of its own.

    ``preserve`` is the residual and the query's attention to itself, ``mix`` what comes from all other keys;
    both through the layer norm behind their sum where there is one.

    Parameters
    ----------
    call : AttentionCall
        Captured with ``keep="all", states=True``. In cross-attention all keys are other tokens.
    example : int
        Which example of the batch.

    Returns
    -------
    Mixing
        ``.ratio.mean()`` over real queries is the layer's mixing ratio.

    Raises
    ------
    NotKeptError
        States were not captured, or only the top keys were kept.

    Notes
    -----
    For all-MiniLM-L6-v2 it is about one quarter in every layer; ``tests/analysis/test_norms.py`` holds the
    numbers. The output bias is in neither part. Models that normalise before the attention are measured
    without that norm, so their ratios do not compare with those of others.

    References
    ----------
    .. [1] "Incorporating Residual and Normalization Layers into Analysis of Masked Language Models",
       Kobayashi et al., EMNLP 2021, doi:10.18653/v1/2021.emnlp-main.373
    """
    rows = whole_rows(call, example, expect_sums=False)
    states = call.states(example)
    block, reaching = _block(call, states), read_reaching(call, states, rows)
    rows, carried = reaching.rows, reaching.carried
    from_all = np.zeros((call.shape[2], carried.shape[2]))
    for head in range(call.shape[1]):
        from_all += rows[head] @ carried[head].astype(np.float64)
    own_part = np.zeros_like(from_all)
    if call.kind == "self":
        own, key = np.arange(call.shape[2]), _own_keys(call)
        own_part = np.einsum("hq,hqm->qm", rows[:, own, key], carried[:, key])
    parts = (from_all - own_part, block.residual + own_part)
    mix, preserve = (
        np.linalg.norm(_through(block.norm, part) / block.scale[:, None], axis=-1) for part in parts
    )
    return Mixing(mix, preserve, block.norm is not None)


@dataclass(frozen=True, eq=False)
class _Block:
    """The sum behind attention: the residual (query, model), the norm that follows, and its divisors."""

    residual: Doubles
    norm: Norm | None
    scale: Doubles


def _block(call: AttentionCall, states: CallStates) -> _Block:
    if states.residual is None or states.attention is None:
        raise NotKeptError(
            f"{call.site or 'the model itself'}: the residual that attention joins was not seen, so nothing "
            "can be compared with it. trace.warnings says more; head_norms() and mixed_norms() work."
        )
    norm = states.norm_after_attention
    scale = np.ones(len(states.residual))
    if norm is not None:
        scale = norm.scale(states.residual + states.attention).astype(np.float64)
    return _Block(states.residual.astype(np.float64), norm, scale)


def _own_keys(call: AttentionCall) -> npt.NDArray[np.int64]:
    """Return the key that is each query itself; behind a cache the queries are the last tokens."""
    if call.query_side != call.key_side:
        raise ShapeError(
            f"{call.site or 'the model itself'} attends to keys that no token stands behind (bias_k, bias_v "
            "or a zero key), so which key is the query itself is not known. head_norms() and "
            "mixed_norms() work."
        )
    return np.arange(call.shape[2]) + call.shape[3] - call.shape[2]


def _through(norm: Norm | None, part: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    """Return what a norm makes of parts (..., model) before it divides by the state's scale."""
    if norm is None:
        return part
    centred = part - part.mean(-1, keepdims=True) if norm.kind == "layer" else part
    return centred if norm.weight is None else centred * norm.weight
