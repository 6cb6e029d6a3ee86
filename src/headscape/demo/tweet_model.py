"""The tweet encoder, trained once on made-up tweets and kept for the next time."""

import contextlib
import hashlib
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from headscape import __version__
from headscape.demo.classifier import TweetClassifier
from headscape.demo.corpus import LABELS, Corpus, LabelledText
from headscape.demo.fetch import cache_folder
from headscape.demo.training import Progress, Recipe, TextPart, train
from headscape.demo.words import Vocabulary, split_words

# The longest of the real tweets has 52 tokens; what is cut off is counted.
LONGEST = 56


@dataclass(frozen=True)
class TweetModel:
    """A trained encoder, and the words it knows."""

    model: TweetClassifier
    vocabulary: Vocabulary

    def read(self, texts: list[str]) -> tuple[Tensor, list[list[str]]]:
        """Return token ids, (text, token) int64 with 0 for padding, and the labels of the tokens."""
        words = [split_words(text) for text in texts]
        part = TextPart(
            [self.vocabulary.encode(row, longest=LONGEST) for row in words], np.zeros(len(words), int)
        )
        return part.batch(range(len(words))), [self.vocabulary.label(row, longest=LONGEST) for row in words]


def trained_tweets(
    corpus: Corpus,
    recipe: Recipe,
    *,
    seed: int = 0,
    folder: Path | None = None,
    progress: Progress | None = None,
) -> TweetModel:
    """Return the encoder that this recipe gives on these texts: kept from before, or trained now and kept.

    Parameters
    ----------
    corpus, recipe, seed
        As for :func:`headscape.demo.run.run_tweets`, which trains the same model from the same seed.
    folder : Path, optional
        Where it is kept. Default: :func:`headscape.demo.fetch.cache_folder`. Where nothing can be written it
        is trained anew the next time.
    progress : callable, optional
        Called after each step of training; never, where the model was kept.
    """
    place = (folder or cache_folder()) / f"tweets-{_name(corpus, recipe, seed)}.pt"
    vocabulary = Vocabulary.learn(split_words(item.text) for item in corpus.train)
    model = _made(vocabulary, recipe, seed)
    if place.is_file():
        with contextlib.suppress(Exception):  # a file that another program broke is trained anew
            model.load_state_dict(torch.load(place, weights_only=True))
            return TweetModel(model.eval(), vocabulary)
    parts = [_part(vocabulary, part) for part in (corpus.train, corpus.valid)]
    train(model, *parts, recipe=recipe, seed=seed, progress=progress)
    with contextlib.suppress(OSError):
        _keep(model, place)
    return TweetModel(model, vocabulary)


def _made(vocabulary: Vocabulary, recipe: Recipe, seed: int) -> TweetClassifier:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = TweetClassifier(len(vocabulary), len(LABELS), longest=LONGEST)
        model.spread_words(recipe.spread)
        return model


def _part(vocabulary: Vocabulary, part: list[LabelledText]) -> TextPart:
    ids = [vocabulary.encode(split_words(item.text), longest=LONGEST) for item in part]
    return TextPart(ids, np.array([item.label for item in part], dtype=np.int64))


def _name(corpus: Corpus, recipe: Recipe, seed: int) -> str:
    """Return a name that changes with whatever the weights depend on."""
    texts = hashlib.sha256(
        "\n".join(item.text for item in [*corpus.train, *corpus.valid]).encode()
    ).hexdigest()
    told = f"{texts} {recipe!r} {seed} {torch.__version__} {__version__}"
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def _keep(model: TweetClassifier, place: Path) -> None:
    """Write the weights whole or not at all."""
    place.parent.mkdir(parents=True, exist_ok=True)
    number, name = tempfile.mkstemp(dir=place.parent)
    os.close(number)
    try:
        torch.save(model.state_dict(), name)
        Path(name).replace(place)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
