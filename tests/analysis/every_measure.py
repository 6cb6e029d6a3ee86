"""The table of measures that tests hold against every oddity."""

from collections.abc import Callable

import numpy as np

from headscape.analysis.answer import answer_rows
from headscape.analysis.heads import measure_heads
from headscape.analysis.maxflow import attention_flow
from headscape.analysis.norms import block_norms, head_norms, mixed_norms, mixing_ratio
from headscape.analysis.relevance import chefer, gradient_attention
from headscape.analysis.roles import find_roles
from headscape.analysis.rollout import rollout, trace_passage
from headscape.analysis.routes import find_routes
from headscape.analysis.rows import whole_rows
from headscape.analysis.scores import (
    EDGE_MEASURES,
    HEAD_MEASURES,
    TOKEN_MEASURES,
    edge_scores,
    head_scores,
    token_scores,
)
from headscape.analysis.similarity import head_divergence
from headscape.analysis.sinks import find_sinks
from headscape.analysis.topology.of_trace import head_topology

# A number and what its axes stand for: (name of the axes, call or side they belong to).
#   "q", "k": queries and keys of a call; "t": tokens of a side; "i": tokens of all sides; "h": heads, kept.
Found = dict[str, tuple[np.ndarray, str, int]]


def per_call(measure) -> Callable[..., Found]:
    """Return what a measure of single calls gives for each of them."""

    def run(trace, example):
        found = {}
        for call in trace.calls:
            for name, (array, axes) in measure(call, example).items():
                found[f"{name} {call.site}"] = (array, axes, call.layer)
        return found

    return run


def edges_by(name):
    def run(trace, example):
        found = edge_scores(trace, name, example)
        return {f"{n}": (one, "hqk", n) for n, one in enumerate(found)}

    return run


def heads_by(name):
    return lambda trace, example: {
        f"{n}": (one, "h", n) for n, one in enumerate(head_scores(trace, name, example))
    }


def tokens_by(name):
    return lambda trace, example: {
        f"{n}": (token_scores(trace, name, example, side=n), "t", n) for n in range(len(trace.sides))
    }


def rolled(share):
    def run(trace, example):
        found = {}
        for heads in ("mean", "max"):
            for n, side in enumerate(rollout(trace, example, heads=heads, share=share).sides):
                found[f"{heads} {n}"] = (side, "pti", n)
        return found

    return run


def passed(trace, example):
    found = trace_passage(trace, example)
    edges = {f"edges {n}": (one, "hqk", n) for n, one in enumerate(found.edges)}
    return edges | {f"inputs {n}": (one, "t", n) for n, one in enumerate(found.inputs)}


def relevant(trace, example):
    found = chefer(trace, example)
    return {f"{n}": (found.of(n), "t", n) for n in range(len(trace.sides))}


def flowing(trace, example):
    return {f"{n}": (one, "t", n) for n, one in enumerate(attention_flow(trace, example).inputs)}


def routed(trace, example):
    found = find_routes(trace, example, tau=0.02)
    inputs = {f"{n}": (one, "t", n) for n, one in enumerate(found.inputs)}
    return inputs | {"mass": (np.array([found.mass, found.bias, len(found.edges)]), "x", 0)}


def mixing(call, example):
    found = mixing_ratio(call, example)
    return {"mix": (found.mix, "q"), "preserve": (found.preserve, "q"), "ratio": (found.ratio, "q")}


def shaped(trace, example):
    found = head_topology(trace, example)
    return {f"{one.site}": (one.deaths, "hx", one.layer) for one in found.layers} | {
        f"curves {one.site}": (one.curves.components, "hx", one.layer) for one in found.layers
    }


def answering(trace, example):
    return {"": (answer_rows(trace, example), "t", 0 if trace.outputs is None else trace.outputs.side)}


ONE = {
    "rows": per_call(lambda call, example: {"": (whole_rows(call, example), "hqk")}),
    "head norms": per_call(lambda call, example: {"": (head_norms(call, example), "hqk")}),
    "mixed norms": per_call(lambda call, example: {"": (mixed_norms(call, example), "qk")}),
    "block norms": per_call(lambda call, example: {"": (block_norms(call, example), "qk")}),
    "gradient": per_call(lambda call, example: {"": (gradient_attention(call, example), "hqk")}),
    "mixing": per_call(mixing),
    "answer": answering,
    "rollout": rolled(0.5),
    "rollout, measured": rolled("measured"),
    "passage": passed,
    "flow": flowing,
    "chefer": relevant,
    "routes": routed,
    "topology": shaped,
    **{f"edges by {name}": edges_by(name) for name in EDGE_MEASURES},
    **{f"heads by {name}": heads_by(name) for name in HEAD_MEASURES},
    **{f"tokens by {name}": tokens_by(name) for name in TOKEN_MEASURES},
}


def stats_of(found):
    values = {f"mean of {name}": found.values[name] for name in found.values}
    chances = {f"chance of {name}": found.chances[name] for name in found.chances}
    return values | chances | {f"rows of {name}": found.rows[name] for name in found.rows}


def sunk(traces):
    found = find_sinks(traces)
    return {"alpha": found.alpha, "rate": found.rate, "texts": found.texts}


# Measures over traces, all texts together.
ALL = {
    "heads": lambda traces: stats_of(measure_heads(traces)),
    "heads, smoothed": lambda traces: stats_of(measure_heads(traces, smoothing=0.01)),
    "roles": lambda traces: {
        "names": np.array([row[2:4] for row in find_roles(traces, fewest_rows=1).table()])
    },
    "similarity": lambda traces: {"divergence": head_divergence(traces).divergence},
    "sinks": sunk,
}
