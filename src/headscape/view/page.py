"""The offline page: one HTML file that holds the viewer and the traces, and asks the network for nothing."""

import base64
import gzip
import html
import os
import webbrowser
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headscape import __version__
from headscape.errors import FileError, LabelError, OptionError
from headscape.trace.block import pack
from headscape.trace.file import replace_file
from headscape.trace.outputs import share_text
from headscape.trace.trace import Trace
from headscape.view.bundle import policy_hash, read_script
from headscape.view.scene import scene_block

FORMAT = 1
DEFAULT_PATH = "headscape.html"
# Examples of a batch that a page holds unless the caller names them: enough to compare in a small file.
DEFAULT_EXAMPLES = 8
# Characters of a text that a frame without an answer is named after.
LONGEST_LABEL = 48

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


@dataclass(frozen=True)
class Frame:
    """One picture of a page: one example of one trace.

    Attributes
    ----------
    trace : Trace
        Where the numbers come from.
    example : int
        Which example of its batch.
    label : str, optional
        What the page calls it. Default: the model's answer and its probability, or the first words.
    group : str
        ``"example"`` for pictures side by side, ``"step"`` for one model at several times.
    number : int, optional
        Place in the group. Default: counted from 1.
    truth : str, optional
        Name of the right answer.
    """

    trace: Trace
    example: int = 0
    label: str | None = None
    group: str = "example"
    number: int | None = None
    truth: str | None = None


@dataclass(frozen=True)
class EncodedFrame:
    """A frame as the page holds it: its name and a gzip of its scene block."""

    label: str
    group: str
    number: int
    data: bytes


