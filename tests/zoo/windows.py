"""From the matrices of windows, frames or channels to the dense matrix over a model's real tokens."""

import numpy as np
from tests.zoo.case import Truth


def dense_over_groups(truth: Truth, groups: np.ndarray, batch: int) -> Truth:
    """Lay (batch * group, head, token of the group, same) out over all tokens, zero between groups.

    ``groups`` (group, token of the group) holds the number of the real token at each place. Groups run
    faster than examples in the folded axis.
    """
    weights = truth.weights
    tokens = int(groups.max()) + 1
    folded = weights.reshape(batch, len(groups), *weights.shape[1:])
    dense = np.zeros((batch, weights.shape[1], tokens, tokens))
    for number, places in enumerate(groups):
        dense[:, :, places[:, None], places[None, :]] = folded[:, number]
    return truth.but(weights=dense)


def one_head(truth: Truth) -> Truth:
    """Give (batch, query, key) its one head."""
    return truth.but(weights=truth.weights[:, None])


def unfolded(truth: Truth, batch: int = 2) -> Truth:
    """Give folded heads their axis; of five axes (windows, streams, channels) compare the rows."""
    shape = truth.weights.shape
    if len(shape) == 3:  # (batch * head, query, key)
        return truth.but(weights=truth.weights.reshape(batch, -1, *shape[1:]))
    if len(shape) == 5:  # (batch, window, head, query, key)
        return truth.but(weights=truth.weights.reshape(-1, *shape[2:]), rows_of=batch, kind=None)
    return truth


def rows_alone(truth: Truth, batch: int = 2) -> Truth:
    """Compare only rows: what is folded into the batch has no token map worked out by hand."""
    return truth.but(rows_of=batch)
