"""What prunings cost in two real models: attention, components, and what the model computes.

    python scripts/pruning_report.py TEXT_FILE [--markdown FILE] [--texts 8] [--tokens 128]

all-MiniLM-L6-v2 reads segments of TEXT_FILE (headscape[minilm]); stories260K, from the folder that
HEADSCAPE_STORIES names, reads stories that it made up itself. With --markdown the tables replace what stands
between the two marks of that file. Runs on one thread.
"""

import argparse
import os
import platform
import re
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

import headscape
from headscape.analysis.pruning import report
from headscape.analysis.topology.bottleneck import h0_bottleneck
from headscape.analysis.topology.forest import h0_deaths
from headscape.demo.llama import continue_text
from headscape.demo.minilm import load_minilm
from headscape.demo.stories import find_stories, load_stories
from headscape.graph.forest import spanning_forest
from headscape.probe.pruned import Pruner

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))
from minilm_heads import segments

START, END = "<!-- pruning_report: start -->", "<!-- pruning_report: end -->"
# Name, options and what an edge is: a tree of pairs needs both directions to carry anything both ways.
RULES: list[tuple[str, dict[str, float], str]] = [
    *(("nucleus", {"p": p}, "directed") for p in (0.99, 0.95, 0.9, 0.8, 0.5)),
    *(("top_k", {"k": k}, "directed") for k in (16, 8, 4, 1)),
    *(("lift", {"factor": factor}, "directed") for factor in (2, 4)),
    ("disparity", {"a": 0.05}, "directed"),
    ("skeleton", {"strongest": 0}, "sum"),
    ("skeleton", {}, "sum"),
]
# Those that are run without scaling up what is left of a row, too.
BOTH_WAYS = ("nucleus p = 0.9", "top_k k = 8", "skeleton, the tree alone")
# Texts of which components are worked out, which takes longer than the model itself.
TEXTS_OF_H0 = 2
# Pairs of tokens that each way may keep in the table of structure: 3.1 % of those of 128 tokens.
PAIRS = 256
OPENINGS = (
    "Once upon a time", "Lily and Tom", "One day, a little dog", "There was a big tree", "The cat was sad",
    "Mom said", "A boy named Ben", "In the park",
)  # fmt: skip


@dataclass
class Model:
    """A model and what it reads."""

    name: str
    model: torch.nn.Module
    inputs: dict[str, torch.Tensor]
    lines: list[str] = field(default_factory=list)


def minilm(text: str, texts: int, tokens: int) -> Model:
    """Return MiniLM with segments of a text."""
    mini = load_minilm()
    ids, _ = segments(mini, text, texts, tokens)
    return Model("all-MiniLM-L6-v2", mini.model, {"input_ids": ids, "attention_mask": torch.ones_like(ids)})


def stories(texts: int, tokens: int) -> Model:
    """Return the story-telling model with stories of its own, drawn from the best 90 % with fixed seeds."""
    found = load_stories(find_stories(None, download=False, environment=os.environ))
    ids = []
    for seed in range(texts):
        begin = found.pieces.encode(OPENINGS[seed % len(OPENINGS)])
        ids.append(continue_text(found.model, begin, tokens - len(begin), top_p=0.9, seed=seed))
    return Model("stories260K", found.model, {"ids": torch.tensor(ids)})


def say(rule: tuple[str, dict[str, float], str]) -> str:
    """Return a rule in words."""
    name, options, _ = rule
    if name == "skeleton":
        return "skeleton, the tree alone" if options else "skeleton, as many edges beside the tree"
    return " ".join([name, *(f"{key} = {value:g}" for key, value in options.items())])


