"""The tokenizer and the vocabulary, against tokens worked out by hand."""

import pytest

from headscape.demo.words import Vocabulary, split_words


@pytest.mark.parametrize(
    ("text", "tokens"),
    [
        ("@Skyline Thanks!", ["@skyline", "thanks", "!"]),
        ("I can’t wait", ["i", "can't", "wait"]),
        ("so GOOD!!!!!", ["so", "good", "!!!"]),
        ("soooo late…", ["soo", "late", "..."]),
        ("late....", ["late", "..."]),
        ("fish &amp; chips &lt;3", ["fish", "&", "chips", "<3"]),
        ("flight 1234, row 12, gate B7", ["flight", "[NUM]", ",", "row", "12", ",", "gate", "b7"]),
        ("$250 or 10:30", ["[NUM]", "or", "[NUM]"]),
        ("see http://t.co/x1 now", ["see", "[URL]", "now"]),
        ("#fail :( :-) /s", ["#", "fail", ":(", ":-)", "/s"]),
        ("km/seat", ["km", "/", "seat"]),
        ("ok👍🏽 ❤️✈️", ["ok", "👍🏽", "❤️", "✈️"]),
        ("check-in", ["check", "-", "in"]),
        ("שלום café", ["שלום", "café"]),
        ("</script>", ["<", "/", "script", ">"]),
        ("   ", []),
    ],
)
def test_a_tweet_splits_as_worked_out_by_hand(text, tokens):
    assert split_words(text) == tokens


def test_a_megabyte_without_a_space_is_one_token():
    assert split_words("ab" * 500_000) == ["ab" * 500_000]


def test_only_tokens_seen_often_enough_get_an_id_and_the_commonest_come_first():
    vocabulary = Vocabulary.learn([["a", "b", "a"], ["c", "b", "a"]], min_count=2)
    assert vocabulary.tokens == ("[PAD]", "[UNK]", "a", "b")
    assert vocabulary.encode(["b", "c", "a"], longest=9) == [3, 1, 2]
    assert vocabulary.label(["b", "c", "a"], longest=9) == ["b", "[c]", "a"]


def test_ids_do_not_depend_on_the_order_of_texts():
    texts = [["b", "a"], ["a", "b"], ["c", "c"]]
    assert Vocabulary.learn(texts) == Vocabulary.learn(texts[::-1])


def test_long_texts_are_cut_and_an_empty_one_is_one_unknown_token():
    vocabulary = Vocabulary.learn([["a", "a"]])
    assert vocabulary.encode(["a"] * 5, longest=3) == [2, 2, 2]
    assert vocabulary.encode([], longest=3) == [1]
    assert vocabulary.label([], longest=3) == ["[UNK]"]


def test_a_text_that_says_padding_does_not_become_padding():
    vocabulary = Vocabulary.learn([split_words("[PAD] [PAD]")])
    assert 0 not in vocabulary.encode(split_words("[PAD] x"), longest=9)
