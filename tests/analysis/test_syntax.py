"""Heads held against syntax: sentences made here, guesses and counts worked out by hand."""

import numpy as np
import pytest

from headscape.analysis.rates import Rate
from headscape.analysis.syntax import (
    DIRECTIONS,
    compare_dependencies,
    count_dependencies,
    draw_heads,
    guess_heads,
    word_maps,
)
from headscape.analysis.treebank import Sentence, read_conllu
from headscape.analysis.words import align_ids
from headscape.errors import (
    FileError,
    FormatError,
    LabelError,
    NoAttentionError,
    NotKeptError,
    OptionError,
    ShapeError,
)
from headscape.trace.by_hand import trace_of
from headscape.trace.synthetic import example_trace

DOWN, UP = DIRECTIONS

CONLLU = """# text = Anna's cat doesn't purr.
1-2\tAnna's\t_\t_\t_\t_\t_\t_\t_\t_
1\tAnna\tAnna\tPROPN\tNNP\t_\t3\tnmod:poss\t_\t_
2\t's\t's\tPART\tPOS\t_\t1\tcase\t_\t_
3\tcat\tcat\tNOUN\tNN\t_\t6\tnsubj\t_\t_
4\tdoes\tdo\tAUX\tVBZ\t_\t6\taux\t_\t_
5\tn't\tnot\tPART\tRB\t_\t6\tadvmod\t_\t_
5.1\tever\tever\tADV\tRB\t_\t_\t_\t_\t_
6\tpurr\tpurr\tVERB\tVB\t_\t0\troot\t_\t_
7\t.\t.\tPUNCT\t.\t_\t6\tpunct\t_\t_

1\tYes\tyes\tINTJ\tUH\t_\t0\troot\t_\t_
"""
HEADS = [2, 0, 5, 5, 5, -1, 5]


@pytest.fixture
def cat(tmp_path):
    path = tmp_path / "made_up.conllu"
    path.write_text(CONLLU, encoding="utf-8")
    return read_conllu(path)[0]


def simple(words, heads, relations):
    words = words.split()
    return Sentence(tuple(words), ("X",) * len(words), np.array(heads), tuple(relations.split()))


def pointing(heads, weight=0.6):
    """A head that puts ``weight`` on each word's syntactic head and the rest on the word itself."""
    found = np.eye(len(heads)) * (1 - weight)
    for word, head in enumerate(heads):
        found[word, word if head < 0 else head] += weight
    return found


def test_conllu_is_read_without_multiword_tokens_and_empty_nodes(tmp_path):
    path = tmp_path / "made_up.conllu"
    path.write_text(CONLLU, encoding="utf-8")
    first, second = read_conllu(path)
    assert first.words == ("Anna", "'s", "cat", "does", "n't", "purr", ".")
    assert first.heads.tolist() == HEADS
    assert first.relations[:3] == ("nmod:poss", "case", "nsubj")
    assert first.tags[-2:] == ("VERB", "PUNCT")
    assert (second.words, second.heads.tolist()) == (("Yes",), [-1])


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("1\tone\t_\tX", "line 1: 4 cells"),
        ("1\tone\t_\tX\t_\t_\t9\tdep\t_\t_", "word 0 .'one'. has head 8"),
        ("1\tone\t_\tX\t_\t_\t1\tdep\t_\t_", "head 0; a head is the index of another word"),
        ("2\tone\t_\tX\t_\t_\t0\troot\t_\t_", "not numbered 1, 2, 3"),
        ("1\tone\t_\tX\t_\t_\t_\troot\t_\t_", "not a number"),
    ],
)
def test_what_is_not_conllu_is_named_with_its_place(tmp_path, line, says):
    path = tmp_path / "bad.conllu"
    path.write_text(line + "\n", encoding="utf-8")
    with pytest.raises(FormatError, match=says):
        read_conllu(path)
    with pytest.raises(FileError, match="nowhere"):
        read_conllu(tmp_path / "nowhere.conllu")


def test_guesses_are_the_largest_other_word_of_the_row_and_of_the_column():
    weights = np.array([[[0.8, 0.2, 0.0], [0.1, 0.4, 0.5], [0.3, 0.6, 0.1]]])
    down, up = guess_heads(weights)
    assert down.tolist() == [[1, 2, 1]]
    assert up.tolist() == [[2, 2, 1]]


def test_a_causal_head_says_nothing_about_the_first_word():
    weights = np.tril(np.ones((1, 3, 3))) / np.array([[1], [2], [3]])
    down, up = guess_heads(weights)
    assert down.tolist() == [[-1, 0, 0]]
    assert up.tolist() == [[1, 2, -1]]


