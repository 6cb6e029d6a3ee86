"""Rows of attention that measures may rely on: whole, and summing to 1."""

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from headscape.errors import NotKeptError, ShapeError
from headscape.trace.call import AttentionCall

Doubles: TypeAlias = npt.NDArray[np.float64]

# How far a row's sum may be from 1: what bfloat16 keeps of it.
SUM_SLACK = 0.01


def whole_rows(call: AttentionCall, example: int = 0, *, expect_sums: bool = True) -> Doubles:
    """Return the weights of one call, checked, with NaN in rows that measures must leave out.

    Parameters
    ----------
    call : AttentionCall
        All of its weights have to be there.
    example : int
        Which example of the batch.
    expect_sums : bool
        Whether rows must sum to 1 (within 0.01). Attention with a sink bias or a sigmoid does not.

    Returns
    -------
    (head, query, key) float64 array
        Rows of padded queries, of queries that may see nothing, and rows the model made NaN are NaN.

    Raises
    ------
    NotKeptError
        Only the top k keys of each row were kept.
    ShapeError
        A row does not sum to 1; the message names the first such row.
    """
    where = call.site or "the model itself"
    if not call.is_whole:
        raise NotKeptError(
            f"{where} kept the top {call.k} of {call.shape[3]} keys in each row; this measure needs every "
            'weight. Capture with keep="all".'
        )
    rows = call.weights(example).astype(np.float64)
    unseen = (call.visible(example) == 0) | call.padded(example)
    rows[unseen] = np.nan
    rows[np.isnan(rows).any(-1)] = np.nan
    if expect_sums:
        total = rows.sum(-1)
        wrong = np.abs(total - 1) > SUM_SLACK  # NaN is not
        if wrong.any():
            head, query = (int(i) for i in np.argwhere(wrong)[0])
            raise ShapeError(
                f"{where}, head {head}, query {query}: the row sums to {total[head, query]:.4g}, not 1 (and "
                f"{int(wrong.sum())} rows in all). This measure reads weights as shares of a row: attention "
                "with a sink bias or a sigmoid has none."
            )
    return rows
