"""What the command line prints: plain lines, tables, a bar while a model trains."""

import contextlib
import sys
import webbrowser
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from headscape.demo.real import RealResult
    from headscape.demo.report import Comparison
    from headscape.demo.results import Written
    from headscape.demo.run import DemoResult

# Where output is not a terminal, lines are never broken at its supposed width.
_PLAIN_WIDTH = 240
# A bar that cannot move is a line now and then instead.
_PLAIN_STEPS = 5


def _console(*, error: bool = False) -> Console:
    stream = sys.stderr if error else sys.stdout
    return Console(
        file=stream,
        width=None if stream.isatty() else _PLAIN_WIDTH,
        highlight=False,
        soft_wrap=not stream.isatty(),
    )


def open_console() -> Console:
    """Return the console that tables are printed to."""
    return _console()


def say(text: str) -> None:
    """Print a line; nothing in it is markup."""
    _console().print(Text(text))


def fail(text: str) -> None:
    """Print an error as one paragraph to stderr."""
    _console(error=True).print(Text.assemble(("Error: ", "bold red"), text))


@contextlib.contextmanager
def training_bar(title: str) -> Iterator[Callable[[int, int, str], None]]:
    """Give a progress callback: a bar in a terminal, a few plain lines elsewhere."""
    console = _console()
    if not console.is_terminal:
        told = 0

        def tell(done: int, total: int, line: str) -> None:
            nonlocal told
            if done * _PLAIN_STEPS // total > told:
                told = done * _PLAIN_STEPS // total
                say(f"{title}: step {done:,} of {total:,}, {line}")

        yield tell
        return
    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[line]}", markup=False),
    )
    with Progress(*columns, console=console) as bar:
        task = bar.add_task(title, total=None, line="")

        def move(done: int, total: int, line: str) -> None:
            bar.update(task, completed=done, total=total, line=line)

        yield move


def report(found: "DemoResult") -> None:
    """Print what a demo found and where the files lie."""
    console = _console()
    train, valid, test = found.parts
    say(
        f"{train:,} examples to train on, {valid:,} to choose by, {test:,} to test on. "
        f"The encoder has {found.parameters:,} parameters and trained for {found.training_seconds:.0f} s."
    )
    console.print(_scores(found.comparison))
    if found.comparison.kinds:
        console.print(_kinds(found.comparison))
    say(found.comparison.verdict)
    table = Table("", "text", "right answer", "the encoder says", title="Examples on the page")
    for number, example in enumerate(found.shown, 1):
        answer = f"{example.answer} {example.probability:.0%}".replace("%", " %")
        style = "" if example.answer == example.truth else "red"
        table.add_row(str(number), Text(example.text), example.truth, Text(answer, style=style))
    console.print(table)
    _say_files(found.written, found.seconds)


def report_real(found: "RealResult") -> None:
    """Print what a real model did with the texts and where the files lie."""
    console = _console()
    say(f"{found.title}. {found.note}.")
    table = Table("", "text", "tokens", found.answer_title, title="Examples on the page")
    for number, example in enumerate(found.shown, 1):
        table.add_row(str(number), Text(example.text), str(example.tokens), Text(example.answer))
    console.print(table)
    for line in found.lines:
        say(line)
    _say_files(found.written, found.seconds)


def _say_files(written: "Written", seconds: float) -> None:
    if written.page is not None:
        say(f"Page:   {_place(written.page)}")
    else:
        say(f"Page:   none. {written.page_problem}")
    say(f"Figure: {_place(written.figure)}")
    say(f"Trace:  {_place(written.trace)} (headscape.load reads it)")
    say(f"Done in {seconds:.0f} s.")


def _scores(comparison: "Comparison") -> Table:
    table = Table("model", title=f"On {comparison.size:,} test examples")
    table.add_column("accuracy", justify="right")
    table.add_column("macro-F1", justify="right")
    for score in comparison.scores:
        share = f"{score.accuracy:.1%}".replace("%", " %")
        table.add_row(score.name, share, f"{score.macro_f1:.3f}")
    return table


def _kinds(comparison: "Comparison") -> Table:
    table = Table("kind of sentence", title="Share right by kind of sentence")
    for name in ("examples", "linear model", "encoder"):
        table.add_column(name, justify="right")
    for kind in comparison.kinds:
        shares = (f"{share:.0%}".replace("%", " %") for share in (kind.linear, kind.encoder))
        table.add_row(kind.kind, str(kind.size), *shares)
    return table


def say_place(title: str, path: Path) -> None:
    """Print where a file lies and how large it is."""
    say(f"{title} {_place(path)}")


def _place(path: Path) -> str:
    size = path.stat().st_size
    return f"{path} ({size / 1e6:.1f} MB)" if size >= 1e5 else f"{path} ({max(1, round(size / 1e3))} kB)"


def open_page(page: Path, environment: Mapping[str, str]) -> bool:
    """Open a page in the browser where a person sits at a desktop; return whether that was tried."""
    return open_address(page.resolve().as_uri(), environment)


def open_address(address: str, environment: Mapping[str, str]) -> bool:
    """Open an address in the browser where a person sits at a desktop; return whether that was tried."""
    if not has_desktop(environment, platform=sys.platform, is_terminal=sys.stdout.isatty()):
        return False
    return webbrowser.open(address)


def has_desktop(environment: Mapping[str, str], *, platform: str, is_terminal: bool) -> bool:
    """Whether a browser window would be seen: a terminal, no CI, and a display."""
    if not is_terminal or environment.get("CI") or environment.get("SSH_CONNECTION"):
        return False
    if platform in ("win32", "darwin"):
        return True
    return bool(environment.get("DISPLAY") or environment.get("WAYLAND_DISPLAY"))
