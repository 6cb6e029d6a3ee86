"""Query and key vectors of one example for the browser's viewer."""

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from headscape.trace.call import Floats
from headscape.trace.trace import Trace

# Numbers of query and key vectors in a page: as float32 up to 4 MB before compression, beyond it in 16 bits.
EXACT_VECTORS = 1_000_000
MOST_VECTORS = 6_000_000
# A 16-bit code stands for (code / MIDDLE - 1) times the largest number; the last one for none.
MIDDLE = 32767


def pack_vectors(
    trace: Trace, example: int, arrays: dict[str, npt.NDArray[np.generic]], warnings: list[str]
) -> list[dict[str, Any]]:
    """Add the vectors of every call to a page's arrays, and to its warnings what was rounded or left out.

    Returns
    -------
    list of dict
        What each call says of its vectors: ``width``, ``scale`` if it is known, and the largest numbers that
        codes are shares of. Empty where there are none.
    """
    pairs = [
        (call.query_vectors(example), call.key_vectors(example)) if call.has_vectors else None
        for call in trace.calls
    ]
    numbers = sum(query.size + key.size for query, key in filter(None, pairs))
    if numbers > MOST_VECTORS:
        warnings.append(
            f"query and key vectors are {numbers:,} numbers, more than the {MOST_VECTORS:,} of a page: "
            "they are left out, the trace has them."
        )
        return [{} for _ in pairs]
    is_exact = numbers <= EXACT_VECTORS
    if not is_exact:
        warnings.append(
            f"this page stores {numbers:,} numbers of query and key vectors in 16 bits each; the trace has "
            "them exactly."
        )
    said: list[dict[str, Any]] = []
    for number, (call, pair) in enumerate(zip(trace.calls, pairs, strict=True)):
        said.append({})
        if pair is None:
            continue
        said[-1]["width"] = pair[0].shape[2]
        if call.scale is not None and math.isfinite(call.scale):
            said[-1]["scale"] = call.scale
        for name, vectors in zip(("query", "key"), pair, strict=True):
            stored: npt.NDArray[np.generic] = vectors
            if not is_exact:
                stored, said[-1][f"{name}_largest"] = _coded(vectors)
            arrays[f"{name}_vector.{number}"] = stored
    return said


def _coded(vectors: Floats) -> tuple[npt.NDArray[np.uint16], float]:
    known = np.isfinite(vectors)
    largest = float(np.abs(vectors[known]).max(initial=0))
    share = np.where(known, vectors, 0) / np.float32(largest or 1)
    codes = np.where(known, np.rint((share + 1) * MIDDLE), 2 * MIDDLE + 1)
    return codes.astype(np.uint16), largest
