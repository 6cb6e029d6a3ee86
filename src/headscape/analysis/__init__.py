"""Measures on traces, in NumPy: what heads attend to, what flows to the answer, what shape it has."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headscape.analysis.answer import find_answer
    from headscape.analysis.heads import measure_heads
    from headscape.analysis.maxflow import attention_flow
    from headscape.analysis.norms import block_norms, head_norms, mixed_norms, mixing_ratio
    from headscape.analysis.patterns import prefix_matching, row_entropy
    from headscape.analysis.relevance import chefer, gradient_attention
    from headscape.analysis.roles import find_roles
    from headscape.analysis.rollout import edge_share, rollout_between, trace_passage
    from headscape.analysis.route_graph import keep_routes, prune_to_routes
    from headscape.analysis.routes import find_routes
    from headscape.analysis.scores import edge_scores, head_scores, token_scores
    from headscape.analysis.similarity import head_divergence
    from headscape.analysis.sinks import find_sinks
    from headscape.analysis.vision import image_distance

# Looked up when first used: nobody pays for the measures that are not asked for.
_HOMES = {
    "attention_flow": "headscape.analysis.maxflow",
    "block_norms": "headscape.analysis.norms",
    "chefer": "headscape.analysis.relevance",
    "edge_scores": "headscape.analysis.scores",
    "edge_share": "headscape.analysis.rollout",
    "find_answer": "headscape.analysis.answer",
    "find_roles": "headscape.analysis.roles",
    "find_routes": "headscape.analysis.routes",
    "find_sinks": "headscape.analysis.sinks",
    "gradient_attention": "headscape.analysis.relevance",
    "head_divergence": "headscape.analysis.similarity",
    "head_norms": "headscape.analysis.norms",
    "head_scores": "headscape.analysis.scores",
    "image_distance": "headscape.analysis.vision",
    "keep_routes": "headscape.analysis.route_graph",
    "measure_heads": "headscape.analysis.heads",
    "mixed_norms": "headscape.analysis.norms",
    "mixing_ratio": "headscape.analysis.norms",
    "prefix_matching": "headscape.analysis.patterns",
    "prune_to_routes": "headscape.analysis.route_graph",
    "rollout_between": "headscape.analysis.rollout",
    "row_entropy": "headscape.analysis.patterns",
    "token_scores": "headscape.analysis.scores",
    "trace_passage": "headscape.analysis.rollout",
}

__all__ = [
    "attention_flow",
    "block_norms",
    "chefer",
    "edge_scores",
    "edge_share",
    "find_answer",
    "find_roles",
    "find_routes",
    "find_sinks",
    "gradient_attention",
    "head_divergence",
    "head_norms",
    "head_scores",
    "image_distance",
    "keep_routes",
    "measure_heads",
    "mixed_norms",
    "mixing_ratio",
    "prefix_matching",
    "prune_to_routes",
    "rollout_between",
    "row_entropy",
    "token_scores",
    "trace_passage",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}.")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
