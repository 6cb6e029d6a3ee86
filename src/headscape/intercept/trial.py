"""A first run of the compiled kernel on a few numbers, against plain torch."""

import numpy as np
import torch

from headscape.intercept.compiled_rows import take_compiled
from headscape.intercept.keeping import Keeping
from headscape.intercept.plain_rows import take_blocks
from headscape.intercept.rows import Scores, Written
from headscape.trace.measure import Facts


def try_kernel() -> str | None:
    """Return what differs, None if nothing does. The first run on a machine compiles, which takes seconds."""
    count, width = 70, 3
    numbers = (
        torch.arange(2 * count * width, dtype=torch.float32, device="cpu")
        .sin()
        .reshape(2, 1, 1, count, width)
    )
    nothing = np.zeros((1, count), bool)
    facts = Facts(nothing, nothing, None, np.zeros((1, 4, count), np.float32))
    scores = Scores(numbers[0], numbers[1], is_causal=True, scale=3.0)
    weights = torch.softmax(numbers[0] @ numbers[1].transpose(-1, -2), -1)
    for source in (scores, Written(weights)):
        for keeping in (Keeping.of(3), Keeping.of({"nucleus": 0.5})):
            fast, plain = (take(source, keeping, facts).present() for take in (take_compiled, take_blocks))
            for name, array in plain.items():
                if not np.allclose(fast[name], array, atol=1e-4, equal_nan=True):
                    return f"the compiled kernel and torch differ in {name}"
    return None
