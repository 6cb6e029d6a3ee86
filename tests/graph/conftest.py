import numpy as np
import pytest

from headscape.trace.call import AttentionCall
from headscape.trace.measure import Facts, gather_rows
from headscape.trace.sides import Side
from headscape.trace.trace import Trace


def build_trace(*matrices, k=None, padded=(), norms=None, flow=None, visible=None):
    """Trace of self-attention calls on one side: each matrix is (head, query, key) or (query, key).

    A row may see the keys that it gives weight to, unless ``visible`` says how many.
    """
    calls = []
    for number, matrix in enumerate(matrices):
        weights = np.asarray(matrix, dtype=np.float32)
        weights = weights[None] if weights.ndim == 2 else weights
        heads, length, _ = weights.shape
        pads = np.isin(np.arange(length), padded)[None]
        with np.errstate(invalid="ignore"):
            seen = (np.isnan(weights) | (weights > 0)).sum(-1).astype(np.int32)[None]
        seen = seen if visible is None else np.full_like(seen, visible)
        flows = np.full((1, 4, length), np.nan, np.float32) if flow is None else np.asarray(flow, np.float32)
        value_norms = None if norms is None else np.asarray(norms, np.float32).reshape(1, heads, length)
        shape = (1, heads, length, length)
        with np.errstate(invalid="ignore"):
            arrays = gather_rows([(0, weights[None], seen)], shape, k, Facts(pads, pads, value_norms, flows))
        site = f"layers.{number}"
        calls.append(AttentionCall(site, site, number, "self", "sdpa", 0, 0, number, shape, arrays))
    tokens = tuple("abcdefghijklmnopqrstuvwxyz"[i] for i in range(length))
    return Trace(tuple(calls), (Side("tokens", length, len(calls) + 1, (tokens,)),), None, (), "Hand", None)


@pytest.fixture(name="build_trace", scope="session")
def build_trace_fixture():
    return build_trace


@pytest.fixture(scope="session")
def random_rows():
    def rows(*shape, seed=0):
        return np.random.default_rng(seed).dirichlet(np.ones(shape[-1]), size=shape[:-1]).astype(np.float32)

    return rows
