"""The widget without a notebook: what it sends, what it takes over, what it shows where it cannot run."""

import base64
import subprocess
import sys

import pytest

from headscape.errors import OptionError
from headscape.trace.block import unpack
from headscape.trace.synthetic import example_trace
from headscape.view.widget import Widget

PNG = b"\x89PNG\r\n\x1a\n"


@pytest.fixture
def widget(monkeypatch, scripts):
    """Make a widget whose messages are kept."""
    made = example_trace().widget()
    made.sent = []
    monkeypatch.setattr(made, "send", lambda content, buffers=None: made.sent.append((content, buffers)))
    return made


def say(widget, content) -> None:
    """Say something as a view would."""
    widget._handle_custom_msg(content, [])


def told(widget, **values) -> None:
    """Change synchronised values as a view would."""
    widget.set_state(values)


def test_the_module_runs_the_viewer_and_exports_what_a_host_calls(widget):
    assert "globalThis.headscape = { mount() {} };" in widget._esm
    assert widget._esm.endswith("export default globalThis.headscape.widget;\n")


def test_the_state_of_a_view_made_now_holds_the_newest_page(widget):
    first = unpack(widget.get_state()["_page"])[1]
    assert [frame["group"] for frame in first["frames"]] == ["example", "example"]
    widget.update(example_trace(seed=5), labels=["a", "b"])
    second = unpack(widget.get_state()["_page"])[1]
    assert [frame["label"] for frame in second["frames"]] == ["a", "b"]
    assert widget.labels == ("a", "b")


def test_a_selection_made_in_a_view_is_known_and_told_until_stopped(widget):
    heard = []
    stop = widget.on_select(heard.append)
    token = {"kind": "token", "side": 0, "token": 3, "plane": 1}
    told(widget, selection=token)
    assert widget.selection == token
    told(widget, selection=None)
    stop()
    stop()
    told(widget, selection=token)
    assert heard == [token, None]


def test_a_part_of_the_view_is_asked_for_and_the_rest_is_kept(widget):
    say(widget, {"kind": "seen", "state": {"view": "3d", "scale": "rank", "frame": 0}})
    assert widget.view == {"view": "3d", "scale": "rank", "frame": 0}
    assert widget.sent == []
    widget.view = {"view": "front"}
    assert widget.sent == [({"kind": "apply", "asks": 1, "state": {"view": "front"}}, None)]
    assert widget.view == {"view": "front", "scale": "rank", "frame": 0}


def test_what_was_asked_for_before_a_view_was_there_is_asked_again(widget):
    widget.view = {"view": "front"}
    widget.view = {"scale": "lift"}
    widget.sent.clear()
    hello = {"kind": "hello", "version": 1, "held": [], "buffers": True}
    say(widget, hello | {"asks": 0})
    assert widget.sent == [({"kind": "apply", "asks": 2, "state": {"view": "front", "scale": "lift"}}, None)]
    say(widget, hello | {"asks": 2})
    assert len(widget.sent) == 1
    assert widget.get_state()["_seen"] == {"view": "front", "scale": "lift"}


def test_a_view_cannot_change_code_or_data(widget):
    before = widget._esm
    told(widget, _esm="alert(1)", _page=b"", _page_version=9, selection=None)
    assert widget._esm == before
    assert unpack(widget.get_state()["_page"])[1]["kind"] == "page"


def test_a_view_is_named_by_words(widget):
    with pytest.raises(OptionError, match="names of what is seen"):
        widget.view = {1: "front"}


def test_steps_that_are_added_are_numbered_and_the_oldest_go(widget, monkeypatch):
    monkeypatch.setattr("headscape.view.widget.MOST_FRAMES", 4)
    for n in range(5):
        widget.add(example_trace(seed=n), label=f"step {n}")
    meta = unpack(widget.get_state()["_page"])[1]
    assert [frame["label"] for frame in meta["frames"]] == ["step 1", "step 2", "step 3", "step 4"]
    assert meta["note"] == "the newest 4 of 7 frames"


def test_ten_updates_a_second_to_a_slow_view_travel_one_at_a_time(widget):
    for n in range(20):
        widget.update(example_trace(seed=n), labels=[f"a{n}", f"b{n}"])
    ((message, (block,)),) = widget.sent
    assert unpack(block)[1]["frames"][0]["label"] == "a0"
    say(widget, {"kind": "shown", "version": message["version"]})
    assert len(widget.sent) == 2
    assert unpack(widget.sent[1][1][0])[1]["frames"][0]["label"] == "a19"


def test_where_no_widget_runs_a_picture_is_shown(widget):
    data, metadata = widget._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in data
    assert base64.b64decode(data["image/png"]).startswith(PNG)
    assert len(data["image/png"]) < 400_000
    assert metadata["image/png"] == {"width": 800, "height": 450}
    assert data["text/plain"] == "<headscape widget: Attention of MadeUp, frames: 2>"


def test_the_picture_is_drawn_once_and_follows_the_data(widget):
    first = widget.still()[0]
    assert widget.still()[0] is first
    widget.update(example_trace(seed=3))
    assert widget.still()[0]["image/png"] != first["image/png"]


def test_of_a_large_trace_the_last_layers_are_drawn_and_of_a_huge_one_none(widget, monkeypatch):
    heads, tokens = 2, 16
    monkeypatch.setattr("headscape.view.fallback.MOST_WEIGHTS", 2 * heads * tokens**2)
    widget.update(example_trace())
    assert "image/png" in widget.still()[0]
    monkeypatch.setattr("headscape.view.fallback.MOST_WEIGHTS", 10)
    widget.update(example_trace(seed=1))
    assert "too large" in widget.still()[0]["text/plain"]


def test_without_anywidget_the_message_names_the_command():
    script = (
        "import sys; sys.modules['anywidget'] = None\n"
        "from headscape.trace.synthetic import example_trace\n"
        "from headscape.errors import MissingExtraError\n"
        "try:\n    example_trace().widget()\n"
        "except MissingExtraError as error: print(error)"
    )
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert "pip install 'headscape[notebook]'" in said


def test_without_a_server_library_the_message_names_the_command(tmp_path):
    for library in ("starlette", "uvicorn"):
        script = (
            f"import sys; sys.modules[{library!r}] = None\n"
            "sys.argv = ['headscape', 'serve', '.']\n"
            "from headscape.cli.main import main; main()"
        )
        done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
        assert done.returncode == 1
        assert "pip install 'headscape[serve]'" in done.stderr


def test_frames_and_steps_are_shown_as_on_a_page(widget):
    steps = Widget([example_trace(seed=n) for n in range(3)], title="run")
    meta = unpack(steps.get_state()["_page"])[1]
    assert [frame["group"] for frame in meta["frames"]] == ["step"] * 3
    assert meta["title"] == "run"
