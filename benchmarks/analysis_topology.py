"""What exact H0 and H1 of attention heads cost, beside SciPy, ripser, gudhi and NetworkX on the same heads.

Run: python benchmarks/analysis_topology.py [--lengths 64 128 256 512] [--heads 144] [--rounds 5]
[--markdown FILE]. Heads are rows of softmax over random scores, every second one causal. Each round runs
every way once, in turn. H0 runs in this process on one thread, and its time is processor time, which a
busy machine changes less than the clock's; H1 runs in a child process, and its time is the clock's.
headscape's time for H0 goes from attention to the bars, with both ways of each pair joined on the way; the
others are handed the finished distances, one head at a time, of as many heads as fit into a second. All
answers are compared before anything is timed.
"""

import argparse
import importlib.metadata
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from headscape.analysis.topology.cliques import h1_bars_each, one_child
from headscape.analysis.topology.cycles import token_cycles
from headscape.analysis.topology.distances import attention_distances, symmetric_weights
from headscape.analysis.topology.forest import attention_h0, tree_weights

Reals = npt.NDArray[np.float64]

LENGTHS = (64, 128, 256, 512)
SHARPNESS = 2.0  # standard deviation of the scores
GIVEN_S = 1.0  # seconds in which a rival runs as many heads as it can, at least one
H1_HEADS = 6
H1_LENGTHS = (64, 128)
LIBRARIES = ("numpy", "scipy", "ripser", "gudhi", "networkx")


def make_heads(heads: int, tokens: int, seed: int) -> npt.NDArray[np.float32]:
    """Return attention of made-up heads, (head, query, key)."""
    scores = np.random.default_rng(seed).normal(0, SHARPNESS, (heads, tokens, tokens)).astype(np.float32)
    scores[::2, *np.triu_indices(tokens, 1)] = -np.inf
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    found: npt.NDArray[np.float32] = weights / weights.sum(-1, keepdims=True)
    return found


def scipy_h0(distances: Reals) -> Reals:
    """Return the deaths of one head by SciPy's spanning tree."""
    from scipy.sparse.csgraph import minimum_spanning_tree

    # SciPy takes a distance of 0 for no edge: lift all by 1.
    tree = minimum_spanning_tree(distances + 1)
    return np.sort(tree.data) - 1


def ripser_h0(distances: Reals) -> Reals:
    """Return the deaths of one head by ripser."""
    from ripser import ripser

    found = ripser(distances, distance_matrix=True, maxdim=0)["dgms"][0][:, 1]
    return np.sort(found[np.isfinite(found)]).astype(np.float64)


def gudhi_h0(distances: Reals) -> Reals:
    """Return the deaths of one head by gudhi; bars of length 0 are left out by it and put back here."""
    import gudhi

    tree = gudhi.RipsComplex(distance_matrix=distances).create_simplex_tree(max_dimension=1)
    tree.compute_persistence()
    found = tree.persistence_intervals_in_dimension(0)[:, 1]
    deaths = np.sort(found[np.isfinite(found)])
    return np.concatenate([np.zeros(len(distances) - 1 - len(deaths)), deaths])


def networkx_h0(distances: Reals) -> Reals:
    """Return the deaths of one head by NetworkX."""
    import networkx as nx

    tree = nx.minimum_spanning_tree(nx.from_numpy_array(distances + 1))
    return np.sort([length for _, _, length in tree.edges(data="weight")]) - 1


RIVALS: dict[str, Callable[[Reals], Reals]] = {
    "scipy": scipy_h0,
    "ripser": ripser_h0,
    "gudhi": gudhi_h0,
    "networkx": networkx_h0,
}


def time_h0(tokens: int, heads: int, rounds: int) -> dict[str, list[float]]:
    """Return seconds per head of every way, one number per round; answers are compared first."""
    weights = make_heads(heads, tokens, seed=tokens)
    distances = attention_distances(weights[:2]).astype(np.float64)
    wanted = attention_h0(weights[:2])
    for name, way in RIVALS.items():
        for head in range(2):
            np.testing.assert_allclose(way(distances[head]), wanted[head], atol=1e-6, err_msg=name)
    times: dict[str, list[float]] = {name: [] for name in ("headscape", "tree", *RIVALS)}
    joined = symmetric_weights(weights)
    several = attention_distances(weights[:24]).astype(np.float64)
    for _ in range(rounds):
        times["headscape"].append(_processor_s(lambda: attention_h0(weights)) / heads)
        times["tree"].append(_processor_s(lambda: tree_weights(joined)) / heads)
        for name, way in RIVALS.items():
            times[name].append(_as_many(way, several))
    return times


def _processor_s(run: Callable[[], object]) -> float:
    start = time.process_time()
    run()
    return time.process_time() - start


def _as_many(way: Callable[[Reals], Reals], distances: Reals) -> float:
    """Processor seconds per head, over as many heads as a second allows."""
    spent, done = 0.0, 0
    while spent < GIVEN_S and done < len(distances):
        head = distances[done]
        spent += _processor_s(lambda head=head: way(head))  # type: ignore[misc]
        done += 1
    return spent / done


