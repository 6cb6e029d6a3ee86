"""What flow, norms and routes say and cost on all-MiniLM-L6-v2: the figures of docs/analysis/flow.md.

    python benchmarks/flow.py TEXT_FILE [--segments 28] [--tokens 128]

The text is cut as in minilm_heads.py. Needs headscape[minilm,flow].
"""

import argparse
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import torch
from minilm_heads import segments

import headscape
from headscape.analysis.maxflow import attention_flow
from headscape.analysis.norms import mixing_ratio
from headscape.analysis.rollout import edge_share, rollout
from headscape.analysis.routes import find_routes
from headscape.demo.minilm import load_minilm

# Flows that NetworkX works out; all of them would take minutes.
BY_NETWORKX = 4
# A token in the middle of things, from which routes go down.
TOKEN = 5


def timed(name: str, work: Callable[[], Any]) -> Any:
    """Run, print how long it took, and return what came out."""
    start = time.perf_counter()
    found = work()
    print(f"{name:42} {time.perf_counter() - start:7.3f} s")
    return found


def networkx_flows(trace: headscape.Trace, token: int, inputs: int) -> list[float]:
    """Work out the first flows by NetworkX on the same network."""
    graph, length = nx.DiGraph(), trace.sides[0].length
    for plane, call in enumerate(trace.calls):
        matrix = 0.5 * call.weights().astype(float).mean(0) + 0.5 * np.eye(length)
        for query, key in zip(*np.nonzero(matrix), strict=True):
            graph.add_edge((plane + 1, query), (plane, key), capacity=matrix[query, key])
    top = (len(trace.calls), token)
    return [nx.maximum_flow_value(graph, top, (0, key)) for key in range(inputs)]


def main() -> None:
    """Capture, measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("text", type=Path)
    parser.add_argument("--segments", type=int, default=28)
    parser.add_argument("--tokens", type=int, default=128)
    given = parser.parse_args()
    mini = load_minilm()
    ids, _ = segments(mini, given.text.read_text(encoding="utf-8"), given.segments, given.tokens)
    ratios = []
    for part in ids.split(4):
        with torch.no_grad(), headscape.capture(mini.model, keep="all", values=True, states=True) as run:
            mini.model(input_ids=part, attention_mask=torch.ones_like(part))
        trace = run.trace
        ratios += [[mixing_ratio(call, n).ratio.mean() for call in trace.calls] for n in range(len(part))]
    found = np.mean(ratios, axis=0)
    print(f"mixing ratio by layer {found.round(3).tolist()}, mean {found.mean():.3f}, {len(ids)} segments")
    print(f"the rest on one segment of {given.tokens} tokens")
    timed("rollout", lambda: rollout(trace))
    timed("share of the answer by edge", lambda: edge_share(trace))
    flow = timed("flow to all inputs (SciPy)", lambda: attention_flow(trace, token=TOKEN)).inputs[0]
    quarters = np.percentile(flow, [25, 50, 75]).round(3)
    print(f"  from token {TOKEN}: a quarter, half, three quarters of the inputs get at most {quarters}")
    other = timed(
        f"flow to {BY_NETWORKX} inputs (NetworkX)", lambda: networkx_flows(trace, TOKEN, BY_NETWORKX)
    )
    print(f"  largest difference {np.abs(flow[:BY_NETWORKX] - other).max():.1e}")
    for token in (None, TOKEN):
        for tau in (0.0, 0.01, 0.02, 0.04, 0.08):
            place = "all tokens" if token is None else f"token {token}"
            search = partial(find_routes, trace, tau=tau, token=token)
            routes = timed(f"routes from {place}, tau {tau}", search)
            print(f"  {routes!r}, {routes.bias:.1%} from biases")


if __name__ == "__main__":
    main()
