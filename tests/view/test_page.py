import base64
import dataclasses
import gzip
import hashlib
import stat
from html.parser import HTMLParser

import pytest

from headscape.errors import FileError, LabelError, MissingBundleError, OptionError
from headscape.trace.block import unpack
from headscape.trace.synthetic import example_trace
from headscape.view.frames import Frame, encode_frame
from headscape.view.page import page_html, write_page
from headscape.view.scene import scene_block

pytestmark = pytest.mark.usefixtures("script")


class Reader(HTMLParser):
    """What a browser's parser finds in a page: scripts by their id, the policy, the title."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.scripts: list[tuple[dict[str, str], str]] = []
        self.tags: list[str] = []
        self.policy = self.title = ""
        self._open: dict[str, str] | None = None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self._open = dict(attrs) if tag in ("script", "title") else None
        if tag == "script":
            self.scripts.append((dict(attrs), ""))
        if tag == "meta" and dict(attrs).get("http-equiv") == "Content-Security-Policy":
            self.policy = dict(attrs)["content"]

    def handle_endtag(self, tag):
        self._open = None

    def handle_data(self, data):
        if self._open is None:
            return
        if self.tags[-1] == "title":
            self.title += data
        else:
            self.scripts[-1] = (self.scripts[-1][0], self.scripts[-1][1] + data)

    def page_block(self):
        (data,) = [text for attrs, text in self.scripts if attrs.get("id") == "headscape-data"]
        return unpack(base64.b64decode(data))


def test_the_page_holds_one_script_which_its_policy_allows_by_hash():
    page = Reader(page_html(example_trace()))
    (running,) = [text for attrs, text in page.scripts if "type" not in attrs]
    digest = base64.b64encode(hashlib.sha256(running.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in page.policy
    assert page.policy.startswith("default-src 'none'")
    assert "unsafe" not in page.policy
    assert "http" not in page.policy


def test_what_would_end_the_script_early_is_written_otherwise():
    page = Reader(page_html(example_trace()))
    assert len(page.scripts) == 2
    (running,) = [text for attrs, text in page.scripts if "type" not in attrs]
    assert r"\x3C/script>" in running
    assert r"\x3C!--" in running


def test_every_frame_is_a_gzip_of_its_scene_block():
    trace = example_trace()
    arrays, meta = Reader(page_html(trace, labels=["one", "two"], note="made up")).page_block()
    assert [(f["label"], f["group"], f["number"]) for f in meta["frames"]] == [
        ("one", "example", 1),
        ("two", "example", 2),
    ]
    for n in range(2):
        assert gzip.decompress(arrays[meta["frames"][n]["array"]].tobytes()) == scene_block(trace, n)
    assert meta["note"] == "made up"
    assert meta["kind"] == "page"


def test_frames_are_named_after_the_answer_and_whether_it_is_right():
    trace = example_trace()
    name, share = trace.outputs.names(0)[0], f"{trace.outputs.probabilities[0, 0]:.0%}".replace("%", " %")
    frames = [Frame(trace), Frame(trace, truth=name), Frame(trace, truth="other"), Frame(trace, label="mine")]
    _, meta = Reader(page_html(frames)).page_block()
    assert [f["label"] for f in meta["frames"]] == [
        f"{name} {share}",
        f"right: {name} {share}",
        f"wrong: {name} {share}, truly other",
        "mine",
    ]


@pytest.mark.parametrize("title", ["</title><script>alert(1)</script>", '"><img src=x>', "a & b", "مرحبا 👋"])
def test_a_hostile_title_is_text(title):
    page = Reader(page_html(example_trace(), title=title))
    assert page.title == title
    assert page.tags.count("script") == 2
    assert "img" not in page.tags


def test_a_lone_surrogate_in_the_title_can_be_written(tmp_path):
    assert write_page(example_trace(), tmp_path / "x.html", title="a\ud800").is_file()


def test_the_same_trace_gives_the_same_page():
    assert page_html(example_trace()) == page_html(example_trace())


def test_a_large_batch_is_cut_and_it_is_said():
    trace = example_trace()
    calls = tuple(
        dataclasses.replace(
            c,
            shape=(20, *c.shape[1:]),
            arrays=type(c.arrays)(**{n: a.repeat(10, 0) for n, a in c.arrays.present().items()}, keys=None),
        )
        for c in trace.calls
    )
    sides = tuple(dataclasses.replace(s, labels=s.labels * 10) for s in trace.sides)
    _, meta = Reader(
        page_html(dataclasses.replace(trace, calls=calls, sides=sides, outputs=None))
    ).page_block()
    assert len(meta["frames"]) == 8
    assert meta["note"] == "the first 8 of 20 examples"


def test_labels_of_another_number_than_examples_are_refused_with_both_numbers():
    with pytest.raises(LabelError, match="labels has 3 entries for 2 examples"):
        page_html(example_trace(), labels=["a", "b", "c"])


def test_an_empty_page_is_refused():
    with pytest.raises(OptionError, match="nothing to show"):
        page_html([])


def test_choices_from_a_trace_are_refused_for_frames():
    with pytest.raises(OptionError, match="give each Frame its own"):
        page_html([Frame(example_trace())], labels=["a"])


def test_the_default_path_is_in_the_current_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert write_page(example_trace()).resolve() == tmp_path / "headscape.html"


def test_a_written_page_replaces_the_old_one_and_leaves_nothing_beside_it(tmp_path, script):
    target = tmp_path / "page.html"
    target.write_text("old")
    assert write_page(example_trace(), target) == target
    assert target.read_text(encoding="utf-8") == page_html(example_trace())
    assert {p.name for p in tmp_path.iterdir()} == {"page.html", script.name}
    assert stat.S_IMODE(target.stat().st_mode) & 0o400


@pytest.mark.parametrize("path", ["absent/page.html", "folder", "\0.html"])
def test_an_unwritable_path_is_refused_and_the_message_says_where_the_trace_is(tmp_path, path):
    (tmp_path / "folder").mkdir()
    with pytest.raises(FileError, match=r"(?s)could not be written.*kept in memory.*\.trace of its wrapper"):
        write_page(example_trace(), tmp_path / path)
    assert not [p for p in tmp_path.iterdir() if p.name.endswith(".part")]


def test_a_closed_stream_is_refused_as_a_path(tmp_path):
    with (tmp_path / "x").open("w") as stream:
        pass
    with pytest.raises(OptionError, match="TextIOWrapper; a page is written to a path"):
        write_page(example_trace(), stream)


def test_a_failed_write_leaves_the_old_page(tmp_path, monkeypatch):
    target = tmp_path / "page.html"
    target.write_text("old")
    monkeypatch.setattr(
        "pathlib.Path.replace", lambda self, to: (_ for _ in ()).throw(OSError(28, "disk full"))
    )
    with pytest.raises(FileError, match="disk full"):
        write_page(example_trace(), target)
    assert target.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.usefixtures("no_script")
def test_without_the_bundle_the_page_is_refused_and_the_message_says_what_works():
    with pytest.raises(MissingBundleError, match=r"(?s)built without its viewer.*trace\.figure\(\) work"):
        page_html(example_trace())


def test_a_step_is_called_by_its_number_and_answer():
    trace = example_trace()
    assert encode_frame(Frame(trace, 0, None, "step"), 3).label.startswith(
        f"pass 3: {trace.outputs.names(0)[0]} "
    )
    silent = dataclasses.replace(trace, outputs=None)
    assert encode_frame(Frame(silent, 0, None, "step"), 4).label == "pass 4"
    assert encode_frame(Frame(trace, 0, "mine", "step"), 5).label == "mine"
