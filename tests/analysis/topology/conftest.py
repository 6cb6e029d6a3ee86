import pytest

from headscape.analysis.topology.cliques import one_child


@pytest.fixture(scope="module")
def _shared_child():
    pytest.importorskip("ripser")
    with one_child():
        yield


@pytest.fixture
def ripser(_shared_child):
    """ripser, in a child process that the tests of a module share; skips where it is not installed."""
    return pytest.importorskip("ripser")