def time_h1(tokens: int, rounds: int) -> dict[str, list[float]]:
    """Return the clock's seconds per head for H1 with edges of 2/tokens and more."""
    import gudhi
    from ripser import ripser

    weights = symmetric_weights(make_heads(H1_HEADS, tokens, seed=tokens))
    cut = 1 - 2 / tokens
    distances = [np.where(np.eye(tokens), 0, 1 - one.astype(np.float64)) for one in weights]

    def by_gudhi(one: Reals) -> Any:
        tree = gudhi.RipsComplex(distance_matrix=one, max_edge_length=cut).create_simplex_tree(
            max_dimension=2
        )
        tree.compute_persistence()
        return tree.persistence_intervals_in_dimension(1)

    ways: dict[str, Callable[[], Any]] = {
        "ripser": lambda: [
            ripser(one, distance_matrix=True, maxdim=1, thresh=cut)["dgms"][1] for one in distances
        ],
        "headscape": lambda: token_cycles(weights),
        "gudhi": lambda: [by_gudhi(one) for one in distances],
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    with one_child():
        h1_bars_each([np.where(np.eye(5), 0.0, 0.5)])  # starts the child, which is timed on its own
        counts = {name: [len(bars) for bars in run()] for name, run in ways.items()}
        if len(set(map(tuple, counts.values()))) != 1:
            raise SystemExit(f"the ways count different bars: {counts}")
        for _ in range(rounds):
            for name, run in ways.items():
                start = time.perf_counter()
                run()
                times[name].append((time.perf_counter() - start) / H1_HEADS)
    return times


def time_start(rounds: int) -> list[float]:
    """Return the clock's seconds from nothing to the H1 of one small graph."""
    found = []
    square = np.where(np.eye(5), 0.0, np.random.default_rng(0).random((5, 5)))
    for _ in range(rounds):
        start = time.perf_counter()
        h1_bars_each([np.maximum(square, square.T)])
        found.append(time.perf_counter() - start)
    return found


def machine() -> str:
    """Say what all of it ran on."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = [line for line in info.read_text().splitlines() if line.startswith("model name")]
        name = lines[0].partition(":")[2].strip() if lines else name
    load = f", load {os.getloadavg()[0]:.1f} before" if hasattr(os, "getloadavg") else ""
    versions = ", ".join(f"{library} {importlib.metadata.version(library)}" for library in LIBRARIES)
    return f"{name}, {os.cpu_count()} cores, one thread{load}; Python {platform.python_version()}, {versions}"


def h0_rows(asked: argparse.Namespace) -> list[list[str]]:
    """Return the lines of the table of H0, printing each."""
    rows = []
    for tokens in asked.lengths:
        times = time_h0(tokens, asked.heads, asked.rounds)
        middle = {name: statistics.median(found) for name, found in times.items()}
        row = [str(tokens), f"{middle['headscape'] * asked.heads * 1e3:.1f}"]
        row += [f"{middle[name] * 1e3:.3g}" for name in ("headscape", "tree")]
        row += [f"{middle[name] * 1e3:.3g} ({middle[name] / middle['headscape']:.0f} x)" for name in RIVALS]
        print(" | ".join(row), flush=True)
        rows.append(row)
    return rows


def h1_rows(asked: argparse.Namespace) -> list[list[str]]:
    """Return the lines of the table of H1, printing each."""
    rows = []
    for tokens in H1_LENGTHS:
        middle = {name: statistics.median(found) for name, found in time_h1(tokens, asked.rounds).items()}
        row = [str(tokens), f"{middle['headscape'] * 1e3:.1f}"]
        row += [
            f"{middle[name] * 1e3:.1f} ({middle[name] / middle['headscape']:.2f} x)"
            for name in ("ripser", "gudhi")
        ]
        print(" | ".join(row), flush=True)
        rows.append(row)
    return rows


def write_markdown(path: Path, about: str, asked: argparse.Namespace, tables: dict[str, Any]) -> None:
    """Write both tables for the documentation."""
    h0 = ["tokens", f"{asked.heads} heads, ms", "headscape", "of it the tree", *RIVALS]
    h1 = ["tokens", "headscape", "ripser in this process", "gudhi"]
    lines = [
        "# What topology costs",
        "",
        f"Measured by `benchmarks/analysis_topology.py`: {about}.",
        "",
        f"## H0 of {asked.heads} heads",
        "",
        "Processor milliseconds per head, medians of interleaved rounds; in brackets how many times "
        "headscape's, which starts from attention and joins both ways of each pair itself; the others are "
        "handed finished distances. All agree within 1e-6.",
        "",
        *(f"| {' | '.join(line)} |" for line in (h0, ["---"] * len(h0), *tables["h0"])),
        "",
        f"## H1, edges of weight 2/tokens and more, {H1_HEADS} heads",
        "",
        "Milliseconds of the clock per head. headscape runs ripser in a child process that can be ended; "
        f"starting it took {tables['start']:.1f} s, once per call (or once per `one_child()` block), which "
        "is not in the table. The heads are made up, and harder than those of trained models.",
        "",
        *(f"| {' | '.join(line)} |" for line in (h1, ["---"] * len(h1), *tables["h1"])),
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def main() -> None:
    """Measure, print the tables as they grow, and write them where asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lengths", nargs="+", type=int, default=list(LENGTHS))
    parser.add_argument("--heads", type=int, default=144)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--markdown", type=Path)
    asked = parser.parse_args()
    about = machine()
    print(about)
    tables = {
        "h0": h0_rows(asked),
        "h1": h1_rows(asked),
        "start": statistics.median(time_start(asked.rounds)),
    }
    print(f"start of the child: {tables['start']:.2f} s")
    if asked.markdown:
        write_markdown(asked.markdown, about, asked, tables)


if __name__ == "__main__":
    main()
