"""Does the topology of a network's units follow its generalisation gap? Train, measure, and say so.

    python scripts/topology_experiment.py               18 runs, tables into the report, figure: 20 minutes
    python scripts/topology_experiment.py --quick       one seed, few steps, no report: does it run at all
    python scripts/topology_experiment.py --from runs   tables and figure again, from saved runs

What was decided before the first run, and what came out, is in docs/analysis/topology_experiment.md.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import time
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from topology_picture import draw
from topology_runs import REGIMES, Plan, load_data, train
from topology_tables import write_report

ROOT = Path(__file__).resolve().parent.parent
REPORT = ROOT / "docs" / "analysis" / "topology_experiment.md"
PICTURE = ROOT / "docs" / "img" / "topology_experiment.png"
BEGIN, END = "<!-- results: written by scripts/topology_experiment.py -->", "<!-- end of results -->"
QUICK = Plan(
    seeds=1, steps=30, every=5, texts=1200, validation=60, scored=60, probe=24, probe_heads=8, units=48
)


def run_all(plan: Plan, folder: Path) -> list[dict[str, Any]]:
    """Train every regime with every seed; each run is written to ``folder`` as soon as it is done."""
    folder.mkdir(parents=True, exist_ok=True)
    data = load_data(plan)
    runs = []
    for seed in range(plan.seeds):
        for regime in REGIMES:
            run = train(regime, seed, plan, data)
            run["plan"] = asdict(plan)
            (folder / f"{regime}-{seed}.json").write_text(json.dumps(run), encoding="utf-8")
            print(f"{regime} {seed}: {run['minutes']:.2f} minutes", flush=True)
            runs.append(run)
    return runs


def read_runs(folder: Path) -> list[dict[str, Any]]:
    """Read what :func:`run_all` wrote."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]


def say_machine(runs: list[dict[str, Any]]) -> str:
    """One line on where and with what the runs were made."""
    names = ", ".join(f"{name} {version(name)}" for name in ("torch", "numpy", "ripser"))
    minutes = sum(run["minutes"] for run in runs)
    worked = sum(run.get("processor_minutes", float("nan")) for run in runs)
    said = "" if worked != worked else f", of them {worked:.0f} at work"
    return (
        f"{len(runs)} runs, {minutes:.0f} minutes{said}, in one thread on {platform.machine()} with "
        f"{os.cpu_count()} cores (shared with other work); Python {platform.python_version()}, {names}."
    )


def put_into(report: Path, text: str) -> None:
    """Replace what stands between the two marks."""
    before, _, rest = report.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    report.write_text(f"{before}{BEGIN}\n\n{text}\n{END}{after}", encoding="utf-8")


def main(arguments: list[str] | None = None) -> str:
    """Run what was asked for; return the report's tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="one seed, few steps; prints only")
    parser.add_argument("--from", dest="saved", type=Path, help="folder with saved runs")
    parser.add_argument("--runs", type=Path, default=ROOT / "build" / "topology", help="where to save runs")
    chosen = parser.parse_args(arguments)
    torch.set_num_threads(1)
    start = time.perf_counter()
    if chosen.saved:
        runs = read_runs(chosen.saved)
    else:
        runs = run_all(QUICK if chosen.quick else Plan(), chosen.runs)
    text = write_report(runs, say_machine(runs))
    print(text)
    print(f"{(time.perf_counter() - start) / 60:.1f} minutes in all")
    if not chosen.quick:
        put_into(REPORT, text)
        draw(runs, PICTURE)
    return text


if __name__ == "__main__":
    main()
