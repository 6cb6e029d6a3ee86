"""The results as a section of docs/viewer_costs.md."""

import gzip
import importlib.metadata
import os
import platform
import statistics
from pathlib import Path
from typing import Any

from rivals.browser import LEAST_STEPS, MOVING_S, STEPS
from rivals.material import Size, read_size
from rivals.pages import OURS, SUBJECTS
from rivals.run import Results
from rivals.scripts import FORCE_GRAPH

HEADING = "## Against others"
TITLE = "# What the viewer costs"
COLUMNS = (
    "size", "page", "file, MB", "first picture, s", "CPU s until then", "CPU ms a step", "wall ms a step",
    "memory, MB (most while opening)", "edges drawn",
)  # fmt: skip
MODEL_VIEW = "BertViz model_view"
# What issue "The viewer" asks for.
TARGET_FILE_MB = 3
TARGET_TIMES_SOONER = 10
TARGET_BUNDLE_KB = 60
# Measures in which a page can be ahead of another, and how they are called.
MEASURES = {
    "bytes": "file", "first_picture_s": "first picture", "first_cpu_s": "CPU until then",
    "step_cpu_ms": "CPU a step",
    "resident_mb": "memory",
}  # fmt: skip
# Ratios nearer to 1 than this are noise.
NOISE = 1.15

METHOD = Path(__file__).with_name("method.md")


def machine(entries: list[dict[str, Any]]) -> str:
    """Say what this ran on, with which versions, and how busy it was."""
    names = {"model name": platform.processor() or platform.machine()}
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = [line.split(":", 1) for line in info.read_text().splitlines() if ":" in line]
        names |= {key.strip(): value.strip() for key, value in lines}
    versions = []
    for package in ("headscape", *sorted({one.package for one in SUBJECTS if one.package})):
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"no {package}")
    browsers = sorted({one["browser"] for one in entries if one.get("browser")}) or ["Chromium"]
    loads = [one["load"] for one in entries if one.get("load") is not None]
    busy = (
        f"load {min(loads):.1f} to {max(loads):.1f} (median {statistics.median(loads):.1f})" if loads else ""
    )
    graph = FORCE_GRAPH.package.replace("@", " ")
    return (
        f"{names['model name']}, {os.cpu_count()} cores, {busy}; {', '.join([*browsers, *versions, graph])}"
    )


def median(entries: list[dict[str, Any]], key: str) -> float | None:
    """Return the median of one measure over the rounds; None if a round failed or none was made."""
    values = [one.get(key) for one in entries]
    if not values or any(value is None for value in values) or any(one["failed"] for one in entries):
        return None
    return statistics.median(float(value) for value in values if value is not None)


def row_of(size: str, subject: str, entries: list[dict[str, Any]]) -> list[str]:
    """Return one line of the table."""
    failed = next((one["failed"] for one in entries if one["failed"]), "")
    bytes_ = next((one["bytes"] for one in entries if one.get("bytes")), None)
    file = "–" if bytes_ is None else f"{bytes_ / 1e6:.2f}"
    if failed:
        return [size, subject, file, f"**{failed}**", "–", "–", "–", "–", "–"]
    first = [one["first_picture_s"] for one in entries]
    rounds = f"{min(first):.2f}–{max(first):.2f}, {len(first)}" if len(first) > 1 else "1"
    resident, peak = median(entries, "resident_mb"), median(entries, "peak_mb")
    shown = entries[0].get("shown")
    return [
        size, subject, file, f"{statistics.median(first):.2f} ({rounds})",
        _short(median(entries, "first_cpu_s")),
        _whole(median(entries, "step_cpu_ms")), _whole(median(entries, "step_wall_ms")),
        f"{_whole(resident)} ({_whole(peak)})", "" if shown is None else f"{shown:,}",
    ]  # fmt: skip


def _whole(value: float | None) -> str:
    return "–" if value is None else f"{value:,.0f}"


def _short(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f}"


def largest_opened(results: Results, sizes: list[Size], subject: str) -> Size | None:
    """Return the largest size whose page drew a picture in every round."""
    opened = [size for size in sizes if median(results.of(size.name, subject), "first_picture_s") is not None]
    return max(opened, key=lambda size: size.weights, default=None)


