"""The demo from data to pictures: train, compare, capture a few examples, write the page and the figure."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import nn

from headscape.demo.baselines import expect_sklearn, majority, pixel_linear, tfidf_linear
from headscape.demo.choose import choose_pictures, choose_texts
from headscape.demo.classifier import TweetClassifier
from headscape.demo.corpus import LABELS, Corpus, LabelledText
from headscape.demo.digits import DIGITS, DigitClassifier, DigitParts, cut_patches, patch_names
from headscape.demo.report import Comparison, compare
from headscape.demo.results import Written, prepare_folder, write_results
from headscape.demo.training import Progress, Recipe, TextPart, predict, train
from headscape.demo.tweet_model import LONGEST
from headscape.demo.words import Vocabulary, split_words
from headscape.errors import HeadscapeError
from headscape.intercept.run import capture
from headscape.trace.trace import Trace
from headscape.view.frames import Frame

Model = TypeVar("Model", bound=nn.Module)

TFIDF = "linear model of TF-IDF word pairs"
PIXELS = "linear model of pixels"
ENCODER = "6-layer encoder"
DIGITS_NOTE = "scikit-learn's 8 x 8 pixel digits, cut into 2 x 2 pixel patches"
VISION = "4-layer vision encoder"
UNKNOWN_NOTE = "words in [brackets] are not in the model's vocabulary"

MADE_UP_TEXTS = 5000
MADE_UP_RECIPE = Recipe(epochs=16, batch=48, rate=4e-3, decay=0.2, blank_share=0.08)
REAL_RECIPE = Recipe(epochs=4, rate=4e-3, decay=0.2, blank_share=0.1, spread=0.1)
DIGITS_RECIPE = Recipe(epochs=20, batch=32, rate=2e-3)


@dataclass(frozen=True)
class Shown:
    """One example of the page: its text, the right answer, the model's answer and its probability."""

    text: str
    truth: str
    answer: str
    probability: float


@dataclass(frozen=True)
class DemoResult:
    """What a demo found and wrote."""

    note: str
    parts: tuple[int, int, int]
    comparison: Comparison
    shown: list[Shown]
    written: Written
    parameters: int
    training_seconds: float
    seconds: float


def run_tweets(
    corpus: Corpus,
    out: Path,
    *,
    recipe: Recipe,
    seed: int = 0,
    progress: Progress | None = None,
) -> DemoResult:
    """Train the paper's model on tweets, compare it, and write ``attention.html`` and ``attention.png``.

    Parameters
    ----------
    corpus : Corpus
        Training, validation and test part.
    out : Path
        Folder for the results; made if it is not there.
    recipe : Recipe
        :data:`MADE_UP_RECIPE`, :data:`REAL_RECIPE`, or fewer epochs for a quick look.
    seed : int
        For the weights, the order and the dropout.
    progress : callable, optional
        Called after each step of training.

    Raises
    ------
    FileError
        ``out`` cannot be written; checked before training.
    MissingExtraError
        scikit-learn is not installed.
    """
    start = time.perf_counter()
    expect_sklearn()
    prepare_folder(out)
    tokens = [[split_words(item.text) for item in part] for part in (corpus.train, corpus.valid, corpus.test)]
    vocabulary = Vocabulary.learn(tokens[0])
    fit, valid, test = (
        _text_part(vocabulary, words, part)
        for words, part in zip(tokens, (corpus.train, corpus.valid, corpus.test), strict=True)
    )

    def make() -> TweetClassifier:
        made = TweetClassifier(len(vocabulary), len(LABELS), longest=LONGEST)
        made.spread_words(recipe.spread)
        return made

    model = _seeded(make, seed)
    trained = train(model, fit, valid, recipe=recipe, seed=seed, progress=progress)
    probabilities = predict(model, test)
    linear = tfidf_linear(
        split_words,
        ([item.text for item in corpus.train], fit.labels),
        ([item.text for item in corpus.valid], valid.labels),
        [item.text for item in corpus.test],
    )
    comparison = compare(
        test.labels,
        majority=majority(fit.labels, test.labels),
        linear=(TFIDF, linear),
        encoder=(ENCODER, probabilities.argmax(axis=1)),
        classes=len(LABELS),
        kinds=[item.kind for item in corpus.test],
    )
    rows = choose_texts(tokens[2], test.labels, probabilities, linear)
    labels = [vocabulary.label(tokens[2][row], longest=LONGEST) for row in rows]
    with capture(model, tokens=labels, classes=LABELS) as run, torch.no_grad():
        model(test.batch(rows))
    truths = [LABELS[test.labels[row]] for row in rows]
    texts = [corpus.test[row].text for row in rows]
    written = write_results(
        _frames(run.trace, truths),
        out,
        title="A 6-layer encoder reads airline tweets",
        note=f"{corpus.note}; {UNKNOWN_NOTE}",
        figure_title=texts[0],
    )
    return DemoResult(
        note=corpus.note,
        parts=(len(fit), len(valid), len(test)),
        comparison=comparison,
        shown=_shown(run.trace, texts, truths),
        written=written,
        parameters=_count(model),
        training_seconds=trained.seconds,
        seconds=time.perf_counter() - start,
    )


