"""Write tests/golden/: one scene block per way of storing weights, and numbers that must be read from them.

    .venv/bin/python scripts/golden_scenes.py

Run it for a new format version only, under a new name: files of past versions must stay readable for ever.
Python (tests/view/test_golden.py) and TypeScript read the same files.
"""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np

from headscape.trace.synthetic import example_trace
from headscape.trace.trace import Trace
from headscape.view import scene

FOLDER = Path(__file__).resolve().parent.parent / "tests" / "golden"
WORDS = ("thanks", "</script>", "", "🙂", "مرحبا", "[PAD]")


def pictured(trace: Trace) -> Trace:
    """Return the trace with a 2 x 2 grid of patches behind its first two tokens."""
    patches = np.arange(2 * 4 * 2 * 2 * 3, dtype=np.uint8).reshape(2, 4, 2, 2, 3)
    side = dataclasses.replace(trace.sides[0], grid=(2, 2), pictures=patches)
    return dataclasses.replace(trace, sides=(side, *trace.sides[1:]))


def write_golden(name: str, trace: Trace, example: int) -> None:
    """Write one block, and beside it what is in it as [array, index, value], from the trace itself."""
    (FOLDER / f"{name}.block").write_bytes(scene.scene_block(trace, example, truth="neutral"))
    values = []
    for n, call in enumerate(trace.calls):
        keys, weights = call.top(example) if call.k else (None, call.weights(example))
        for index in ((0, 0, 0), (1, 3, 1), (0, 2, 2)):
            values.append([f"weight.{n}", index, float(weights[index])])
            if keys is not None:
                values.append([f"key.{n}", index, int(keys[index])])
        values.append([f"visible.{n}", (1, 1), int(call.visible(example)[1, 1])])
        values.append([f"entropy.{n}", (1, 1), float(call.stats.entropy[example, 1, 1])])
        values.append([f"value_norm.{n}", (1, 2), float(call.value_norms(example)[1, 2])])
        values.append([f"flow.{n}", (3, 2), float(call.flow(example).feed_forward[2])])
    described = {"tokens": trace.tokens(example), "calls": len(trace.calls), "values": values}
    text = json.dumps(described, indent=1)
    (FOLDER / f"{name}.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    write_golden("scene-1-dense", pictured(example_trace(layers=1, tokens=WORDS, padding=1)), 1)
    write_golden("scene-1-top", example_trace(layers=1, tokens=WORDS, k=3, decoder=True), 0)
    scene.EXACT_WEIGHTS = 0
    write_golden("scene-1-bytes", example_trace(layers=1, tokens=WORDS), 0)
