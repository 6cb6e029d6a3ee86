"""Reading the real tweets, in both layouts, and fetching them."""

import os
import random
from dataclasses import replace

import pytest

from headscape.demo import fetch
from headscape.demo.run import REAL_RECIPE, run_tweets
from headscape.demo.tweets import TWEETS, download_tweets, hide_names, load_tweets
from headscape.errors import FileError, FormatError

PUBLIC = (
    "tweet_id,airline_sentiment,airline_sentiment_confidence,negativereason,negativereason_confidence,airline,"
    "airline_sentiment_gold,name,negativereason_gold,retweet_count,text,tweet_coord,tweet_created,"
    "tweet_location,user_timezone"
)
SHORT = "airline_sentiment,airline_sentiment_confidence,negativereason,airline,text,tweet_created"
LABELS = ["negative", "neutral", "positive"]


def public_row(label, text):
    return f"570306133677760513,{label},1.0,,,Delta,,somebody,,0,{text},,2015-02-24 11:35:52 -0800,Here,"


def short_row(label, text):
    return f"{label},1.0,,Delta,{text},2015-02-24 11:35:52 -0800"


def write(path, header, row, texts, encoding="utf-8"):
    lines = [row(LABELS[n % 3], text) for n, text in enumerate(texts)]
    path.write_text("\n".join([header, *lines]) + "\n", encoding=encoding, newline="")
    return path


@pytest.mark.parametrize(("header", "row"), [(PUBLIC, public_row), (SHORT, short_row)])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
def test_columns_are_found_by_name_in_both_layouts(tmp_path, header, row, encoding):
    path = write(tmp_path / "t.csv", header, row, [f"tweet {n}" for n in range(40)], encoding)
    corpus = load_tweets(path)
    assert (len(corpus.train), len(corpus.valid), len(corpus.test)) == (32, 4, 4)
    for item in [*corpus.train, *corpus.valid, *corpus.test]:
        assert item.label == int(item.text.split()[1]) % 3


def test_the_split_is_the_published_recipe(tmp_path):
    texts = [f"tweet {n}" for n in range(50)]
    corpus = load_tweets(write(tmp_path / "t.csv", SHORT, short_row, texts))
    random.Random(0).shuffle(texts)
    assert [item.text for item in corpus.test] == texts[:5]
    assert [item.text for item in corpus.valid] == texts[5:10]
    assert [item.text for item in corpus.train] == texts[10:]


def test_quoted_text_spans_lines_and_repeated_text_counts_once(tmp_path):
    texts = ['"two\nlines, and a ""quote"""', *[f"tweet {n}" for n in range(39)], "tweet 0", "tweet 1"]
    corpus = load_tweets(write(tmp_path / "t.csv", SHORT, short_row, texts))
    everything = [item.text for part in (corpus.train, corpus.valid, corpus.test) for item in part]
    assert 'two\nlines, and a "quote"' in everything
    assert len(everything) == len(set(everything)) == 40


def test_texts_that_differ_in_a_persons_name_only_count_once(tmp_path):
    texts = ["@alice thanks", "@bob thanks", *[f"tweet {n}" for n in range(30)]]
    assert len(load_tweets(write(tmp_path / "t.csv", SHORT, short_row, texts))) == 31


def test_names_of_people_are_hidden_and_airlines_stay():
    assert hide_names("@United and @somebody_1 .@JetBlue") == "@United and @user .@JetBlue"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "no column 'airline_sentiment'; it has no header line"),
        (b"airline_sentiment,tweet\nneutral,x\n", "no column 'text'; it has airline_sentiment, tweet"),
        (b"airline_sentiment,text\nangry,x\n", "line 2: airline_sentiment is 'angry'.*negative, neutral"),
        (b"airline_sentiment,text\nneutral,\n", "line 2: the text is empty"),
        (b"airline_sentiment,text\nneutral\n", "line 2: the text is empty"),
        (b"airline_sentiment,text\nneutral,one\n", "holds 1 different tweets; at least 30"),
        (b"airline_sentiment,text\nneutral,\xff\xfe\n", "not UTF-8"),
        (b'airline_sentiment,text\nneutral,"never closed\n', "not CSV near line"),
        (b"airline_sentiment,text\nneutral,a,b,c\n" * 1, "holds 1 different"),
    ],
)
def test_a_bad_file_is_refused_with_its_place(tmp_path, content, says):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=says):
        load_tweets(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileError, match=r"nowhere\.csv: No such file.*--tweets"):
        load_tweets(tmp_path / "nowhere.csv")


def test_without_a_network_the_download_says_what_else_to_do(tmp_path, monkeypatch):
    def refuse(address, wanted):
        raise OSError("Network is unreachable")

    monkeypatch.setattr(fetch, "_fetch", refuse)
    with pytest.raises(FileError, match=r"The airline tweets could not.*headscape demo --tweets") as caught:
        download_tweets(folder=tmp_path)
    assert str(caught.value).count("unreachable") == len(TWEETS.addresses) == 2
    assert list(tmp_path.iterdir()) == []


REAL = os.environ.get("HEADSCAPE_TWEETS")


@pytest.mark.skipif(not REAL, reason="HEADSCAPE_TWEETS does not name the CSV file of real tweets")
def test_the_real_file_has_the_published_counts():
    corpus = load_tweets(REAL)
    assert (len(corpus.train), len(corpus.valid), len(corpus.test)) == (11543, 1442, 1442)


@pytest.mark.slow
@pytest.mark.skipif(not REAL, reason="HEADSCAPE_TWEETS does not name the CSV file of real tweets")
def test_on_the_real_tweets_the_encoder_clearly_beats_the_majority_class(tmp_path):
    found = run_tweets(load_tweets(REAL), tmp_path, recipe=replace(REAL_RECIPE, epochs=2))
    majority, _, encoder = found.comparison.scores
    assert majority.accuracy == pytest.approx(0.625, abs=0.005)
    assert encoder.accuracy > 0.75
    assert "beats the majority class" in found.comparison.verdict
