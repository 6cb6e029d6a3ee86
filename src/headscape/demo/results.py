"""The files a demo leaves: trace, figure and page."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from headscape.errors import FileError, MissingBundleError
from headscape.view.frames import Frame
from headscape.view.page import write_page

# A longer title would run out of the figure.
_LONGEST_TITLE = 110


@dataclass(frozen=True)
class Written:
    """Where the files lie.

    ``page`` is None where this installation cannot make one; ``page_problem`` says why.
    """

    figure: Path
    trace: Path
    page: Path | None
    page_problem: str = ""


def prepare_folder(out: Path) -> None:
    """Make the folder and try to write into it, so that no work is done in vain."""
    probe = out / ".headscape-probe"
    try:
        out.mkdir(parents=True, exist_ok=True)
        probe.write_bytes(b"")
        probe.unlink()
    except OSError as error:
        raise FileError(
            f"Nothing can be written to {out}: {error.strerror or error}. Name another folder with --out."
        ) from None


def write_results(frames: Sequence[Frame], out: Path, *, title: str, note: str, figure_title: str) -> Written:
    """Write ``attention.headscape``, ``attention.png`` (of the first frame) and ``attention.html``.

    All frames show one trace. A page that cannot be made does not take the rest along.

    Raises
    ------
    FileError
        A file cannot be written.
    """
    first = frames[0]
    trace = first.trace.save(out / "attention.headscape")
    figure = first.trace.figure(
        example=first.example, title=figure_title if len(figure_title) <= _LONGEST_TITLE else None
    )
    picture = out / "attention.png"
    try:
        figure.savefig(picture, dpi=150)
    except OSError as error:
        raise FileError(
            f"The figure could not be written to {picture}: {error.strerror or error}. "
            f"The trace is in {trace}."
        ) from None
    try:
        page = write_page(frames, out / "attention.html", title=title, note=note)
    except MissingBundleError as error:
        return Written(picture, trace, None, str(error))
    return Written(picture, trace, page)
