"""`headscape explain` from the command line."""

import pytest
from tests.demo.made_up_llama import made_up, write_files
from typer.testing import CliRunner

from headscape.cli import main
from headscape.errors import HeadscapeError
from headscape.view import bundle

RUNNER = CliRunner()


@pytest.fixture(autouse=True)
def nothing_of_this_machine(monkeypatch, tmp_path):
    """Leave the machine's own weights and kept models out, and stand in for the viewer's script."""
    monkeypatch.delenv("HEADSCAPE_STORIES", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    script = tmp_path / "viewer.js"
    script.write_text("/* stands in for the viewer */", encoding="utf-8")
    monkeypatch.setattr(bundle, "PATH", script)


@pytest.fixture
def weights(tmp_path):
    folder = tmp_path / "weights"
    folder.mkdir()
    return write_files(folder, made_up())


def run(*arguments):
    return RUNNER.invoke(main.app, ["explain", "--no-open", *map(str, arguments)])


def refused(*arguments):
    """Return the one paragraph that the command says instead of doing anything."""
    done = run(*arguments)
    if isinstance(done.exception, HeadscapeError):  # main() turns it into exit code 1
        return str(done.exception)
    assert done.exit_code == 2, done.output
    return done.output


def test_stories_prints_every_table_and_writes_every_file(tmp_path, weights):
    out = tmp_path / "out"
    done = run("ab ab", "a", "--model", "stories", "--weights", weights, "--out", out, "--draw", 2)
    assert done.exit_code == 0, done.output
    for said in (
        "Roles of heads", "Heads whose removal moves the logit most", "Flow to the answer, by token",
        "Measures held against the knock-outs", "Topology", "What is not known", "│ gradient",
    ):  # fmt: skip
        assert said in done.output
    assert {path.name for path in out.iterdir()} == {
        "explanation.png", "explanation.pdf", "explanation.html", "explanation.txt",
    }  # fmt: skip
    assert (out / "explanation.png").read_bytes().startswith(b"\x89PNG")
    assert (out / "explanation.pdf").read_bytes().startswith(b"%PDF")
    text = (out / "explanation.txt").read_text(encoding="utf-8")
    assert "example 1: ab ab" in text
    assert "score of example 2" in text.split("Caption")[1]
    assert str(out / "explanation.html") in done.output


def test_without_the_viewer_everything_but_the_page_is_written(tmp_path, weights, monkeypatch):
    monkeypatch.setattr(bundle, "PATH", tmp_path / "none.js")
    done = run("ab ab", "--model", "stories", "--weights", weights, "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "Page:   none." in done.output
    assert not (tmp_path / "out" / "explanation.html").exists()
    assert (tmp_path / "out" / "explanation.pdf").exists()


@pytest.mark.slow
def test_tweets_are_trained_with_a_bar_and_kept(tmp_path):
    done = run("--model", "tweets", "--quick", "--out", tmp_path / "out", "the flight was not late")
    assert done.exit_code == 0, done.output
    assert "training on tweets: step" in done.output
    assert "hardly trained" in done.output
    again = run("--model", "tweets", "--quick", "--out", tmp_path / "out", "the flight was not late")
    assert again.exit_code == 0, again.output
    assert "training on tweets" not in again.output


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--model", "bert"], "no model 'bert'; there is 'minilm', 'tweets', 'stories'"),
        (["--model", "minilm", "--quick"], "--quick goes with --model tweets"),
        (["--model", "tweets", "--download"], "go with --model stories"),
        (["--model", "stories", "a text"], "HEADSCAPE_STORIES"),
        (["--theme", "sepia"], "no theme 'sepia'"),
        (["--model", "tweets", " "], "text 1 is empty"),
        (["--model", "tweets", *("abcdefghi")], "9 texts were given"),
    ],
)
def test_wrong_words_are_answered_before_any_work(tmp_path, arguments, says):
    assert says in refused("--out", tmp_path / "out", *arguments)


def test_help_says_how_to_explain_a_model_of_ones_own():
    assert "headscape.explain(model, inputs)" in " ".join(run("--help").output.split())
