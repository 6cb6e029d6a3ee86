"""The tables of the page on syntax: what heads, the attention-only parser and depth probes score.

Written by scripts/syntax_report.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from headscape.analysis.coreference import POOLS, CandidateCounts
from headscape.analysis.rates import Rate
from headscape.analysis.syntax import (
    DIRECTIONS,
    DependencyCounts,
    RelationScore,
    compare_dependencies,
    count_dependencies,
    draw_heads,
)
from headscape.analysis.treebank import ROOT, Sentence
from headscape.probe.attention_probe import (
    AttachmentScore,
    score_attention_probe,
    score_offsets,
    train_attention_probe,
)
from headscape.probe.depth import DepthScore, LabelledWords, Training, measure_depth

# Relations with fewer words than this in either file have no row.
LEAST_WORDS = 100
SEEDS = (0, 1, 2)
# Rounds over the sentences: one, as in the paper, and as many as make its 40,000 steps of 2,000 sentences.
EPOCHS = (1, 20)
# Chosen on a fifth of the dev file, with the other four fifths to train on; the test file had no say.
DEPTH = Training(epochs=10, batch=256, rate=3e-3)
# From the notebook of Clark et al. 2019 (attention-analysis, Syntax_Analysis): relation there, accuracy of
# the best head of BERT base and of the best offset, %.
BERT = {
    "all": ("all", 34.7, 26.7),
    "det": ("det", 94.3, 51.7),
    "obj": ("dobj", 86.8, 40.0),
    "nsubj": ("nsubj", 58.5, 45.5),
    "amod": ("amod", 75.6, 68.3),
    "advmod": ("advmod", 48.8, 40.2),
    "aux": ("aux", 81.1, 71.5),
    "cop": ("cop", 72.2, 40.5),
    "conj": ("conj", 53.3, 26.8),
    "cc": ("cc", 47.8, 41.2),
    "mark": ("mark", 50.7, 14.5),
    "ccomp": ("ccomp", 48.8, 12.4),
    "nmod:poss": ("poss", 80.5, 47.7),
}

LAYERS = 7  # the embeddings and six layers


@dataclass
class Read:
    """One sentence as the model read it.

    ``weights`` is (column, 1 + word, 1 + word) with [CLS] as the root; ``states`` (word, layer, width).
    """

    sentence: Sentence
    weights: np.ndarray
    states: np.ndarray


def percent(rate: Rate) -> str:
    """Write a rate with its interval."""
    low, high = rate.interval
    return f"{100 * rate.share:.1f} ({100 * low:.1f} to {100 * high:.1f})"


def row(*cells: object) -> str:
    """Write one line of a table."""
    return "| " + " | ".join(map(str, cells)) + " |"


def table(*columns: str) -> list[str]:
    """Write the head of a table."""
    return [row(*columns), row(*("---" for _ in columns))]


def counted(found: Sequence[Read], places: Sequence[tuple[int, int]], **options: bool) -> DependencyCounts:
    """Count dependencies between words, without the root."""
    return count_dependencies(((one.sentence, one.weights[:, 1:, 1:]) for one in found), places, **options)


def by_luck(found: Sequence[Read], places: Sequence[tuple[int, int]]) -> dict[str, float]:
    """Return what the best of all heads scores on heads drawn at random, by relation."""
    rng = np.random.default_rng(0)
    counts = count_dependencies(
        ((draw_heads(one.sentence, rng), one.weights[:, 1:, 1:]) for one in found), places
    )
    return {name: counts.rate(name, *counts.best_head(name)).share for name in counts.relations}


def head_name(score: RelationScore) -> str:
    """Write layer, head and direction."""
    arrow = "looks at its head" if score.direction == DIRECTIONS[0] else "is looked at by its head"
    return f"{score.place[0]}-{score.place[1]}, {arrow}"


def dependency_tables(
    dev: Sequence[Read], test: Sequence[Read], places: Sequence[tuple[int, int]]
) -> list[str]:
    """Write the accuracy of the best head beside the best offset, and BERT's figures."""
    scored, luck = counted(test, places), by_luck(test, places)
    scores = compare_dependencies(scored, counted(dev, places), least_words=LEAST_WORDS)
    lines = [
        f"Best of {2 * len(places)} ({len(places)} heads, two directions), chosen on dev ({len(dev)} "
        f"sentences), scored on test ({len(test)} sentences). %, with 95 % intervals.",
        "",
        *table(
            "relation",
            "words",
            "head (layer-head)",
            "its accuracy",
            "best offset",
            "its accuracy",
            "gain",
            "best head of test on test",
            "best head by luck",
        ),
    ]
    for one in scores:
        lines.append(
            row(
                one.relation,
                one.head.total,
                head_name(one),
                percent(one.head),
                f"{one.offset:+d}",
                percent(one.offset_rate),
                f"{100 * one.gain:+.1f}",
                f"{100 * one.top.share:.1f}",
                f"{100 * luck[one.relation]:.1f}",
            )
        )
    named = [one for one in scores if not one.relation.startswith("all")]
    beaten = sum(one.head.interval[0] > one.offset_rate.interval[1] for one in named)
    behind = sum(one.head.interval[1] < one.offset_rate.interval[0] for one in named)
    bias = np.mean([one.top.share - one.head.share for one in named])
    lines += [
        "",
        f"Of {len(named)} relations the head's interval lies above the offset's in {beaten} and below in "
        f"{behind}. Choosing on test itself would add {100 * bias:.1f} points on average.",
        "",
        *possessives(dev, test, places),
        *contrast(scores, dev, test, places),
    ]
    return lines


