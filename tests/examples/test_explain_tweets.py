"""The gallery's explanation of the tweet encoder, from end to end, on a model that was hardly trained."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from headscape.demo import tweet_model

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def example():
    spec = importlib.util.spec_from_file_location("explain_tweets", ROOT / "examples" / "explain_tweets.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_encoder_is_trained_explained_and_kept(example, tmp_path, capsys, monkeypatch, built_viewer):
    brief = ["--tweets", "200", "--epochs", "1", "--kept", str(tmp_path / "kept")]
    text = "@jetpine the crew was not rude at all"
    found = example.main([text, *brief, "--out", str(tmp_path / "out")])
    assert len(list((tmp_path / "kept").glob("tweets-*.pt"))) == 1
    assert len(list((tmp_path / "out").iterdir())) == 4
    assert found.texts == (text,)
    assert "rude" in (tmp_path / "out" / "explanation.txt").read_text(encoding="utf-8")
    call, head = found.strongest(1)[0]
    assert f"layer {call} head {head}: logit" in capsys.readouterr().out

    def never(*_, **__):
        raise AssertionError("trained again")

    monkeypatch.setattr(tweet_model, "train", never)
    again = example.main([text, *brief, "--out", str(tmp_path / "again")])
    np.testing.assert_array_equal(again.found.heads.change, found.found.heads.change)
    with pytest.raises(AssertionError, match="trained again"):
        example.main([text, *brief, "--epochs", "2", "--out", str(tmp_path / "out")])


def test_weights_that_were_broken_are_trained_anew(example, tmp_path):
    brief = ["--tweets", "120", "--epochs", "1", "--kept", str(tmp_path / "kept"), "--out", str(tmp_path)]
    before = example.main(["it was late", *brief]).found.heads.before
    (place,) = (tmp_path / "kept").iterdir()
    place.write_bytes(b"no weights")
    np.testing.assert_array_equal(example.main(["it was late", *brief]).found.heads.before, before)
