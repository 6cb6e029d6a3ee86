"""The zoo's table, for the console and for docs/zoo.md."""

from collections import Counter
from collections.abc import Sequence

import torch
from tests.zoo.runner import Result

HEAD = """# Which models headscape has been tried on

`make zoo` runs every model below (tiny, random weights) and compares what headscape captures with the
model's true attention weights, found on a road that shares no code with headscape (last column).
"Exact" also means: no call missed and none too many, the right module names, outputs and gradients equal bit
for bit with capture on, and nothing left on the model. "None" is right where a model has no attention, and
"partial" where pieces are shown or nothing could be: both must then be said in `trace.warnings`. The
difference is the largest over all weights, in float32.

"""
ORDER = ("exact", "partial", "none", "failed")


def summary(results: Sequence[Result]) -> str:
    """Return one line of counts."""
    counts = Counter(result.found for result in results)
    unmet = sum(not result.is_met for result in results)
    return (
        ", ".join(f"{counts[name]} {name}" for name in ORDER) + f" of {len(results)}; {unmet} not as declared"
    )


def markdown(results: Sequence[Result]) -> str:
    """Return the table as a page."""
    lines = [f"{summary(results)}. torch {torch.__version__.split('+')[0]}.", ""]
    lines += ["| family | model | calls | largest difference | result | truth |", "|---|---|--:|--:|---|---|"]
    for result in results:
        case = result.case
        worst = "" if result.worst != result.worst else f"{result.worst:.1e}"
        lines.append(
            f"| {case.family} | {case.name} | {result.calls} | {worst} | {result.found} | {case.road} |"
        )
    return HEAD + "\n".join(lines) + "\n"
