import base64
import html
import re
import sys
import types
import warnings

import pytest

import headscape.view.show as show_module
from headscape.errors import CaptureWarning, FileError
from headscape.trace.block import unpack
from headscape.trace.outputs import share_text
from headscape.trace.synthetic import example_trace
from headscape.view.show import LivePage, show

pytestmark = pytest.mark.usefixtures("script")


@pytest.fixture
def kernel(monkeypatch, scripts):
    """Stand in for IPython in a notebook kernel; holds what was displayed."""
    shown = types.SimpleNamespace(calls=[], shell=types.SimpleNamespace(kernel=object(), execution_count=1))
    ipython, display = types.ModuleType("IPython"), types.ModuleType("IPython.display")
    ipython.get_ipython = lambda: shown.shell
    ipython.version_info = (9, 0)  # Matplotlib asks
    display.display = lambda bundle, **options: shown.calls.append((bundle, options))
    monkeypatch.setitem(sys.modules, "IPython", ipython)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    return shown


@pytest.fixture
def no_anywidget(monkeypatch):
    """Take anywidget away."""
    monkeypatch.setattr(show_module, "find_widget_class", lambda: None)


def page_meta(page: str) -> dict:
    """Return what the page block of a page says about itself."""
    data = re.search(r'id="headscape-data">([^<]*)<', page)[1]
    return unpack(base64.b64decode(data))[1]


def inner_page(bundle: dict) -> str:
    """Return the page inside a displayed frame."""
    return html.unescape(re.search(r'srcdoc="([^"]*)"', bundle["text/html"])[1])


def test_a_script_gets_a_file_and_its_path(tmp_path, capsys):
    show(example_trace(), path=tmp_path / "a.html")
    assert capsys.readouterr().out == f"headscape: wrote {tmp_path / 'a.html'}\n"
    assert (tmp_path / "a.html").is_file()


def test_a_terminal_ipython_is_a_script(tmp_path, kernel, capsys):
    kernel.shell = types.SimpleNamespace(execution_count=1)
    show(example_trace(), path=tmp_path / "a.html")
    assert kernel.calls == []
    assert "wrote" in capsys.readouterr().out


