"""Places that NetworkX works out travel in the page."""

import numpy as np
import pytest

from headscape.errors import OptionError
from headscape.trace.block import unpack
from headscape.trace.synthetic import example_trace
from headscape.view.page import page_html
from headscape.view.scene import scene_block


@pytest.mark.parametrize("decoder", [False, True])
def test_spring_places_are_those_of_the_graph(decoder):
    trace = example_trace(layers=2, padding=3, decoder=decoder)
    arrays, _ = unpack(scene_block(trace, 1, layout="spring"))
    graph = trace.graph(1)
    wanted, first = graph.layout("spring"), 0
    for number, side in enumerate(trace.sides):
        places = arrays[f"spring.{number}"]
        assert places.shape == (side.planes, side.length, 2)
        own = wanted[first : first + side.planes * side.length, 1:].reshape(places.shape)
        first += side.planes * side.length
        shift = np.nanmean(own - places, axis=(0, 1))  # towers of two sides stand apart
        np.testing.assert_allclose(
            (own - places)[np.isfinite(own)], np.broadcast_to(shift, own.shape)[np.isfinite(own)], atol=1e-5
        )
        assert abs(places).max() <= 1.2
        assert not places[:, trace.padded(1, number)].any()
    assert "spring.0" not in unpack(scene_block(trace, 1))[0]


def test_another_layout_is_refused():
    with pytest.raises(OptionError, match="layout"):
        page_html(example_trace(), layout="nonsense")