def targets(results: Results, sizes: list[Size], bundle: Path) -> list[str]:
    """Return a line for each target, with what was measured."""
    lines = []
    file = median(results.of("12x12x128", OURS), "bytes")
    if file is not None:
        rival = median(results.of("12x12x128", MODEL_VIEW), "bytes")
        sizes_text = "" if rival is None else f"; BertViz's model view {rival / 1e6:.0f} MB"
        lines.append(
            f"Page of 12x12x128 at most {TARGET_FILE_MB} MB: {file / 1e6:.2f} MB, "
            f"{_verdict(file <= TARGET_FILE_MB * 1e6)}{sizes_text}."
        )
    largest = largest_opened(results, sizes, MODEL_VIEW)
    mine = None if largest is None else median(results.of(largest.name, OURS), "first_picture_s")
    if largest is not None and mine is not None:
        theirs = median(results.of(largest.name, MODEL_VIEW), "first_picture_s") or 0.0
        lines.append(
            f"First picture at least {TARGET_TIMES_SOONER} times sooner than BertViz's model view at the "
            f"largest size that it opens: at {largest.name} {theirs:.1f} s against {mine:.1f} s, "
            f"{theirs / mine:.1f} times, {_verdict(theirs >= TARGET_TIMES_SOONER * mine)}."
        )
    for name in ("12x12x512", "30x12x2048-top16"):
        entries = results.of(name, OURS)
        if entries:
            opens = median(entries, "first_picture_s")
            said = entries[-1]["failed"] if opens is None else f"first picture after {opens:.1f} s"
            lines.append(f"{name} opens: {said}, {_verdict(opens is not None)}.")
    if bundle.exists():
        size = len(gzip.compress(bundle.read_bytes(), 9))
        lines.append(
            f"Viewer's script at most {TARGET_BUNDLE_KB} kB gzip: {size / 1e3:.1f} kB, "
            f"{_verdict(size <= TARGET_BUNDLE_KB * 1e3)}."
        )
    return [f"- {line}" for line in lines]


def _verdict(is_met: bool) -> str:
    return "met" if is_met else "**missed**"


def rivals_ahead(results: Results, sizes: list[Size]) -> list[str]:
    """Return a line for each library with the measures in which it beats headscape, beyond noise."""
    lines = []
    for subject in SUBJECTS:
        ahead = []
        for key, called in MEASURES.items():
            for size in sizes:
                mine = median(results.of(size.name, OURS), key)
                theirs = median(results.of(size.name, subject.name), key)
                if subject.name != OURS and mine and theirs and mine > NOISE * theirs:
                    ahead.append(f"{called} at {size.name} ({mine / theirs:.1f} times)")
        if ahead:
            lines.append(f"- {subject.name}: {', '.join(ahead)}.")
    return lines or ["- Nowhere, in these measures."]


def section(results: Results, limit_s: float, bundle: Path) -> str:
    """Return the whole section."""
    sizes = [read_size(name) for name in dict.fromkeys(one["size"] for one in results.entries)]
    sizes.sort(key=lambda size: size.place)
    empty = [one["empty_mb"] for one in results.entries if one.get("empty_mb")]
    rows = [
        row_of(size.name, subject.name, results.of(size.name, subject.name))
        for size in sizes
        for subject in SUBJECTS
        if results.of(size.name, subject.name)
    ]
    method = METHOD.read_text(encoding="utf-8").format(
        steps=STEPS, least=LEAST_STEPS, moving=f"{MOVING_S:.0f}", limit=f"{limit_s:.0f}",
        empty=_whole(statistics.median(empty) if empty else None),
    )  # fmt: skip
    lines = [
        HEADING, "",
        f"Measured by `benchmarks/viewer.py` (`make viewer-costs`): {machine(results.entries)}.", "",
        *(f"| {' | '.join(line)} |" for line in (COLUMNS, ["---"] * len(COLUMNS), *rows)), "",
        "Targets:", "", *targets(results, sizes, bundle), "",
        f"Where another page is ahead of headscape's by more than {NOISE:.2f} times:", "",
        *rivals_ahead(results, sizes), "", method.rstrip(),
    ]  # fmt: skip
    return "\n".join(lines) + "\n"


def put_section(path: Path, text: str) -> None:
    """Put the section into the document in place of its former self; other sections stay as they are."""
    old = path.read_text(encoding="utf-8") if path.exists() else f"{TITLE}\n"
    before, found, after = old.partition(f"{HEADING}\n")
    rest = after.split("\n## ", 1)
    tail = f"\n## {rest[1]}" if found and len(rest) == 2 else ""
    path.write_text(f"{before.rstrip()}\n\n{text}{tail}", encoding="utf-8")
