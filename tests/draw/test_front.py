"""The front view: columns from left to right, labels in their rows."""

import numpy as np
import pytest

from headscape.draw.figure import draw_figure
from headscape.trace.synthetic import example_trace


def test_front_view_stands_sides_one_behind_the_other(on_agg, find_artists):
    trace = example_trace(layers=3, heads=2, decoder=True)
    figure = on_agg(draw_figure(trace, view="front"))
    axes = figure.axes[0]
    nodes = {
        gid: axes.pixels(np.column_stack(artist._offsets3d))
        for gid, artist in find_artists(figure, "nodes-").items()
    }
    # The decoder begins behind the encoder's end, at the same height, so cross edges lie between them.
    assert nodes["nodes-1-0"][:, 0].min() > nodes["nodes-0-3"][:, 0].max() + 20
    assert nodes["nodes-1-0"][:, 1].max() == pytest.approx(nodes["nodes-0-0"][:, 1].max(), abs=2)


@pytest.mark.parametrize("tokens", [16, 72])
def test_labels_of_the_front_view_stay_in_their_rows(tokens, on_agg, find_artists):
    trace = example_trace(layers=3, heads=2, tokens=[f"word{n}" for n in range(tokens)])
    figure = on_agg(draw_figure(trace, view="front"))
    labels = find_artists(figure, "label-")
    rows = figure.axes[0].pixels(np.column_stack(find_artists(figure, "nodes-0-0")["nodes-0-0"]._offsets3d))
    step = abs(rows[1, 1] - rows[0, 1])
    shown = [n for n in range(tokens) if labels[f"label-{n}"].get_visible()]
    assert len(shown) == tokens
    for n in shown:
        assert abs(labels[f"label-{n}"].get_position()[1] - rows[n, 1]) < 0.4 * step
        assert labels[f"label-{n}"].get_fontsize() >= 5
