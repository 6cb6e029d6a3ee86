"""What a call's edges bring to the residual, where a norm or another part stands between."""

from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from headscape.errors import NotKeptError
from headscape.trace.call import AttentionCall, Floats
from headscape.trace.states import CallStates

Doubles: TypeAlias = npt.NDArray[np.float64]

# How far, of the largest number in an output, what is put together from its edges may be from it.
SLACK = 1e-3
# The same where the model computes in bfloat16, whose numbers are 2^-8 apart: what several roundings leave.
COARSE_SLACK = 2.0**-6
# Queries at which this is looked at.
MOST_QUERIES = 64
# Rounds in which a norm's gain and scales are fitted. Without biases they settle in two or three.
ROUNDS = 300


@dataclass(frozen=True, eq=False)
class Reaching:
    """Edges as they reach the residual: a query gets ``sum_h rows[h] @ carried[h]``, and what is beside it.

    Attributes
    ----------
    rows : (head, query, key) float64 array
        Weights, times the scale of a norm behind the output projection where there is one.
    carried : (head, key, model) float32 array
        What an edge of weight 1 brings, behind that norm.
    beside : str
        What joins the residual beside the edges: ``"bias"``, one vector for all queries; or
        ``"feed-forward"``: the output of a feed-forward part that runs beside the attention, with that bias.
    """

    rows: Doubles = field(repr=False)
    carried: Floats = field(repr=False)
    beside: Literal["bias", "feed-forward"]


@dataclass(frozen=True, eq=False)
class _Fit:
    """A norm that makes the output of the edges' sum: ``scale * (gain * sum + inner) + bias``."""

    is_centred: bool
    gain: Doubles
    inner: Doubles
    bias: Doubles

    def through(self, vectors: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
        """Return what it makes of vectors (..., model) before their scale."""
        centred = vectors - vectors.mean(-1, keepdims=True) if self.is_centred else vectors
        return centred * self.gain.astype(vectors.dtype)

    def scales(self, sums: Doubles, output: Doubles) -> Doubles:
        """Return the scale that fits each query best, (query,)."""
        shape = self.through(sums) + self.inner
        size = (shape**2).sum(-1)
        found: Doubles = ((output - self.bias) * shape).sum(-1) / np.where(size > 0, size, 1)
        return found


def read_reaching(call: AttentionCall, states: CallStates, rows: Doubles) -> Reaching:
    """Find how the sum of a call's edges becomes what joins the residual, and return the edges as they do.

    Parameters
    ----------
    call : AttentionCall
        Whose states.
    states : CallStates
        Its states, with the attention output.
    rows : (head, query, key) float64 array
        All its weights; NaN rows for padded queries.

    Raises
    ------
    NotKeptError
        The output is not what the edges bring with a bias, through a norm, or beside a feed-forward part.

    Notes
    -----
    Some models (Gemma 2, OLMo 2, Swin v2) normalise the attention's output before it joins the residual. The
    norm is found from the states themselves: the output must be one vector times the edges' sum plus a
    second, times one number for each query, plus a third, to a ten-thousandth. It takes three queries to
    find a norm without biases, five with all of them. Of a single query all is taken for a bias.
    A norm with biases may stay unfound where queries are few; then the error says so.
    """
    carried = states.carried()
    plain = Reaching(rows, carried, "bias")
    if states.attention is None:
        return plain
    real = np.flatnonzero(np.isfinite(rows).all((0, 2)) & np.isfinite(states.attention).all(-1))
    at = real[np.linspace(0, len(real) - 1, min(len(real), MOST_QUERIES)).astype(int)] if len(real) else real
    if len(at) < 2:
        return plain
    output, sums = states.attention[at].astype(np.float64), _sums(rows[:, at], carried)
    is_coarse = _is_bfloat16(states.attention[at])
    slack = (COARSE_SLACK if is_coarse else SLACK) * np.abs(output).max()
    if np.ptp(output - sums, axis=0).max() <= slack:
        return plain
    fit = _fit_norm(output, sums, slack if is_coarse else slack / 10)
    if fit is not None:
        scale = fit.scales(_sums(np.nan_to_num(rows), carried), np.nan_to_num(states.attention.astype(float)))
        return Reaching(rows * scale[None, :, None], fit.through(carried).astype(np.float32), "bias")
    added = None if states.stream is not None or states.feed_forward is None else states.feed_forward[at]
    if added is not None and np.ptp(output - sums - added, axis=0).max() <= slack:
        return replace(plain, beside="feed-forward")
    far = np.ptp(output - sums, axis=0).max() / np.abs(output).max()
    raise NotKeptError(
        f"{call.site or 'the model itself'}: what joins the residual is not what the edges bring (up to "
        f"{far:.1%} of it differs between queries, and neither a norm nor a feed-forward part beside the "
        "attention explains it), so it cannot be divided among them."
    )


def _is_bfloat16(states: Floats) -> bool:
    """Whether all numbers are such as bfloat16 holds."""
    bits = np.ascontiguousarray(states, np.float32).view(np.uint32)
    return not bool((bits & 0xFFFF).any())


def _sums(rows: Doubles, carried: Floats) -> Doubles:
    """Add up what all edges bring, (query, model)."""
    found = np.zeros((rows.shape[1], carried.shape[2]))
    for head, vectors in enumerate(carried):
        found += rows[head].astype(np.float32) @ vectors
    return found


def _fit_norm(output: Doubles, sums: Doubles, slack: float) -> _Fit | None:
    """Fit a norm by turns: gain and biases for all queries, then each query's scale. None if none fits.

    The unknown numbers a model feature has must be fewer than the queries by two.
    """
    for is_centred, unknown in ((False, 1), (False, 2), (True, 3)):
        if len(sums) < unknown + 2:
            continue
        centred = sums - sums.mean(-1, keepdims=True) if is_centred else sums
        scale = 1 / np.sqrt((centred**2).mean(-1) + 1e-12)
        for _ in range(ROUNDS):
            scale /= np.abs(scale).mean()
            spread = np.broadcast_to(scale[:, None], centred.shape)
            columns = np.stack([centred * spread, spread, np.ones_like(spread)][:unknown], -1)
            table = np.einsum("qmk,qml->mkl", columns, columns)
            table += 1e-10 * np.trace(table, axis1=1, axis2=2)[:, None, None] * np.eye(unknown)
            found = np.linalg.solve(table, np.einsum("qmk,qm->mk", columns, output)[..., None])[..., 0]
            gain, inner, bias = np.vstack([found.T, np.zeros((3 - unknown, len(found)))])
            fit = _Fit(is_centred, gain, inner, bias)
            scale = fit.scales(sums, output)
            left = np.abs((fit.through(sums) + inner) * scale[:, None] + bias - output).max()
            if left <= slack / 10:  # near the rounding of float32
                break
        if left <= slack:
            return fit
    return None
