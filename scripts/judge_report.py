"""Which measure tells the truth about four models: docs/analysis/judged.md.

    python scripts/judge_report.py --stories FOLDER --sorter FILE [--texts 24] [--markdown PAGE]

MiniLM comes from its package, the tweet encoder is trained on made-up tweets (one to two minutes). Of each
text every head, and a hundred drawn edges, are removed one by one; each measure's order is held against the
changes.
"""

import argparse
import os
import platform
import random
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

import headscape
from headscape.demo.corpus import LABELS, made_up_corpus
from headscape.demo.minilm import load_minilm
from headscape.demo.run import LONGEST, MADE_UP_RECIPE, MADE_UP_TEXTS
from headscape.demo.stories import load_stories

sys.path.insert(0, str(Path(__file__).parents[1] / "examples"))
EDGES = 100
BEGIN, END = "<!-- judge_report.py: begin -->", "<!-- judge_report.py: end -->"


@dataclass
class Trial:
    """One model: its texts as inputs, each with the score that is watched."""

    name: str
    score: str
    model: torch.nn.Module
    inputs: list[tuple[Any, Any]]  # arguments, target
    removed_by: str = "zero"


def minilm_trial(texts: list[str]) -> Trial:
    """Return MiniLM, watched by how alike a text's vector stays to itself."""
    loaded = load_minilm()
    inputs = []
    for text in texts:
        ids, _, _ = loaded.labels(text)
        given = {"input_ids": torch.tensor([ids])}
        with torch.no_grad():
            own = loaded.model(**given).last_hidden_state.mean(1)
        vector = torch.nn.functional.normalize(own, dim=-1)
        inputs.append((given, lambda output, v=vector: (output.last_hidden_state.mean(1) * v).sum(-1)))
    return Trial("MiniLM", "dot product of the mean state with its own direction", loaded.model, inputs)


def tweet_trial(count: int) -> Trial:
    """Train the demo's encoder and return it with texts it has not seen."""
    from headscape.demo.classifier import TweetClassifier
    from headscape.demo.run import _text_part
    from headscape.demo.training import train
    from headscape.demo.words import Vocabulary, split_words

    corpus = made_up_corpus(MADE_UP_TEXTS)
    words = [[split_words(item.text) for item in part] for part in (corpus.train, corpus.valid, corpus.test)]
    vocabulary = Vocabulary.learn(words[0])
    fit, valid, test = (
        _text_part(vocabulary, *pair)
        for pair in zip(words, (corpus.train, corpus.valid, corpus.test), strict=True)
    )
    torch.manual_seed(0)
    model = TweetClassifier(len(vocabulary), len(LABELS), longest=LONGEST)
    train(model, fit, valid, recipe=MADE_UP_RECIPE)
    inputs = [(torch.tensor([test.ids[row]]), None) for row in range(count)]
    return Trial("tweet encoder", "logit of the best class", model.eval(), inputs)


def stories_trial(folder: str, count: int) -> Trial:
    """Return the story teller with beginnings that it wrote itself."""
    stories = load_stories(folder)
    model, pieces = stories.model.eval(), stories.pieces
    rng, inputs = random.Random(0), []
    for number in range(count):
        ids = pieces.encode("Once upon a time")
        torch.manual_seed(number)
        for _ in range(rng.randint(16, 36)):
            with torch.no_grad():
                shares = torch.softmax(model(torch.tensor([ids]))[0, -1] / 0.8, -1)
            ids.append(int(torch.multinomial(shares, 1)))
        inputs.append((torch.tensor([ids]), None))
    return Trial("stories260k", "logit of the likeliest next token", model, inputs)


def sorter_trial(path: str, count: int) -> Trial:
    """Return the sorting model with digits and a part of their order."""
    import nano_sort_gpt

    model = nano_sort_gpt.load(Path(path))
    every = nano_sort_gpt.every_input()
    chosen = every[torch.randperm(len(every), generator=torch.Generator().manual_seed(0))[:count]]
    rng, inputs = random.Random(0), []
    for row in nano_sort_gpt.write_on(model, chosen):
        inputs.append((row[None, : 6 + rng.randint(0, 5)], None))
    return Trial("nano_sort_gpt", "logit of the next digit", model, inputs)