def test_a_planted_head_finds_every_head_and_its_transpose_the_other_way(cat):
    planted = pointing(HEADS)
    blind = np.eye(7)
    counts = count_dependencies([(cat, np.stack([blind, planted, planted.T]))], [(0, 0), (0, 1), (1, 0)])
    assert counts.relations[:2] == ("all", "all but punct")
    assert counts.words[:2].tolist() == [6, 5]
    assert counts.rate("all", (0, 1)) == Rate(6, 6)
    assert counts.rate("all", (1, 0), UP) == Rate(6, 6)
    assert counts.rate("all", (0, 0)) == counts.rate("all", (0, 0), UP) == Rate(0, 6)
    assert counts.best_head("nsubj") == ((0, 1), DOWN)


def test_hits_and_offsets_are_those_counted_by_hand():
    # the dog barks loudly: the -> dog, dog -> barks, loudly -> barks
    one = simple("the dog barks loudly", [1, 2, -1, 2], "det nsubj root advmod")
    weights = np.array([[[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 1, 0], [0, 0, 1, 0]]], dtype=float)
    counts = count_dependencies([(one, weights), (one, weights)], [(2, 5)])
    assert counts.sentences == 2
    assert counts.rate("all", (2, 5)) == Rate(4, 6)  # det and advmod, not nsubj
    # columns: who looks at "the" is dog, at "dog" the, at "loudly" nobody
    assert counts.rate("all", (2, 5), UP) == Rate(2, 6)
    assert counts.rate("nsubj", (2, 5)) == Rate(0, 2)
    assert counts.offset_rate("all", 1) == Rate(4, 6)
    assert counts.offset_rate("advmod", -1) == Rate(2, 2)
    assert counts.best_offset("all") == 1


def test_random_heads_find_one_in_the_other_words():
    rng = np.random.default_rng(0)
    words = 6
    pairs = []
    for _ in range(400):
        heads = (np.arange(words) + rng.integers(1, words, words)) % words
        one = simple("a b c d e f", heads, "dep " * words)
        pairs.append((one, rng.dirichlet(np.ones(words), size=(4, words))))
    counts = count_dependencies(pairs, [(0, n) for n in range(4)])
    low, high = counts.rate("all", (0, 2)).interval
    assert low < 1 / (words - 1) < high
    assert np.abs(counts.hits[0] / counts.words[0] - 1 / (words - 1)).max() < 0.03


def test_a_possessor_may_be_found_through_its_marker(cat):
    weights = pointing([5, 2, 5, 5, 5, -1, 5])[None]  # Anna looks at purr, 's at cat
    plain = count_dependencies([(cat, weights)], [(0, 0)], subtypes=True)
    lenient = count_dependencies([(cat, weights)], [(0, 0)], subtypes=True, by_marker=True)
    assert plain.rate("nmod:poss", (0, 0)) == Rate(0, 1)
    assert lenient.rate("nmod:poss", (0, 0)) == Rate(1, 1)
    assert lenient.rate("case", (0, 0)) == plain.rate("case", (0, 0)) == Rate(0, 1)


def test_a_head_chosen_elsewhere_is_scored_with_its_own_rate():
    dev = simple("x y z", [1, -1, 1], "dep root dep")
    test = simple("x y z", [2, 2, -1], "dep dep root")
    first, second = pointing([1, -1, 1]), pointing([2, 2, -1])
    places = [(0, 0), (0, 1)]
    chosen = count_dependencies([(dev, np.stack([first, second]))], places)
    scored = count_dependencies([(test, np.stack([first, second]))], places)
    (honest,) = (r for r in compare_dependencies(scored, chosen, least_words=1) if r.relation == "all")
    assert (honest.place, honest.chosen_head, honest.head) == ((0, 0), Rate(2, 2), Rate(0, 2))
    assert (honest.top, honest.offset, honest.offset_rate) == (Rate(2, 2), -1, Rate(0, 2))
    assert honest.gain == 0
    (same,) = (r for r in compare_dependencies(scored, least_words=1) if r.relation == "all")
    assert same.place == (0, 1)
    assert same.head == same.top == Rate(2, 2)
    assert compare_dependencies(scored, chosen, least_words=3) == ()


def test_drawn_heads_are_other_words_and_roots_stay(cat):
    rng = np.random.default_rng(1)
    drawn = np.stack([draw_heads(cat, rng).heads for _ in range(300)])
    assert (drawn[:, 5] == -1).all()
    for word in (0, 1, 2, 3, 4, 6):
        assert set(drawn[:, word].tolist()) == set(range(7)) - {word}


