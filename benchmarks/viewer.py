"""What headscape's page costs beside those of other libraries, in one Chromium on software GL.

Run: python benchmarks/viewer.py [--sizes 12x12x16 ...] [--rounds 3] [--limit 120] [--minutes 20]
[--subjects headscape ...] [--results FILE] [--resume] [--markdown FILE]. Time to first picture, cost of
moving it, memory and file size of headscape's offline page, BertViz's model and head view, CircuitsVis,
plotly's Scatter3d and 3d-force-graph on the same attention. Every measurement is kept in the results file
as it comes; ``--resume`` goes on where a run was stopped or ended with its minutes, and adds rounds. Needs
npm once, for scripts that the others load from the network, and ``pip install --no-deps bertviz circuitsvis
plotly narwhals``.
"""

import argparse
import importlib.util
import json
import sys
import tempfile
from pathlib import Path

from rivals.browser import Asked, as_dict, measure_page
from rivals.material import read_size
from rivals.pages import SUBJECTS
from rivals.run import Plan, Results, find_subject, run_all
from rivals.scripts import FOLDER, MissingScriptsError, ensure_scripts
from rivals.table import put_section, section

ROOT = Path(__file__).resolve().parents[1]
BUNDLE = ROOT / "src" / "headscape" / "view" / "static" / "viewer.js"
SIZES = (
    "12x12x16", "12x12x64", "12x12x96", "12x12x128", "12x12x128-edges10000",
    "12x12x128-edges50000", "12x12x256", "12x12x512", "30x12x2048-top16",
)  # fmt: skip


def parse() -> argparse.Namespace:
    """Read the command line."""
    names = [subject.name for subject in SUBJECTS]
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", nargs="+", default=list(SIZES))
    parser.add_argument("--subjects", nargs="+", choices=names, default=names)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--limit", type=float, default=120, help="seconds that a page may take to draw")
    parser.add_argument("--minutes", type=float, default=20, help="nothing new is begun after so many")
    parser.add_argument("--rivals", type=Path, default=FOLDER, help="folder of the others' scripts")
    parser.add_argument("--results", type=Path)
    parser.add_argument("--resume", action="store_true", help="go on with the results file")
    parser.add_argument("--markdown", type=Path)
    parser.add_argument(
        "--keep-pages", type=Path, help="write pages and pictures of them here, and keep these"
    )
    parser.add_argument("--write", nargs=4, help=argparse.SUPPRESS)
    parser.add_argument("--measure", help=argparse.SUPPRESS)
    return parser.parse_args()


def missing_packages(chosen: list[str]) -> list[str]:
    """Return the libraries that are not installed."""
    packages = {find_subject(name).package for name in chosen} - {None}
    return sorted(name for name in packages if name and importlib.util.find_spec(name) is None)


def main() -> None:
    """Measure, print as it goes, and write the table where asked."""
    asked = parse()
    if asked.write:
        name, size, edges, path = asked.write
        Path(path).write_text(find_subject(name).write(read_size(size), int(edges), asked.rivals), "utf-8")
        return
    if asked.measure:
        print(json.dumps(as_dict(measure_page(Asked(**json.loads(asked.measure))))))
        return
    missing = missing_packages(asked.subjects)
    if missing:
        sys.exit(f"Not installed: {', '.join(missing)}. Run: pip install --no-deps {' '.join(missing)}")
    try:
        ensure_scripts(asked.rivals)
    except MissingScriptsError as fault:
        sys.exit(str(fault))
    run_and_report(asked)


def run_and_report(asked: argparse.Namespace) -> None:
    """Run what is missing in the results, and write the section after each measurement."""
    path = asked.results or asked.rivals / "results.json"
    if not asked.resume:
        path.unlink(missing_ok=True)
    results = Results(path)
    with tempfile.TemporaryDirectory(prefix="headscape-pages-") as scratch:
        sizes = sorted(map(read_size, asked.sizes), key=lambda size: size.place)
        plan = Plan(
            sizes, [find_subject(name) for name in asked.subjects], asked.rounds, asked.limit, asked.minutes,
            asked.rivals, asked.keep_pages or Path(scratch), Path(__file__).resolve(),
        )  # fmt: skip
        plan.pages.mkdir(parents=True, exist_ok=True)
        for entry in run_all(plan, results):
            first = entry.get("first_picture_s")
            said = entry["failed"] or f"first picture {first:.2f} s, load {entry['load']:.1f}"
            print(f"{entry['size']:>18} {entry['subject']:<20} {said}", flush=True)
    if not results.entries:
        sys.exit("Nothing was measured.")
    text = section(results, asked.limit, BUNDLE)
    print(text)
    if asked.markdown:
        put_section(asked.markdown, text)


if __name__ == "__main__":
    main()