def judge_all(trial: Trial, units: str, tell: Callable[[str], None]) -> dict[str, Any]:
    """Judge each text by itself; return the numbers by measure."""
    rho, drop, loss = (defaultdict(list) for _ in range(3))
    counts, missing = [], {}
    started = time.perf_counter()
    for number, (given, target) in enumerate(trial.inputs):
        found = headscape.judge(
            None, trial.model, given, units=units, by=trial.removed_by, target=target, edges=EDGES,
            curves=units == "heads", seed=number,
        )  # fmt: skip
        counts.append(len(found.parts))
        missing |= found.missing
        for name in found.measures:
            rho[name].append(float(found.spearman[name][0]))
            if name in found.deletion:
                span = abs(float(found.deletion[name][0, 0] - found.deletion[name][-1, 0]))
                drop[name].append(found.drop(name) / span if span else float("nan"))
                loss[name].append(found.loss(name) / span if span else float("nan"))
        tell(f"{trial.name}, {units}: {number + 1} of {len(trial.inputs)}")
    seconds = time.perf_counter() - started
    return {"rho": rho, "drop": drop, "loss": loss, "count": counts, "missing": missing, "seconds": seconds}


def interval(values: list[float], *, draws: int = 2000) -> tuple[float, float, float]:
    """Return the mean over texts and its 95 % bootstrap interval."""
    there = np.array([v for v in values if np.isfinite(v)])
    if not len(there):
        return (float("nan"),) * 3
    picks = np.random.default_rng(0).integers(0, len(there), (draws, len(there)))
    low, high = np.quantile(there[picks].mean(1), [0.025, 0.975])
    return float(there.mean()), float(low), float(high)


def write(trials: list[tuple[Trial, dict[str, dict[str, Any]]]]) -> Iterator[str]:
    """Yield the report's lines."""
    machine = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    machine += f", torch {torch.__version__}"
    yield f"Run of `scripts/judge_report.py` ({machine})."
    for trial, found in trials:
        heads = found["heads"]["count"][0]
        yield ""
        yield f"### {trial.name}: {heads} heads, {len(trial.inputs)} texts"
        yield ""
        edges = found["edges"]["count"][0]
        yield f"Watched: {trial.score}. Removed by `{trial.removed_by}`; {edges} edges of each text."
        yield ""
        yield "| measure | heads: Spearman | edges: Spearman | deletion | insertion |"
        yield "|---|---|---|---|---|"
        means = {name: interval(found["heads"]["rho"][name])[0] for name in found["heads"]["rho"]}
        for name in sorted(means, key=lambda n: -np.nan_to_num(means[n], nan=-2)):
            cells = [_cell(found[unit]["rho"].get(name, [])) for unit in ("heads", "edges")]
            curves = [_short(found["heads"][what].get(name, [])) for what in ("drop", "loss")]
            yield f"| {name} | {' | '.join(cells)} | {' | '.join(curves)} |"
        for unit in ("heads", "edges"):
            for name, why in found[unit]["missing"].items():
                yield f"\n`{name}` of {unit} is missing: {why}"


def _cell(values: list[float]) -> str:
    mean, low, high = interval(values)
    return "–" if np.isnan(mean) else f"{mean:.2f} ({low:.2f} to {high:.2f})"


def _short(values: list[float]) -> str:
    there = [v for v in values if np.isfinite(v)]
    return f"{np.median(there):.2f}" if there else "–"


def main() -> None:
    """Run the report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stories", help="folder of stories260K.bin and tok512.bin")
    parser.add_argument("--sorter", help="gpt-nano-sort-model.json")
    parser.add_argument("--texts", type=int, default=24)
    parser.add_argument("--markdown", type=Path)
    given = parser.parse_args()
    torch.set_num_threads(1)

    def tell(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    texts = [item.text for item in made_up_corpus(MADE_UP_TEXTS).test[: given.texts]]
    makers = [lambda: minilm_trial(texts), lambda: tweet_trial(given.texts)]
    if given.stories:
        makers.append(lambda: stories_trial(given.stories, given.texts))
    if given.sorter:
        makers.append(lambda: sorter_trial(given.sorter, given.texts))
    done = []
    for make in makers:
        trial = make()
        done.append((trial, {unit: judge_all(trial, unit, tell) for unit in ("heads", "edges")}))
        text = "\n".join(write(done))
        if given.markdown and given.markdown.exists():
            page = given.markdown.read_text(encoding="utf-8")
            before, after = page.split(BEGIN)[0], page.split(END)[1]
            given.markdown.write_text(f"{before}{BEGIN}\n{text}\n{END}{after}", encoding="utf-8")
    print("\n".join(write(done)))


if __name__ == "__main__":
    main()