def test_a_trace_is_read_between_words_and_layers_may_differ_in_heads():
    rng = np.random.default_rng(2)
    first, second = rng.dirichlet(np.ones(4), (2, 4)), rng.dirichlet(np.ones(4), (3, 4))
    places, maps = word_maps(trace_of(first, second), align_ids([None, 0, 1, 1]))
    assert places == ((0, 0), (0, 1), (1, 0), (1, 1), (1, 2))
    assert maps.shape == (5, 2, 2)
    assert maps[3, 1, 0] == pytest.approx((second[1, 2, 1] + second[1, 3, 1]) / 2, rel=1e-6)


def test_padding_of_a_batch_is_left_out_and_padding_as_a_word_is_refused():
    rows = np.broadcast_to(np.array([0.5, 0.5, 0.0]), (2, 1, 3, 3))
    trace = trace_of(rows, padded=[[0, 0, 1], [0, 0, 1]])
    _, maps = word_maps(trace, align_ids([0, 1], padding=1), 1)
    assert maps.tolist() == [[[0.5, 0.5], [0.5, 0.5]]]
    with pytest.raises(ShapeError, match=r"NaN at column 0, word 2.*Align padding to no word"):
        guess_heads(word_maps(trace, align_ids([0, 1, 2]))[1])


def test_lists_of_keys_and_cross_attention_alone_are_refused():
    rows = np.full((1, 4, 4), 0.25)
    with pytest.raises(NotKeptError, match='keep="all"'):
        word_maps(trace_of(rows, k=2), align_ids([0, 1, 2, 3]))
    two_sides = example_trace(layers=1, tokens=("a", "b", "c"), decoder=True)
    kept = {(c.query_side, c.key_side) for c in two_sides.calls}
    assert len(kept) == 3
    target = [c for c in two_sides.calls if c.query_side == c.key_side == 1]
    places, _ = word_maps(two_sides, align_ids(range(target[0].shape[2])), side=1)
    assert {layer for layer, _ in places} == {c.layer for c in target}
    only = type(two_sides)(tuple(c for c in two_sides.calls if c.kind == "cross"), two_sides.sides)
    with pytest.raises(NoAttentionError, match="no self-attention"):
        word_maps(only, align_ids([0, 1, 2]))


def test_wrong_shapes_and_nothing_to_count_are_said(cat):
    with pytest.raises(ShapeError, match=r"sentence 0 .Anna.*\(1, 3, 3\).*\(1, 7, 7\)"):
        count_dependencies([(cat, np.ones((1, 3, 3)))], [(0, 0)])
    with pytest.raises(OptionError, match="no sentence"):
        count_dependencies([], [(0, 0)])
    lone = simple("Yes", [-1], "root")
    with pytest.raises(OptionError, match="has two words"):
        count_dependencies([(lone, np.ones((1, 1, 1)))], [(0, 0)])
    counts = count_dependencies([(cat, np.eye(7)[None]), (lone, np.ones((1, 1, 1)))], [(0, 0)])
    assert (counts.sentences, counts.words[0]) == (2, 6)
    with pytest.raises(OptionError, match=r"no relation 'nsub'.*Did you mean 'nsubj'"):
        counts.rate("nsub", (0, 0))
    with pytest.raises(OptionError, match="no layer 1, head 0"):
        counts.rate("all", (1, 0))
    with pytest.raises(OptionError, match="no offset 0"):
        counts.offset_rate("all", 0)
    with pytest.raises(LabelError, match="3 words has 3 tags, 2 heads"):
        simple("a b c", [1, 0], "dep dep dep")
    two = count_dependencies([(cat, np.zeros((2, 7, 7)))], [(0, 0), (0, 1)])
    with pytest.raises(OptionError, match="counts of two models"):
        compare_dependencies(counts, two)


@pytest.mark.parametrize(("hits", "total"), [(0, 10), (5, 10), (81, 263), (10, 10)])
def test_wilsons_interval_solves_its_equation(hits, total):
    ends = Rate(hits, total).interval
    assert 0 <= ends[0] <= hits / total <= ends[1] + 1e-12 <= 1 + 2e-12  # ends touch 0 and 1
    assert ends[1] - ends[0] > 0.05
    for end in ends:
        variance = end * (1 - end) / total
        assert (hits / total - end) ** 2 == pytest.approx(1.959963985**2 * variance, abs=1e-9)


def test_wilsons_interval_is_the_published_one():
    # Newcombe 1998, "Two-sided confidence intervals for the single proportion", example 81 of 263
    assert Rate(81, 263).interval == pytest.approx((0.2553, 0.3662), abs=5e-5)


def test_a_rate_of_nothing_says_nothing():
    assert np.isnan(Rate(0, 0).share)
    assert Rate(0, 0).interval == (0, 1)


def test_more_hits_than_things_are_refused():
    with pytest.raises(ShapeError, match="5 hits of 4"):
        Rate(5, 4)