def measure(one: Model) -> None:
    """Measure every pruning on one model."""
    with headscape.capture(one.model, keep="all", values=False) as run, torch.no_grad():
        one.model(**one.inputs)
    pruner = Pruner(one.model, one.inputs)
    has_scores = pruner.base.scores is not None
    of_answer = "KL, nats a token" if has_scores else "cosine of mean states"
    one.lines = [
        f"| rule | edges | mass | worst row | rows left empty | H0: median / largest head | {of_answer} | "
        "change of the states |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for rule in RULES:
        name, options, direction = rule
        costs = [
            report(run.trace, name, example=example, direction=direction, **options)
            for example in range(min(TEXTS_OF_H0, run.trace.batch))
        ]
        h0 = np.concatenate([cost.h0 for cost in costs])
        rows = sum(int(np.isfinite(call.row_mass).sum()) for cost in costs for call in cost.calls)
        edges = sum(cost.edges for cost in costs) / sum(cost.edges_before for cost in costs)
        empty = sum(call.empty_rows for cost in costs for call in cost.calls) / rows
        kept = (
            f"{edges:.3f} | {np.mean([cost.mass for cost in costs]):.3f} | "
            f"{min(cost.worst_mass for cost in costs):.3f} | {100 * empty:.1f} % | "
            f"{np.median(h0):.3f} / {h0.max():.3f}"
        )
        for renormalise in (True, False) if say(rule) in BOTH_WAYS else (True,):
            found = pruner.run(name, direction=direction, renormalise=renormalise, **options)
            told = np.nanmean(found.divergence_of_tokens) if has_scores else found.cosine.mean()
            words = say(rule) + ("" if renormalise else ", not renormalised")
            one.lines.append(f"| {words} | {kept} | {told:.4f} | {found.state_change.mean():.3f} |")
            print(one.lines[-1], f"{time.process_time():.0f} s", flush=True)


def structure(one: Model) -> list[str]:
    """Keep the same number of pairs of tokens in several ways, and see what is left of each head's graph."""
    with headscape.capture(one.model, keep="all", values=False) as run, torch.no_grad():
        one.model(**one.inputs)
    found: dict[str, list[tuple[float, ...]]] = {}
    for call in run.trace.calls:
        for example in range(run.trace.batch):
            for weights in call.weights(example):
                close = np.maximum(weights, weights.T)
                np.fill_diagonal(close, 0)
                for name, kept in ways(close).items():
                    found.setdefault(name, []).append(left(close, weights, kept))
    lines = [
        f"| {PAIRS} pairs of each head | mass | H0 | components | isolated | worst row | rank correlation of "
        "columns |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, rows in found.items():
        mass, h0, parts, isolated, worst, rho = np.mean(rows, axis=0)
        lines.append(
            f"| {name} | {mass:.3f} | {h0:.3f} | {parts:.1f} | {isolated:.1f} | {worst:.3f} | {rho:.3f} |"
        )
    return lines


def ways(close: np.ndarray) -> dict[str, np.ndarray]:
    """Return which pairs each way keeps, (token, token) bool."""
    size = len(close)
    one, other = np.triu_indices(size, 1)
    pair = close[one, other]
    # The best place that a pair has in the row of either end.
    places = np.argsort(np.argsort(-close, axis=1, kind="stable"), axis=1)
    place = np.minimum(places[one, other], places[other, one])
    tree = spanning_forest(np.zeros(len(pair), np.int64), one.astype(np.int32), other.astype(np.int32), pair)
    orders = {
        "the strongest": np.argsort(-pair, kind="stable"),
        "skeleton: the tree, and the strongest beside it": np.lexsort((-pair, ~tree)),
        "top of each row": np.lexsort((-pair, place)),
        "at random": np.random.default_rng(0).permutation(len(pair)),
    }
    found = {}
    for name, order in orders.items():
        kept = np.zeros((size, size), bool)
        kept[one[order[:PAIRS]], other[order[:PAIRS]]] = True
        found[name] = kept | kept.T
    return found


def left(close: np.ndarray, weights: np.ndarray, kept: np.ndarray) -> tuple[float, ...]:
    """Return what is left: mass, H0 distance, components, lone tokens, worst row, order of columns.

    Mass and columns are those of attention to other tokens, both ways of a pair.
    """
    after = np.where(kept, close, np.float32(0))
    others = np.where(np.eye(len(close), dtype=bool), 0, weights)
    held = np.where(kept, others, 0)
    deaths = [h0_deaths((1 - one).astype(np.float32)) for one in (close, after)]
    ranks = [np.argsort(np.argsort(one.sum(0))) for one in (others, held)]
    rows = others.sum(1)
    return (
        float(held.sum() / others.sum()),
        h0_bottleneck(*deaths),
        1 + float((deaths[1] >= 1).sum()),
        float((after.sum(0) == 0).sum()),
        float((held.sum(1)[rows > 0] / rows[rows > 0]).min()),
        float(np.corrcoef(*ranks)[0, 1]),
    )


def machine(texts: int, tokens: int, seconds: float) -> str:
    """Say where and on what the numbers came about."""
    info = Path("/proc/cpuinfo")
    names = re.findall(r"model name\s*:\s*(.*)", info.read_text()) if info.exists() else []
    return (
        f"{texts} texts of {tokens} tokens for each model (edges, mass and H0: of "
        f"{min(texts, TEXTS_OF_H0)}); one thread of "
        f"{names[0] if names else platform.machine()}, Python {platform.python_version()}, torch "
        f"{torch.__version__}, NumPy {np.__version__}; {seconds / 60:.1f} minutes of processor time in all."
    )


def main() -> None:
    """Measure both models, print, and write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("text", type=Path)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--texts", type=int, default=8)
    parser.add_argument("--tokens", type=int, default=128)
    given = parser.parse_args()
    torch.set_num_threads(1)
    both = [
        minilm(given.text.read_text(encoding="utf-8"), given.texts, given.tokens),
        stories(given.texts, given.tokens),
    ]
    parts = []
    for one in both:
        measure(one)
        heading = f"{one.name}: what stays, and what the model makes of it"
        parts.append("\n".join([f"### {heading}", "", *one.lines]))
    for one in both:
        lines = structure(one)
        parts.append(
            "\n".join([f"### {one.name}: the same number of pairs, kept in several ways", "", *lines])
        )
    parts.insert(0, machine(given.texts, given.tokens, time.process_time()))
    text = "\n\n".join(parts)
    print(text)
    if given.markdown:
        whole = given.markdown.read_text(encoding="utf-8")
        head, rest = whole.split(START)
        _, tail = rest.split(END)
        given.markdown.write_text(f"{head}{START}\n\n{text}\n\n{END}{tail}", encoding="utf-8")


if __name__ == "__main__":
    main()
