"""A made-up trace with the look of a real one, for trials, documentation and tests of the other parts."""

from collections.abc import Sequence

import numpy as np

from headscape.trace.call import AttentionCall, Floats
from headscape.trace.measure import Facts, gather_rows
from headscape.trace.outputs import Outputs
from headscape.trace.sides import Side
from headscape.trace.trace import Trace

WORDS = tuple("the crew was not rude at all , but my bag never made it to boston".split())  # noqa: SIM905


def example_trace(
    *,
    layers: int = 3,
    heads: int = 2,
    tokens: Sequence[str] = WORDS,
    k: int | None = None,
    seed: int = 0,
    padding: int = 0,
    decoder: bool = False,
) -> Trace:
    """Make up a Trace: two examples, heads with previous-token, first-token, local and broad patterns.

    Parameters
    ----------
    layers, heads : int
        Size of the (encoder) stack.
    tokens : sequence of str
        Labels of every example.
    k : int, optional
        Keep this many keys a row; default all.
    seed : int
        The same seed gives the same trace.
    padding : int
        How many of the last tokens are padding in example 1.
    decoder : bool
        Add a second side of five tokens with self- and cross-attention in each of two layers.

    Returns
    -------
    Trace
        With values, flow and three classes whose contributions add up to the scores.
    """
    rng = np.random.default_rng(seed)
    length, batch = len(tokens), 2
    padded = np.zeros((batch, length), bool)
    if padding:
        padded[1, length - padding :] = True
    calls = [_call(rng, n, n, heads, (0, 0), (padded, padded), k) for n in range(layers)]
    sides = [Side("tokens", length, layers + 1, (tuple(tokens),) * batch)]
    if decoder:
        words, none = ("[start]", "my", "bag", "was", "lost"), np.zeros((batch, 5), bool)
        for n in range(2):
            calls.append(_call(rng, layers + 2 * n, 2 * n, heads, (1, 1), (none, none), k))
            calls.append(_call(rng, layers + 2 * n + 1, 2 * n + 1, heads, (1, 0), (none, padded), k))
        sides = [
            Side("source", length, layers + 1, (tuple(tokens),) * batch),
            Side("target", 5, 5, (words,) * batch),
        ]
    return Trace(tuple(calls), tuple(sides), _outputs(rng, padded), (), "MadeUp", None)


def _call(
    rng: np.random.Generator,
    layer: int,
    plane: int,
    heads: int,
    side: tuple[int, int],
    padded: tuple[np.ndarray, np.ndarray],
    k: int | None,
) -> AttentionCall:
    (batch, queries), keys = padded[0].shape, padded[1].shape[1]
    i, j = np.arange(queries)[:, None], np.arange(keys)[None, :]
    patterns = [
        np.broadcast_to(pattern, (queries, keys))
        for pattern in (
            3.0 * (j == i - 1),
            3.0 * (j == 0),
            -0.5 * np.abs(i - j),
            2.0 * (j == keys // 2),
            0.0 * j,
        )
    ]
    scores = rng.normal(0, 0.8, (batch, heads, queries, keys))
    scores += np.stack([patterns[(h + layer) % len(patterns)] for h in range(heads)])
    scores = np.where(padded[1][:, None, None, :], -np.inf, scores)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights = (weights / weights.sum(-1, keepdims=True)).astype(np.float32)
    visible = np.broadcast_to((~padded[1]).sum(-1)[:, None, None], (batch, heads, queries)).astype(np.int32)
    norms = rng.gamma(4, 0.2, (batch, heads, keys)).astype(np.float32)
    flow: Floats = rng.gamma(6, 0.5, (batch, 4, queries)).astype(np.float32)
    facts = Facts(padded[0], padded[1], norms, flow)
    shape = (batch, heads, queries, keys)
    path = f"layers.{layer}.self_attn"
    if side[0]:
        path = f"decoder.layers.{plane // 2}.{'multihead_attn' if side[1] == 0 else 'self_attn'}"
    return AttentionCall(
        path, path, layer, "self" if side[0] == side[1] else "cross", "sdpa", *side, plane, shape,
        gather_rows([(0, weights, visible)], shape, k, facts), 0.0,
    )  # fmt: skip


def _outputs(rng: np.random.Generator, padded: np.ndarray) -> Outputs:
    batch, length = padded.shape
    parts = np.where(padded[:, None], 0, rng.normal(0, 0.5, (batch, 3, length))).astype(np.float32)
    base = np.broadcast_to(np.array([0.1, -0.2, 0.05], np.float32), (batch, 3)).copy()
    scores = parts.sum(-1) + base
    order = np.argsort(-scores, axis=-1)
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    shares /= shares.sum(-1, keepdims=True)
    return Outputs(
        kind="classes",
        side=0,
        class_ids=order.astype(np.int32),
        scores=np.take_along_axis(scores, order, -1),
        probabilities=np.take_along_axis(shares, order, -1),
        contributions=np.take_along_axis(parts, order[..., None], 1),
        base=np.take_along_axis(base, order, -1),
        method="exact",
        class_names=("negative", "neutral", "positive"),
    )
