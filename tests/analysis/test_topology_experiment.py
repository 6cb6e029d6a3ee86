"""The experiment's statistics are right, and its script runs from training to tables."""

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def scores(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import topology_scores

    return topology_scores


def run_of(regime="clean", seed=0, **record):
    return {"regime": regime, "seed": seed, "record": record}


def test_rank_correlation_is_scipys_with_ties_and_gaps(scores):
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 6, 40).astype(float), rng.normal(size=40)
    b += 0.3 * a
    a[3] = b[7] = np.nan
    expected = stats.spearmanr(a, b, nan_policy="omit").statistic
    assert scores.spearman(a, b) == pytest.approx(expected)
    assert np.isnan(scores.spearman(a, np.ones(40)))
    assert np.isnan(scores.spearman(a[:4], b[:4]))


def test_partial_correlation_is_that_of_the_residuals(scores):
    stats = pytest.importorskip("scipy.stats")
    rng = np.random.default_rng(1)
    z = rng.normal(size=60)
    x, y = z + rng.normal(size=60), z + rng.normal(size=60)
    rx, ry, rz = (stats.rankdata(v) for v in (x, y, z))
    left = [r - np.polyval(np.polyfit(rz, r, 1), rz) for r in (rx, ry)]
    assert scores.spearman(x, y, z) == pytest.approx(np.corrcoef(left)[0, 1])


def test_permutations_tell_order_from_chance(scores):
    rng = np.random.default_rng(2)
    ordered = [run_of(x=[i], train_accuracy=[90 + i], valid_accuracy=[50]) for i in range(8)]
    rho, p = scores.across(ordered, "x", "gap")
    assert rho == pytest.approx(1)
    assert p < 0.001
    chance = [
        scores.across(
            [run_of(x=[v], train_accuracy=[w], valid_accuracy=[0]) for v, w in rng.normal(size=(8, 2))],
            "x",
            "gap",
        )[1]
        for _ in range(40)
    ]
    assert 0.2 < np.mean(chance) < 0.8


def gap_runs(slope, noise, regimes=("clean", "random", "little")):
    rng = np.random.default_rng(3)
    runs = []
    for regime in regimes:
        for seed in range(3):
            life = rng.uniform(0, 1, 30)
            record = {name: rng.normal(size=30) for name in ("unit_midlife", "unit_peak")}
            gap = 40 + slope * life + noise * rng.normal(size=30)
            runs.append(
                run_of(regime, seed, unit_life=life, train_accuracy=gap, valid_accuracy=0 * gap, **record)
            )
    return runs


def test_the_gap_model_finds_a_planted_line_and_no_other(scores):
    each = lambda run: (run["regime"], run["seed"])  # noqa: E731
    r2, error = scores.fit_gap(gap_runs(30, 0), ("unit_life",), each)
    assert (r2, error) == pytest.approx((1, 0), abs=1e-9)
    assert scores.fit_gap(gap_runs(30, 0), ("unit_midlife",), each)[0] < 0.05
    assert scores.fit_gap(gap_runs(0, 5), ("unit_life",), each)[0] < 0.05


def test_what_is_left_out_takes_no_part_in_the_fit(scores):
    runs = gap_runs(0, 0)
    for run in runs:
        place = scores.REGIMES.index(run["regime"])
        run["record"]["unit_life"] = np.full(30, float(place))
        run["record"]["train_accuracy"] = np.full(30, [10.0, 50.0, 10.0][place])
    # Through (1, 50) and (2, 10) the line says 90 at 0, where the gap is 10: far worse than the mean.
    assert scores.fit_gap(runs, ("unit_life",), lambda run: run["regime"])[0] < -1


def test_rules_stop_where_they_do_by_hand(scores):
    run = run_of(
        step=[0, 10, 20, 30, 40, 50],
        valid_loss=[1.0, 0.8, 0.7, 0.75, 0.9, 1.0],
        train_loss=[1.0, 0.8, 0.6, 0.4, 0.2, 0.1],
        unit_peak=[0.3, 0.2, 0.1, 0.2, 0.2, 0.2],
        norm=[1, 1.1, 1.5, 2.0, 2.1, 2.1],
    )
    assert scores.best_check(run) == 2
    assert scores.stop("topology, patience 3", run, 3) == 5
    assert scores.stop("topology, back to its minimum", run, 1) == 2
    assert scores.stop("training loss below a limit", run, 0.5) == 3
    assert scores.stop("training loss below a limit", run, 0.01) == 5  # never: the end
    assert scores.stop("fixed step", run, 20) == 2
    assert scores.stop("patience on validation loss", run, 2) == 2
    assert scores.is_near(run, 2)
    assert not scores.is_near(run, 3)


def test_a_rules_parameter_comes_from_the_other_runs(scores):
    flat = {"unit_peak": [0.1] * 6, "norm": [1.0] * 6, "train_loss": [1.0] * 6, "valid_accuracy": [50] * 6}
    steps = list(range(0, 60, 10))

    def best_at(step):
        return run_of(step=steps, valid_loss=[abs(s - step) for s in steps], **flat)

    runs = [best_at(20), best_at(40)]
    judged = scores.judge_rule("fixed step", runs, runs)
    assert [one["value"] for one in judged] == [40, 20]
    assert [one["near"] for one in judged] == [0, 0]


def test_the_example_of_the_report_says_what_it_prints(capsys):
    pytest.importorskip("ripser")
    text = (ROOT / "docs" / "analysis" / "topology_experiment.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    (printed,) = re.findall(r"```text\n(.*?)```", text, flags=re.DOTALL)
    exec(compile(example, "topology_experiment.md", "exec"), {})
    found = capsys.readouterr().out
    numbers = r"\d+(?:\.\d+)?"
    assert re.sub(numbers, "#", found) == re.sub(numbers, "#", printed)
    values = [[float(one) for one in re.findall(numbers, some)] for some in (found, printed)]
    assert values[0] == pytest.approx(values[1], rel=0.1)  # another PyTorch may draw or round otherwise


def test_the_script_runs_from_training_to_tables(tmp_path):
    pytest.importorskip("ripser")
    report = ROOT / "docs" / "analysis" / "topology_experiment.md"
    before = report.read_bytes()
    command = [sys.executable, str(ROOT / "scripts" / "topology_experiment.py"), "--quick"]
    path = os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [*command, "--runs", str(tmp_path)],
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": path},
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    tables = re.findall(r"(?:^\|.*\n)+", done.stdout, flags=re.MULTILINE)
    assert len(tables) == 6  # runs, within, across, model, rules, afterwards
    for table in tables:
        lines = table.strip().splitlines()
        assert len({line.count("|") for line in lines}) == 1
        assert len(lines) >= 5
        assert "nan" not in table.lower()
    assert done.stdout.count("borne out") + done.stdout.count("failed") == 6 + 3 + 2 + 2
    assert report.read_bytes() == before  # --quick writes no report
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "clean-0.json",
        "little-0.json",
        "random-0.json",
    ]
