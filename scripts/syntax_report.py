"""Measure syntax, coreference and depth on all-MiniLM-L6-v2, and write the tables into a page.

    python scripts/syntax_report.py --ud FOLDER --gap FOLDER --markdown docs/analysis/syntax.md

FOLDER holds en_ewt-ud-dev.conllu and en_ewt-ud-test.conllu (Universal Dependencies English EWT), and
gap-development.tsv and gap-validation.tsv (GAP). Needs headscape[minilm]. Everything is chosen and trained on
the first file of each and scored on the second. What stands between the two marks in the page is replaced.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
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
from headscape.analysis.rows import whole_rows
from headscape.analysis.syntax import (
    word_maps,
)
from headscape.analysis.treebank import Sentence, read_conllu
from headscape.analysis.words import Alignment, align_ids, align_offsets
from headscape.demo.minilm import MOST_TOKENS, MiniLm, join_texts, load_minilm
from headscape.errors import LabelError
from headscape.probe.states import layer_states, word_states
from syntax_tables import Read, dependency_tables, depth_tables, name_tables, parser_table

BEGIN, END = "<!-- measured: scripts/syntax_report.py -->", "<!-- end of measured -->"
# Tokens, padding included, in one pass: its weights of 72 heads take 100 MB at most.
TOKENS_AT_ONCE = 2048
PATHS = ["embeddings", *(f"encoder.layer.{n}" for n in range(6))]
Some = TypeVar("Some")


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
    """Run the model on all sentences, word by word as annotated; return places, and how many are left out."""
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
            rows = np.concatenate(maps)
            for pool in POOLS:
                weights = candidate_weights(rows, pronoun, [a, b], pool=pool)
                found[pool].append(Candidates(text, weights, (len(a), len(b))))
    return {pool: count_candidates(found[pool], places) for pool in POOLS}, len(texts) - len(kept)


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
