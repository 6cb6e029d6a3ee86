"""Attention between words, against sums written out by hand and by loops."""

import numpy as np
import pytest

from headscape.analysis.words import align_ids, align_offsets, pool_words, word_weights
from headscape.errors import LabelError, ShapeError

RNG = np.random.default_rng(3)
IDS = [None, 0, 1, 1, 1, 2, 2, None]


def rows(*shape):
    return RNG.dirichlet(np.ones(shape[-1]), size=shape[:-1])


def test_a_split_word_sums_as_key_and_averages_as_query():
    # [CLS] un ##do it: "undo" is tokens 1 and 2
    weights = np.array(
        [[1, 0, 0, 0], [0.1, 0.2, 0.3, 0.4], [0.5, 0.1, 0.1, 0.3], [0.0, 0.25, 0.5, 0.25]], dtype="f4"
    )
    found = word_weights(weights, align_ids([None, 0, 0, 1]))
    np.testing.assert_allclose(found, [[(0.5 + 0.2) / 2, 0.35], [0.75, 0.25]], rtol=1e-6)


def test_rows_still_sum_to_one_and_special_tokens_come_last():
    weights = rows(2, 3, 8, 8)
    found = word_weights(weights, align_ids(IDS), keep_special=True)
    assert found.shape == (2, 3, 5, 5)
    np.testing.assert_allclose(found.sum(-1), 1, rtol=1e-12)
    np.testing.assert_allclose(found[..., 3, 4], weights[..., 0, 7])
    np.testing.assert_allclose(found[..., :3, :3], word_weights(weights, align_ids(IDS)))


@pytest.mark.parametrize("keys_first", [True, False])
def test_the_order_of_sum_and_mean_does_not_matter(keys_first):
    weights, groups = rows(8, 8), [[1], [2, 3, 4], [5, 6]]
    if keys_first:
        half = np.array([[weights[i, g].sum() for g in groups] for i in range(8)])
        road = np.array([[half[g, k].mean() for k in range(3)] for g in groups])
    else:
        half = np.array([[weights[g, j].mean() for j in range(8)] for g in groups])
        road = np.array([[half[q, g].sum() for g in groups] for q in range(3)])
    np.testing.assert_allclose(word_weights(weights, align_ids(IDS)), road, rtol=1e-12)


def test_a_nan_row_stays_with_its_word():
    weights = rows(8, 8)
    weights[3] = np.nan  # a piece of word 1
    weights[7] = np.nan  # padding
    found = word_weights(weights, align_ids(IDS))
    assert np.isnan(found).any(-1).tolist() == [False, True, False]


def test_tokens_find_their_words_by_characters():
    # "I don't know": annotated I, do, n't, know; read as I, don, ', t, kn, ow
    found = align_offsets(
        [(0, 0), (0, 1), (2, 5), (5, 6), (6, 7), (8, 10), (10, 12), (0, 0)],
        [(0, 1), (2, 4), (4, 7), (8, 12)],
        padding=1,
    )
    assert found.word_of_token.tolist() == [-1, 0, 1, 2, 2, 3, 3, -1, -1]
    assert found.crossing == (2,)  # "don" covers "do" and a part of "n't"
    assert found.pieces(3).tolist() == [5, 6]


def test_a_word_without_a_token_is_named():
    with pytest.raises(LabelError, match=r"words \[1\] of 3 have no token"):
        align_ids([None, 0, 2])
    with pytest.raises(LabelError, match=r"words \[1\] of 2 have no token.*Leave the sentence out"):
        align_offsets([(0, 3)], [(0, 3), (4, 6)])


def test_a_special_token_becomes_the_root_and_a_piece_does_not():
    root = align_ids(IDS).with_root()
    assert root.word_of_token.tolist() == [0, 1, 2, 2, 2, 3, 3, -1]
    with pytest.raises(LabelError, match="token 2 is a piece of word 1"):
        align_ids(IDS).with_root(2)


def test_states_of_pieces_are_averaged():
    states = np.arange(16, dtype="f4").reshape(8, 2)
    assert pool_words(states, align_ids(IDS)).tolist() == [[2, 3], [6, 7], [11, 12]]
    with pytest.raises(ShapeError, match=r"\(5, 2\).*8 tokens"):
        pool_words(states[:5], align_ids(IDS))


def test_other_numbers_of_tokens_and_cross_attention_are_refused():
    for shape in ((2, 7, 7), (2, 8, 5), (8,)):
        with pytest.raises(ShapeError, match="alignment is one of 8 tokens"):
            word_weights(np.ones(shape), align_ids(IDS))


def test_a_text_without_words_has_none():
    assert word_weights(rows(2, 2), align_ids([None, None])).shape == (0, 0)
    assert pool_words(np.ones((2, 3)), align_ids([None, None])).shape == (0, 3)
    assert align_offsets([(0, 0), (0, 4)], []).count == 0
