"""Cycles that no triangles fill (H1 of the clique complex), worked out by ripser in a child process."""

import contextlib
import importlib.util
import os
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterable, Iterator, Sequence
from contextvars import ContextVar
from types import TracebackType

import numpy as np
import numpy.typing as npt

from headscape.analysis.topology.bars import Bars
from headscape.analysis.topology.child import read, write
from headscape.analysis.topology.matrices import expect_distances
from headscape.errors import MissingExtraError, OptionError

Floats = npt.NDArray[np.floating]
Reals = npt.NDArray[np.float64]

MOST_NODES = 256  # worst cases take half a minute at this size, and have no bound above it
LIMIT_S = 60.0  # seconds one graph may take
START_S = 120.0  # seconds in which ripser has to be loaded; a cold disk needs ten
FEWEST_NODES = 4  # of a cycle that no triangle fills


def h1_bars(
    distances: Floats, *, longest: float | None = None, most_nodes: int = MOST_NODES, limit_s: float = LIMIT_S
) -> Bars:
    """Bars of H1 of a graph's clique complex: cycles, from their last edge to the triangles that fill them.

    This is not the cycle rank ``edges - nodes + components``, which counts every triangle as a cycle
    (:func:`headscape.analysis.topology.curves.cycle_rank`).

    Parameters
    ----------
    distances : (node, node) float array
        Symmetric, >= 0, zero diagonal. Infinity: no edge.
    longest : float, optional
        Leave out edges above this distance; cycles not filled by then are open bars (death infinity).
        Default: look at all.
    most_nodes : int
        Refuse larger graphs.
    limit_s : float
        Seconds after which the child process is ended. The result then has no bars, and ``stopped`` says why.

    Returns
    -------
    Bars
        Of dimension 1. Bars of length 0 are left out. Births and deaths are rounded to float32 by ripser.

    Raises
    ------
    MissingExtraError
        ripser is not installed; the message names the command.
    OptionError
        More nodes than ``most_nodes``; the message says what to do.
    ShapeError
        The matrix is not square, not symmetric or negative.

    Notes
    -----
    Coefficients are those of the field with two elements, as is usual. The child starts in about a second;
    for many graphs call :func:`h1_bars_each`, which starts it once, or use :func:`one_child`. Time has no
    useful bound: attention of trained models takes milliseconds at 128 tokens, random weights half a minute
    at 256.

    References
    ----------
    .. [1] "Ripser: efficient computation of Vietoris-Rips persistence barcodes", U. Bauer, Journal of Applied
       and Computational Topology 5, 2021, doi:10.1007/s41468-021-00071-5

    Examples
    --------
    A square has one cycle, which its diagonals fill:

    >>> side, across = 1.0, 1.5
    >>> square = np.array([[0, side, across, side], [side, 0, side, across],
    ...                    [across, side, 0, side], [side, across, side, 0]])
    >>> bars = h1_bars(square)  # doctest: +SKIP
    >>> bars.birth, bars.death  # doctest: +SKIP
    (array([1.]), array([1.5]))
    """
    return h1_bars_each([distances], longest=longest, most_nodes=most_nodes, limit_s=limit_s)[0]


def h1_bars_each(
    graphs: Iterable[Floats],
    *,
    longest: float | Sequence[float] | None = None,
    most_nodes: int = MOST_NODES,
    limit_s: float = LIMIT_S,
) -> list[Bars]:
    """Return the bars of H1 of many graphs, which may differ in size; see :func:`h1_bars`.

    Parameters
    ----------
    graphs : iterable of (node, node) float array
        Distances of each.
    longest : float or sequence of float, optional
        For all graphs, or one for each.
    most_nodes : int
        Refuse the lot if one graph is larger.
    limit_s : float
        Seconds for each graph. One that takes longer is given up; the others go on.

    Returns
    -------
    list of Bars
        In the order of ``graphs``.
    """
    if limit_s <= 0:
        raise OptionError(f"h1_bars was given limit_s={limit_s}; ask for seconds above 0.")
    matrices = [np.asarray(graph, np.float64) for graph in graphs]
    cuts = _cuts(longest, len(matrices))
    for matrix in matrices:
        expect_distances("distances", matrix)
        if len(matrix) > most_nodes:
            raise OptionError(
                f"the graph has {len(matrix)} nodes; above {most_nodes} H1 may take minutes and gigabytes. "
                f"Pass most_nodes={len(matrix)} to try all the same (limit_s={limit_s:g} still ends it), or "
                "leave out tokens or short edges first; H0 and cycle rank have no such limit."
            )
    kept = _kept.get()
    with _Child() if kept is None else contextlib.nullcontext(kept) as child:
        return [_ask(child, matrix, cut, limit_s) for matrix, cut in zip(matrices, cuts, strict=True)]


