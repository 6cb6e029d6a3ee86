"""Labelled texts in three parts that share no text."""

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from headscape.demo.grammar import make_tweets

LABELS = ("negative", "neutral", "positive")
# One tenth each for choosing (validation) and for reporting (test).
_HELD_OUT_SHARE = 10


@dataclass(frozen=True)
class LabelledText:
    """One text, the index of its label in ``LABELS``, and what kind of sentence it is where that is known."""

    text: str
    label: int
    kind: str = ""


@dataclass(frozen=True)
class Corpus:
    """Texts to train on, to choose by and to report on, and one line that says what they are."""

    train: list[LabelledText]
    valid: list[LabelledText]
    test: list[LabelledText]
    note: str

    def __len__(self) -> int:
        return len(self.train) + len(self.valid) + len(self.test)


def split(texts: Iterable[LabelledText], *, note: str) -> Corpus:
    """Drop repeated texts (the first stays), shuffle with a fixed seed, and cut 10 % / 10 % / 80 %.

    The cut does not depend on any seed of the caller, so that results of different runs can be compared.
    """
    unique: dict[str, LabelledText] = {}
    for item in texts:
        unique.setdefault(item.text, item)
    rows = list(unique.values())
    random.Random(0).shuffle(rows)
    size = len(rows) // _HELD_OUT_SHARE
    return Corpus(rows[2 * size :], rows[size : 2 * size], rows[:size], note)


def made_up_corpus(count: int, *, seed: int = 0) -> Corpus:
    """Tweets of our own making (:func:`headscape.demo.grammar.make_tweets`), split."""
    tweets = make_tweets(count, seed=seed)
    return split(
        (LabelledText(tweet.text, LABELS.index(tweet.label), tweet.kind) for tweet in tweets),
        note=f"{len(tweets):,} made-up tweets to airlines that do not exist, labelled by construction",
    )


def counts(texts: Sequence[LabelledText]) -> list[int]:
    """How many texts carry each label, in the order of ``LABELS``."""
    return [sum(item.label == label for item in texts) for label in range(len(LABELS))]
