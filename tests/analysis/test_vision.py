"""Image attention distance against exact enumeration."""

import numpy as np
import pytest
from tests.analysis.planted import planted_trace, uniform

from headscape.analysis.vision import image_distance, patch_distance, patch_gaps
from headscape.errors import NotKeptError, OptionError, ShapeError


def test_uniform_attention_on_fourteen_squared_patches_is_7_281():
    places = [(row, column) for row in range(14) for column in range(14)]
    exact = np.mean([np.hypot(a - c, b - d) for a, b in places for c, d in places])
    assert exact == pytest.approx(7.281, abs=5e-4)
    assert patch_distance(np.full((196, 196), 1 / 196), (14, 14)).mean() == pytest.approx(exact)
    found = image_distance(planted_trace(uniform(197), grid=(14, 14)), patch=16)
    assert found.uniform == pytest.approx(16 * exact)
    assert found.distance.item() == pytest.approx(16 * exact, rel=1e-6)
    assert found.uniform == pytest.approx(116.5, abs=0.05)


def test_the_class_token_is_left_out_and_rows_sum_to_one_again():
    rows = np.zeros((5, 5))  # a class token and 2 x 2 patches
    rows[0, 1] = 1
    rows[1] = [0.5, 0.25, 0.25, 0, 0]  # half of what is left on its neighbour
    rows[2] = [0.8, 0, 0.2, 0, 0]
    rows[3] = [0, 0, 1, 0, 0]  # across
    rows[4] = [1, 0, 0, 0, 0]  # nothing on patches
    found = patch_distance(rows, (2, 2))
    assert found[:3].tolist() == pytest.approx([0.5, 0, np.sqrt(2)])
    assert np.isnan(found[3])
    trace = planted_trace(rows[None, None], grid=(2, 2))
    assert image_distance(trace).distance.item() == pytest.approx((0.5 + np.sqrt(2)) / 3)


def test_films_count_frames_as_steps_and_grids_need_patches():
    assert patch_gaps((2, 1, 2))[0].tolist() == pytest.approx([0, 1, 1, np.sqrt(2)])
    with pytest.raises(ShapeError, match=r"4 keys, but a grid of \(3, 3\) has 9 patches"):
        patch_distance(np.eye(4), (3, 3))
    with pytest.raises(ShapeError, match=r"grid is \(0, 3\)"):
        patch_gaps((0, 3))


def test_heads_and_pictures_are_kept_apart():
    near, far = np.eye(4), np.eye(4)[::-1]
    trace = planted_trace(np.stack([near, far])[None].repeat(2, 0), np.stack([near])[None].repeat(2, 0))
    found = image_distance(trace, grid=(2, 2))
    np.testing.assert_allclose(found.distance, [[0, np.sqrt(2)], [0, np.nan]], rtol=1e-6)
    assert found.images == 2


def test_text_and_lists_are_answered():
    with pytest.raises(OptionError, match=r"grid=\(rows, columns\)"):
        image_distance(planted_trace(uniform(4)))
    with pytest.raises(NotKeptError, match='keep="all"'):
        image_distance(planted_trace(uniform(4), grid=(2, 2), k=2))
    with pytest.raises(OptionError, match="patch=0"):
        image_distance(planted_trace(uniform(4), grid=(2, 2)), patch=0)
