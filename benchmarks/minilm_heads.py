"""What the heads of all-MiniLM-L6-v2 do on a text, beside figures that were measured without headscape.

    python benchmarks/minilm_heads.py TEXT_FILE [--markdown docs/analysis/heads.md]

The text is cut into 28 segments of 128 tokens, [CLS] and [SEP] among them. The known figures are those of the
term paper that headscape started from, measured before headscape existed. Needs headscape[minilm].
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

import headscape
from headscape.analysis.heads import HeadStats, measure_heads
from headscape.analysis.roles import Roles, find_roles
from headscape.analysis.similarity import HeadSimilarity, head_divergence
from headscape.analysis.sinks import SINK_SHARE, Sinks, find_sinks
from headscape.demo.minilm import load_minilm

SEGMENTS, TOKENS = 28, 128
# Segments captured at once: all weights are kept.
AT_ONCE = 14
BEGIN, END = "<!-- minilm_heads.py: begin -->", "<!-- minilm_heads.py: end -->"
# Known figures, by layer or one number, and how many digits they were given with.
KNOWN = {
    "entropy of a row, nats (even: 4.85)": ((3.88, 2.28, 2.43, 2.96, 3.00, 3.66), 2),
    "entropy of the row of [CLS], nats": ((3.05, 0.90, 0.63, 1.21, 1.23, 3.97), 2),
    "share on [CLS]": ((0.03, 0.34, 0.32, 0.30, 0.28, 0.14), 2),
    "largest share of a head on [SEP]": ((0.034,), 3),
    "mean distance, tokens (even: 42.7)": ((32.0, 32.1, 33.4, 38.0, 38.4, 44.2), 1),
    "share of the strongest previous-token head (layer 0 head 2)": ((0.984,), 3),
    "share of the strongest next-token head (layer 1 head 8)": ((0.684,), 3),
    "divergence between heads of a layer, nats": ((0.26, 0.32, 0.31, 0.26, 0.25, 0.16), 2),
    "divergence between all heads, nats": ((0.32,), 2),
    "share of the tokens . and ,": ((0.058,), 3),
    "heads with more than .3 on [CLS]": ((0.33,), 2),
    "heads with more than .3 on [SEP]": ((0.0,), 2),
}


@dataclass(frozen=True)
class Findings:
    """Everything that is measured."""

    stats: HeadStats
    similarity: HeadSimilarity
    sinks: Sinks
    roles: Roles

    def figures(self) -> dict[str, np.ndarray]:
        """Return what stands beside the known figures, under the same names."""
        s = self.stats
        first, separator = s["first"], s["separator"]
        values = {
            "entropy of a row, nats (even: 4.85)": s["entropy_nats"].mean(-1),
            "entropy of the row of [CLS], nats": s["first_entropy"].mean(-1),
            "share on [CLS]": first.mean(-1),
            "largest share of a head on [SEP]": separator.max(),
            "mean distance, tokens (even: 42.7)": s["distance"].mean(-1),
            "share of the strongest previous-token head (layer 0 head 2)": s["previous"][0, 2],
            "share of the strongest next-token head (layer 1 head 8)": s["next"][1, 8],
            "divergence between heads of a layer, nats": [self.similarity.mean(n) for n in range(6)],
            "divergence between all heads, nats": self.similarity.mean(),
            "share of the tokens . and ,": s.chances["stops"].mean(),
            "heads with more than .3 on [CLS]": (first > SINK_SHARE).mean(),
            "heads with more than .3 on [SEP]": (separator > SINK_SHARE).mean(),
        }
        return {name: np.atleast_1d(np.asarray(value)) for name, value in values.items()}


def segments(mini, text: str, count: int, length: int) -> tuple[torch.Tensor, list[list[str]]]:
    """Cut a text into ids, (segment, token), and labels, each [CLS] ... [SEP]."""
    found = mini.tokenizer.encode(text, add_special_tokens=False)
    inner = length - 2
    rows = [slice(at, at + inner) for at in range(0, len(found.ids) - inner + 1, inner)][:count]
    if not rows:
        raise SystemExit(f"The text has {len(found.ids)} tokens; one segment takes {inner}.")
    ids = torch.tensor([[101, *found.ids[row], 102] for row in rows])
    return ids, [["[CLS]", *found.tokens[row], "[SEP]"] for row in rows]


def traces_of(mini, ids: torch.Tensor, labels: list[list[str]]) -> Iterator[headscape.Trace]:
    """Capture the segments, some at a time."""
    for at in range(0, len(ids), AT_ONCE):
        part = ids[at : at + AT_ONCE]
        with headscape.capture(mini.model, tokens=labels[at : at + AT_ONCE], keep="all", values=False) as run:
            mini.model(input_ids=part, attention_mask=torch.ones_like(part))
        yield run.trace


def measure(text: str) -> Findings:
    """Capture and measure."""
    mini = load_minilm()
    with torch.no_grad():
        traces = list(traces_of(mini, *segments(mini, text, SEGMENTS, TOKENS)))
    stats = measure_heads(traces, words={"stops": {".", ","}})
    return Findings(stats, head_divergence(traces), find_sinks(traces), find_roles(stats))


def lines_of(found: Findings) -> list[str]:
    """Write the findings as Markdown."""
    figures = found.figures()
    lines = ["| measure | known | headscape | largest gap |", "| --- | --- | --- | --: |"]
    for name, (known, digits) in KNOWN.items():
        here = figures[name]
        gap = np.abs(here - known).max()
        cells = (
            ", ".join(f"{value:.{n}f}" for value in row) for row, n in ((known, digits), (here, digits + 1))
        )
        lines.append(f"| {name} | {' | '.join(cells)} | {gap:.1g} |")
    stats, sinks = found.stats, found.sinks
    counts = ", ".join(f"{count} {name}" for name, count in found.roles.counts().items())
    lines += [
        "",
        f"Share on `.` and `,` by layer: {_row(stats['stops'].mean(-1))} (token share "
        f"{stats.chances['stops'].mean():.3f}). Heads above one half: {(stats['previous'] > 0.5).sum()} on "
        f"the previous token, {(stats['next'] > 0.5).sum()} on the next. Sink heads by Gu et al., mean over "
        f"texts: {sinks.share(0):.0%} at [CLS], {sinks.share(TOKENS - 1):.0%} at [SEP]; the place most heads "
        f"share is token {sinks.best}.",
        "",
        f"Roles of the {len(found.roles)} heads: {counts}. Of those with a role, the strongest of each:",
        "",
        "| role | layer | head | evidence |",
        "| --- | --: | --: | --- |",
    ]
    for name in found.roles.counts():
        best = max((one for one in found.roles if one.name == name), key=lambda one: one.share)
        if best.is_named:
            lines.append(f"| {best} | {best.layer} | {best.head} | {best.evidence} |")
    return lines


def _row(values: np.ndarray) -> str:
    return ", ".join(f"{value:.3f}" for value in values)


def main() -> None:
    """Measure, print, and write into a page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("text", type=Path)
    parser.add_argument("--markdown", type=Path, help="a page with the two marks between which this goes")
    given = parser.parse_args()
    lines = lines_of(measure(given.text.read_text(encoding="utf-8")))
    print("\n".join(lines))
    if given.markdown:
        page = given.markdown.read_text(encoding="utf-8")
        before, _, rest = page.partition(BEGIN)
        after = rest.partition(END)[2]
        given.markdown.write_text("\n".join([before + BEGIN, *lines, END + after]), encoding="utf-8")


if __name__ == "__main__":
    main()
