"""From queries and keys, or a written matrix, to what is kept and measured: one pass, block by block."""

from headscape.intercept.keeping import Keeping
from headscape.intercept.plain_rows import take_blocks
from headscape.intercept.rows import Scores, Written, aside
from headscape.trace.call import CallArrays
from headscape.trace.measure import Facts


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
    """
    with aside(source.device):
        return take_blocks(source, keeping, facts)
