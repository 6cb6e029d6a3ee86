"""The local page of saved traces: a list of files, and each one's picture layer by layer."""

import functools
import gzip
import html
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from headscape.errors import FileError, HeadscapeError, MissingExtraError, OptionError
from headscape.trace.file import load
from headscape.trace.trace import Trace
from headscape.view.bundle import read_script, read_served_script
from headscape.view.frames import EncodedFrame, Frame, label_of
from headscape.view.page import default_title, page_block
from headscape.view.scene import scene_call, scene_head

try:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import HTMLResponse, PlainTextResponse, Response
    from starlette.routing import Route
except ImportError:
    raise MissingExtraError(
        "starlette is not installed; the local server needs it. Run: pip install 'headscape[serve]'. Without "
        "it, `headscape view FILE` writes an offline page."
    ) from None

SUFFIX = ".headscape"
# Traces that are held in memory at a time: one on show, and one to go back to.
_HELD_TRACES = 2
# Examples of one file that the page offers.
_MOST_EXAMPLES = 1000
# Level 1 packs twice as fast as 6 and loses a tenth; the bytes travel within one machine.
_GZIP_LEVEL = 1

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{title}</title>
</head>
<body>
{body}
</body>
</html>
"""
_VIEW = """<div id="headscape"></div>
<noscript>This page draws a graph with JavaScript, which is switched off here.</noscript>
<script src="/viewer.js"></script>
<script src="/served.js" data-file="{number}"></script>"""


def find_files(path: str | os.PathLike[str]) -> list[Path]:
    """Return the traces that a path names: itself, or the ``.headscape`` files of a folder, sorted.

    Raises
    ------
    FileError
        There is nothing of that name, or no trace in the folder.
    """
    place = Path(path)
    if place.is_file():
        return [place]
    if not place.is_dir():
        raise FileError(f"there is no file or folder {place}.")
    found = sorted(p for p in place.iterdir() if p.suffix == SUFFIX and p.is_file() and not p.is_symlink())
    if not found:
        raise FileError(
            f"the folder {place} holds no {SUFFIX} file. Write one with trace.save('x{SUFFIX}'), "
            "or name a file."
        )
    return found


class Shelf:
    """The files that are served, each by its number alone: no request can name a path."""

    def __init__(self, files: Sequence[Path]) -> None:
        self.files = tuple(files)
        self._lock = threading.Lock()
        self._load = functools.lru_cache(_HELD_TRACES)(self._read)

    def _read(self, number: int, changed: int) -> Trace:
        return load(self.files[number])

    def trace(self, number: int) -> Trace:
        """Return the trace of a file; a file that was written anew is read anew."""
        if not 0 <= number < len(self.files):
            raise OptionError(f"there is no file {number}.")
        try:
            changed = self.files[number].stat().st_mtime_ns
        except OSError as error:
            raise FileError(f"{self.files[number].name} could not be read: {error.strerror}.") from None
        with self._lock:  # two requests for one file read it once
            return self._load(number, changed)

    def page(self, number: int) -> bytes:
        """Return the page block of a file: what its examples are called, and none of their data."""
        trace = self.trace(number)
        count = min(trace.batch, _MOST_EXAMPLES)
        frames = [
            EncodedFrame(
                label_of(Frame(trace, example)), "example", example + 1, b"",
                tokens=tuple(side.length for side in trace.sides),
            )
            for example in range(count)
        ]  # fmt: skip
        left_out = f"the first {count} of {trace.batch} examples" if count < trace.batch else ""
        note = " · ".join(filter(None, [self.files[number].name, left_out]))
        return page_block(frames, title=default_title(trace), note=note)


def make_app(files: Sequence[Path]) -> Starlette:
    """Return the application that answers for these files; it needs a guard before it."""
    shelf = Shelf(files)

    def packed(make: Callable[[], bytes]) -> Response:
        try:
            data = gzip.compress(make(), compresslevel=_GZIP_LEVEL, mtime=0)
        except OptionError as error:
            return PlainTextResponse(str(error), 404)
        except HeadscapeError as error:
            return PlainTextResponse(str(error), 500)
        return Response(data, headers={"content-encoding": "gzip"}, media_type="application/octet-stream")

    def number(request: Request, name: str) -> int:
        return int(request.path_params[name])

    # Plain functions: Starlette runs them in threads, so that a large file stops nobody else.
    def index(request: Request) -> Response:
        if len(shelf.files) == 1:
            return HTMLResponse(_view(shelf, 0))
        return HTMLResponse(_list(shelf))

    def view(request: Request) -> Response:
        if number(request, "file") >= len(shelf.files):
            return PlainTextResponse("there is no such file.", 404)
        return HTMLResponse(_view(shelf, number(request, "file")))

    def page(request: Request) -> Response:
        return packed(lambda: shelf.page(number(request, "file")))

    def head(request: Request) -> Response:
        return packed(lambda: scene_head(shelf.trace(number(request, "file")), number(request, "example")))

    def call(request: Request) -> Response:
        def make() -> bytes:
            trace = shelf.trace(number(request, "file"))
            return scene_call(trace, number(request, "call"), number(request, "example"))

        return packed(make)

    def script(read: Callable[[], str]) -> Callable[[Request], Response]:
        return lambda request: Response(read(), media_type="text/javascript")

    return Starlette(
        routes=[
            Route("/", index),
            Route("/view/{file:int}", view),
            Route("/data/{file:int}", page),
            Route("/data/{file:int}/{example:int}", head),
            Route("/data/{file:int}/{example:int}/{call:int}", call),
            Route("/viewer.js", script(read_script)),
            Route("/served.js", script(read_served_script)),
            Route("/favicon.ico", lambda request: Response(status_code=204)),
        ]
    )


def _clean(text: str) -> str:
    return html.escape(text.encode("utf-8", "replace").decode().replace("\0", "\ufffd"))


def _view(shelf: Shelf, number: int) -> str:
    return _PAGE.format(title=_clean(shelf.files[number].name), body=_VIEW.format(number=number))


def _list(shelf: Shelf) -> str:
    items = "\n".join(
        f'<li><a href="/view/{n}"><bdi>{_clean(file.name)}</bdi></a></li>'
        for n, file in enumerate(shelf.files)
    )
    return _PAGE.format(title="headscape", body=f"<h1>Traces</h1>\n<ul>\n{items}\n</ul>")
