"""Scores, training, the linear models and the report that compares them."""

import itertools

import numpy as np
import pytest
import torch

from headscape.demo.baselines import majority, pixel_linear, tfidf_linear
from headscape.demo.choose import choose_pictures, choose_texts, take_turns
from headscape.demo.classifier import TweetClassifier
from headscape.demo.corpus import made_up_corpus
from headscape.demo.digits import DigitClassifier, cut_patches, load_digit_parts, patch_names
from headscape.demo.report import compare, judge
from headscape.demo.scores import accuracy, macro_f1
from headscape.demo.training import ImagePart, Recipe, TextPart, blank, predict, train
from headscape.demo.words import split_words

TRUTH = np.array([0, 0, 1, 1, 2])
FOUND = np.array([0, 1, 1, 1, 0])


def test_scores_match_those_worked_out_by_hand():
    # class 0: TP 1, FP 1, FN 1 -> 1/2; class 1: TP 2, FP 1, FN 0 -> 4/5; class 2: never found -> 0
    assert accuracy(TRUTH, FOUND) == pytest.approx(3 / 5)
    assert macro_f1(TRUTH, FOUND, classes=3) == pytest.approx((0.5 + 0.8 + 0) / 3)


def text_part(count=240, seed=0):
    """Texts in which token 2 or 3 decides, at any place among 4 to 9."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 2, count)
    ids = []
    for label in labels:
        words = rng.integers(4, 10, rng.integers(3, 8)).tolist()
        words[rng.integers(len(words))] = 2 + int(label)
        ids.append(words)
    return TextPart(ids, labels)


def small_model(seed=0):
    torch.manual_seed(seed)
    return TweetClassifier(10, 2, longest=8, width=16, heads=2, layers=2, dropout=0.1)


RECIPE = Recipe(epochs=8, batch=16, rate=5e-3, blank_share=0.05)


def test_training_learns_and_keeps_the_best_epoch():
    model = small_model()
    steps = []
    trained = train(
        model, text_part(), text_part(80, 1), recipe=RECIPE, progress=lambda *said: steps.append(said)
    )
    assert trained.accuracy[trained.kept_epoch] == max(trained.accuracy) > 0.95
    test = text_part(80, 2)
    assert accuracy(test.labels, predict(model, test).argmax(axis=1)) > 0.95
    assert not model.training
    assert steps[-1][:2] == (120, 120)
    assert "right on the validation part" in steps[-1][2]


def test_training_is_the_same_each_time_and_leaves_torch_as_it_was():
    short = Recipe(epochs=2, batch=16)
    weights = []
    for seed in (0, 0, 1):
        model = small_model()
        torch.manual_seed(7)
        threads = torch.get_num_threads()
        train(model, text_part(60), text_part(20, 1), recipe=short, seed=seed)
        assert torch.get_num_threads() == threads
        assert torch.equal(torch.rand(3), torch.rand(3, generator=torch.Generator().manual_seed(7)))
        weights.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_predictions_do_not_depend_on_padding_or_order():
    model = small_model().eval()
    part = text_part(30)
    together = predict(model, part)
    for row in (0, 11, 29):
        alone = predict(model, TextPart([part.ids[row]], part.labels[[row]]))
        np.testing.assert_allclose(together[row], alone[0], atol=1e-6)
    np.testing.assert_allclose(together.sum(axis=1), 1, atol=1e-6)


def test_blanking_spares_padding():
    ids = torch.tensor([[5, 6, 0, 0]] * 500)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        changed = blank(ids, 0.5)
    assert set(changed[:, 2:].flatten().tolist()) == {0}
    assert 0.4 < (changed[:, :2] == 1).float().mean() < 0.6
    assert torch.equal(blank(ids, 0.0), ids)


def test_the_majority_class_is_that_of_the_training_part():
    assert majority(np.array([2, 2, 0]), np.array([0, 1])).tolist() == [2, 2]


@pytest.mark.slow
def test_the_linear_model_matches_one_written_another_way():
    corpus = made_up_corpus(600)
    texts = [[item.text for item in part] for part in (corpus.train, corpus.valid, corpus.test)]
    labels = [np.array([item.label for item in part]) for part in (corpus.train, corpus.valid, corpus.test)]
    found = tfidf_linear(split_words, (texts[0], labels[0]), (texts[1], labels[1]), texts[2])

    # The same weights by hand: (1 + ln tf) * (ln((1 + n) / (1 + df)) + 1), rows of length 1
    from sklearn.linear_model import LogisticRegression

    def grams(text):
        words = split_words(text)
        return words + [f"{a} {b}" for a, b in itertools.pairwise(words)]

    seen = [grams(text) for text in texts[0]]
    df = {}
    for row in seen:
        for gram in set(row):
            df[gram] = df.get(gram, 0) + 1
    column = {gram: n for n, gram in enumerate(sorted(g for g in df if df[g] >= 2))}

    def weigh(part):
        matrix = np.zeros((len(part), len(column)))
        for row, text in enumerate(part):
            for gram in grams(text):
                if gram in column:
                    matrix[row, column[gram]] += 1
        idf = np.array([np.log((1 + len(seen)) / (1 + df[g])) + 1 for g in column])
        matrix = np.where(matrix > 0, 1 + np.log(np.maximum(matrix, 1)), 0) * idf
        return matrix / np.linalg.norm(matrix, axis=1, keepdims=True)

    tried = []
    for strength in (1.0, 3.0, 10.0):
        model = LogisticRegression(C=strength, max_iter=2000).fit(weigh(texts[0]), labels[0])
        tried.append((np.mean(model.predict(weigh(texts[1])) == labels[1]), -strength, model))
    best = max(tried, key=lambda entry: entry[:2])[2]
    assert np.mean(found == best.predict(weigh(texts[2]))) > 0.98


def test_the_report_says_so_when_the_encoder_does_not_beat_the_linear_model():
    truth = np.zeros(400, dtype=int)
    good, bad = np.zeros(400, dtype=int), np.repeat([0, 1], 200)
    names = ("encoder", "linear model")
    assert judge(truth, bad, good, names=names) == (
        "The encoder does not beat the linear model: it is 50.0 points behind."
    )
    assert judge(truth, good, bad, names=names) == "The encoder beats the linear model by 50.0 points."


def test_a_difference_that_may_be_chance_is_called_that():
    truth = np.zeros(100, dtype=int)
    encoder, linear = truth.copy(), truth.copy()
    encoder[:5] = 1
    linear[5:14] = 1  # right where the other is wrong on 9 and 5: 4 apart, standard error sqrt(14) = 3.7
    said = judge(truth, encoder, linear, names=("encoder", "linear model"))
    assert "does not clearly beat the linear model: it is 4.0 points ahead" in said
    assert "100 test examples cannot tell from chance" in said


def test_the_comparison_counts_kinds_apart():
    found = compare(
        TRUTH,
        majority=np.zeros(5, dtype=int),
        linear=("linear", FOUND),
        encoder=("encoder", TRUTH),
        classes=3,
        kinds=["a", "b", "a", "b", ""],
    )
    assert [score.accuracy for score in found.scores] == [0.4, 0.6, 1.0]
    assert [(k.kind, k.size, k.linear, k.encoder) for k in found.kinds] == [("a", 2, 1, 1), ("b", 2, 0.5, 1)]


def test_the_page_opens_on_a_sure_right_text_that_negates_and_a_wrong_one_follows():
    plain, negated = ["w"] * 14, ["w"] * 14 + ["not"]
    tokens = [plain, negated, negated, ["not"] * 3, plain]
    truth = np.array([0, 1, 0, 1, 0])
    sure = np.array([[0.99, 0.01], [0.05, 0.95], [0.2, 0.8], [0.0, 1.0], [0.6, 0.4]], dtype=np.float32)
    assert choose_texts(tokens, truth, sure, truth)[:2] == [1, 2]


def test_a_model_that_is_never_wrong_or_never_right_still_gets_examples():
    truth = np.array([0, 1])
    right = np.eye(2, dtype=np.float32)
    for probabilities in (right, 1 - right):
        assert sorted(choose_texts([["a"], ["b"]], truth, probabilities, truth)) == [0, 1]
        assert sorted(choose_pictures(truth, probabilities)) == [0, 1]


def test_labels_take_turns():
    assert take_turns([0, 1, 2, 3], np.array([5, 5, 5, 6]), 3) == [0, 3, 1]


def test_patches_are_cut_row_by_row_as_the_model_sees_them():
    picture = np.arange(64, dtype=np.float32).reshape(1, 8, 8)
    patches = cut_patches(picture)
    assert patches[0, 1].tolist() == [[2, 3], [10, 11]]
    assert patches[0, 4].tolist() == [[16, 17], [24, 25]]
    assert patch_names()[4] == "r2c1"
    seen = []
    model = DigitClassifier()
    model.patches.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    model(torch.from_numpy(picture))
    assert torch.equal(seen[0].reshape(1, 16, 2, 2), torch.from_numpy(patches))


def test_digits_are_cut_without_overlap_and_the_linear_model_reads_them():
    parts = load_digit_parts()
    assert (len(parts.train), len(parts.valid), len(parts.test)) == (1439, 179, 179)
    assert parts.train.pictures.max() == 1
    train_part = ImagePart(parts.train.pictures[:300], parts.train.labels[:300])
    found = pixel_linear(
        (train_part.pictures, train_part.labels),
        (parts.valid.pictures, parts.valid.labels),
        parts.test.pictures,
    )
    assert accuracy(parts.test.labels, found) > 0.85
