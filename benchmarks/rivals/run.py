"""One measurement after the other, in turn and each in a process of its own; results kept as they come."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from rivals.material import Size
from rivals.pages import OURS, SUBJECTS, Subject
from rivals.scripts import addresses

# Seconds that a measurement may take beyond the page's own limit: the browser's start, moving, the end.
BESIDE_S = 120
# Seconds that writing one page may take.
WRITING_S = 600
# Edges that others draw where headscape's own page was not measured before them.
EDGES = 2000


@dataclass
class Results:
    """All that was measured, in a file that a later run goes on with.

    ``entries`` has one dict a measurement: ``size``, ``subject``, ``round``, ``bytes``, ``wrote_s``, and what
    the browser found.
    """

    path: Path
    entries: list[dict[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        """Read what an earlier run left."""
        if self.path.exists():
            self.entries = json.loads(self.path.read_text(encoding="utf-8"))

    def add(self, entry: dict[str, Any]) -> None:
        """Keep one more."""
        self.entries.append(entry)
        self.path.write_text(json.dumps(self.entries, indent=1) + "\n", encoding="utf-8")

    def of(self, size: str, subject: str) -> list[dict[str, Any]]:
        """Return the measurements of one library at one size."""
        return [one for one in self.entries if (one["size"], one["subject"]) == (size, subject)]

    def failed_before(self, sizes: list[Size], now: Size, subject: str) -> str:
        """Return the name of a smaller size at which this library failed; "" if there is none."""
        for size in sizes:
            is_less = (size.edges is None) == (now.edges is None) and size.place < now.place
            if is_less and any(one["failed"] for one in self.of(size.name, subject)):
                return size.name
        return ""


@dataclass(frozen=True)
class Plan:
    """What to run, and where to put things."""

    sizes: list[Size]
    subjects: list[Subject]
    rounds: int
    limit_s: float
    minutes: float
    folder: Path  # of the other libraries' scripts
    pages: Path
    program: Path  # benchmarks/viewer.py


def run_all(plan: Plan, results: Results) -> Iterator[dict[str, Any]]:
    """Measure what ``results`` lacks; yield each measurement. Stops when the minutes are over.

    All sizes come before the next round, so that a run which ends early has measured everything once.
    """
    end = time.monotonic() + 60 * plan.minutes
    for number in range(plan.rounds):
        for size in plan.sizes:
            for subject in plan.subjects:
                if time.monotonic() > end:
                    return
                if _is_needed(plan, results, size, subject, number):
                    entry = {"size": size.name, "subject": subject.name, "round": number}
                    entry |= _measure(plan, results, size, subject)
                    results.add(entry)
                    yield entry


def _is_needed(plan: Plan, results: Results, size: Size, subject: Subject, number: int) -> bool:
    before = results.of(size.name, subject.name)
    if any(one["failed"] or one["round"] == number for one in before):
        return False
    if subject.name == OURS:
        return True
    if size.edges and not subject.draws:
        return False
    return size.k is None and not results.failed_before(plan.sizes, size, subject.name)


def page_path(plan: Plan, size: Size, subject: Subject) -> Path:
    """Return where a page is written."""
    return plan.pages / f"{subject.name.replace(' ', '_')}-{size.name}.html"


def _measure(plan: Plan, results: Results, size: Size, subject: Subject) -> dict[str, Any]:
    path = page_path(plan, size, subject)
    reason = subject.too_large(size)
    if reason:
        return {"failed": f"not tried: {reason}"}
    earlier = results.of(size.name, subject.name)
    opened_with = next((one.get("shown") for one in results.of(size.name, OURS)), None)
    drawn = size.edges or opened_with or EDGES
    found: dict[str, Any] = {"wrote_s": earlier[0].get("wrote_s") if earlier else None}
    if not path.exists():
        begin = time.monotonic()
        command = ["--write", subject.name, size.name, str(drawn), str(path)]
        fault = _child(plan, command, WRITING_S)[1]
        if fault:
            return {"failed": f"could not be written: {fault}"}
        found["wrote_s"] = time.monotonic() - begin
    asked = {
        "path": str(path), "region": subject.region, "script": subject.script, "still": subject.still,
        "more": subject.more, "edges": size.edges,
        "addresses": addresses(plan.folder), "limit_s": plan.limit_s, "shot": str(path.with_suffix(".jpg")),
    }  # fmt: skip
    out, fault = _child(plan, ["--measure", json.dumps(asked)], plan.limit_s + BESIDE_S)
    measured = {"failed": f"the browser failed: {fault}"} if fault else json.loads(out.splitlines()[-1])
    if subject.draws and measured.get("shown") is None:
        measured["shown"] = drawn
    found |= {"bytes": path.stat().st_size}
    if measured["failed"]:
        path.unlink()  # some have hundreds of megabytes, and none is opened again
    return found | {"load": psutil.getloadavg()[0]} | measured


def _child(plan: Plan, arguments: list[str], limit_s: float) -> tuple[str, str]:
    """Run this program in a process of its own; return what it printed, and what went wrong."""
    command = [sys.executable, str(plan.program), "--rivals", str(plan.folder), *arguments]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        out, err = child.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        _end(child.pid)
        child.communicate()
        return "", f"no end within {limit_s:.0f} s"
    fault = (err.strip().splitlines() or ["it said nothing"])[-1] if child.returncode else ""
    return out, fault[:200]


def _end(pid: int) -> None:
    """End a process that this program started, and all that it started."""
    mine = psutil.Process(pid)
    for process in [*mine.children(recursive=True), mine]:
        try:
            process.kill()
        except psutil.Error:
            continue


def find_subject(name: str) -> Subject:
    """Return a library by its name."""
    return next(subject for subject in SUBJECTS if subject.name == name)
