"""Measure syntax, coreference and depth on all-MiniLM-L6-v2, and write the tables into a page.

    python scripts/syntax_report.py --ud FOLDER --gap FOLDER --markdown docs/analysis/syntax.md

FOLDER holds en_ewt-ud-dev.conllu and en_ewt-ud-test.conllu (Universal Dependencies English EWT), and
gap-development.tsv and gap-validation.tsv (GAP). Needs headscape[minilm]. Everything is chosen and trained on the
first file and scored on the second. What stands between the two marks in the page is replaced.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch

import headscape
from headscape.analysis.coreference import (
    POOLS,
    CandidateCounts,
    Candidates,
    GapText,
    candidate_weights,
    count_candidates,
    read_gap,
)
from headscape.analysis.rates import Rate
from headscape.analysis.rows import whole_rows
from headscape.analysis.syntax import (
    DIRECTIONS,
    DependencyCounts,
    RelationScore,
    compare_dependencies,
    count_dependencies,
    draw_heads,
    word_maps,
)
from headscape.analysis.treebank import ROOT, Sentence, read_conllu
from headscape.analysis.words import Alignment, align_ids, align_offsets
from headscape.demo.minilm import MOST_TOKENS, MiniLm, join_texts, load_minilm
from headscape.errors import LabelError
from headscape.probe.attention_probe import (
    AttachmentScore,
    score_attention_probe,
    score_offsets,
    train_attention_probe,
)
from headscape.probe.depth import DepthScore, LabelledWords, Training, measure_depth
from headscape.probe.states import layer_states, word_states

BEGIN, END = "<!-- measured: scripts/syntax_report.py -->", "<!-- end of measured -->"
# Tokens, padding included, in one pass: its weights of 72 heads take 100 MB at most.
TOKENS_AT_ONCE = 2048
PATHS = ["embeddings", *(f"encoder.layer.{n}" for n in range(6))]
# Relations with fewer words than this in either file have no row.
LEAST_WORDS = 100
SEEDS = (0, 1, 2)
# Rounds over the sentences: one, as in the paper, and as many as make its 40,000 steps of 2,000 sentences.
EPOCHS = (1, 20)
# Chosen on a fifth of the dev file, with the other four fifths to train on; the test file had no say.
DEPTH = Training(epochs=10, batch=256, rate=3e-3)
# From the notebook of Clark et al. 2019 (attention-analysis, Syntax_Analysis): relation there, accuracy of the
# best head of BERT base, accuracy of the best offset, %.
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

Some = TypeVar("Some")


@dataclass
class Read:
    """One sentence as the model read it.

    ``weights`` is (column, 1 + word, 1 + word) with [CLS] as the root; ``states`` (word, layer, width).
    """

    sentence: Sentence
    weights: np.ndarray
    states: np.ndarray


def batches(items: Sequence[Some], lengths: Sequence[int]) -> Iterator[list[Some]]:
    """Group items of like length, so that little is padding."""
    group: list[Some] = []
    for at in np.argsort(lengths, kind="stable"):
        if group and (len(group) + 1) * lengths[at] > TOKENS_AT_ONCE:
            yield group
            group = []
        group.append(items[at])
    if group:
        yield group


def inputs_of(group: Sequence[Any]) -> dict[str, torch.Tensor]:
    """Return ids and mask of several encoded texts."""
    ids, mask = join_texts([one.ids for one in group])
    return {"input_ids": ids, "attention_mask": mask}


def read_sentences(
    mini: MiniLm, sentences: Sequence[Sentence]
) -> tuple[list[Read], tuple[tuple[int, int], ...], int]:
    """Run the model on all sentences, word by word as annotated; return places, and how many were left out."""
    kept = []
    for sentence in sentences:
        encoded = mini.tokenizer.encode(list(sentence.words), is_pretokenized=True)
        whole = set(encoded.word_ids) - {None} == set(range(len(sentence)))
        if whole and len(encoded.ids) <= MOST_TOKENS:
            kept.append((sentence, encoded))
    found, places = [], ()
    for group in batches(kept, [len(encoded.ids) for _, encoded in kept]):
        inputs = inputs_of([encoded for _, encoded in group])
        length = inputs["input_ids"].shape[1]
        aligned = [align_ids(e.word_ids, padding=length - len(e.ids)) for _, e in group]
        with headscape.capture(mini.model, keep="all", values=False) as run:
            states = layer_states(mini.model, inputs, PATHS)
        for n, ((sentence, _), words) in enumerate(zip(group, word_states(states, aligned), strict=True)):
            places, maps = word_maps(run.trace, aligned[n].with_root(), n)
            found.append(Read(sentence, maps.astype(np.float32), words))
    return found, places, len(sentences) - len(kept)


def read_names(mini: MiniLm, texts: Sequence[GapText]) -> tuple[dict[str, CandidateCounts], int]:
    """Run the model on all GAP texts; return counts by how a name's tokens are pooled, and texts left out."""
    kept: list[tuple[GapText, Any, Alignment]] = []
    for text in texts:
        encoded = mini.tokenizer.encode(text.text)
        try:
            spans = align_offsets(encoded.offsets, [text.pronoun, text.a, text.b])
        except LabelError:  # the tokenizer gave one of them no token
            continue
        if len(encoded.ids) <= MOST_TOKENS:
            kept.append((text, encoded, spans))
    found: dict[str, list[Candidates]] = {pool: [] for pool in POOLS}
    places: list[tuple[int, int]] = []
    for group in batches(kept, [len(encoded.ids) for _, encoded, _ in kept]):
        inputs = inputs_of([encoded for _, encoded, _ in group])
        with headscape.capture(mini.model, keep="all", values=False) as run:
            mini.model(**inputs)
        for n, (text, _, spans) in enumerate(group):
            maps = [whole_rows(call, n) for call in run.trace.calls]
            places = [(layer, head) for layer, one in enumerate(maps) for head in range(len(one))]
            pronoun, a, b = (spans.pieces(part).tolist() for part in range(3))
            for pool in POOLS:
                weights = candidate_weights(np.concatenate(maps), pronoun, [a, b], pool=pool)
                found[pool].append(Candidates(text, weights, (len(a), len(b))))
    return {pool: count_candidates(found[pool], places) for pool in POOLS}, len(texts) - len(kept)


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
        f"Best of {2 * len(places)} ({len(places)} heads, two directions), chosen on dev ({len(dev)} sentences), "
        f"scored on test ({len(test)} sentences). %, with 95 % intervals.",
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
        f"Of {len(named)} relations the head's interval lies above the offset's in {beaten} and below in {behind}. "
        f"Choosing on test itself would add {100 * bias:.1f} points on average.",
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
    scores = compare_dependencies(counted(test, places, **options), counted(dev, places, **options))
    return next(one for one in scores if one.relation == "nmod:poss")