def write_page(
    source: Trace | Iterable[Frame],
    path: str | os.PathLike[str] | None = None,
    *,
    examples: Sequence[int] | None = None,
    labels: Sequence[str] | None = None,
    title: str | None = None,
    note: str = "",
    open_browser: bool = False,
) -> Path:
    """Write an offline page and return its path.

    Parameters
    ----------
    source : Trace, or frames
        What to show.
    path : path, optional
        Where to; an existing file is replaced whole or not at all. Default: ``headscape.html`` in the
        current folder.
    examples : sequence of int, optional
        Which examples of a trace. Default: the first :data:`DEFAULT_EXAMPLES`; the page says when there
        are more.
    labels : sequence of str, optional
        What the page calls them, one each.
    title, note : str
        The page's title, and one line of plain text under it.
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
    if not isinstance(path, str | os.PathLike | None):
        raise OptionError(
            f"path is a {type(path).__name__}; a page is written to a path (str or Path), not a stream."
        )
    text = page_html(source, examples=examples, labels=labels, title=title, note=note)
    written = write_text(Path(DEFAULT_PATH if path is None else path), text)
    if open_browser:
        webbrowser.open(written.resolve().as_uri())
    return written


def page_html(
    source: Trace | Iterable[Frame],
    *,
    examples: Sequence[int] | None = None,
    labels: Sequence[str] | None = None,
    title: str | None = None,
    note: str = "",
) -> str:
    """Return the page as text. Parameters and errors are those of :func:`write_page`."""
    frames, note = choose_frames(source, examples=examples, labels=labels, note=note)
    encoded = [encode_frame(frame, number) for number, frame in enumerate(frames, 1)]
    return join_page(encoded, title=title or default_title(frames[-1].trace), note=note)


def choose_frames(
    source: Trace | Iterable[Frame],
    *,
    examples: Sequence[int] | None = None,
    labels: Sequence[str] | None = None,
    note: str = "",
) -> tuple[list[Frame], str]:
    """Return the frames of a page, and its note with what had to be left out."""
    if isinstance(source, Trace):
        frames, left_out = _frames_of(source, examples, labels)
        note = " · ".join(filter(None, [note, left_out]))
    else:
        frames = list(source)
        if examples is not None or labels is not None:
            raise OptionError("examples and labels choose from a trace; give each Frame its own instead.")
    if not frames:
        raise OptionError(
            "there is nothing to show: the page got no frames. Pass a trace, or at least one Frame."
        )
    return frames, note


def _frames_of(
    trace: Trace, examples: Sequence[int] | None, labels: Sequence[str] | None
) -> tuple[list[Frame], str]:
    left_out = ""
    if examples is None:
        examples = range(min(trace.batch, DEFAULT_EXAMPLES))
        if trace.batch > DEFAULT_EXAMPLES:
            left_out = f"the first {DEFAULT_EXAMPLES} of {trace.batch} examples"
    if isinstance(labels, str) or (labels is not None and len(labels) != len(examples)):
        raise LabelError(
            f"labels has {len(labels)} entries for {len(examples)} examples. Pass one label an example."
        )
    names: Sequence[str | None] = labels or [None] * len(examples)
    return [Frame(trace, example, name) for example, name in zip(examples, names, strict=True)], left_out


def default_title(trace: Trace) -> str:
    """Return what a page about this trace is called."""
    return f"Attention of {trace.model}" if trace.model else "Attention"


def encode_frame(frame: Frame, number: int) -> EncodedFrame:
    """Encode one frame: the costly part of a page, and the part that a stepping page keeps."""
    label = frame.label
    if label is None and frame.group == "step":
        answer = f": {_describe(frame)}" if frame.trace.outputs is not None else ""
        label = f"pass {number}{answer}"
    elif label is None:
        label = _describe(frame)
    block = scene_block(frame.trace, frame.example, truth=frame.truth)
    # mtime=0: the same trace gives the same file
    data = gzip.compress(block, compresslevel=6, mtime=0)
    return EncodedFrame(label, frame.group, number if frame.number is None else frame.number, data)


def _describe(frame: Frame) -> str:
    outputs = frame.trace.outputs
    if outputs is not None and outputs.scores.shape[1]:
        name, share = outputs.names(frame.example)[0], float(outputs.probabilities[frame.example, 0])
        answer = f"{name} {share_text(share)}"
        if frame.truth is None:
            return answer
        return f"right: {answer}" if name == frame.truth else f"wrong: {answer}, truly {frame.truth}"
    words = " ".join(frame.trace.tokens(frame.example))
    return words if len(words) <= LONGEST_LABEL else words[: LONGEST_LABEL - 1] + "…"


def page_block(
    frames: Sequence[EncodedFrame],
    *,
    title: str,
    note: str = "",
    ids: Sequence[int] | None = None,
    held: Collection[int] = (),
) -> bytes:
    """Join encoded frames into the byte block that a viewer is mounted with.

    Parameters
    ----------
    frames : sequence of EncodedFrame
        In the order of the page.
    title, note : str
        The page's title, and one line of plain text under it.
    ids : sequence of int, optional
        A number of each frame, for a viewer that is sent this page again and again.
    held : collection of int
        Numbers of frames that the viewer holds already: they are named and not sent.
    """
    names = [f"frame.{n}" for n in range(len(frames))]
    entries: list[dict[str, Any]] = [
        {"label": frame.label, "group": frame.group, "number": frame.number, "array": name}
        for name, frame in zip(names, frames, strict=True)
    ]
    for entry, number in zip(entries, ids or (), strict=False):
        entry["id"] = number
    meta = {
        "format": FORMAT,
        "kind": "page",
        "title": title,
        "note": note,
        "created_by": f"headscape {__version__}",
        "frames": entries,
    }
    arrays = {
        name: np.frombuffer(frame.data, np.uint8)
        for name, frame, entry in zip(names, frames, entries, strict=True)
        if entry.get("id") not in held
    }
    return pack(arrays, meta)


def join_page(frames: Sequence[EncodedFrame], *, title: str, note: str = "") -> str:
    """Join encoded frames and the viewer's script into the HTML of one page."""
    script = read_script()
    policy = (
        f"default-src 'none'; script-src '{policy_hash(script)}'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )
    return _PAGE.format(
        policy=html.escape(policy, quote=False).replace('"', "&quot;"),
        title=html.escape(_clean(title)),
        data=base64.b64encode(page_block(frames, title=title, note=note)).decode("ascii"),
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
