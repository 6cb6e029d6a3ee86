import subprocess
import sys
import textwrap
import time
from contextvars import ContextVar

import numpy as np
import pytest

from headscape.analysis.topology import cliques
from headscape.analysis.topology.bars import Bars
from headscape.analysis.topology.cliques import h1_bars, h1_bars_each
from headscape.errors import MissingExtraError, OptionError, ShapeError

SQUARE = np.array([[0, 1, 1.5, 1], [1, 0, 1, 1.5], [1.5, 1, 0, 1], [1, 1.5, 1, 0]])


def random_distances(seed, nodes):
    d = np.random.default_rng(seed).random((nodes, nodes))
    return np.triu(d, 1) + np.triu(d, 1).T


@pytest.mark.usefixtures("ripser")
def test_a_square_has_one_cycle_from_its_sides_to_its_diagonals():
    bars = h1_bars(SQUARE)
    assert (bars.birth.tolist(), bars.death.tolist()) == ([1.0], [1.5])
    assert (bars.life, bars.midlife, bars.total) == (0.5, 1.25, 0.5)


@pytest.mark.usefixtures("ripser")
def test_a_cycle_that_is_not_filled_within_the_cut_is_open():
    bars = h1_bars(SQUARE, longest=1.2)
    assert bars.death.tolist() == [np.inf]
    assert bars.is_open.tolist() == [True]
    assert np.isnan(bars.life)
    assert len(h1_bars(SQUARE, longest=0.9)) == 0


def test_many_graphs_of_any_size_agree_with_gudhi(ripser):
    gudhi = pytest.importorskip("gudhi")
    graphs = [random_distances(seed, nodes) for seed, nodes in enumerate((3, 12, 30, 1, 20))]
    cuts = [1.0, 1.0, 0.6, 1.0, 0.5]
    for graph, cut, bars in zip(graphs, cuts, h1_bars_each(graphs, longest=cuts), strict=True):
        tree = gudhi.RipsComplex(distance_matrix=graph, max_edge_length=cut).create_simplex_tree(
            max_dimension=2
        )
        tree.compute_persistence()
        want = tree.persistence_intervals_in_dimension(1).reshape(-1, 2)
        want = want[np.lexsort((want[:, 1], want[:, 0]))]
        np.testing.assert_allclose(np.stack([bars.birth, bars.death], 1), want, atol=1e-6)


@pytest.mark.usefixtures("ripser")
def test_a_graph_that_takes_too_long_is_given_up_and_the_others_are_not():
    start = time.perf_counter()
    first, slow, last = h1_bars_each(
        [random_distances(0, 30), random_distances(1, 240), random_distances(0, 30)], limit_s=0.5
    )
    assert time.perf_counter() - start < 60  # alone it takes longer than anybody waits in a test
    assert slow.stopped == "time limit of 0.5 s"
    assert len(slow) == 0
    assert np.isnan([slow.total, slow.life, slow.midlife]).all()
    assert "not known" in repr(slow)
    assert (first.stopped, last.stopped) == ("", "")
    np.testing.assert_array_equal(first.death, last.death)


@pytest.mark.usefixtures("ripser")
def test_a_script_without_a_main_guard_can_ask(tmp_path):
    script = tmp_path / "ask.py"
    # A file beside the script must not be taken for a library's.
    (tmp_path / "ripser.py").write_text("raise RuntimeError('the wrong ripser')")
    script.write_text(
        textwrap.dedent("""
        import sys
        sys.path.remove(sys.path[0])
        import numpy as np
        from headscape.analysis.topology.cliques import h1_bars
        print(h1_bars(np.array([[0, 1, 2, 1], [1, 0, 1, 2], [2, 1, 0, 1], [1, 2, 1, 0.0]])))
        """)
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout.strip() == "Bars(H1, 1 bars, 0 of them open)", done.stderr


@pytest.mark.usefixtures("ripser")
def test_a_block_shares_one_child_and_ends_it():
    with cliques.one_child():
        h1_bars(SQUARE)
        child = cliques._kept.get()._process
        h1_bars(SQUARE)
        assert cliques._kept.get()._process is child
        assert child.poll() is None
    assert child.poll() is not None


@pytest.mark.usefixtures("ripser")
def test_a_child_that_dies_is_a_sentence_and_not_an_empty_answer(monkeypatch):
    matrix = random_distances(0, 30)
    with cliques._Child() as child:
        child.ask(matrix, 60)
        child._process.kill()
        child._process.wait()
        _, stopped = child.ask(matrix, 60)
    assert "ended by itself" in stopped
    assert np.isnan(Bars(np.empty(0), np.empty(0), 1, stopped=stopped).total)


def test_nan_is_said():
    d = random_distances(0, 6)
    d[0, 1] = d[1, 0] = np.nan
    assert h1_bars(d).stopped == "the distances hold NaN"


def test_too_many_nodes_are_refused_with_the_way_out():
    with pytest.raises(OptionError, match=r"300 nodes; above 256 .*Pass most_nodes=300"):
        h1_bars(np.zeros((300, 300)))


def test_without_ripser_the_message_names_the_command(monkeypatch):
    monkeypatch.setattr(cliques, "_kept", ContextVar("_kept", default=None))  # no child that runs already
    monkeypatch.setattr(cliques.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match=r"headscape\[topology\]"):
        h1_bars(SQUARE)


def test_wrong_options_are_named():
    with pytest.raises(OptionError, match="limit_s=0"):
        h1_bars(SQUARE, limit_s=0)
    with pytest.raises(OptionError, match="2 distances for 1 graphs"):
        h1_bars_each([SQUARE], longest=[1, 2])
    with pytest.raises(ShapeError, match="not symmetric"):
        h1_bars(np.triu(SQUARE))


def test_short_bars_can_be_left_out():
    bars = Bars(np.array([0, 0.2, 0.3]), np.array([0.5, 0.25, np.inf]), 1)
    kept = bars.longer_than(0.1)
    assert (kept.birth.tolist(), kept.death.tolist()) == ([0, 0.3], [0.5, np.inf])
    # (0 + 0.5) / 2 and (0.2 + 0.25) / 2, of the two that ended
    assert bars.midlife == pytest.approx((0.25 + 0.225) / 2)
