"""What a live view is sent: one page at a time, the newest of those that wait, no frame twice."""

import base64

import pytest

from headscape.trace.block import unpack
from headscape.view.feed import MOST_PATIENCE_S, Feed
from headscape.view.frames import EncodedFrame


class View:
    """A view that shows what it gets when it comes to it."""

    def __init__(self):
        self.now = 0.0
        self.feed = Feed(
            lambda message, buffers: self.inbox.append((message, buffers)), clock=lambda: self.now
        )
        self.inbox, self.frames, self.shown, self.bytes = [], {}, [], 0

    def put(self, *frames):
        self.feed.put(frames, title="T")

    def take(self):
        """Take one message out of the inbox and show it."""
        message, buffers = self.inbox.pop(0)
        block = base64.b64decode(message["text"]) if "text" in message else buffers[0]
        self.bytes += len(block)
        arrays, meta = unpack(block)
        held = {}
        for entry in meta["frames"]:
            data = arrays.get(entry["array"])
            held[entry["id"]] = self.frames[entry["id"]] if data is None else data.tobytes()
        self.frames = held
        self.shown.append((message["version"], [frame["label"] for frame in meta["frames"]]))

    def say_shown(self):
        assert self.feed.answer({"kind": "shown", "version": self.shown[-1][0]})


def frame(label: str, size: int = 10) -> EncodedFrame:
    return EncodedFrame(label, "step", 1, label.encode() * size)


@pytest.fixture
def view():
    found = View()
    found.put(frame("first"))
    found.take()
    found.say_shown()
    return found


def test_a_slow_view_gets_the_newest_of_what_waited_and_one_page_at_a_time(view):
    for n in range(20):  # two seconds at 10 Hz, of which it shows two pages
        view.put(frame(f"f{n}"))
        view.now += 0.01
    assert len(view.inbox) == 1
    view.take()
    view.say_shown()
    assert len(view.inbox) == 1
    view.take()
    view.say_shown()
    assert view.inbox == []
    assert [labels for _, labels in view.shown] == [["first"], ["f0"], ["f19"]]


def test_a_quick_view_gets_every_page(view):
    for n in range(20):
        view.put(frame(f"f{n}"))
        view.take()
        view.say_shown()
    assert len(view.shown) == 21


def test_frames_that_are_added_arrive_all_and_each_only_once(view):
    frames = [frame(f"step {n}", size=10_000) for n in range(30)]
    for n in range(30):
        view.put(*frames[: n + 1])
        if n % 7 == 0 and view.inbox:
            view.take()
            view.say_shown()
    while view.inbox:
        view.take()
        view.say_shown()
    assert [data[:8] for data in view.frames.values()][-1] == b"step 29s"
    assert list(view.frames.values()) == [one.data for one in frames]
    assert sum(len(one.data) for one in frames) < view.bytes < 1.1 * sum(len(one.data) for one in frames)


def test_a_silent_view_is_sent_news_more_rarely(view):
    for _ in range(10_000):  # a hundred seconds
        view.put(frame("again"))
        view.now += 0.01
    assert 100 / MOST_PATIENCE_S - 2 <= len(view.inbox) <= 100 / MOST_PATIENCE_S + 20


def test_a_view_that_was_quick_and_fell_silent_is_sent_ten_pages_a_second_at_first(view):
    view.put(frame("quick"))
    view.take()
    view.feed.answer({"kind": "shown", "version": view.shown[-1][0], "took_ms": 20})
    for _ in range(10):
        view.put(frame("again"))
        view.now += 0.1
    assert 5 <= len(view.inbox) <= 10


def test_an_answer_to_an_older_page_ends_nothing(view):
    view.put(frame("a"))
    view.now = 100.0
    view.put(frame("b"))  # the view was silent for too long
    assert len(view.inbox) == 2
    view.feed.answer({"kind": "shown", "version": view.inbox[0][0]["version"]})
    view.put(frame("c"))
    assert len(view.inbox) == 2


def test_a_view_that_loses_binary_data_gets_text(view):
    view.put(frame("lost"))
    view.inbox.clear()
    version, held = view.shown[-1][0], list(view.frames)
    assert view.feed.answer({"kind": "hello", "version": version, "held": held, "buffers": False, "asks": 0})
    ((message, buffers),) = view.inbox
    assert buffers == []
    assert "text" in message
    view.take()
    assert view.shown[-1][1] == ["lost"]


def test_a_view_that_holds_the_newest_page_is_sent_nothing(view):
    version = view.shown[-1][0]
    view.feed.answer({"kind": "hello", "version": version, "held": [], "buffers": True, "asks": 0})
    assert view.inbox == []


@pytest.mark.parametrize(
    "content",
    [
        None,
        "shown",
        {},
        {"kind": "shown"},
        {"kind": "shown", "version": "1"},
        {"kind": "hello", "version": 1},
    ],
)
def test_what_is_no_answer_is_not_taken(view, content):
    assert not view.feed.answer(content)
    assert view.inbox == []
