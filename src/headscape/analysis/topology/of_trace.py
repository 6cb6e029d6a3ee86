"""Topology of every head of a trace, and of the traces of a training run."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypedDict, Unpack

import numpy as np
import numpy.typing as npt

from headscape.analysis.topology.bars import Bars
from headscape.analysis.topology.cliques import LIMIT_S, MOST_NODES, one_child
from headscape.analysis.topology.curves import Curves, count_steps
from headscape.analysis.topology.cycles import SHARE, token_cycles_each
from headscape.analysis.topology.forest import tree_weights
from headscape.analysis.topology.graphs import TokenGraphs, token_graphs
from headscape.errors import OptionError, ShapeError, expect_option
from headscape.trace.trace import Trace

Reals = npt.NDArray[np.float64]

# Weights at which curves are drawn: even on a scale of logarithms, as attention is spread.
STEPS = np.geomspace(0.001, 1, 61)
STEPS.setflags(write=False)


class CycleOptions(TypedDict, total=False):
    """Options of :func:`head_topology` that say how H1 is worked out."""

    share: float
    most_nodes: int
    limit_s: float


@dataclass(frozen=True, eq=False)
class LayerTopology:
    """Topology of the heads of one layer.

    Attributes
    ----------
    layer, site
        Number and name of the attention call.
    graphs : TokenGraphs
        What was measured.
    deaths : (head, node - 1) float64 array
        Bars of H0, rising; distances are ``1 - weight``.
    curves : Curves
        Components and cycle rank over weights, (head, step).
    h1 : tuple of Bars or None
        Bars of H1, one for each head; None where they were not asked for.
    """

    layer: int
    site: str
    graphs: TokenGraphs
    deaths: Reals
    curves: Curves
    h1: tuple[Bars, ...] | None

    @property
    def h0_sum(self) -> Reals:
        """Sum of the H0 bars of each head, (head,): 0 (one token draws all) to nodes - 1 (no attention)."""
        return np.asarray(self.deaths.sum(axis=-1))

    @property
    def h0_mean(self) -> Reals:
        """Mean H0 bar of each head, (head,), 0 to 1; NaN for one token, which has no bar."""
        bars = self.deaths.shape[-1]
        return self.h0_sum / bars if bars else np.full(len(self.deaths), np.nan)


@dataclass(frozen=True, eq=False)
class HeadTopology:
    """Topology of every head of one example; see :func:`head_topology`."""

    layers: tuple[LayerTopology, ...]
    example: int

    def table(self, measure: str = "h0_sum") -> Reals:
        """Return one number per head, (layer, head); NaN where a layer has fewer heads than another.

        ``measure``: ``"h0_sum"``, ``"h0_mean"``, and where H1 was worked out ``"h1_sum"`` (of closed bars),
        ``"h1_count"``, ``"h1_life"`` and ``"h1_midlife"``.
        """
        expect_option("head topology", "measure", measure, MEASURES)
        rows = [_measure(layer, measure) for layer in self.layers]
        table = np.full((len(rows), max((len(row) for row in rows), default=0)), np.nan)
        for place, row in zip(table, rows, strict=True):
            place[: len(row)] = row
        return table


MEASURES = ("h0_sum", "h0_mean", "h1_sum", "h1_count", "h1_life", "h1_midlife")


def _measure(layer: LayerTopology, measure: str) -> Reals:
    if measure.startswith("h0"):
        return layer.h0_sum if measure == "h0_sum" else layer.h0_mean
    if layer.h1 is None:
        raise OptionError(f"{measure} needs H1, which was not worked out. Call head_topology(..., h1=True).")
    numbers = {
        "h1_sum": [bars.total for bars in layer.h1],
        "h1_count": [np.nan if bars.stopped else len(bars) for bars in layer.h1],
        "h1_life": [bars.life for bars in layer.h1],
        "h1_midlife": [bars.midlife for bars in layer.h1],
    }
    return np.array(numbers[measure], np.float64)


def head_topology(
    trace: Trace,
    example: int = 0,
    *,
    layers: Sequence[int] | None = None,
    without: Sequence[int | str] = (),
    h1: bool = False,
    expect_sums: bool = True,
    **cycles: Unpack[CycleOptions],
) -> HeadTopology:
    """Topology of the token graph of every head: exact H0, curves, and H1 where it is asked for.

    Parameters
    ----------
    trace : Trace
        With all weights (``keep="all"``).
    example : int
        Which example of the batch.
    layers : sequence of int, optional
        Numbers of attention calls; default all.
    without : sequence of int or str
        Tokens to leave out: places, labels, or ``"sinks"`` (chosen in each layer).
    h1 : bool
        Work out H1 as well, through ripser in a child process.
    expect_sums : bool
        Whether a row that does not sum to 1 is an error.
    **cycles
        With ``h1=True``: ``share=2.0`` (edges of weight 2/tokens and more), ``most_nodes=256``,
        ``limit_s=60.0`` for each head.

    Returns
    -------
    HeadTopology
        Distances are ``1 - max(A, A^T)``. Padded tokens are left out. Cross-attention is measured on the
        graph of queries and keys together. A head in which the model made a row NaN is NaN.

    Raises
    ------
    NotKeptError, ShapeError, OptionError, LabelError
        As :func:`headscape.analysis.topology.graphs.token_graphs`.
    MissingExtraError
        ``h1=True`` without ripser.

    Notes
    -----
    A sum of H0 bars grows with the tokens; compare texts of different lengths by ``h0_mean``.

    References
    ----------
    .. [1] "Artificial Text Detection via Examining the Topology of Attention Maps", L. Kushnareva et al.,
       EMNLP 2021, doi:10.18653/v1/2021.emnlp-main.50

    Examples
    --------
    >>> from headscape.trace.synthetic import example_trace
    >>> found = head_topology(example_trace(layers=3, heads=2))
    >>> found.table("h0_mean").round(2)
    array([[0.46, 0.49],
           [0.5 , 0.77],
           [0.72, 0.65]])
    """
    for name in cycles:
        expect_option("head_topology", "option", name, CycleOptions.__annotations__)
    if cycles and not h1:
        raise OptionError(f"{', '.join(cycles)} concern H1, which is not worked out. Pass h1=True with them.")
    chosen = range(len(trace.calls)) if layers is None else layers
    graphs = [
        token_graphs(trace, layer, example, without=without, expect_sums=expect_sums) for layer in chosen
    ]
    bars: list[list[Bars]] | None = None
    if h1:
        share = cycles.get("share", SHARE)
        bars = token_cycles_each(
            [(graph.weights, share) for graph in graphs],
            most_nodes=cycles.get("most_nodes", MOST_NODES),
            limit_s=cycles.get("limit_s", LIMIT_S),
        )
    found = []
    for place, (layer, graph) in enumerate(zip(chosen, graphs, strict=True)):
        tree = tree_weights(graph.weights)
        steps = np.broadcast_to(STEPS, (len(graph.weights), len(STEPS)))
        deaths = (1 - tree)[:, ::-1]
        curves = count_steps(graph.weights, steps, tree)
        call = trace.calls[layer]
        of_heads = tuple(bars[place]) if bars is not None else None
        found.append(LayerTopology(call.layer, call.site, graph, deaths, curves, of_heads))
    return HeadTopology(tuple(found), example)


@dataclass(frozen=True, eq=False)
class StepTopology:
    """One measure of every head over the steps of a training run.

    Attributes
    ----------
    measure : str
        Which; see :meth:`HeadTopology.table`.
    steps : (step,) int array
        Numbers of the traces; their place, from 0, where a trace has none.
    values : (step, layer, head) float64 array
    """

    measure: str
    steps: npt.NDArray[np.int64]
    values: Reals


def over_steps(
    traces: Iterable[Trace],
    example: int = 0,
    *,
    measure: str = "h0_mean",
    without: Sequence[int | str] = (),
    **cycles: Unpack[CycleOptions],
) -> StepTopology:
    """One measure of every head, for each trace of a training run.

    Parameters
    ----------
    traces : iterable of Trace
        Of one model and one text, in order. They are gone through once, so that they may be read from files
        one by one.
    example : int
        Which example of the batch.
    measure : str
        ``"h0_mean"``, ``"h0_sum"``, ``"h1_sum"``, ``"h1_count"``, ``"h1_life"`` or ``"h1_midlife"``.
    without, **cycles
        As for :func:`head_topology`.

    Returns
    -------
    StepTopology

    Raises
    ------
    ShapeError
        Traces differ in layers or heads, or in the number of tokens (which ``h0_mean`` allows).
    OptionError
        No trace, or no such measure.
    """
    expect_option("over_steps", "measure", measure, MEASURES)
    tables: list[Reals] = []
    steps: list[int] = []
    sizes: list[list[int]] = []
    with one_child():
        for place, trace in enumerate(traces):
            found = head_topology(trace, example, without=without, h1=measure.startswith("h1"), **cycles)
            tables.append(found.table(measure))
            steps.append(place if trace.step is None else trace.step)
            sizes.append([len(layer.graphs.labels) for layer in found.layers])
            if tables[-1].shape != tables[0].shape:
                raise ShapeError(
                    f"trace {place} has {tables[-1].shape} layers and heads, the first {tables[0].shape}. "
                    "Pass traces of one model."
                )
            if measure != "h0_mean" and sizes[-1] != sizes[0]:
                raise ShapeError(
                    f"trace {place} has {sizes[-1]} tokens in its layers, the first {sizes[0]}; {measure} "
                    'grows with the tokens. Pass traces of one text, or measure="h0_mean".'
                )
    if not tables:
        raise OptionError("over_steps was given no trace.")
    return StepTopology(measure, np.array(steps, np.int64), np.stack(tables))