def run_digits(
    parts: DigitParts,
    out: Path,
    *,
    recipe: Recipe = DIGITS_RECIPE,
    seed: int = 0,
    progress: Progress | None = None,
) -> DemoResult:
    """Train a small vision transformer on digits; otherwise as :func:`run_tweets`."""
    start = time.perf_counter()
    prepare_folder(out)
    model = _seeded(DigitClassifier, seed)
    trained = train(model, parts.train, parts.valid, recipe=recipe, seed=seed, progress=progress)
    probabilities = predict(model, parts.test)
    truth = parts.test.labels
    linear = pixel_linear(
        (parts.train.pictures, parts.train.labels),
        (parts.valid.pictures, parts.valid.labels),
        parts.test.pictures,
    )
    comparison = compare(
        truth,
        majority=majority(parts.train.labels, truth),
        linear=(PIXELS, linear),
        encoder=(VISION, probabilities.argmax(axis=1)),
        classes=len(DIGITS),
    )
    rows = choose_pictures(truth, probabilities)
    patches = cut_patches(parts.test.pictures[rows])
    with capture(model, tokens=patch_names(), classes=DIGITS, patches=patches) as run, torch.no_grad():
        model(parts.test.batch(rows))
    truths = [DIGITS[truth[row]] for row in rows]
    texts = [f"test picture {row}" for row in rows]
    written = write_results(
        _frames(run.trace, truths),
        out,
        title="A 4-layer vision encoder reads digits",
        note=DIGITS_NOTE,
        figure_title=texts[0],
    )
    return DemoResult(
        note=DIGITS_NOTE,
        parts=(len(parts.train), len(parts.valid), len(parts.test)),
        comparison=comparison,
        shown=_shown(run.trace, texts, truths),
        written=written,
        parameters=_count(model),
        training_seconds=trained.seconds,
        seconds=time.perf_counter() - start,
    )


def _text_part(vocabulary: Vocabulary, tokens: Sequence[list[str]], part: list[LabelledText]) -> TextPart:
    ids = [vocabulary.encode(words, longest=LONGEST) for words in tokens]
    return TextPart(ids, np.array([item.label for item in part], dtype=np.int64))


def _seeded(make: Callable[[], Model], seed: int) -> Model:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


def _count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def _shown(trace: Trace, texts: Sequence[str], truths: Sequence[str]) -> list[Shown]:
    outputs = trace.outputs
    if outputs is None:
        raise HeadscapeError(
            "The capture of the demo's model holds no answer; its page would show no classes."
        )
    return [
        Shown(text, truth, outputs.names(n)[0], float(outputs.probabilities[n, 0]))
        for n, (text, truth) in enumerate(zip(texts, truths, strict=True))
    ]


def _frames(trace: Trace, truths: Sequence[str]) -> list[Frame]:
    return [Frame(trace, n, truth=truth, number=n + 1) for n, truth in enumerate(truths)]
