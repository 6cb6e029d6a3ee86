"""How well true weights can be read off the viewer's pictures: the paper's encoding beside the default.

Run: python benchmarks/readback.py [--markdown docs/readback.md] [--demo demo/attention.headscape] [--quick]

Every picture is drawn by the real page in a real Chromium (software GL, 1280 x 800 CSS pixels, camera as the page
opens), read back by readback_metric.py, and compared with the weights of the trace. Needs headscape[minilm].
"""

import argparse
import math
import sys
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
# Edges of a picture that are drawn again alone.
ALONE = 4
# Groups of fewer edges have no ranks to speak of.
FEWEST_EDGES = 12
# Edges of a picture that are read, evenly from the strongest to the weakest.
MOST_READ = 600
# Heads that are drawn alone in all layers.
COLOURED_HEADS = (1, 7)
# Up to so many heads have a hue each, as the page opens.
MOST_HUES = 8


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
    Encoding("paper", PAPER),
    Encoding("default", DEFAULT),
)


@dataclass(frozen=True)
class Pictures:
    """What is drawn in one way of looking: its states, and how many edges a layer may show for each token."""

    name: str
    per_token: float
    states: list[dict[str, Any]]
    has_whole: bool = True  # also all edges


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
    """Return how many real tokens the first example has: rows that see a key."""
    return int((trace.calls[0].stats.received[0].sum(axis=0) > 0).sum())


def measure(view: View, state: dict[str, Any], alone: int = ALONE) -> list[Scores]:
    """Draw and read back; one result for each layer and kind of edge, which are compared among themselves."""
    view.apply(state)
    pixels, drawn = view.drawn()
    blank = view.picture(-1)
    some = np.unique(np.linspace(0, len(drawn.measure) - 1, MOST_READ).astype(int))
    reads = {
        sight: read_lines(lab(pixels, sight), lab(blank, sight), drawn.curves[some], reach_of(drawn))
        for sight in SIGHTS
    }
    scores = []
    for group in np.unique(drawn.group):
        chosen = drawn.group[some] == group
        if chosen.sum() < FEWEST_EDGES:
            continue
        true = drawn.measure[some][chosen]
        found = score(true, reads["full"].take(chosen))
        found.drawn = int((drawn.group == group).sum())
        found.other_rho = {sight: spearman(true, read.amount[chosen]) for sight, read in reads.items()}
        scores.append(found)
    if scores and alone:
        error = interference(view, drawn, blank, some, reads["full"].steps, alone)
        for found in scores:
            found.interference = error
    return scores


def reach_of(drawn: Drawn) -> float:
    """Half of the widest line and a rim: how far from its middle any line may reach."""
    return float(drawn.width.max()) / 2 + 2


def interference(
    view: View, drawn: Drawn, blank: np.ndarray, some: np.ndarray, steps: np.ndarray, count: int
) -> float:
    """Mean difference between reading an edge among others and alone, in noticeable differences."""
    errors = []
    reach = reach_of(drawn)
    for n in np.unique(np.linspace(0, len(some) - 1, count).astype(int)):
        curve = drawn.curves[some[n]]
        low = np.maximum(np.floor(curve.min(axis=0) - reach - 2), 0).astype(int)
        high = np.ceil(curve.max(axis=0) + reach + 2).astype(int)
        box = (slice(low[1], high[1]), slice(low[0], high[0]))
        picture = view.picture(int(some[n]))
        own = read_lines(lab(picture[box]), lab(blank[box]), (curve - low)[None], reach).steps[0]
        errors.append(abs(own - steps[n]))
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


def pictures_of(trace: Trace, count: int) -> list[Pictures]:
    """Return what is drawn of a trace: views with one head and with all."""
    heads = trace.calls[0].shape[1]
    layers = range(0, len(trace.calls), 2)
    one = [
        {"view": "layer", "layer": n, "solo": {"call": n, "head": h}} for n, h in chosen_heads(trace, count)
    ]
    few: dict[str, Any] = {
        "solo": None,
        "coloured": heads <= MOST_HUES,
        "heads": list(range(min(heads, MOST_HUES))),
    }
    if heads > MOST_HUES:
        few["heads"] = []
    every = [{"view": "layer", "layer": n, **few} for n in layers]
    found = [
        Pictures("layer, one head, 2S", 2, one),
        Pictures("layer, all heads, 2S", 2, every),
        Pictures("layer, all heads, 2S each", 2 * heads, every, has_whole=False),
    ]
    for view in ("front", "3d"):
        single = [{"view": view, "solo": None, "heads": [h], "coloured": True} for h in COLOURED_HEADS]
        for share in (1, 2):
            name = "" if share == 1 else share
            found.append(Pictures(f"{view}, one head, {name}S", share, single, has_whole=share == 1))
            found.append(
                Pictures(f"{view}, all heads, {name}S", share, [{"view": view, **few}], has_whole=share == 1)
            )
    return found


def measure_source(view: View, source: str, trace: Trace, heads: int, alone: int) -> list[Row]:
    """Measure all views and encodings of one trace; encodings take turns on each picture."""
    rows = []
    for pictures in pictures_of(trace, heads):
        slider = slider_of(pictures.per_token * count_tokens(trace), trace)
        some = [encoding for encoding in ENCODINGS if pictures.has_whole or not encoding.is_whole]
        own = [Row(source, pictures.name, encoding.name) for encoding in some]
        for state in pictures.states:
            for row, encoding in zip(own, some, strict=True):
                choice = {
                    **state,
                    **encoding.state,
                    "prune": "layer",
                    "slider": 1 if encoding.is_whole else slider,
                }
                found = measure(view, choice, alone)
                row.pictures += bool(found)
                row.scores += found
        rows += [row for row in own if row.scores]
        for row in rows[-len(own) :]:
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
    "| view | encoding | pictures | edges a group | rho | tau, ratio > 2 | AUC10 | gap10, ND | levels | visible | "
    "visible, top tenth | interference, ND | rho, deuteranopia | rho, greyscale |"
)


def line_of(row: Row) -> str:
    """Return one line of the table."""
    of = lambda name: [getattr(one, name) for one in row.scores]  # noqa: E731
    other = lambda sight: [one.other_rho[sight] for one in row.scores]  # noqa: E731
    cells = [row.view, row.encoding, str(row.pictures), f"{np.median(of('drawn')):.0f}"]
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
