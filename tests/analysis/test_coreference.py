"""Pronouns and names: texts made here, counts worked out by hand."""

import numpy as np
import pytest

from headscape.analysis.coreference import (
    DIRECTIONS,
    Candidates,
    GapText,
    antecedent_hits,
    candidate_weights,
    count_candidates,
    read_gap,
)
from headscape.analysis.rates import Rate
from headscape.errors import FileError, FormatError, LabelError, OptionError, ShapeError

THERE, BACK = DIRECTIONS
HEADER = "ID\tText\tPronoun\tPronoun-offset\tA\tA-offset\tA-coref\tB\tB-offset\tB-coref\tURL"
TEXT = 'Ida told Olga Berg that "she had won.'  # a bare quote, as in the data set


def line(name, a_true, b_true, offset=25):
    return f"{name}\t{TEXT}\tshe\t{offset}\tIda\t0\t{a_true}\tOlga Berg\t9\t{b_true}\tx"


def write(tmp_path, *lines):
    path = tmp_path / "made-up.tsv"
    path.write_text("\n".join([HEADER, *lines]) + "\n", encoding="utf-8")
    return path


def text(answer, name="t"):
    return GapText(name, TEXT, (25, 28), (0, 3), (9, 18), answer == "A", answer == "B")


def test_a_gap_file_is_read_with_its_bare_quotes(tmp_path):
    lines = line("t-1", "TRUE", "FALSE"), line("t-2", "FALSE", "TRUE"), line("t-3", "FALSE", "FALSE")
    found = read_gap(write(tmp_path, *lines))
    assert [one.answer for one in found] == ["A", "B", "neither"]
    assert [TEXT[slice(*span)] for span in (found[0].pronoun, found[0].a, found[0].b)] == [
        "she",
        "Ida",
        "Olga Berg",
    ]
    assert found[0].nearest == "B"


def test_what_is_no_gap_file_is_named_with_its_line(tmp_path):
    with pytest.raises(FormatError, match=r"line 3: Pronoun-offset '24' does not point at 'she'"):
        read_gap(write(tmp_path, line("t-1", "TRUE", "FALSE"), line("t-2", "TRUE", "FALSE", 24)))
    with pytest.raises(FormatError, match="line 2: both names"):
        read_gap(write(tmp_path, line("t-1", "TRUE", "TRUE")))
    with pytest.raises(FormatError, match="line 2 has no A-coref, B"):
        read_gap(write(tmp_path, "\t".join(line("t-1", "TRUE", "FALSE").split("\t")[:6])))
    with pytest.raises(FileError, match="nowhere"):
        read_gap(tmp_path / "nowhere.tsv")


def test_weights_of_names_are_those_summed_by_hand():
    # tokens: 0 ida, 1 olga, 2 berg, 3 she
    weights = np.zeros((1, 4, 4))
    weights[0, 3] = [0.3, 0.2, 0.2, 0.3]
    weights[0, :3, 3] = [0.5, 0.1, 0.7]
    there, back = candidate_weights(weights, [3], [[0], [1, 2]])[:, 0]
    np.testing.assert_allclose(there, [0.3, 0.4])
    np.testing.assert_allclose(back, [0.5, 0.4])
    mean = candidate_weights(weights, [3], [[0], [1, 2]], pool="mean")[0, 0]
    most = candidate_weights(weights, [3], [[0], [1, 2]], pool="max")[0, 0]
    np.testing.assert_allclose(mean, [0.3, 0.2])
    np.testing.assert_allclose(most, [0.3, 0.2])


def test_a_pronoun_of_two_tokens_looks_with_their_mean():
    weights = np.zeros((1, 3, 3))
    weights[0, 1, 0], weights[0, 2, 0] = 0.2, 0.6
    weights[0, 0, 1:] = 0.1, 0.3
    np.testing.assert_allclose(candidate_weights(weights, [1, 2], [[0]]).ravel(), [0.4, 0.4])


def test_hits_and_baselines_are_those_counted_by_hand():
    def weighed(answer, *columns):  # each column: A and B there, A and B back
        there = [c[:2] for c in columns]
        back = [c[2:] for c in columns]
        return Candidates(text(answer), np.array([there, back], float), (1, 2))

    counts = count_candidates(
        [
            weighed("A", (0.9, 0.1, 0.2, 0.3), (0.5, 0.5, 0.4, 0.1)),
            weighed("B", (0.9, 0.1, 0.2, 0.3), (0.2, 0.5, 0.4, 0.1)),
            weighed("B", (0.1, 0.2, 0.2, 0.3), (0.2, 0.5, 0.0, 0.1)),
            weighed("neither", (0.9, 0.1, 0.2, 0.3), (0.2, 0.5, 0.4, 0.1)),
        ],
        [(0, 0), (4, 11)],
    )
    assert (counts.texts, counts.neither) == (3, 1)
    assert counts.rate((0, 0)) == Rate(2, 3)
    assert counts.rate((0, 0), BACK) == Rate(2, 3)
    assert counts.rate((4, 11)) == Rate(2, 3)  # equal weights are no hit
    assert counts.rate((4, 11), BACK) == Rate(2, 3)
    assert counts.best_head() == ((0, 0), THERE)
    assert counts.baselines == {
        "always A": Rate(1, 3),
        "always B": Rate(2, 3),
        "nearest name": Rate(2, 3),
        "longer name": Rate(2, 3),
    }


