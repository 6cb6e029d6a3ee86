"""The examples of docs/analysis/pruning.md give what they say, and its tables are those of the script."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
from tests.analysis.test_heads_page import run_blocks

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "analysis" / "pruning.md"


def test_every_example_of_the_page_gives_what_it_says():
    attempted, said = run_blocks(PAGE.read_text(encoding="utf-8"))
    assert said == ""
    assert attempted >= 15


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("pruning_report", ROOT / "scripts" / "pruning_report.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules["pruning_report"] = module
    before = list(sys.path)
    spec.loader.exec_module(module)
    sys.path[:] = before
    return module


def tables(page):
    """Return the page's measured tables by heading, as lists of rows of cells."""
    found = {}
    for part in page.split("### ")[1:]:
        heading, *lines = part.splitlines()
        rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line[:1] == "|"]
        found[heading] = rows[2:]
    return found


def test_the_page_holds_every_rule_of_the_script_for_two_models(script):
    page = PAGE.read_text(encoding="utf-8")
    measured = page.split(script.START)[1].split(script.END)[0]
    found = {heading: rows for heading, rows in tables(measured).items() if "what the model" in heading}
    assert len(found) == 2
    wanted = {script.say(rule) for rule in script.RULES}
    for rows in found.values():
        assert {row[0].removesuffix(", not renormalised") for row in rows} == wanted


def test_the_page_reads_its_tables_rightly(script):
    measured = PAGE.read_text(encoding="utf-8").split(script.START)[1].split(script.END)[0]
    for heading, rows in tables(measured).items():
        if "what the model" not in heading:
            continue
        row = {cells[0]: [float(cell.split()[0]) for cell in cells[1:4]] + cells[5:] for cells in rows}
        h0 = {name: float(cells[3].split(" / ")[1]) for name, cells in row.items()}
        moved = {name: float(cells[5]) for name, cells in row.items()}
        tree, double = "skeleton, the tree alone", "skeleton, as many edges beside the tree"
        assert h0[tree] == h0[double] == 0 < h0["nucleus p = 0.9"] < h0["top_k k = 1"]
        assert moved["nucleus p = 0.9"] < moved["top_k k = 8"] < moved["top_k k = 4"] < moved[double]
        # With no more edges than the skeleton has, a rule of rows does the model less harm.
        rival = "top_k k = 4" if "MiniLM" in heading else "top_k k = 1"
        assert row[rival][0] <= row[double][0]
        assert moved[rival] < moved[double]
        for name in ("nucleus p = 0.9", "top_k k = 8", tree):
            answers = [float(row[one][4]) for one in (name, f"{name}, not renormalised")]
            assert answers[0] >= answers[1]  # cosines of the one, divergences of the other
            assert moved[name] > moved[f"{name}, not renormalised"]


def test_ways_and_what_is_left_are_as_found_by_hand(script, monkeypatch):
    monkeypatch.setattr(script, "PAIRS", 3)
    weights = np.zeros((4, 4), np.float32)
    # Three tokens that look at each other, and a fourth that looks at the first, weakly.
    weights[0, 1], weights[1, 2], weights[2, 0], weights[3, 0], weights[3, 3] = 0.9, 0.8, 0.7, 0.25, 0.75
    close = np.maximum(weights, weights.T)
    np.fill_diagonal(close, 0)
    found = script.ways(close)
    pairs = {name: set(zip(*np.nonzero(np.triu(kept)), strict=True)) for name, kept in found.items()}
    assert pairs["the strongest"] == {(0, 1), (1, 2), (0, 2)}
    assert pairs["skeleton: the tree, and the strongest beside it"] == {(0, 1), (1, 2), (0, 3)}
    assert len(pairs["at random"]) == 3
    mass, h0, parts, isolated, worst, _ = script.left(close, weights, found["the strongest"])
    assert mass == pytest.approx(2.4 / 2.65)
    assert h0 == pytest.approx(0.25)  # the death of 0.75 is one of 1
    assert (parts, isolated, worst) == (2, 1, 0)
    name = "skeleton: the tree, and the strongest beside it"
    mass, h0, parts, isolated, worst, _ = script.left(close, weights, found[name])
    assert (h0, parts, isolated, worst) == (0, 1, 0, 0)  # the row of 2 looked at 0 alone
    assert mass == pytest.approx(1.95 / 2.65)
