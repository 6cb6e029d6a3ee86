"""Explanations of the models at hand, and the files they leave."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from headscape.demo.corpus import LABELS, made_up_corpus
from headscape.demo.minilm import join_texts, load_minilm
from headscape.demo.real import MINILM_TEXTS, MOST_TEXTS, STORIES_TEXTS
from headscape.demo.results import prepare_folder
from headscape.demo.run import MADE_UP_RECIPE, MADE_UP_TEXTS
from headscape.demo.stories import find_stories, load_stories
from headscape.demo.training import Progress, Recipe
from headscape.demo.tweet_model import TweetModel, trained_tweets
from headscape.errors import FileError, MissingBundleError, OptionError
from headscape.explanation.explain import explain
from headscape.explanation.explanation import Explanation

MODELS = ("minilm", "tweets", "stories")
MORE_TEXTS = (
    *MINILM_TEXTS,
    "She gave the keys to her brother before he left for the station, and he lost them on the way.",
    "The committee that approved the budgets was surprised by how little of the money had been spent.",
    "Water boils at a lower temperature in the mountains, so potatoes take longer to cook there.",
)
# Made-up tweets explained where none is given, the first of the test part, which the model never saw.
TWEETS = 8
FILES = ("explanation.png", "explanation.pdf", "explanation.txt", "explanation.html")
_DPI = 180


@dataclass(frozen=True)
class Saved:
    """Where the files lie; ``page`` is None where this installation cannot make one, ``page_problem`` why."""

    figure: Path
    print: Path
    text: Path
    page: Path | None
    page_problem: str = ""


def check_texts(texts: Sequence[str]) -> None:
    """Raise ``OptionError`` where a text is empty or there are too many."""
    if len(texts) > MOST_TEXTS:
        raise OptionError(f"{len(texts)} texts were given; up to {MOST_TEXTS} are explained together.")
    for number, text in enumerate(texts, 1):
        if not text.strip():
            raise OptionError(f"text {number} is empty. Pass a text with words, or none at all.")


def explain_minilm(
    texts: Sequence[str] = (), *, example: int = 0, progress: Progress | None = None
) -> Explanation:
    """Explain all-MiniLM-L6-v2, whose answer is a vector: its similarity to itself is the score."""
    texts = texts or MORE_TEXTS
    check_texts(texts)
    mini = load_minilm()
    read = [mini.labels(text) for text in texts]
    ids, mask = join_texts([row[0] for row in read])
    return explain(
        mini.model, {"input_ids": ids, "attention_mask": mask}, tokens=[row[1] for row in read],
        texts=texts, name="all-MiniLM-L6-v2", example=example, progress=progress,
    )  # fmt: skip


@dataclass(frozen=True)
class TrainedTweets:
    """The encoder of tweets, and texts it has not seen."""

    trained: TweetModel
    unseen: tuple[str, ...]


def train_tweets(
    recipe: Recipe = MADE_UP_RECIPE,
    count: int = MADE_UP_TEXTS,
    *,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> TrainedTweets:
    """Return the encoder of ``count`` made-up tweets, trained now where it was not kept.

    Parameters as for :func:`headscape.demo.tweet_model.trained_tweets`.
    """
    corpus = made_up_corpus(count)
    trained = trained_tweets(corpus, recipe, folder=folder, progress=progress)
    return TrainedTweets(trained, tuple(item.text for item in corpus.test[:TWEETS]))


def explain_tweets(
    tweets: TrainedTweets, texts: Sequence[str] = (), *, example: int = 0, progress: Progress | None = None
) -> Explanation:
    """Explain the encoder of tweets: the score of the class it names."""
    chosen = list(texts or tweets.unseen)
    check_texts(chosen)
    ids, labels = tweets.trained.read(chosen)
    return explain(
        tweets.trained.model, ids, tokens=labels, texts=chosen, classes=LABELS,
        name="the 6-layer tweet encoder", example=example, progress=progress,
    )  # fmt: skip


def explain_stories(
    texts: Sequence[str] = (),
    *,
    weights: Path | None = None,
    download: bool = False,
    environment: Mapping[str, str] = os.environ,
    example: int = 0,
    progress: Progress | None = None,
) -> Explanation:
    """Explain the story-telling Llama: its next token. Parameters as for ``headscape demo``."""
    texts = texts or STORIES_TEXTS
    check_texts(texts)
    stories = load_stories(find_stories(weights, download=download, environment=environment))
    rows = [stories.pieces.encode(text) for text in texts]
    longest = stories.model.shape.longest
    for number, row in enumerate(rows, 1):
        if len(row) > longest:
            raise OptionError(f"text {number} has {len(row)} tokens; the model reads up to {longest}.")
    names = [stories.pieces.label(token) for token in range(stories.model.shape.vocabulary)]
    ids, mask = join_texts(rows)
    inputs: dict[str, torch.Tensor] = {"ids": ids}
    if len(rows) > 1:  # one text has no padding and needs no mask
        inputs["lengths"] = mask.sum(1)
    return explain(
        stories.model, inputs, tokens=[[names[i] for i in row] for row in rows], texts=texts, classes=names,
        name="a story-telling Llama", example=example, progress=progress,
    )  # fmt: skip


def save_explanation(explanation: Explanation, out: Path, *, theme: str = "light") -> Saved:
    """Write the figure (PNG and PDF), the text with the caption, and the page.

    Raises
    ------
    FileError
        A file cannot be written.
    """
    prepare_folder(out)
    picture, paper, text, page = (out / name for name in FILES)
    figure = explanation.figure(theme=theme)
    try:
        figure.savefig(picture, dpi=_DPI)
        figure.savefig(paper)
        told = f"{explanation.text()}\nCaption\n-------\n{explanation.caption()}\n"
        text.write_text(told, encoding="utf-8", errors="replace")  # lone surrogates
    except OSError as error:
        raise FileError(f"Files could not be written to {out}: {error.strerror or error}.") from None
    try:
        explanation.to_html(page)
    except MissingBundleError as error:
        return Saved(picture, paper, text, None, str(error))
    return Saved(picture, paper, text, page)
