"""From queries and keys, or a written matrix, to what is kept and measured: one pass, block by block."""

import functools

import torch

from headscape.intercept.keeping import Keeping
from headscape.intercept.plain_rows import take_blocks
from headscape.intercept.rows import Scores, Written, aside
from headscape.trace.call import CallArrays
from headscape.trace.measure import Facts

# Weights in a call from which the compiled kernel is worth loading. The choice hangs on nothing but the
# call, so that the same call gives the same bits every time.
COMPILED_FROM = 256 * 1024
_HALF_OR_SINGLE = (torch.float32, torch.bfloat16, torch.float16)


def gather(source: Scores | Written, keeping: Keeping, facts: Facts) -> CallArrays:
    """Gather what is kept of each row, and exact statistics over all keys, in one streaming pass.

    Parameters
    ----------
    source : Scores or Written
        Where the weights come from. Read only.
    keeping : Keeping
        What is kept. Every rule but ``"all"`` needs memory that grows with queries plus keys, never with
        their product.
    facts : Facts
        What goes beside the weights.

    Returns
    -------
    CallArrays
        Padded queries, and rows that may see no key, have zero weights and NaN statistics. A row that holds
        NaN has NaN statistics; with ``"all"`` it stays as it is, else its NaN weights are not listed.

    Notes
    -----
    Small calls, float64, scores changed by a function and tensors that are not in the host's memory take
    plain torch: values and keys are those of a full softmax and a stable sort, bit for bit on the same
    scores. Large calls on the host take a compiled kernel, whose weights differ from those by less than
    2e-6; keys differ only where weights are that close.
    """
    with aside(source.device):
        if _suits_kernel(source) and kernel_fault() is None:
            from headscape.intercept.compiled_rows import take_compiled

            return take_compiled(source, keeping, facts)
        return take_blocks(source, keeping, facts)


def _suits_kernel(source: Scores | Written) -> bool:
    batch, head, query, key = source.shape
    if batch * head * query * key < COMPILED_FROM:
        return False
    tensors = [source.weights] if isinstance(source, Written) else [source.query, source.key]
    if isinstance(source, Scores) and (source.rescore is not None or query < 4):
        return False
    if source.mask is not None and source.mask.device.type != "cpu":
        return False
    return all(t.device.type == "cpu" and t.dtype in _HALF_OR_SINGLE for t in tensors)


@functools.cache
def kernel_fault() -> str | None:
    """Return why the compiled kernel cannot be used here, None if it can; the answer is found once.

    The kernel is tried on a few numbers and compared with plain torch, so that a broken installation makes
    captures slower, not wrong.
    """
    try:
        from headscape.intercept.trial import try_kernel

        return try_kernel()
    except Exception as error:  # whatever is wrong with a compiler, plain torch goes on
        return f"{type(error).__name__}: {error}"
