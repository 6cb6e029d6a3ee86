"""Which tokens of the last plane feed the model's answer."""

from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from headscape.errors import NoAttentionError, expect_index
from headscape.trace.trace import Trace

Doubles: TypeAlias = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Answer:
    """Where a pass's answer is read.

    Attributes
    ----------
    side : int
        Which of ``trace.sides`` feeds the answer.
    rows : (token,) float64 array
        Share of each token of that side's last plane in the answer; sums to 1, 0 for padding.
    says : str
        How the shares came about, in a sentence.
    """

    side: int
    rows: Doubles = field(repr=False)
    says: str


def find_answer(trace: Trace, example: int = 0) -> Answer:
    """Find which tokens of the answering side feed the model's answer.

    Parameters
    ----------
    trace : Trace
        What the model did.
    example : int
        Which example of the batch.

    Returns
    -------
    Answer
        Shares are the absolute contributions to the best answer's logit, as shares of their sum; the last
        real token where contributions are not known and the answer is a next token; all real tokens alike
        where nothing is known (of the last call's query side without an answer). ``says`` tells which.

    Raises
    ------
    OptionError
        No such example.
    NoAttentionError
        The trace has no attention calls.

    Examples
    --------
    >>> from headscape.trace.synthetic import example_trace
    >>> find_answer(example_trace()).says
    "tokens count by what they add to the logit of 'neutral', whatever the sign"
    """
    trace._seen()
    index = expect_index("trace", "example", example, trace.batch)
    outputs = trace.outputs
    side = trace.calls[-1].query_side if outputs is None else outputs.side
    real = ~side_padding(trace, index, side)
    if not real.any():
        raise NoAttentionError(
            f"all tokens of example {index} on side {trace.sides[side].name!r} are padding."
        )
    parts = None if outputs is None else outputs.contribution(index)
    if outputs is not None and parts is not None and len(parts):
        size = np.where(real, np.abs(parts[0].astype(np.float64)), 0)
        if np.isfinite(size).all() and size.sum() > 0:
            name = outputs.texts(outputs.names(index)[:1])[0]
            says = f"tokens count by what they add to the logit of {name!r}, whatever the sign"
            return Answer(side, size / size.sum(), says)
    if outputs is not None and outputs.kind == "next tokens":
        rows = np.zeros(len(real))
        rows[np.flatnonzero(real)[-1]] = 1
        return Answer(side, rows, "the next token is read at the last real token")
    says = "no token's part in the answer is known, so all real tokens count alike"
    return Answer(side, real / real.sum(), says)


def answer_rows(trace: Trace, example: int = 0) -> Doubles:
    """Return the share of each token in the answer, (token,) float64, sum 1; see :func:`find_answer`."""
    return find_answer(trace, example).rows


def side_padding(trace: Trace, example: int, side: int) -> npt.NDArray[np.bool_]:
    """Return which tokens of a side any call's mask calls padding, (token,) bool."""
    padded = np.zeros(trace.sides[side].length, dtype=bool)
    for call in trace.calls:
        if call.query_side == side:  # behind a cache the queries are the last tokens
            padded[len(padded) - call.shape[2] :] |= call.padded(example)
        if call.key_side == side:
            padded[: call.shape[3]] |= call.padded_keys(example)
    return padded
