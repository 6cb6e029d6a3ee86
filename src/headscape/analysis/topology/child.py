"""A child process that runs ripser: distances on its input, bars on its output, as .npy blocks.

Started by :mod:`headscape.analysis.topology.cliques`, so that a run which takes too long can be ended.
"""

import io
import os
import sys
from typing import IO

import numpy as np
import numpy.typing as npt

Reals = npt.NDArray[np.float64]


def serve(source: IO[bytes], target: IO[bytes]) -> None:
    """Read matrices until an empty one comes; write each one's H1 bars, (bar, 2) float64.

    Distances of infinity are edges that are not there. The first block written is empty: ripser is loaded.
    """
    from ripser import ripser

    write(target, np.empty((0, 2)))
    while (distances := read(source)).size:
        there = distances[np.isfinite(distances)].astype(np.float32)
        # ripser works in float32 and keeps what is at most `thresh`, so the largest distance has to pass.
        longest = float(there.max(initial=0)) if len(there) < distances.size else np.inf
        found = ripser(distances, distance_matrix=True, maxdim=1, thresh=longest)
        write(target, np.asarray(found["dgms"][1], np.float64).reshape(-1, 2))


def write(target: IO[bytes], array: Reals) -> None:
    """Write one array: the length in bytes (8, little-endian), then the bytes of an .npy file."""
    block = io.BytesIO()
    np.save(block, array, allow_pickle=False)
    target.write(len(block.getbuffer()).to_bytes(8, "little"))
    target.write(block.getbuffer())
    target.flush()


def read(source: IO[bytes]) -> Reals:
    """Read one array; an empty or broken stream is an ``EOFError``."""
    length = source.read(8)
    block = source.read(int.from_bytes(length, "little"))
    if len(length) < 8 or not block:
        raise EOFError("the other process is gone")
    found: Reals = np.load(io.BytesIO(block), allow_pickle=False)
    return found


if __name__ == "__main__":
    # Whatever a library prints goes to the errors, so that it cannot end up between the blocks.
    blocks = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(sys.stdin.buffer, blocks)
