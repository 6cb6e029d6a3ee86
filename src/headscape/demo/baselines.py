"""What a model must beat: always the commonest class, and a linear model of word counts or pixels."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from headscape.demo.scores import accuracy
from headscape.errors import MissingExtraError

Labels = npt.NDArray[np.int64]
# Inverse strengths of regularisation that are tried; the validation part chooses.
_STRENGTHS = (1.0, 3.0, 10.0)
_MOST_ITERATIONS = 2000


def expect_sklearn() -> None:
    """Raise :class:`MissingExtraError` where scikit-learn is not installed."""
    try:
        import sklearn  # noqa: F401
    except ImportError:
        raise MissingExtraError(
            "scikit-learn is not installed; the demo needs it for the linear model that it compares with "
            'and for the digits. Install it with: pip install "headscape[demo]"'
        ) from None


def majority(train: Labels, test: Labels) -> Labels:
    """Predict the commonest label of ``train`` for every row of ``test``."""
    return np.full(len(test), np.bincount(train).argmax(), dtype=np.int64)


def tfidf_linear(
    split_words: Callable[[str], list[str]],
    train: tuple[Sequence[str], Labels],
    valid: tuple[Sequence[str], Labels],
    test: Sequence[str],
) -> Labels:
    """Predict with TF-IDF weights of words and word pairs and logistic regression.

    It sees the same tokens as the encoder; its strength of regularisation is chosen on ``valid``.
    """
    expect_sklearn()
    from sklearn.feature_extraction.text import TfidfVectorizer

    weigh = TfidfVectorizer(
        tokenizer=split_words,
        token_pattern=None,
        lowercase=False,
        ngram_range=(1, 2),
        min_df=2,
        sublinear_tf=True,
    )
    seen = weigh.fit_transform(train[0])
    return _logistic((seen, train[1]), (weigh.transform(valid[0]), valid[1]), weigh.transform(test))


def pixel_linear(
    train: tuple[npt.NDArray[np.float32], Labels],
    valid: tuple[npt.NDArray[np.float32], Labels],
    test: npt.NDArray[np.float32],
) -> Labels:
    """Predict with logistic regression on the pixels of pictures (row, height, width)."""
    expect_sklearn()

    def flat(pictures: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        return pictures.reshape(len(pictures), -1)

    return _logistic((flat(train[0]), train[1]), (flat(valid[0]), valid[1]), flat(test))


def _logistic(train: tuple[Any, Labels], valid: tuple[Any, Labels], test: Any) -> Labels:
    from sklearn.linear_model import LogisticRegression

    models = [
        LogisticRegression(C=strength, max_iter=_MOST_ITERATIONS).fit(*train) for strength in _STRENGTHS
    ]
    best = max(models, key=lambda model: accuracy(valid[1], model.predict(valid[0])))
    return np.asarray(best.predict(test), dtype=np.int64)
