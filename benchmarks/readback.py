"""How well true weights can be read off the viewer's pictures: the paper's encoding beside the default.

Run: python benchmarks/readback.py [--markdown docs/readback.md] [--demo demo/attention.headscape] [--quick]

Every picture is drawn by the real page in a real Chromium (software GL, 1280 x 800 CSS pixels, camera as the page
opens), read back by readback_metric.py, and compared with the weights of the trace. Needs headscape[minilm].
"""

import argparse
import math
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
from readback_metric import SIGHTS, Scores, lab, read_lines, score, spearman
from readback_page import Drawn, View, chromium, open_view

import headscape
from headscape.demo.minilm import load_minilm
from headscape.trace.trace import Trace
from headscape.view.page import Frame, write_page

TEXTS = {
    "MiniLM, a sentence": "The cat sat on the mat because it was embarrassingly tired.",
    "MiniLM, a paragraph": (
        "The airline lost my bag in Denver and nobody at the desk could say where it had gone. "
        "Two days later it came back, wet and broken, with a short note that said sorry."
    ),
}
# Edges drawn for each token of a head, as the page opens.
EDGES_PER_TOKEN = 2
# Edges of a picture that are drawn again alone.
ALONE = 12
# Groups of fewer edges have no ranks to speak of.
FEWEST_EDGES = 12


@dataclass(frozen=True)
class Encoding:
    """A way to draw: a name, the choices that make it, and whether all edges are drawn."""

    name: str
    state: dict[str, Any]
    is_whole: bool = False


PAPER = {"scale": "paper"}
DEFAULT = {"scale": "rank"}
ENCODINGS = (
    Encoding("paper, all edges", PAPER, True),
    Encoding("paper, ≤ 2S edges", PAPER),
    Encoding("default, ≤ 2S edges", DEFAULT),
)


@dataclass
class Row:
    """All scores of one source, view and encoding."""

    source: str
    view: str
    encoding: str
    pictures: int = 0
    scores: list[Scores] = field(default_factory=list)


def slider_of(limit: float, trace: Trace) -> float:
    """Return the threshold's place at which so many edges of a layer are shown."""
    heads = max(call.shape[1] for call in trace.calls)
    largest = max(2, heads * count_tokens(trace) ** 2)
    return min(0.999, math.log(limit) / math.log(largest))


def count_tokens(trace: Trace) -> int:
    """Return how many tokens the first example has."""
    return len(trace.tokens(0))


def measure(view: View, state: dict[str, Any], alone: int = ALONE) -> list[Scores]:
    """Draw and read back; one result for each layer and kind of edge, which are compared among themselves."""
    view.apply(state)
    pixels, drawn = view.drawn()
    blank = view.picture(-1)
    scores = []
    reads = {}
    for sight in SIGHTS:
        reads[sight] = read_lines(lab(pixels, sight), lab(blank, sight), drawn.curves, reach_of(drawn))
    for group in np.unique(drawn.group):
        chosen = drawn.group == group
        if chosen.sum() < FEWEST_EDGES:
            continue
        true = drawn.measure[chosen]
        found = score(true, type(reads["full"])(reads["full"].amount[chosen], reads["full"].width[chosen]))
        found.other_rho = {
            sight: spearman(true, read.amount[chosen]) for sight, read in reads.items() if sight != "full"
        }
        scores.append(found)
    if scores and alone:
        error = interference(view, drawn, lab(blank), reads["full"].steps, alone)
        for found in scores:
            found.interference = error
    return scores


def reach_of(drawn: Drawn) -> float:
    """Half of the widest line and a rim: how far from its middle any line may reach."""
    return float(drawn.width.max()) / 2 + 2


def interference(view: View, drawn: Drawn, blank: np.ndarray, steps: np.ndarray, count: int) -> float:
    """Mean difference between reading an edge among others and alone, in noticeable differences."""
    errors = []
    for edge in np.unique(np.linspace(0, len(steps) - 1, count).astype(int)):
        picture = lab(view.picture(int(edge)))
        own = read_lines(picture, blank, drawn.curves[edge : edge + 1], reach_of(drawn)).steps[0]
        errors.append(abs(own - steps[edge]))
    return float(np.mean(errors))


def capture_minilm(text: str) -> Trace:
    """Run MiniLM on a text under capture."""
    mini = load_minilm()
    ids, labels = mini.labels(text)[:2]
    row = torch.tensor([ids])
    with headscape.capture(mini.model, tokens=[labels]) as run, torch.no_grad():
        mini.model(input_ids=row, attention_mask=torch.ones_like(row))
    return run.trace


