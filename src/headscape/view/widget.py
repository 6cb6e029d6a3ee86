"""The viewer as a notebook widget: what is selected there is known in Python, and the other way round."""

import base64
import contextlib
from collections.abc import Callable, Sequence
from typing import Any, Unpack

from headscape.errors import MissingExtraError, OptionError
from headscape.trace.trace import Trace
from headscape.view.bundle import read_module
from headscape.view.fallback import HEIGHT_PX, WIDTH_PX, draw_picture
from headscape.view.feed import Feed
from headscape.view.findings import answer_knock_out
from headscape.view.frames import EncodedFrame, Frame, encode_frame
from headscape.view.notebook import in_marimo
from headscape.view.page import Shown, Source, choose_frames

try:
    import anywidget
    import traitlets
except ImportError:
    raise MissingExtraError(
        "anywidget is not installed; the widget that Python can talk to needs it. Run: pip install "
        "'headscape[notebook]'. Without it trace.show() puts a page into the notebook, and trace.to_html() "
        "writes a file."
    ) from None

Selection = dict[str, Any] | None
# Frames that a widget holds; the oldest go, and its note says so.
MOST_FRAMES = 100
MOST_BYTES = 64_000_000
# A view says what is seen there; code and data come from Python alone.
_OF_PYTHON = {"_esm", "_css", "_page", "_page_version", "_seen", "_asks", "_knocks"}


def _whole_page(value: object, widget: "Widget") -> bytes:
    """Return the newest page: what a view that is made now starts from."""
    return widget._feed.whole()


def _version(value: object, widget: "Widget") -> int:
    return widget._feed.version


def _view(value: object, widget: "Widget") -> dict[str, Any]:
    return dict(widget.view)


def _ask_count(value: object, widget: "Widget") -> int:
    return widget._ask_count


def _can_knock_out(value: object, widget: "Widget") -> bool:
    return widget._knock_out is not None


