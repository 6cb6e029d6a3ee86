"""Tokens that take attention whatever they mean (viewer/src/scene/sinks.ts)."""

import numpy as np

from headscape.trace.trace import Trace

# Mean attention that a key of a layer receives over its rows and heads, beyond which it is a sink: the
# epsilon of "When Attention Sink Emerges in Language Models", 2024, arXiv:2410.10781.
SINK_SHARE = 0.3
# And how often the even share it must be: in a text of three tokens each receives a third.
SINK_LIFT = 3


def find_sinks(trace: Trace, example: int) -> list[list[int]]:
    """Return the sinks of each side: its first token, and those that receive much in any layer."""
    found: list[set[int]] = []
    for number, side in enumerate(trace.sides):
        real = np.flatnonzero(~trace.padded(example, number))
        pictured = side.length
        if side.grid is not None:
            pictured = side.length - side.grid[0] * side.grid[1]
        elif side.pictures is not None:
            pictured = 0
        first = int(real[0]) if len(real) else -1
        outside = side.pictures is not None and first in side.unpictured
        found.append({first} if first >= 0 and (first < pictured or outside) else set())
    for call in trace.calls:
        if call.k is None:
            received = np.nan_to_num(call.weights(example)).sum((0, 1), dtype=float)
        else:
            keys, weights = call.top(example)
            there = keys >= 0
            received = np.bincount(keys[there], np.nan_to_num(weights[there]), call.shape[3])
        padded = trace.padded(example, call.key_side)[: call.shape[3]]
        rows = int((call.visible(example) > 0).sum())
        if rows:
            limit = max(SINK_SHARE, SINK_LIFT / max(int((~padded).sum()), 1))
            found[call.key_side].update(np.flatnonzero(~padded & (received / rows > limit)).tolist())
    return [sorted(tokens) for tokens in found]