@contextlib.contextmanager
def one_child() -> Iterator[None]:
    """Let all calls within the ``with`` block share one child process, which takes a second to start.

    Examples
    --------
    >>> with one_child():
    ...     found = [h1_bars(np.zeros((3, 3))) for _ in range(5)]
    """
    with _Child() as child:
        before = _kept.set(child)
        try:
            yield
        finally:
            _kept.reset(before)


def _cuts(longest: float | Sequence[float] | None, count: int) -> list[float]:
    if longest is None or isinstance(longest, int | float):
        return [np.inf if longest is None else float(longest)] * count
    if len(longest) != count:
        raise OptionError(
            f"longest has {len(longest)} distances for {count} graphs; pass one, or one for each."
        )
    return [float(cut) for cut in longest]


def _ask(child: "_Child", distances: Reals, longest: float, limit_s: float) -> Bars:
    matrix: Reals = np.where(distances <= longest, distances, np.inf)
    np.fill_diagonal(matrix, 0)
    none = np.empty(0)
    if np.isnan(distances[~np.eye(len(distances), dtype=bool)]).any():
        return Bars(none, none, 1, longest, "the distances hold NaN")
    edges = (int(np.isfinite(matrix).sum()) - len(matrix)) // 2
    if len(matrix) < FEWEST_NODES or edges < FEWEST_NODES:
        return Bars(none, none, 1, longest)
    found, stopped = child.ask(matrix, limit_s)
    order = np.lexsort((found[:, 1], found[:, 0]))
    return Bars(found[order, 0], found[order, 1], 1, longest, stopped)


class _Child:
    """The child process: started when first needed, and again after it was ended."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._answers: queue.SimpleQueue[npt.NDArray[np.float64] | None] = queue.SimpleQueue()
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - closed in __exit__

    def __enter__(self) -> "_Child":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, place: TracebackType | None
    ) -> None:
        self._end()
        self._said.close()

    def ask(self, distances: Reals, limit_s: float) -> tuple[npt.NDArray[np.float64], str]:
        """Return the bars (bar, 2), and why there are none where the work was stopped."""
        if self._process is None:
            self._start()
        process = self._process
        if process is None or process.stdin is None:  # _start sees to both
            raise OSError("no child process")
        try:
            write(process.stdin, distances)
            found = self._answers.get(timeout=limit_s)
        except queue.Empty:
            self._end()
            return np.empty((0, 2)), f"time limit of {limit_s:g} s"
        except OSError:
            found = None
        if found is None:
            code = self._end()
            return np.empty((0, 2)), f"the child process ended by itself (code {code}): {self._last_words()}"
        return found, ""

    def _start(self) -> None:
        if importlib.util.find_spec("ripser") is None:
            raise MissingExtraError(
                "H1 needs ripser, which is not installed. Install it with "
                '`pip install "headscape[topology]"`; H0 and cycle rank need nothing.'
            )
        # -P: a script's own folder comes first otherwise, and its files may bear any name.
        command = [sys.executable, "-P", "-m", "headscape.analysis.topology.child"]
        places = os.pathsep.join(place or os.getcwd() for place in sys.path)  # noqa: PTH109 - text is needed
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env={**os.environ, "PYTHONPATH": places, "MPLBACKEND": "Agg"},  # ripser loads matplotlib
        )
        self._answers = queue.SimpleQueue()
        threading.Thread(target=_listen, args=(self._process, self._answers), daemon=True).start()
        try:
            ready = self._answers.get(timeout=START_S)
        except queue.Empty:
            ready = None
        if ready is None:
            code = self._end()
            raise MissingExtraError(
                f"ripser is installed but did not load (code {code}): {self._last_words()}. "
                'Install it anew with `pip install --force-reinstall "headscape[topology]"`.'
            )

    def _end(self) -> int:
        """End the child where there is one; return its exit code."""
        process, self._process = self._process, None
        if process is None:
            return 0
        process.kill()
        code = process.wait()
        if process.stdin is not None:
            with contextlib.suppress(OSError):  # what was not yet sent to a child that is gone
                process.stdin.close()
        return code

    def _last_words(self) -> str:
        self._said.seek(0)
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"


def _listen(
    process: "subprocess.Popen[bytes]", answers: "queue.SimpleQueue[npt.NDArray[np.float64] | None]"
) -> None:
    """Put each block the child writes into the queue, and None when there will be no more."""
    stream = process.stdout
    if stream is None:  # _start asks for a pipe
        answers.put(None)
        return
    with stream:
        try:
            while True:
                answers.put(read(stream))
        except (ValueError, OSError, EOFError):
            answers.put(None)


# The child of the `one_child` block around the call.
_kept: ContextVar[_Child | None] = ContextVar("_kept", default=None)
