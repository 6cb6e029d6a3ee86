"""Print the zoo's table: ``python -m tests.zoo [--markdown FILE] [piece of a name ...]``."""

import argparse
import sys
from pathlib import Path

import torch
from tests.zoo.runner import run_case
from tests.zoo.table import markdown
from tests.zoo.zoo import CASES


def main(arguments: list[str]) -> int:
    """Run the cases whose name holds one of the pieces; return 1 if one is not as it declares."""
    parser = argparse.ArgumentParser(prog="python -m tests.zoo", description=__doc__)
    parser.add_argument("pieces", nargs="*", help="run only cases whose family/name holds one of these")
    parser.add_argument("--markdown", type=Path, help="also write the table there")
    chosen = parser.parse_args(arguments)
    cases = [c for c in CASES if not chosen.pieces or any(p in c.id for p in chosen.pieces)]
    results = []
    for case in cases:
        result = run_case(case)
        results.append(result)
        mark = "" if result.is_met else "  <-- " + "; ".join(result.faults[:3])
        print(
            f"{case.id:60} {result.calls:3} {result.worst:9.2g} {result.found:8}{result.seconds:6.1f} s{mark}"
        )
    counts = {
        found: sum(r.found == found for r in results) for found in ("exact", "partial", "none", "failed")
    }
    print(", ".join(f"{count} {found}" for found, count in counts.items()), f"of {len(results)}")
    if chosen.markdown:
        chosen.markdown.write_text(markdown(results), encoding="utf-8")
    return 0 if all(r.is_met for r in results) else 1


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.exit(main(sys.argv[1:]))
