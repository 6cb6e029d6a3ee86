"""The offline page: one HTML file that holds the viewer and the traces, and asks the network for nothing."""

import base64
import html
import os
import webbrowser
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypedDict, Unpack

import numpy as np

from headscape import __version__
from headscape.errors import FileError, OptionError, expect_option
from headscape.trace.block import pack
from headscape.trace.file import replace_file
from headscape.trace.trace import Trace
from headscape.view.bundle import policy_hash, read_script
from headscape.view.findings import add_findings
from headscape.view.frames import EncodedFrame, Frame, encode_frame, frames_of

FORMAT = 1
DEFAULT_PATH = "headscape.html"

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="referrer" content="no-referrer">
<title>{title}</title>
</head>
<body>
<div id="headscape"></div>
<noscript>This page draws a graph with JavaScript, which is switched off here.</noscript>
<script type="application/octet-stream" id="headscape-data">{data}</script>
<script>{script}</script>
</body>
</html>
"""


Source = Trace | Sequence[Trace] | Iterable[Frame]


class Shown(TypedDict, total=False):
    """What a page can be told beside its traces: see :func:`write_page`."""

    examples: Sequence[int] | None
    labels: Sequence[str] | None
    against: Trace | None
    title: str | None
    note: str
    view: Mapping[str, Any] | None
    layout: str | None
    roles: Any
    knock_outs: Any
    knock_out: Callable[[dict[str, Any]], Any] | None
    topology: bool


def write_page(
    source: Source,
    path: str | os.PathLike[str] | None = None,
    *,
    open_browser: bool = False,
    **shown: Unpack[Shown],
) -> Path:
    """Write an offline page and return its path.

    Parameters
    ----------
    source : Trace, several of them, or frames
        What to show: the examples of one trace, or traces as the steps of a run. Where each trace reads some
        tokens more than the one before, as in ``generate()``, the page lets the tokens appear in turn.
    path : path, optional
        Where to; an existing file is replaced whole or not at all. Default: ``headscape.html`` in the
        current folder.
    examples : sequence of int, optional
        Which examples of a trace. Default: the first :data:`DEFAULT_EXAMPLES`; the page says when there
        are more.
    labels : sequence of str, optional
        What the page calls the examples, or the steps; one each.
    against : Trace, optional
        A pass over the same tokens, by another model or another state of this one: the page also shows it,
        and by how much each weight differs.
    title, note : str
        The page's title, and one line of plain text under it.
    view : mapping, optional
        What the page opens with: any of what its ``state`` holds (copied from the page, or from
        ``widget.view``), such as ``{"view": "front", "scale": "lift"}``.
    layout : "spring", optional
        Work out where NetworkX's spring layout puts the tokens, and open with it: tokens that attend to each
        other stand near each other. Costs some seconds for hundreds of tokens.
    roles : bool, mapping or Roles, optional
        What each head does: True works it out (:func:`headscape.analysis.roles.find_roles`), a mapping of
        (call, head) to (name, evidence) says it. Pictures of heads are labelled and ordered by it.
    knock_outs : KnockOuts, or sequence of dict, optional
        What the model says without a head, an edge or a token: what :func:`headscape.knock_out` returns, or
        dicts as in :func:`headscape.view.findings.read_knock_out`. The page shows them where they are
        selected.
    topology : bool
        Draw the sum of H0 bars as a line over the steps. The bars of a single head need no asking.
    open_browser : bool
        Open the page in the desktop's browser.

    Raises
    ------
    FileError
        The file could not be written; the trace is untouched and the message says where it still is.
    LabelError
        Not as many labels as examples.
    OptionError
        There is no such example, or nothing to show.
    MissingBundleError
        This installation was built without the viewer.
    """
    if shown.pop("knock_out", None) is not None:
        raise OptionError(
            "knock_out asks a running model, and a page has none: use trace.widget(knock_out=...) in a "
            "notebook, or run the knock-outs first and pass knock_outs=[...]."
        )
    if not isinstance(path, str | os.PathLike | None):
        raise OptionError(
            f"path is a {type(path).__name__}; a page is written to a path (str or Path), not a stream."
        )
    text = page_html(source, **shown)
    written = write_text(Path(DEFAULT_PATH if path is None else path), text)
    if open_browser:
        webbrowser.open(written.resolve().as_uri())
    return written


def page_html(source: Source, **shown: Unpack[Shown]) -> str:
    """Return the page as text. Parameters and errors are those of :func:`write_page`."""
    chosen = choose_frames(source, **shown)
    encoded = [encode_frame(frame, number) for number, frame in enumerate(chosen.frames, 1)]
    return join_page(encoded, title=chosen.title, note=chosen.note, view=chosen.view)


@dataclass(frozen=True)
class Chosen:
    """What a page shows: its frames, and what it says and opens with."""

    frames: list[Frame]
    title: str
    note: str
    view: Mapping[str, Any]


def choose_frames(source: Source, **shown: Unpack[Shown]) -> Chosen:
    """Choose the frames of a page. Parameters and errors are those of :func:`write_page`."""
    for name in shown:
        expect_option("the page", "option", name, Shown.__annotations__)
    examples, labels, against = shown.get("examples"), shown.get("labels"), shown.get("against")
    note = shown.get("note", "")
    items: Any = source if isinstance(source, Trace) else list(source)
    if isinstance(items, Trace) or (items and all(isinstance(item, Trace) for item in items)):
        frames, left_out = frames_of(items, examples=examples, labels=labels, against=against)
        note = " · ".join(filter(None, [note, left_out]))
    else:
        frames = items
        if examples is not None or labels is not None or against is not None:
            raise OptionError(
                "examples, labels and against choose from a trace; give each Frame its own instead."
            )
    if not frames:
        raise OptionError(
            "there is nothing to show: the page got no frames. Pass a trace, or at least one Frame."
        )
    frames, cut = add_findings(
        frames,
        roles=shown.get("roles"),
        knock_outs=shown.get("knock_outs"),
        topology=shown.get("topology", False),
    )
    note = " · ".join(filter(None, [note, cut]))
    view, layout = shown.get("view") or {}, shown.get("layout")
    if layout is not None:
        frames = [replace(frame, layout=layout) for frame in frames]
        view = {"layout": layout, **view}
    if against is not None:
        view = {"against": "other", **view}
    return Chosen(frames, shown.get("title") or default_title(frames[0].trace), note, view)


def default_title(trace: Trace) -> str:
    """Return what a page about this trace is called."""
    return f"Attention of {trace.model}" if trace.model else "Attention"


@dataclass(frozen=True)
class Numbers:
    """Numbers of a page's frames, for a viewer that is sent its page again and again.

    Attributes
    ----------
    frames : sequence of int
        One for each frame; a frame keeps its number.
    held : collection of int
        Numbers of frames that the viewer has already: they are named and not sent.
    """

    frames: Sequence[int]
    held: Collection[int] = ()


def page_block(
    frames: Sequence[EncodedFrame],
    *,
    title: str,
    note: str = "",
    view: Mapping[str, Any] | None = None,
    numbers: Numbers | None = None,
) -> bytes:
    """Join encoded frames into the byte block that a viewer is mounted with."""
    names = [f"frame.{n}" for n in range(len(frames))]
    entries = [frame.entry(name) for name, frame in zip(names, frames, strict=True)]
    arrays = {name: np.frombuffer(frame.data, np.uint8) for name, frame in zip(names, frames, strict=True)}
    if numbers is not None:
        for name, entry, number in zip(names, entries, numbers.frames, strict=True):
            entry["id"] = number
            if number in numbers.held:
                del arrays[name]
    meta = {
        "format": FORMAT,
        "kind": "page",
        "title": title,
        "note": note,
        "created_by": f"headscape {__version__}",
        "frames": entries,
        "view": dict(view or {}),
    }
    return pack(arrays, meta)


def join_page(
    frames: Sequence[EncodedFrame], *, title: str, note: str = "", view: Mapping[str, Any] | None = None
) -> str:
    """Join encoded frames and the viewer's script into the HTML of one page."""
    script = read_script()
    block = page_block(frames, title=title, note=note, view=view)
    policy = (
        f"default-src 'none'; script-src '{policy_hash(script)}'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
    return _PAGE.format(
        policy=html.escape(policy, quote=False).replace('"', "&quot;"),
        title=html.escape(_clean(title)),
        data=base64.b64encode(block).decode("ascii"),
        script=script,
    )


def _clean(text: str) -> str:
    """Return text that UTF-8 and HTML can hold: lone surrogates and NUL become U+FFFD."""
    return text.encode("utf-8", "replace").decode().replace("\0", "\ufffd")


def write_text(path: Path, text: str) -> Path:
    """Write a page; if that fails, what was there stays."""
    try:
        replace_file(path, text.encode())
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        said = getattr(error, "strerror", None) or error
        raise FileError(
            f"the page could not be written to {path}: {said}. The trace is kept in "
            "memory (it is .trace of its wrapper or capture): write the page elsewhere with "
            'trace.to_html("other.html"), or save the trace with trace.save("x.headscape").'
        ) from None
    return path
