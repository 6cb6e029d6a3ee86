"""The command line: help, errors as one paragraph, and the demo end to end."""

import base64
import re
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from headscape import __version__
from headscape.cli import console, main
from headscape.cli.console import has_desktop
from headscape.demo import baselines
from headscape.errors import MissingExtraError
from headscape.trace.block import unpack
from headscape.trace.file import load
from headscape.trace.synthetic import example_trace
from headscape.view import bundle

RUNNER = CliRunner()


@pytest.fixture
def viewer(tmp_path, monkeypatch):
    """Stand in for the viewer's script, so that pages can be written where it is not built."""
    script = tmp_path / "viewer.js"
    script.write_text("/* stands in for the viewer */", encoding="utf-8")
    monkeypatch.setattr(bundle, "PATH", script)
    return script


def run_main(monkeypatch, capsys, *arguments):
    """Run the command as the console script does; return exit code, stdout, stderr."""
    monkeypatch.setattr(sys, "argv", ["headscape", *arguments])
    with pytest.raises(SystemExit) as caught:
        main.main()
    found = capsys.readouterr()
    return caught.value.code or 0, found.out, found.err


def test_version_and_help():
    assert RUNNER.invoke(main.app, ["--version"]).output.strip() == f"headscape {__version__}"
    said = RUNNER.invoke(main.app, ["demo", "--help"]).output
    for option in ("--tweets", "--download", "--digits", "--out", "--seed", "--no-open", "--quick"):
        assert option in said


def test_two_sources_at_once_are_misuse(monkeypatch, capsys):
    code, _, error = run_main(monkeypatch, capsys, "demo", "--digits", "--download")
    assert code == 2
    assert error.strip() == "Error: --download and --digits exclude each other. Choose one."


def test_an_unknown_option_is_misuse(monkeypatch, capsys):
    code, _, error = run_main(monkeypatch, capsys, "demo", "--tweet")
    assert code == 2
    assert "--tweet" in error


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["demo", "--tweets", "nowhere.csv"], "cannot be read from nowhere.csv"),
        (["demo", "--out", "file/sub"], "Nothing can be written to file/sub"),
        (["view", "nowhere.headscape"], "nowhere.headscape could not be read"),
        (["view", "file"], "not a headscape trace"),
        (["view", "file", "-o", "file"], "is the trace itself"),
    ],
)
def test_an_error_is_one_paragraph_without_a_traceback(monkeypatch, capsys, tmp_path, arguments, says):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("something else")
    code, _, error = run_main(monkeypatch, capsys, *arguments)
    assert code == 1
    assert says in error
    assert error.startswith("Error: ")
    assert error.count("\n") == 1
    assert "Traceback" not in error


def test_a_missing_extra_names_the_command(monkeypatch, capsys, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingExtraError):
        baselines.expect_sklearn()
    code, _, error = run_main(monkeypatch, capsys, "demo")
    assert code == 1
    assert 'pip install "headscape[demo]"' in error
    assert list(tmp_path.iterdir()) == []


def test_text_of_a_tweet_is_not_markup(capsys):
    console.say("[bold]not bold[/bold] [red]")
    assert capsys.readouterr().out == "[bold]not bold[/bold] [red]\n"


@pytest.mark.parametrize(
    ("environment", "platform", "is_terminal", "wanted"),
    [
        ({"DISPLAY": ":0"}, "linux", True, True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, "linux", True, True),
        ({}, "linux", True, False),
        ({}, "darwin", True, True),
        ({}, "win32", True, True),
        ({"CI": "true", "DISPLAY": ":0"}, "linux", True, False),
        ({"SSH_CONNECTION": "x"}, "darwin", True, False),
        ({"DISPLAY": ":0"}, "linux", False, False),
    ],
)
def test_a_page_opens_only_where_a_person_sees_it(environment, platform, is_terminal, wanted):
    assert has_desktop(environment, platform=platform, is_terminal=is_terminal) is wanted


