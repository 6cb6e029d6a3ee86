import warnings

import matplotlib as mpl
import numpy as np
import pytest

mpl.use("Agg")


@pytest.fixture(autouse=True)
def no_warning_and_no_state():
    """A figure raises no warning, opens nothing in pyplot and leaves Matplotlib's settings alone."""
    before = dict(mpl.rcParams)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield
    assert dict(mpl.rcParams) == before


@pytest.fixture(scope="session")
def find_artists():
    def find(figure, name):
        """Return the artists of a figure whose gid starts with a name, by gid."""
        found = figure.findobj(lambda artist: str(artist.get_gid() or "").startswith(name))
        return {artist.get_gid(): artist for artist in found}

    return find


@pytest.fixture(scope="session")
def drawn_texts():
    def texts(figure):
        figure.canvas.draw()
        return [t.get_text() for t in figure.findobj(mpl.text.Text) if t.get_visible() and t.get_text()]

    return texts


@pytest.fixture(scope="session")
def on_agg():
    """Give a figure the Agg canvas, so that it can be drawn and clicked."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    def put(figure):
        FigureCanvasAgg(figure).draw()
        return figure

    return put


@pytest.fixture(scope="session")
def sentence():
    words = "[CLS] my flight to boston was cancelled twice , and the crew at the gate could not tell us why"
    return [*words.split(), "it", "was", "late", ".", "[SEP]"]


@pytest.fixture(scope="session")
def digit():
    """Trace of a made-up image of 4 x 4 patches of 2 x 2 px behind a class token."""
    from dataclasses import replace

    from headscape.trace.synthetic import example_trace

    trace = example_trace(layers=2, heads=2, tokens=["[cls]"] + [""] * 16)
    patches = np.random.default_rng(0).integers(0, 256, (2, 16, 2, 2, 3)).astype(np.uint8)
    return replace(trace, sides=(replace(trace.sides[0], grid=(4, 4), pictures=patches),))