class Widget(anywidget.AnyWidget):
    """The viewer in a notebook, joined to Python both ways.

    Parameters
    ----------
    source : Trace, several of them, or frames
        What to show.
    **shown
        ``examples``, ``labels``, ``against``, ``title``, ``note``, ``view``, ``roles``, ``knock_outs`` and
        ``topology``, as in :func:`headscape.view.page.write_page`; and ``knock_out``, a function that is
        asked when somebody presses "Knock out": it takes a dict that names what to remove and returns what
        came of it, as :func:`headscape.view.findings.answer_knock_out` describes them:
        ``knock_out=lambda asked: headscape.knock_out(model, inputs, **asked["options"])``.

    Attributes
    ----------
    selection : dict or None
        What is selected: ``{"kind": "token", "side", "token", "plane"}``, ``{"kind": "edge", "edge": {...}}``
        or ``{"kind": "answer", "answer"}``. Set it, and the views follow.
    view : dict
        What is seen: ``view``, ``layout``, ``scale``, ``layer``, ``head``, ``camera`` and so on. Setting some
        keys changes those and leaves the others; each view of a widget keeps what was not set.

    Raises
    ------
    MissingExtraError
        anywidget is not installed (raised when this module is imported).
    MissingBundleError
        This installation was built without the viewer.
    LabelError, OptionError
        As in :func:`headscape.view.page.write_page`.

    Examples
    --------
    >>> from headscape.trace.synthetic import example_trace
    >>> widget = example_trace().widget()  # doctest: +SKIP
    >>> stop = widget.on_select(lambda selection: print(selection))  # doctest: +SKIP
    >>> widget.view = {"view": "front"}  # doctest: +SKIP
    """

    selection = traitlets.Dict(allow_none=True, default_value=None).tag(sync=True)
    # Told by message, not synchronised: marimo runs cells anew whenever a synchronised value changes.
    view = traitlets.Dict()
    # Written out when a view asks for the whole state, so that a page opened anew shows the newest data.
    _page = traitlets.Any().tag(sync=True, to_json=_whole_page)
    _page_version = traitlets.Any().tag(sync=True, to_json=_version)
    _seen = traitlets.Any().tag(sync=True, to_json=_view)
    _asks = traitlets.Any().tag(sync=True, to_json=_ask_count)
    _knocks = traitlets.Any().tag(sync=True, to_json=_can_knock_out)

    def __init__(self, source: Source, **shown: Unpack[Shown]) -> None:
        self._is_told = False  # the change under way comes from a view
        self._asked: dict[str, Any] = {}  # of the view, and not yet seen there
        self._ask_count = 0
        self._picture: tuple[tuple[Trace, int], dict[str, str]] | None = None
        self._feed = Feed(self._send_page)
        self._knock_out = shown.get("knock_out")
        if self._knock_out is not None and not callable(self._knock_out):
            raise OptionError(
                f"knock_out is a {type(self._knock_out).__name__}; a function is needed that takes the "
                "request, a dict, and returns what came of it. Results go into knock_outs."
            )
        self._show(source, shown)
        self._feed.hold_all()
        super().__init__(_esm=read_module())
        self.on_msg(self._on_message)

    def _show(self, source: Source, shown: Shown) -> None:
        chosen = choose_frames(source, **shown)
        encoded = [encode_frame(frame, number) for number, frame in enumerate(chosen.frames, 1)]
        self._name, self._note = chosen.title, chosen.note
        self._pictured = (chosen.frames[0].trace, chosen.frames[0].example)
        self._added = len(encoded)
        self._feed.put(encoded, title=self._name, note=self._note, view=chosen.view)

    @property
    def labels(self) -> tuple[str, ...]:
        """What the viewer calls its frames."""
        return tuple(frame.label for frame in self._feed.frames)

    def on_select(self, callback: Callable[[Selection], object]) -> Callable[[], None]:
        """Call ``callback(selection)`` whenever something else is selected.

        Parameters
        ----------
        callback : callable
            Gets what :attr:`selection` holds: a dict, or None when nothing is selected any more.

        Returns
        -------
        callable
            Call it to stop.
        """

        def told(change: dict[str, Any]) -> None:
            callback(change["new"])

        self.observe(told, "selection")

        def stop() -> None:
            with contextlib.suppress(ValueError):  # stopped before
                self.unobserve(told, "selection")

        return stop

    def update(self, source: Source, **shown: Unpack[Shown]) -> None:
        """Show other data in place of what is shown; views keep what they look at.

        May be called as often as there is news: one page at a time travels to the view, and of those that
        wait only the newest is sent.

        Parameters
        ----------
        source, **shown
            As in :class:`Widget`.
        """
        shown.setdefault("title", self._name)
        self._show(source, shown)

    def add(self, trace: Trace, *, example: int = 0, label: str | None = None) -> None:
        """Add one example of a trace as the newest step; a view that shows the last step moves on with it.

        Parameters
        ----------
        trace : Trace
            ``trace.step``, where it is set, numbers the step.
        example : int
            Which example of the batch.
        label : str, optional
            What the viewer calls it. Default: the step and the model's answer.
        """
        number = self._added + 1 if trace.step is None else trace.step
        frame = encode_frame(Frame(trace, example, label, "step", number), number)
        self._added += 1
        frames = [*self._feed.frames, frame]
        while len(frames) > 1 and (
            len(frames) > MOST_FRAMES or sum(len(one.data) for one in frames) > MOST_BYTES
        ):
            del frames[0]
        dropped = self._added - len(frames)
        left_out = f"the newest {len(frames)} of {self._added} frames" if dropped else ""
        note = " · ".join(filter(None, [self._note, left_out]))
        self.put(frames, pictured=(trace, example), note=note)

    def put(self, frames: Sequence[EncodedFrame], *, pictured: tuple[Trace, int], note: str = "") -> None:
        """Show these frames: what the methods above come down to.

        Parameters
        ----------
        frames : sequence of EncodedFrame
            All of them; those that were shown before are not sent again.
        pictured : (Trace, int)
            Trace and example that the still picture shows.
        note : str
            One line of plain text under the title.
        """
        self._pictured = pictured
        self._feed.put(frames, title=self._name, note=note)

    def _send_page(self, message: dict[str, Any], buffers: list[bytes]) -> None:
        if self.comm is not None:  # closed, or never shown
            self.send(message, buffers)

    def _on_message(self, widget: object, content: object, buffers: object) -> None:
        self._feed.answer(content)
        match content:
            case {"kind": "seen", "state": dict(state)}:
                self._asked = {}
                self._is_told = True
                try:
                    self.view = state
                finally:
                    self._is_told = False
            case {"kind": "knock_out", "id": str(asked), "request": dict(request)} if self._knock_out:
                answer = answer_knock_out(self._knock_out, request)
                self.send({"kind": "knocked_out", "id": asked, "answer": answer})
            case {"kind": "hello", "asks": int(asks)} if asks != self._ask_count and self._asked:
                self._ask()

    def set_state(self, sync_data: dict[str, Any]) -> None:
        """Take over what a view says; called by the notebook."""
        super().set_state({name: value for name, value in sync_data.items() if name not in _OF_PYTHON})

    @traitlets.validate("view")
    def _merge_view(self, proposal: dict[str, Any]) -> dict[str, Any]:
        asked: dict[str, Any] = proposal["value"]
        if any(not isinstance(name, str) for name in asked):
            raise OptionError("view takes names of what is seen, as in widget.view = {'view': 'front'}.")
        if self._is_told:
            return asked
        self._asked |= asked
        self._ask_count += 1
        self._ask()
        return {**self.view, **asked}

    def _ask(self) -> None:
        if self.comm is not None:
            self.send({"kind": "apply", "asks": self._ask_count, "state": self._asked})

    def _repr_mimebundle_(self, **options: Any) -> tuple[dict[str, Any], dict[str, Any]] | None:
        found = super()._repr_mimebundle_(**options)
        if found is None or in_marimo():  # it saves no outputs for others
            return found
        still, size = self.still()
        return {**found[0], **still}, {**found[1], **size}

    def live(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what names the widget alone, without a picture: mime types and their data."""
        data, metadata = super()._repr_mimebundle_() or ({}, {})
        return {**data, "text/plain": self._text()}, metadata

    def _text(self) -> str:
        return f"<headscape widget: {self._name}, frames: {len(self._feed.frames)}>"

    def still(self) -> tuple[dict[str, str], dict[str, Any]]:
        """Return what is shown where no widget runs: mime types and their data, and its size."""
        if self._picture is None or self._picture[0] is not self._pictured:
            self._picture = (self._pictured, self._draw_still())
        data = self._picture[1]
        size = {"image/png": {"width": WIDTH_PX, "height": HEIGHT_PX}} if "image/png" in data else {}
        return data, size

    def _draw_still(self) -> dict[str, str]:
        trace, example = self._pictured
        text = self._text()
        try:
            png = draw_picture(trace, example)
        except Exception as error:  # the widget itself is well: a picture is no reason to show nothing
            return {"text/plain": f"{text} (no picture: {error})"}
        if png is None:
            return {"text/plain": f"{text} (no picture: the trace is too large to draw in passing)"}
        return {"image/png": base64.b64encode(png).decode("ascii"), "text/plain": text}


def make_widget(source: Source, **options: Any) -> Widget:
    """Return the widget of a trace; options as in :class:`Widget`."""
    return Widget(source, **options)