def possessive_scores(
    dev: Sequence[Read], test: Sequence[Read], places: Sequence[tuple[int, int]], *, by_marker: bool
) -> RelationScore:
    """Return the best head of nmod:poss."""
    options = {"subtypes": True, "by_marker": by_marker}
    scores = compare_dependencies(
        counted(test, places, **options), counted(dev, places, **options), least_words=1
    )
    return next(one for one in scores if one.relation == "nmod:poss")


def possessives(dev: Sequence[Read], test: Sequence[Read], places: Sequence[tuple[int, int]]) -> list[str]:
    """Write nmod:poss by the possessor's own guess and by that of its 's."""
    own, marker = (possessive_scores(dev, test, places, by_marker=flag) for flag in (False, True))
    return [
        f"`nmod:poss` ({own.head.total} words): head {head_name(own)}, {percent(own.head)}, offset "
        f"{own.offset:+d}: {percent(own.offset_rate)}. With the guess of a possessor's 's in place of its "
        f"own, as Clark's code does: head {head_name(marker)}, {percent(marker.head)}.",
        "",
    ]


def contrast(
    scores: Sequence[RelationScore],
    dev: Sequence[Read],
    test: Sequence[Read],
    places: Sequence[tuple[int, int]],
) -> list[str]:
    """Write MiniLM's rows beside those of BERT base."""
    ours = {one.relation: one for one in scores}
    ours["nmod:poss"] = possessive_scores(dev, test, places, by_marker=True)
    lines = table("UD relation", "MiniLM, head / offset", "Stanford relation", "BERT base, head / offset")
    for name, (there, head, offset) in BERT.items():
        if name in ours:
            one = ours[name]
            mine = f"{100 * one.head.share:.1f} / {100 * one.offset_rate.share:.1f}"
            lines.append(row(name, mine, there, f"{head} / {offset}"))
    return [*lines, ""]


def parser_table(dev: Sequence[Read], test: Sequence[Read]) -> list[str]:
    """Write the attachment scores of the attention-only probe and of fixed offsets."""
    train = [(one.sentence, one.weights) for one in dev]
    scored = [(one.sentence, one.weights) for one in test]
    steps = f"{len(train)} steps a round"
    lines = [
        f"Trained on dev ({len(train)} sentences, {steps}), scored on test; mean and range over seeds "
        f"{SEEDS}, which draw the order of the sentences.",
        "",
        *table("parser", "UAS, all words", "UAS, no punctuation"),
    ]

    def shares(found: Sequence[AttachmentScore], name: str) -> str:
        values = [100 * getattr(one, name).share for one in found]
        return f"{np.mean(values):.1f} ({min(values):.1f} to {max(values):.1f})"

    for epochs in EPOCHS:
        found = []
        for seed in SEEDS:
            probe = train_attention_probe(train, epochs=epochs, seed=seed)
            found.append(score_attention_probe(probe, scored))
        name = f"attention only, {epochs} round{'s' if epochs > 1 else ''}"
        lines.append(row(name, shares(found, "words"), shares(found, "but_punct")))
    for offset, score in score_offsets([one.sentence for one in test]).items():
        name = {1: " (right-branching)", -1: " (left-branching)"}.get(offset, "")
        cells = (f"{100 * rate.share:.1f}" for rate in (score.words, score.but_punct))
        lines.append(row(f"fixed offset {offset:+d}{name}", *cells))
    return [*lines, ""]


