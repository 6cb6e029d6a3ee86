"""Blocks that were written once stay readable; the viewer's tests read the same files."""

import json
from pathlib import Path

import numpy as np
import pytest

from headscape.trace.block import unpack
from headscape.view.scene import CODE_ERROR, IS_STRONG, WEAK_ERROR, WEAK_STEPS

FOLDER = Path(__file__).parents[1] / "golden"


@pytest.mark.parametrize("name", ["scene-1-dense", "scene-1-top", "scene-1-coded", "scene-1-bytes"])
def test_a_golden_scene_reads_as_it_was_written(name):
    arrays, meta = unpack((FOLDER / f"{name}.block").read_bytes())
    written = json.loads((FOLDER / f"{name}.json").read_text(encoding="utf-8"))
    assert meta["kind"] == "scene"
    assert meta["format"] == 1
    assert meta["sides"][0]["tokens"] == written["tokens"]
    assert len(meta["calls"]) == written["calls"]
    assert len(written["values"]) >= 7
    for array, index, value in written["values"]:
        found = arrays[array]
        if found.dtype == np.uint8:
            strong = (found == IS_STRONG).ravel().nonzero()[0].tolist()
            at = int(np.ravel_multi_index(tuple(index), found.shape))
            if at in strong:
                code = arrays["strong." + array.removeprefix("weight.")][strong.index(at)]
                assert (code / 65535) ** 2 == pytest.approx(value, abs=CODE_ERROR)
            else:
                assert (found[tuple(index)] / WEAK_STEPS) ** 2 == pytest.approx(value, abs=WEAK_ERROR)
        elif found.dtype == np.uint16:
            assert (found[tuple(index)] / 65535) ** 2 == pytest.approx(value, abs=CODE_ERROR)
        else:
            assert found[tuple(index)] == pytest.approx(value, rel=1e-6, nan_ok=True)


def test_pictures_of_a_golden_scene_follow_its_class_tokens():
    arrays, meta = unpack((FOLDER / "scene-1-dense.block").read_bytes())
    assert meta["sides"][0]["unpictured"] == [0, 1]
    assert meta["sides"][0]["grid"] == [2, 2]
    assert arrays["patches.0"].shape == (6, 2, 2, 3)
    assert arrays["patches.0"][2, 0, 0].tolist() == [48, 49, 50]
