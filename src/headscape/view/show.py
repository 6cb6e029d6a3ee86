"""Showing a page where the caller is: inline in a notebook, as a file in a script."""

import os
import time
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Unpack

from headscape.errors import CaptureWarning, HeadscapeError
from headscape.trace.trace import Trace
from headscape.view.frames import EncodedFrame, Frame, encode_frame
from headscape.view.notebook import (
    display_page,
    display_widget,
    find_widget_class,
    in_marimo,
    new_display_id,
    notebook_shell,
    update_still,
)
from headscape.view.page import (
    DEFAULT_PATH,
    Shown,
    Source,
    default_title,
    join_page,
    page_html,
    write_page,
    write_text,
)

# What a stepping page holds. A notebook saves the page with it, so there it is kept smaller.
MOST_FRAMES = 100
MOST_BYTES_FILE = 64_000_000
MOST_BYTES_NOTEBOOK = 8_000_000
# Seconds between the still pictures of a running loop, each of which takes about half of one.
STILL_S = 20.0


def show(source: Source, *, path: str | os.PathLike[str] | None = None, **shown: Unpack[Shown]) -> None:
    """Show traces: inline in a notebook; in a script write the page and print its path.

    In a notebook this is the widget of :meth:`Trace.widget` and a still picture beneath it, which stands in
    where no widget runs. Without anywidget it is the offline page in a frame of its own.

    Parameters
    ----------
    source : Trace, several of them, or frames
        What to show.
    examples, labels, against, title, note, view, roles, knock_outs, topology
        As in :func:`headscape.view.page.write_page`.
    knock_out : callable, optional
        As in :class:`headscape.view.widget.Widget`; a file, which has no Python behind it, does without.
    path : path, optional
        Where a script writes the page. Default: ``headscape.html`` in the current folder.

    Raises
    ------
    FileError, LabelError, OptionError, MissingBundleError
        As in :func:`headscape.view.page.write_page`.
    """
    if notebook_shell() is None and not in_marimo():
        shown.pop("knock_out", None)  # nothing runs behind a file
        _print_path(write_page(source, path, **shown))
        return
    items: Any = source if isinstance(source, Trace) else list(source)
    widget_class = find_widget_class()
    if widget_class is not None:
        display_widget(widget_class(items, **shown))
        return
    page = page_html(items, **shown)
    name = shown.get("title") or _title_of(items)
    display_page(page, name, f"<headscape page: {name}>", new_display_id())


def _title_of(items: Any) -> str:
    first = items if isinstance(items, Trace) else items[0]
    return default_title(first.trace if isinstance(first, Frame) else first)


class LivePage:
    """One page that grows by a frame with every captured pass of a running program.

    In a notebook it stands under the cell that runs and is replaced in place; in a script it is a file whose
    path is printed once. It holds the newest frames within a bound and says how many older ones it dropped.

    Parameters
    ----------
    path : path, optional
        Where a script writes the page. Default: ``headscape.html`` in the current folder.
    title : str, optional
        Default: the model's name.
    note : str
        One line of plain text under the title.
    strict : bool
        Raise what goes wrong. By default it is warned of and the program goes on.
    """

    def __init__(
        self,
        path: str | os.PathLike[str] | None = None,
        title: str | None = None,
        *,
        note: str = "",
        strict: bool = False,
    ) -> None:
        self.path = Path(DEFAULT_PATH if path is None else path)
        self._title = title
        self._note = note
        self._strict = strict
        self._frames: list[EncodedFrame] = []
        self._added = 0
        self._is_announced = False
        self._cell: tuple[int, str] | None = None
        self._warned: set[str] = set()
        self._widget: Any = None
        self._still_at = 0.0

    def add(
        self,
        trace: Trace,
        *,
        example: int = 0,
        label: str | None = None,
        marks: Mapping[str, float] | None = None,
    ) -> bool:
        """Add one example of a trace as the newest frame and show the page.

        Parameters
        ----------
        trace : Trace
            ``trace.step``, where it is set, numbers the frame.
        example : int
            Which example of the batch.
        label : str, optional
            What the page calls it. Default: the step and the model's answer.
        marks : mapping of str to float, optional
            Numbers of this step, such as ``{"loss": 0.3}``, that the page draws as a line over all steps.

        Returns
        -------
        bool
            Whether the page shows it. False where something went wrong, after one warning that says what;
            with ``strict`` the error is raised instead.
        """
        try:
            self._add(trace, example, label, marks or {})
        except Exception as error:
            if self._strict:
                raise
            lost = str(error) if isinstance(error, HeadscapeError) else f"{type(error).__name__}: {error}"
            if lost not in self._warned:
                self._warned.add(lost)
                warnings.warn(
                    f"headscape shows no picture of this pass: {lost}", CaptureWarning, stacklevel=3
                )
            return False
        return True

    def _add(self, trace: Trace, example: int, label: str | None, marks: Mapping[str, float]) -> None:
        is_notebook = notebook_shell() is not None or in_marimo()
        number = self._added + 1 if trace.step is None else trace.step
        frame = encode_frame(Frame(trace, example, label, "step", number, marks=marks), number)
        self._added += 1
        self._frames.append(frame)
        self._drop_oldest(MOST_BYTES_NOTEBOOK if is_notebook else MOST_BYTES_FILE)
        title = self._title or default_title(trace)
        if is_notebook:
            self._show_in_notebook(trace, example, title)
            return
        write_text(self.path, join_page(self._frames, title=title, note=self._current_note()))
        if not self._is_announced:
            _print_path(self.path)
            self._is_announced = True

    def _show_in_notebook(self, trace: Trace, example: int, title: str) -> None:
        shell = notebook_shell()
        count = -1 if shell is None else shell.execution_count
        is_same_cell = self._cell is not None and self._cell[0] == count
        if not is_same_cell or self._cell is None:
            self._cell = (count, new_display_id())
        widget_class = find_widget_class()
        if widget_class is None:
            page = join_page(self._frames, title=title, note=self._current_note())
            text = f"<headscape page: {title}, frames: {len(self._frames)}>"
            display_page(page, title, text, self._cell[1], update=is_same_cell)
            return
        if self._widget is None:
            self._widget = widget_class([Frame(trace, example, group="step")], title=title)
        self._widget.put(self._frames, pictured=(trace, example), note=self._current_note())
        if not is_same_cell:
            self._still_at = time.monotonic()
            display_widget(self._widget, still_id=self._cell[1])
        elif time.monotonic() - self._still_at > STILL_S:
            self._still_at = time.monotonic()
            update_still(self._widget, self._cell[1])

    def _drop_oldest(self, most_bytes: int) -> None:
        while len(self._frames) > 1 and (
            len(self._frames) > MOST_FRAMES or sum(len(frame.data) for frame in self._frames) > most_bytes
        ):
            del self._frames[0]

    def _current_note(self) -> str:
        dropped = self._added - len(self._frames)
        left_out = f"the newest {len(self._frames)} of {self._added} captured passes" if dropped else ""
        return " · ".join(filter(None, [self._note, left_out]))


def _print_path(path: Path) -> None:
    print(f"headscape: wrote {path.resolve()}")  # noqa: T201  a script's only sign of where the picture is