def name_tables(
    dev: dict[str, CandidateCounts], test: dict[str, CandidateCounts], lost: tuple[int, int]
) -> list[str]:
    """Write how often the best head tells the true name, and the baselines."""
    one = test["sum"]
    lines = [
        f"Chosen on development ({dev['sum'].texts} texts), scored on validation ({one.texts}); left out: "
        f"{dev['sum'].neither} and {one.neither} texts that mean neither name, {lost[0]} and {lost[1]} that "
        "could not be read whole. %, with 95 % intervals; a coin has 50.",
        "",
        *table("who decides", "accuracy", "the same on development", "best head of validation on validation"),
    ]
    for pool in POOLS:
        place, direction = dev[pool].best_head()
        name = f"head {place[0]}-{place[1]}, {direction}, {pool} over a name's tokens"
        top = test[pool].rate(*test[pool].best_head())
        lines.append(
            row(
                name,
                percent(test[pool].rate(place, direction)),
                percent(dev[pool].rate(place, direction)),
                f"{100 * top.share:.1f}",
            )
        )
    for name, rate in one.baselines.items():
        lines.append(row(name, percent(rate), percent(dev["sum"].baselines[name]), ""))
    return [*lines, ""]


def labelled(found: Sequence[Read], task: str, names: dict[str, int]) -> LabelledWords:
    """Make what a probe learns from; labels not yet in ``names`` are added to it."""
    items, labels, start = [], [], 0
    for one in found:
        sentence = one.sentence
        for word, head in enumerate(sentence.heads.tolist()):
            if task == "part of speech":
                items.append([start + word])
                labels.append(sentence.tags[word])
            elif head != ROOT:
                items.append([start + word, start + head] if task == "relation" else [start + word])
                labels.append(sentence.relations[word].split(":")[0])
        start += len(sentence)
    for label in sorted(set(labels)):
        names.setdefault(label, len(names))
    states = torch.from_numpy(np.concatenate([one.states for one in found]))
    return LabelledWords(states, torch.tensor(items), torch.tensor([names[label] for label in labels]))


def depth_tables(dev: Sequence[Read], test: Sequence[Read]) -> list[str]:
    """Write expected layer and centre of gravity of three tasks, and the scores behind them."""
    found: dict[str, list[DepthScore]] = {}
    sizes = {}
    for task in ("part of speech", "relation, from the dependent", "relation"):
        names: dict[str, int] = {}
        train, scored = labelled(dev, task, names), labelled(test, task, names)
        sizes[task] = (len(train.labels), len(scored.labels), len(names))
        found[task] = [
            measure_depth(train, scored, training=Training(DEPTH.epochs, DEPTH.batch, DEPTH.rate, seed))
            for seed in SEEDS
        ]
    lines = [
        f"Linear probes on words of dev, scored on words of test; mean and range over seeds {SEEDS}; Adam "
        f"{DEPTH.rate}, batch {DEPTH.batch}, {DEPTH.epochs} rounds. Layer 0 are the embeddings, 6 the last.",
        "",
        *table("read off", "words, labels", "expected layer", "centre of gravity", "K(s), nats", "losses"),
    ]

    def spread(values: Sequence[float]) -> str:
        return f"{np.mean(values):.2f} ({min(values):.2f} to {max(values):.2f})"

    for task, scores in found.items():
        train_size, test_size, labels = sizes[task]
        lines.append(
            row(
                named(task),
                f"{train_size} / {test_size}, {labels}",
                spread([one.expected for one in scores]),
                spread([one.centre for one in scores]),
                spread([one.divergence for one in scores]),
                losses(scores),
            )
        )
    lines += ["", "Accuracy of the probe on layers 0 to l, %:", ""]
    lines += table("read off", "commonest label", *(str(n) for n in range(LAYERS)))
    for task, scores in found.items():
        means = [100 * np.mean([one.scores[n].share for one in scores]) for n in range(LAYERS)]
        lines.append(row(named(task), f"{100 * scores[0].commonest.share:.1f}", *(f"{m:.1f}" for m in means)))
    lines += [
        "",
        "Shares of the mix, layer 0 to 6:",
        "",
        *table("read off", *(str(n) for n in range(LAYERS))),
    ]
    for task, scores in found.items():
        lines.append(row(named(task), *(f"{m:.2f}" for m in np.mean([one.shares for one in scores], axis=0))))
    return [*lines, ""]


def named(task: str) -> str:
    """Write a task's name."""
    return "relation, from dependent and head" if task == "relation" else task


def losses(scores: Sequence[DepthScore]) -> str:
    """Write the layers at which some seed's score fell."""
    fallen = sorted({int(at) + 1 for one in scores for at in np.flatnonzero(one.gains < 0)})
    return ", ".join(map(str, fallen)) or "none"