@pytest.mark.usefixtures("no_anywidget")
def test_a_notebook_gets_one_sandboxed_frame_and_no_file(tmp_path, kernel, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    show(example_trace(), title='a"><script>')
    ((bundle, options),) = kernel.calls
    assert bundle["text/html"].count("<iframe") == 1
    assert 'sandbox="allow-scripts"' in bundle["text/html"]
    assert "<script" not in bundle["text/html"]
    assert page_meta(inner_page(bundle))["title"] == 'a"><script>'
    assert options["update"] is False
    assert not (tmp_path / "headscape.html").exists()
    assert capsys.readouterr().out == ""


def test_a_loop_in_a_script_gets_one_page_of_numbered_steps_and_one_printed_path(tmp_path, capsys):
    live = LivePage(tmp_path / "run.html")
    for n in range(3):
        assert live.add(example_trace(seed=n))
    meta = page_meta((tmp_path / "run.html").read_text(encoding="utf-8"))
    assert [(f["group"], f["number"]) for f in meta["frames"]] == [("step", 1), ("step", 2), ("step", 3)]
    assert capsys.readouterr().out.count("wrote") == 1


@pytest.mark.usefixtures("no_anywidget")
def test_a_loop_in_a_notebook_updates_one_frame_under_its_cell(kernel):
    live = LivePage()
    live.add(example_trace())
    live.add(example_trace(seed=1))
    kernel.shell.execution_count = 2
    live.add(example_trace(seed=2))
    ids = [options["display_id"] for _, options in kernel.calls]
    assert [options["update"] for _, options in kernel.calls] == [False, True, False]
    assert ids[0] == ids[1] != ids[2]
    assert len(page_meta(inner_page(kernel.calls[2][0]))["frames"]) == 3


WIDGET = "application/vnd.jupyter.widget-view+json"


def test_a_notebook_gets_a_widget_and_a_picture_for_where_it_cannot_run(kernel):
    show(example_trace(), title="mine")
    (live, _), (still, _) = kernel.calls
    assert live.keys() == {WIDGET, "text/plain"}
    assert still.keys() == {"image/png", "text/plain"}
    assert still["text/plain"] == "<headscape widget: mine, frames: 2>"


@pytest.mark.parametrize("name", ["VSCODE_PID", "VSCODE_CWD"])
def test_where_the_picture_could_not_be_hidden_there_is_one_output_with_both(kernel, monkeypatch, name):
    monkeypatch.setenv(name, "1")
    show(example_trace())
    ((widget, _),) = kernel.calls
    assert {WIDGET, "image/png"} <= widget._repr_mimebundle_()[0].keys()


def test_a_loop_in_a_notebook_feeds_one_widget_under_each_cell(kernel):
    live = LivePage()
    for n in range(3):
        live.add(example_trace(seed=n))
    assert len(kernel.calls) == 2  # widget and picture, once
    kernel.shell.execution_count = 2
    live.add(example_trace(seed=3))
    shown = [bundle[WIDGET]["model_id"] for bundle, _ in kernel.calls if WIDGET in bundle]
    assert len(shown) == 2
    assert len(set(shown)) == 1
    assert live._widget.labels == tuple(f"pass {n}: {answer(seed)}" for n, seed in enumerate(range(4), 1))


def test_the_picture_of_a_long_loop_follows_now_and_then(kernel, monkeypatch):
    live = LivePage()
    live.add(example_trace())
    monkeypatch.setattr(show_module, "STILL_S", 0.0)
    live.add(example_trace(seed=1))
    stills = [(bundle["image/png"], options) for bundle, options in kernel.calls if "image/png" in bundle]
    assert [options["update"] for _, options in stills] == [False, True]
    assert stills[0][1]["display_id"] == stills[1][1]["display_id"]
    assert stills[0][0] != stills[1][0]


def answer(seed: int) -> str:
    """Return the first answer and its share, as a label says them."""
    outputs = example_trace(seed=seed).outputs
    return f"{outputs.names(0)[0]} {share_text(float(outputs.probabilities[0, 0]))}"


def test_only_the_new_frame_is_encoded(tmp_path, monkeypatch):
    encoded = []
    real = show_module.encode_frame
    monkeypatch.setattr(show_module, "encode_frame", lambda frame, n: encoded.append(n) or real(frame, n))
    live = LivePage(tmp_path / "run.html")
    for n in range(3):
        live.add(example_trace(seed=n))
    assert encoded == [1, 2, 3]


def test_the_oldest_frames_go_and_the_page_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(show_module, "MOST_FRAMES", 2)
    live = LivePage(tmp_path / "run.html", note="lr 0.1")
    for n in range(5):
        live.add(example_trace(seed=n))
    meta = page_meta((tmp_path / "run.html").read_text(encoding="utf-8"))
    assert [f["number"] for f in meta["frames"]] == [4, 5]
    assert meta["note"] == "lr 0.1 · the newest 2 of 5 captured passes"


def test_a_page_stays_within_its_bytes_but_keeps_the_newest_frame(tmp_path, monkeypatch):
    monkeypatch.setattr(show_module, "MOST_BYTES_FILE", 1)
    live = LivePage(tmp_path / "run.html")
    for n in range(3):
        live.add(example_trace(seed=n))
    assert [
        f["number"] for f in page_meta((tmp_path / "run.html").read_text(encoding="utf-8"))["frames"]
    ] == [3]


def test_a_page_that_cannot_be_written_warns_once_and_the_loop_goes_on(tmp_path):
    live = LivePage(tmp_path / "absent" / "run.html")
    with pytest.warns(CaptureWarning, match="kept in memory"):
        assert live.add(example_trace()) is False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert live.add(example_trace()) is False


def test_strict_raises(tmp_path):
    with pytest.raises(FileError):
        LivePage(tmp_path / "absent" / "run.html", strict=True).add(example_trace())


@pytest.mark.usefixtures("no_script")
def test_without_the_bundle_a_loop_is_warned_and_goes_on(tmp_path):
    with pytest.warns(CaptureWarning, match="built without its viewer"):
        assert LivePage(tmp_path / "run.html").add(example_trace()) is False