def test_a_saved_trace_becomes_a_page(tmp_path, viewer):
    example_trace().save(tmp_path / "a.headscape")
    page = tmp_path / "a.html"
    said = RUNNER.invoke(main.app, ["view", str(tmp_path / "a.headscape"), "-o", str(page), "--no-open"])
    assert said.exit_code == 0, said.output
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def check_results(out, output, layers, classes):
    assert (out / "attention.png").read_bytes().startswith(b"\x89PNG")
    trace = load(out / "attention.headscape")
    assert len(trace.calls) == layers
    assert trace.outputs.method == "exact"
    assert trace.outputs.class_names == classes
    assert trace.warnings == ()
    page = (out / "attention.html").read_text(encoding="utf-8")
    assert "stands in for the viewer" in page
    data = re.search(r'id="headscape-data">([^<]*)<', page)[1]
    meta = unpack(base64.b64decode(data))[1]
    shown = [frame["label"].split(":")[0] for frame in meta["frames"]]
    assert len(shown) == trace.batch
    assert meta["note"].split(";")[0].split(" (")[0] in output
    assert "majority class" in output
    assert "Examples on the page" in output
    assert "beat" in output
    return trace


@pytest.mark.slow
def test_a_quick_demo_writes_the_page_and_the_figure_and_says_the_tweets_are_made_up(tmp_path, viewer):
    out = tmp_path / "deep" / "demo"
    said = RUNNER.invoke(main.app, ["demo", "--quick", "--no-open", "--out", str(out)])
    assert said.exit_code == 0, said.output
    assert "made-up tweets" in said.output
    trace = check_results(out, said.output, 6, ("negative", "neutral", "positive"))
    assert trace.batch >= 3
    assert trace.sides[0].patches(0) is None


@pytest.mark.slow
def test_a_quick_demo_on_a_file_of_tweets(tmp_path, viewer):
    rows = [
        f"{label},@united flight {n} was {word}, {n} times"
        for n in range(40)
        for label, word in (("negative", "late"), ("positive", "great"), ("neutral", "there"))
    ]
    path = tmp_path / "t.csv"
    path.write_text("airline_sentiment,text\n" + "\n".join(rows).replace(", ", "; "), encoding="utf-8")
    out = tmp_path / "demo"
    arguments = ["demo", "--quick", "--no-open", "--tweets", str(path), "--out", str(out)]
    said = RUNNER.invoke(main.app, arguments)
    assert said.exit_code == 0, said.output
    assert "real tweets" in said.output
    check_results(out, said.output, 6, ("negative", "neutral", "positive"))


@pytest.mark.slow
def test_a_quick_demo_on_digits_shows_patches(tmp_path, viewer):
    out = tmp_path / "demo"
    said = RUNNER.invoke(main.app, ["demo", "--digits", "--quick", "--no-open", "--out", str(out)])
    assert said.exit_code == 0, said.output
    trace = check_results(out, said.output, 4, tuple("0123456789"))
    assert trace.sides[0].patches(0).shape == (16, 2, 2, 3)
    assert trace.sides[0].grid == (4, 4)


@pytest.mark.slow
def test_without_a_viewer_the_rest_is_written_and_the_reason_is_said(tmp_path, monkeypatch):
    monkeypatch.setattr(bundle, "PATH", tmp_path / "nowhere.js")
    out = tmp_path / "demo"
    said = RUNNER.invoke(main.app, ["demo", "--digits", "--quick", "--no-open", "--out", str(out)])
    assert said.exit_code == 0, said.output
    assert "built without its viewer" in said.output
    assert sorted(path.name for path in out.iterdir()) == ["attention.headscape", "attention.png"]


def test_the_command_line_starts_without_torch_or_sklearn():
    script = "import sys, headscape.cli.main; print('torch' in sys.modules, 'sklearn' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]