def possessives(dev: Sequence[Read], test: Sequence[Read], places: Sequence[tuple[int, int]]) -> list[str]:
    """Write nmod:poss by the possessor's own guess and by that of its 's."""
    own, marker = (possessive_scores(dev, test, places, by_marker=flag) for flag in (False, True))
    return [
        f"`nmod:poss` ({own.head.total} words): head {head_name(own)}, {percent(own.head)}, offset "
        f"{own.offset:+d}: {percent(own.offset_rate)}. With the guess of a possessor's 's in place of its own, as "
        f"Clark's code does: head {head_name(marker)}, {percent(marker.head)}.",
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
        f"Trained on dev ({len(train)} sentences, {steps}), scored on test; mean and range over seeds {SEEDS}, "
        "which draw the order of the sentences.",
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
        f"{dev['sum'].neither} and {one.neither} texts that mean neither name, {lost[0]} and {lost[1]} longer than "
        f"{MOST_TOKENS} tokens. %, with 95 % intervals; a coin has 50.",
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
        f"{DEPTH.rate}, batch {DEPTH.batch}, {DEPTH.epochs} rounds. Layer 0 are the embeddings, 6 is the last.",
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
    lines += table("read off", "commonest label", *(str(n) for n in range(len(PATHS))))
    for task, scores in found.items():
        means = [100 * np.mean([one.scores[n].share for one in scores]) for n in range(len(PATHS))]
        lines.append(row(named(task), f"{100 * scores[0].commonest.share:.1f}", *(f"{m:.1f}" for m in means)))
    lines += [
        "",
        "Shares of the mix, layer 0 to 6:",
        "",
        *table("read off", *(str(n) for n in range(len(PATHS)))),
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


def main() -> None:
    """Measure, and put the tables into the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ud", type=Path, required=True)
    parser.add_argument("--gap", type=Path, required=True)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--sentences", type=int, help="read only so many of each file, for a quick look")
    given = parser.parse_args()
    began = time.monotonic()
    mini = load_minilm()
    few = slice(given.sentences)
    (dev, places, lost_dev), (test, _, lost_test) = (
        read_sentences(mini, read_conllu(given.ud / f"en_ewt-ud-{part}.conllu")[few])
        for part in ("dev", "test")
    )
    print(f"sentences read: {time.monotonic() - began:.0f} s", flush=True)
    lines = [
        f"Sentences left out (a word without a token, or more than {MOST_TOKENS} tokens): {lost_dev} of dev, "
        f"{lost_test} of test.",
        "",
        "### Heads and dependencies",
        "",
        *dependency_tables(dev, test, places),
        "### Parsing from attention alone",
        "",
        *parser_table(dev, test),
    ]
    print(f"parsed: {time.monotonic() - began:.0f} s", flush=True)
    lines += ["### Depth", "", *depth_tables(dev, test)]
    print(f"depth: {time.monotonic() - began:.0f} s", flush=True)
    (names_dev, lost_a), (names_test, lost_b) = (
        read_names(mini, read_gap(given.gap / f"gap-{part}.tsv")[few])
        for part in ("development", "validation")
    )
    lines += ["### Pronouns and names", "", *name_tables(names_dev, names_test, (lost_a, lost_b))]
    print(f"all: {time.monotonic() - began:.0f} s", flush=True)
    text = "\n".join(lines).rstrip() + "\n"
    print(text)
    if given.markdown is not None:
        page = given.markdown.read_text(encoding="utf-8")
        before, mark, rest = page.partition(BEGIN)
        _, end, after = rest.partition(END)
        if not mark or not end:
            raise SystemExit(f"{given.markdown} lacks the marks {BEGIN} and {END} between which tables go.")
        given.markdown.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