def chosen_heads(trace: Trace, count: int) -> list[tuple[int, int]]:
    """Return calls and heads spread evenly over a model: a rule, not a choice."""
    heads = trace.calls[0].shape[1]
    cells = len(trace.calls) * heads
    return [divmod(int(n), heads) for n in np.linspace(0, cells - 1, min(count, cells))]


def views_of(trace: Trace, count: int) -> Iterator[tuple[str, int, list[dict[str, Any]]]]:
    """Yield a view's name, the heads that share one limit, and the states to draw."""
    heads = trace.calls[0].shape[1]
    layers = range(0, len(trace.calls), 2)
    solo = [{"call": call, "head": head} for call, head in chosen_heads(trace, count)]
    yield "layer, one head", 1, [{"view": "layer", "layer": s["call"], "solo": s} for s in solo]
    yield "layer, all heads", 1, [{"view": "layer", "layer": n, "solo": None} for n in layers]
    yield "layer, all heads, 2S each", heads, [{"view": "layer", "layer": n, "solo": None} for n in layers]
    yield "front, one head", 1, [{"view": "front", "solo": s} for s in solo[::2]]
    yield "front, all heads", 1, [{"view": "front", "solo": None}]
    yield "3D, one head", 1, [{"view": "3d", "solo": s} for s in solo[::2]]
    yield "3D, all heads", 1, [{"view": "3d", "solo": None}]


def measure_source(view: View, source: str, trace: Trace, heads: int, alone: int) -> list[Row]:
    """Measure all views and encodings of one trace; encodings take turns on each picture."""
    rows = []
    for name, sharing, states in views_of(trace, heads):
        limit = EDGES_PER_TOKEN * count_tokens(trace) * sharing
        own = [Row(source, name, encoding.name) for encoding in ENCODINGS]
        for state in states:
            for row, encoding in zip(own, ENCODINGS, strict=True):
                slider = 1 if encoding.is_whole else slider_of(limit, trace)
                found = measure(view, {**state, **encoding.state, "prune": "layer", "slider": slider}, alone)
                row.pictures += bool(found)
                row.scores += found
        rows += [row for row in own if row.scores]
        for row in own:
            print(line_of(row), flush=True)
    return rows


def quartiles(values: list[float], digits: int = 2) -> str:
    """Return median and quartiles as text."""
    known = [value for value in values if value == value]
    if not known:
        return "–"
    low, middle, high = np.percentile(known, (25, 50, 75))
    return f"{middle:.{digits}f} ({low:.{digits}f}–{high:.{digits}f})"


HEADER = (
    "| view | encoding | pictures | edges | rho | tau, ratio > 2 | AUC10 | gap10, ND | levels | visible | "
    "visible, top tenth | interference, ND | rho, deuteranopia | rho, greyscale |"
)


def line_of(row: Row) -> str:
    """Return one line of the table."""
    of = lambda name: [getattr(one, name) for one in row.scores]  # noqa: E731
    other = lambda sight: [one.other_rho[sight] for one in row.scores]  # noqa: E731
    cells = [row.view, row.encoding, str(row.pictures), f"{np.median(of('edges') or [0]):.0f}"]
    cells += [quartiles(of(name)) for name in ("rho", "tau", "auc")]
    cells += [quartiles(of(name), 1) for name in ("gap", "levels")]
    cells += [quartiles(of(name)) for name in ("visible", "top_visible", "interference")]
    cells += [quartiles(other(sight)) for sight in ("deuteranopia", "greyscale")]
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Capture, draw, read back, and write the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--demo", type=Path, help="a saved trace of the demo's model")
    parser.add_argument("--heads", type=int, default=12)
    parser.add_argument("--alone", type=int, default=ALONE)
    parser.add_argument("--scheme", choices=("light", "dark"), default="light")
    given = parser.parse_args()
    sources = {name: capture_minilm(text) for name, text in TEXTS.items()}
    if given.demo:
        sources["demo"] = headscape.load(given.demo)
    rows = []
    with TemporaryDirectory() as folder, chromium() as browser:
        for number, (source, trace) in enumerate(sources.items()):
            print(source, len(trace.tokens(0)), "tokens", flush=True)
            page = Path(folder) / f"{number}.html"
            write_page([Frame(trace)], page)
            with open_view(browser, page, scheme=given.scheme) as view:
                rows += measure_source(view, source, trace, given.heads, given.alone)


if __name__ == "__main__":
    main()
