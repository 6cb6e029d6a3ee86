import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from headscape.draw.curves import flow_curves, plane_curves
from headscape.draw.labels import spread
from headscape.draw.theme import DARK, LEVELS, LIGHT, levels, oklab, ramp

heights = st.lists(st.floats(0, 500), min_size=1, max_size=60)


@given(heights)
def test_labels_are_apart_in_order_and_near_their_nodes(wanted):
    y = np.array(wanted)
    placed = spread(y, np.arange(len(y)), 10.0, 30.0)
    shown = np.flatnonzero(~np.isnan(placed))
    assert len(shown)
    order = shown[np.argsort(y[shown], kind="stable")]
    assert (np.diff(placed[order]) > 10 - 1e-6).all()
    assert np.abs(placed[shown] - y[shown]).max() <= 30


def test_labels_with_room_stay_where_they_are():
    y = np.array([0.0, 30.0, 12.0])
    np.testing.assert_array_equal(spread(y, np.zeros(3), 10.0, 30.0), y)


def test_two_labels_at_one_place_part_evenly():
    np.testing.assert_allclose(spread(np.array([50.0, 50.0]), np.zeros(2), 10.0, 30.0), [45, 55])


def test_the_least_important_labels_of_a_crowd_go_first():
    placed = spread(np.full(9, 100.0), np.array([0, 8, 1, 7, 2, 6, 3, 5, 4]), 10.0, 20.0)
    assert np.flatnonzero(np.isnan(placed)).tolist() == [0, 2, 4, 6]


def test_curves_start_and_end_on_their_nodes():
    rng = np.random.default_rng(0)
    start, end, lane = rng.normal(size=(5, 3)), rng.normal(size=(5, 3)), rng.uniform(-1, 1, 5)
    for layout in ("ring", "line", "grid", "spring"):
        curves = plane_curves(start, end, np.zeros((5, 3)), lane, layout=layout, gap=1.0)
        np.testing.assert_allclose(curves[:, 0], start)
        np.testing.assert_allclose(curves[:, -1], end)
    curves = flow_curves(start, end, lane)
    np.testing.assert_allclose(curves[:, 0], start, atol=1e-12)
    np.testing.assert_allclose(curves[:, -1], end, atol=1e-12)


def test_heads_of_one_pair_run_in_lanes_of_their_own():
    start, end = np.zeros((3, 3)), np.tile([0.0, 1.0, 1.0], (3, 1))
    curves = plane_curves(start, end, np.zeros((3, 3)), np.array([-1.0, 0, 1]), layout="ring", gap=1.0)
    middles = curves[:, curves.shape[1] // 2]
    assert np.linalg.norm(middles[0] - middles[1]) > 0.03
    assert np.linalg.norm(middles[1] - middles[2]) > 0.03


def test_ramps_rise_in_even_steps_of_lightness_away_from_the_paper():
    for theme in (LIGHT, DARK):
        for colour in (theme.one, *theme.heads):
            lightness = np.array(
                [oklab("#" + "".join(f"{round(c * 255):02x}" for c in rgb))[0] for rgb in ramp(theme, colour)]
            )
            away = np.abs(lightness - oklab(theme.paper)[0])
            assert (np.diff(away) > 0.015).all(), (theme.name, colour)
            assert away[0] > 0.1  # the weakest can still be seen


# What deuteranope and protanope eyes see of linear sRGB: Machado, Oliveira and Fernandes 2009,
# doi:10.1109/TVCG.2009.113, severity 1.
DEUTAN = [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
PROTAN = [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]]


def as_seen(colour, eye):
    srgb = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.asarray(eye) @ linear, 0, 1)
    back = np.where(seen <= 0.0031308, 12.92 * seen, 1.055 * seen ** (1 / 2.4) - 0.055)
    return "#" + "".join(f"{round(c * 255):02x}" for c in back)


@pytest.mark.parametrize("eye", [np.eye(3), DEUTAN, PROTAN])
def test_heads_differ_for_every_eye(eye):
    for theme in (LIGHT, DARK):
        points = np.array([oklab(as_seen(colour, eye)) for colour in theme.heads])
        distance = np.linalg.norm(points[:, None] - points, axis=-1)[~np.eye(len(points), dtype=bool)]
        assert distance.min() > 0.08


def test_levels_cover_the_strengths():
    np.testing.assert_array_equal(
        levels(np.array([0, 0.19, 0.2, 0.99, 1.0])), [0, 0, 1, LEVELS - 1, LEVELS - 1]
    )
