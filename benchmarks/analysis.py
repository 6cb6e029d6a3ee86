"""What the head statistics of 1,000 texts cost, beside the model's plain passes over the same texts.

    python benchmarks/analysis.py [--texts 1000] [--tokens 128] [--markdown docs/analysis/costs.md]

all-MiniLM-L6-v2 (6 layers of 12 heads) reads batches of 20 texts. Every batch goes each way once, in turn:
the plain pass, the pass captured with keep="all", and each measure of that capture. Ratios are those of sums
over 100 texts, and their medians over the 10 rounds of 1,000. One thread; processor time, with wall time
beside it. Needs headscape[minilm].
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
import torch

import headscape
from headscape.analysis.heads import measure_heads
from headscape.analysis.roles import find_roles
from headscape.analysis.similarity import head_divergence
from headscape.analysis.sinks import find_sinks
from headscape.demo.minilm import MiniLm, load_minilm

BATCH = 20
ROUND = 100  # texts whose times are added up to one ratio
WORDS = (1000, 20000)  # token ids that are words or parts of words
BEGIN, END = "<!-- analysis.py: begin -->", "<!-- analysis.py: end -->"
LIMIT = 3.0  # the pass that captures and all statistics, over the plain pass
WAYS = ("plain", "plain again", "captured", "statistics", "sinks", "roles", "similarity")
MEANING = {
    "plain": "the model's pass",
    "plain again": "the same once more: how far the rest can be trusted",
    "captured": 'the pass, captured with keep="all", values=False',
    "statistics": "measure_heads: entropy, distance, neighbours, kinds of tokens, copies, induction",
    "sinks": "find_sinks: alpha of every place",
    "roles": "find_roles on the statistics",
    "similarity": "head_divergence: 2,556 pairs of heads on every row",
}
Clocks = tuple[float, float]


def made_up(mini: MiniLm, texts: int, tokens: int) -> tuple[torch.Tensor, list[list[str]]]:
    """Draw texts whose tokens are as frequent as words are: the n-th most frequent one 1/n as often."""
    rng = np.random.default_rng(0)
    ranks = np.arange(1, WORDS[1] - WORDS[0] + 1)
    drawn = WORDS[0] + rng.choice(len(ranks), (texts, tokens), p=1 / ranks / (1 / ranks).sum())
    drawn[:, 0], drawn[:, -1] = 101, 102
    return torch.tensor(drawn), [[mini.tokenizer.id_to_token(int(one)) for one in row] for row in drawn]


def clocked(way: Callable[[], Any]) -> tuple[Any, Clocks]:
    """Run something and return its result, with the processor and wall seconds it took."""
    begin = time.process_time(), time.perf_counter()
    result = way()
    return result, (time.process_time() - begin[0], time.perf_counter() - begin[1])


def one_batch(mini: MiniLm, ids: torch.Tensor, labels: list[list[str]]) -> dict[str, Clocks]:
    """Run one batch every way and return what each took."""
    mask = torch.ones_like(ids)

    def plain() -> None:
        mini.model(input_ids=ids, attention_mask=mask)

    def captured() -> headscape.Trace:
        with headscape.capture(mini.model, tokens=labels, keep="all", values=False) as run:
            plain()
        return run.trace

    spent = {"plain": clocked(plain)[1]}
    trace, spent["captured"] = clocked(captured)
    stats, spent["statistics"] = clocked(lambda: measure_heads(trace))
    spent["sinks"] = clocked(lambda: find_sinks(trace))[1]
    spent["roles"] = clocked(lambda: find_roles(stats))[1]
    spent["similarity"] = clocked(lambda: head_divergence(trace))[1]
    spent["plain again"] = clocked(plain)[1]
    return spent


def ratios(rounds: list[dict[str, Clocks]], clock: int) -> dict[str, float]:
    """Return the medians over rounds of every way's time over the plain one, and of all together."""
    found = {way: statistics.median(one[way][clock] / one["plain"][clock] for one in rounds) for way in WAYS}
    together = [
        sum(one[way][clock] for way in WAYS if not way.startswith("plain")) / one["plain"][clock]
        for one in rounds
    ]
    return {**found, "all together": statistics.median(together)}


def machine() -> str:
    """Say what this ran on."""
    names = {"model name": platform.processor() or platform.machine()}
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = [line.split(":", 1) for line in info.read_text().splitlines() if ":" in line]
        names |= {key.strip(): value.strip() for key, value in lines}
    versions = ", ".join(
        f"{name} {importlib.metadata.version(name)}" for name in ("torch", "numpy", "transformers")
    )
    load = f", load {os.getloadavg()[0]:.1f} before" if hasattr(os, "getloadavg") else ""
    return (
        f"{names['model name']}, one thread of {os.cpu_count()} cores{load}; "
        f"Python {platform.python_version()}, {versions}"
    )


def lines_of(about: str, rounds: list[dict[str, Clocks]], texts: int, tokens: int) -> list[str]:
    """Write the table."""
    by_processor, by_wall = ratios(rounds, 0), ratios(rounds, 1)
    each = {way: statistics.median(one[way][0] for one in rounds) * 10**3 / ROUND for way in WAYS}
    lines = [
        f"Measured by `benchmarks/analysis.py`: {about}. all-MiniLM-L6-v2, {texts:,} texts of {tokens} "
        f"tokens in batches of {BATCH}; medians over {len(rounds)} rounds of {ROUND} texts. Times are "
        "multiples of the plain pass's in the same round.",
        "",
        "| what | ms a text | processor time | wall time |",
        "| --- | --: | --: | --: |",
    ]
    for way in WAYS:
        lines.append(f"| {MEANING[way]} | {each[way]:.1f} | {by_processor[way]:.2f} | {by_wall[way]:.2f} |")
    total = sum(each[way] for way in WAYS if not way.startswith("plain"))
    name = "**captured pass and all measures**"
    lines.append(
        f"| {name} | {total:.1f} | **{by_processor['all together']:.2f}** | {by_wall['all together']:.2f} |"
    )
    return lines


def main() -> None:
    """Measure, print, and write into a page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--texts", type=int, default=1000)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--markdown", type=Path, help="a page with the two marks between which this goes")
    given = parser.parse_args()
    torch.set_num_threads(1)
    about, mini = machine(), load_minilm()
    ids, labels = made_up(mini, max(ROUND, given.texts // ROUND * ROUND), given.tokens)
    rounds: list[dict[str, Clocks]] = []
    with torch.no_grad():
        one_batch(mini, ids[:BATCH], labels[:BATCH])  # what is loaded and compiled once
        for first in range(0, len(ids), ROUND):
            parts = [
                one_batch(mini, ids[at : at + BATCH], labels[at : at + BATCH])
                for at in range(first, first + ROUND, BATCH)
            ]
            rounds.append({way: tuple(map(sum, zip(*(p[way] for p in parts), strict=True))) for way in WAYS})
            print(f"{first + ROUND} texts: {ratios(rounds[-1:], 0)['all together']:.2f}", flush=True)
    lines = lines_of(about, rounds, len(ids), given.tokens)
    print("\n".join(lines))
    whole = ratios(rounds, 0)["all together"]
    print(f"{whole:.2f} of at most {LIMIT} times the plain passes: {'held' if whole <= LIMIT else 'MISSED'}")
    if given.markdown:
        page = given.markdown.read_text(encoding="utf-8")
        before, _, rest = page.partition(BEGIN)
        given.markdown.write_text(
            "\n".join([before + BEGIN, *lines, END + rest.partition(END)[2]]), encoding="utf-8"
        )


if __name__ == "__main__":
    main()
