"""The made-up tweets: labelled by construction, varied, the same each time, and split without a leak."""

import re
from collections import Counter

import pytest

from headscape.demo.corpus import counts, made_up_corpus
from headscape.demo.grammar import make_tweets

COUNT = 3000


@pytest.fixture(scope="module")
def tweets():
    return make_tweets(COUNT, seed=0)


def test_the_same_seed_gives_the_same_tweets_and_another_seed_gives_others(tweets):
    assert make_tweets(COUNT, seed=0) == tweets
    other = {tweet.text for tweet in make_tweets(300, seed=1)}
    assert len(other & {tweet.text for tweet in tweets}) < 30


def test_labels_come_in_the_stated_shares(tweets):
    assert Counter(tweet.label for tweet in tweets) == {"negative": 1260, "neutral": 750, "positive": 990}


def test_no_two_tweets_have_the_same_sentence(tweets):
    assert len({tweet.core for tweet in tweets}) == COUNT
    assert len({tweet.text for tweet in tweets}) == COUNT


# Read by a person: what these words mean, wherever they stand. Each line must be met by some tweet.
MEANINGS = [
    (r"not bad at all", "positive"),
    (r"not good at all", "negative"),
    (r"wasn't late for once", "positive"),
    (r"wasn't early for once", "negative"),
    (r"/s$", "negative"),
    (r"thanks for nothing", "negative"),
    (r"can't recommend (you|u) enough", "positive"),
    (r"can't recommend (you|u) after", "negative"),
    (r"would not fly with anyone else", "positive"),
    (r"i would fly with anyone else", "negative"),
    (r"never had a bad flight", "positive"),
    (r"never had a good flight", "negative"),
    (r"nobody (lost my|left without us|broke my)", "positive"),
    (r"nobody (found my|waited for us|kept us posted)", "negative"),
    (r"people say .* is always (awful|bad|late|rude|slow)\. (nope|not today|wrong)", "positive"),
    (r"people say .* is always (great|good|early|kind|fast)\. (nope|not today|wrong)", "negative"),
    (r"whoever says .* is (rude|slow|bad|awful|dirty|late) (is|has|did)", "positive"),
    (r"whoever says .* is (kind|fast|good|great|clean|early) (is|has|did)", "negative"),
    (r"was \w+ ?\w+ but .* was (awful|rude|slow|late|bad)[.! ]", "negative"),
    (r"(was awful|was late|was bad) but .* was (great|early|good|fast|kind)[.! ]", "positive"),
    (r"was (great|good|fast|kind) even though", "positive"),
    (r"what time does check-in open", "neutral"),
    (r"is there a fee", "neutral"),
    (r"just average", "neutral"),
    (r"sent (you|u) a message", "neutral"),
]


@pytest.mark.parametrize(("words", "label"), MEANINGS)
def test_a_phrase_carries_the_label_that_a_reader_gives_it(tweets, words, label):
    found = {t.label: t.text for t in tweets if re.search(words, t.text.lower().replace("gr8", "great"))}
    assert set(found) == {label}, found


def test_a_polar_word_stands_in_tweets_of_every_label(tweets):
    for word in ("rude", "friendly", "awful", "great", "late", "early"):
        labels = Counter(t.label for t in tweets if re.search(rf"\b{word}\b", t.text.lower()))
        assert len(labels) == 3, (word, labels)
        assert max(labels.values()) < 0.75 * labels.total()


def test_no_slot_is_left_open_and_only_invented_airlines_are_named(tweets):
    known = {"@skyline", "@bluegull", "@cloudlark", "@sunhopper", "@northfox", "@jetpine"}
    for tweet in tweets:
        assert not set("{}<>") & set(tweet.text)
        assert set(re.findall(r"@\w+", tweet.text)) <= known
        assert len(tweet.text) <= 240


def test_no_sentence_of_the_test_part_is_in_another_part():
    corpus = made_up_corpus(1000)
    core = {tweet.text: tweet.core for tweet in make_tweets(1000)}
    train, valid, test = ({core[i.text] for i in part} for part in (corpus.train, corpus.valid, corpus.test))
    assert not train & test
    assert not train & valid
    assert not valid & test
    assert (len(train), len(valid), len(test)) == (800, 100, 100)
    assert all(count >= 15 for count in counts(corpus.test))


def test_the_note_says_that_the_tweets_are_made_up():
    assert "made-up" in made_up_corpus(50).note