def test_a_planted_head_is_always_right_and_random_ones_half_the_time():
    rng = np.random.default_rng(5)
    found = []
    for n in range(600):
        answer = "AB"[n % 2]
        weights = rng.random((2, 3, 2))
        weights[0, 1] = [1, 0] if answer == "A" else [0, 1]
        found.append(Candidates(text(answer), weights, (1, 1)))
    counts = count_candidates(found, [(0, 0), (0, 1), (0, 2)])
    assert counts.rate((0, 1)) == Rate(600, 600)
    assert counts.best_head() == ((0, 1), THERE)
    low, high = counts.rate((0, 2), BACK).interval
    assert low < 0.5 < high


def test_antecedents_are_the_most_attended_earlier_mentions():
    # mentions at words 1 (anna), 3 (olga), 5 (she = anna), 6 (her = olga)
    weights = np.zeros((3, 7, 7))
    weights[0, 5, [1, 3, 4, 6]] = 0.3, 0.1, 0.5, 0.1  # word 4 is no mention, 6 no earlier one
    weights[0, 6, [1, 3, 5]] = 0.1, 0.2, 0.3  # looks at she: wrong
    weights[1, 5, [1, 3]] = 0.2, 0.3
    weights[1, 6, [1, 3]] = 0.1, 0.3
    hits, asked = antecedent_hits(weights, [1, 3, 5, 6], [0, 1, 0, 1])
    assert (hits.tolist(), asked) == ([1, 1, 0], 2)
    shuffled, again = antecedent_hits(weights, [6, 1, 5, 3], [1, 0, 0, 1])
    assert (shuffled.tolist(), again) == (hits.tolist(), asked)


def test_mentions_without_an_earlier_one_of_their_entity_are_not_asked():
    hits, asked = antecedent_hits(np.full((1, 4, 4), 0.25), [0, 1, 3], [0, 1, 2])
    assert (hits.tolist(), asked) == ([0], 0)
    assert antecedent_hits(np.full((1, 4, 4), 0.25), [], [])[1] == 0


def test_nan_where_a_mention_looks_is_refused_and_elsewhere_not():
    rows = np.full((1, 4, 4), 0.25)
    rows[0, 2] = np.nan
    assert candidate_weights(rows, [3], [[0], [1]]).shape == (2, 1, 2)
    with pytest.raises(ShapeError, match="weights holds NaN"):
        candidate_weights(rows, [3], [[0], [2]])
    assert antecedent_hits(rows, [0, 3], [0, 0])[1] == 1
    with pytest.raises(ShapeError, match="weights holds NaN"):
        antecedent_hits(rows, [0, 2], [0, 0])


def test_what_does_not_fit_is_said():
    rows = np.full((1, 4, 4), 0.25)
    with pytest.raises(LabelError, match=r"name 1 has tokens \[\] of 4"):
        candidate_weights(rows, [3], [[0], []])
    with pytest.raises(LabelError, match=r"the pronoun has tokens \[4\] of 4"):
        candidate_weights(rows, [4], [[0], [1]])
    with pytest.raises(OptionError, match=r"no pool 'summ'.*Did you mean 'sum'"):
        candidate_weights(rows, [3], [[0], [1]], pool="summ")
    with pytest.raises(ShapeError, match=r"\(4, 4\); wanted is \(column, token, token\)"):
        candidate_weights(rows[0], [3], [[0], [1]])
    with pytest.raises(ShapeError, match=r"text t has weights of shape \(2, 1, 2\)"):
        count_candidates([Candidates(text("A"), np.ones((2, 1, 2)), (1, 1))], [(0, 0), (0, 1)])
    with pytest.raises(OptionError, match=r"none of the texts .1 read."):
        count_candidates([Candidates(text("neither"), np.ones((2, 1, 2)), (1, 1))], [(0, 0)])
    for mentions, clusters in (([1, 1], [0, 0]), ([1, 4], [0, 0]), ([1], [0, 0])):
        with pytest.raises(LabelError, match="each mention is the index of another word"):
            antecedent_hits(rows, mentions, clusters)
    with pytest.raises(ShapeError, match=r"wanted is .column, word, word."):
        antecedent_hits(rows[0], [0], [0])
    counts = count_candidates([Candidates(text("A"), np.ones((2, 1, 2)), (1, 1))], [(0, 0)])
    with pytest.raises(OptionError, match="no layer 3, head 0"):
        counts.rate((3, 0))
