"""The tables of the topology experiment's report, with a verdict on each claim, as Markdown."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from topology_scores import (
    REGIMES,
    RULES,
    TRIVIAL,
    Run,
    across,
    best_check,
    fit_gap,
    judge_rule,
    learning,
    of,
    series,
    shares_sign,
    swapped,
    within,
)

PRIMARY = {"unit_peak": "rho\\*", "unit_life": "lambda", "unit_midlife": "mu"}
SECONDARY = {
    "unit_bars": "number of bars",
    "unit_life_near": "lambda, deaths up to 0.4",
    "unit_midlife_near": "mu, deaths up to 0.4",
    "unit_h0": "sum of the H0 bars",
    "unit_mean": "mean weight (no topology)",
    "head_peak": "heads: rho\\*",
    "head_life": "heads: lambda",
    "head_midlife": "heads: mu",
    "head_h0": "heads: sum of the H0 bars",
    "head_mean": "heads: mean weight (no topology)",
}
PLAIN = {"step": "step number", "train_loss": "training loss", "norm": "weight norm"}
MODELS = {
    "lambda, mu": ("unit_life", "unit_midlife"),
    "lambda, mu, rho\\*": ("unit_life", "unit_midlife", "unit_peak"),
    "training loss": ("train_loss",),
    "step number": ("step",),
    "weight norm": ("norm",),
    "training loss, step, norm": ("train_loss", "step", "norm"),
    "training loss, step, norm, lambda, mu": ("train_loss", "step", "norm", "unit_life", "unit_midlife"),
    "training accuracy": ("train_accuracy",),
    "training accuracy, lambda, mu": ("train_accuracy", "unit_life", "unit_midlife"),
    "mean weight (no topology)": ("unit_mean",),
}
ONE = ("training loss", "step number", "weight norm")  # the trivial predictors of claim 3
# What the claims were said to need, before the first run.
LEAST_MEDIAN, LEAST_PARTIAL, LEAST_SIGN, LEAST_R2_GAIN, LEAST_NEAR = 0.5, 0.2, 0.8, 0.05, 0.6
CHANCE = 0.05


def write_report(runs: Sequence[Run], machine: str) -> str:
    """All tables and verdicts."""
    runs = sorted(runs, key=lambda run: (REGIMES.index(run["regime"]), run["seed"]))
    parts = [machine, _write_runs(runs)]
    for number, part in enumerate((_write_within, _write_across, _write_model, _write_rules), start=1):
        tables, holds = part(runs)
        parts.append(tables)
        said = (f"{what}: **{'borne out' if yes else 'failed'}**" for what, yes in holds)
        parts.append("\n".join(f"- Claim {number}, {one}." for one in said))
    parts.append(_write_afterwards(runs))
    return "\n\n".join(parts) + "\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _spread(values: np.ndarray, form: str = "+.2f") -> str:
    """Median, and the range over runs."""
    known = values[np.isfinite(values)]
    if not len(known):
        return "not known"
    lost = f" ({len(known)} of {len(values)} runs)" if len(known) < len(values) else ""
    return f"{np.median(known):{form}} [{known.min():{form}}, {known.max():{form}}]{lost}"


def _write_runs(runs: Sequence[Run]) -> str:
    rows = []
    for regime in REGIMES:
        some = of(runs, regime)
        last = {name: np.array([series(run, name)[-1] for run in some]) for name in ("train_accuracy", "gap")}
        best = np.array([series(run, "step")[best_check(run)] for run in some])
        reached = np.array([series(run, "valid_accuracy")[best_check(run)] for run in some])
        rows.append(
            [
                regime,
                str(len(some)),
                _spread(last["train_accuracy"], ".0f"),
                _spread(reached, ".0f"),
                _spread(last["gap"], ".0f"),
                _spread(best, ".0f"),
            ]
        )
    head = ("regime", "runs", "training accuracy at the end, %", "validation accuracy at the best step, %")
    return "Median [range] over seeds.\n\n" + _table(
        (*head, "gap at the end, points", "step of the lowest validation loss"), rows
    )


def _write_within(runs: Sequence[Run]) -> tuple[str, list[tuple[str, bool]]]:
    rows, holds = [], []
    for name, shown in (PRIMARY | SECONDARY | PLAIN).items():
        plain = {regime: within(of(runs, regime), name, "gap") for regime in REGIMES}
        every = np.concatenate(list(plain.values()))
        partial = within(runs, name, "gap", partial=True)
        sign = shares_sign(every)
        rows.append(
            [
                shown,
                *(_spread(plain[regime]) for regime in REGIMES),
                f"{sign:.0%}",
                _spread(np.array([swapped(runs, name, "gap")])).split(" [")[0],
                _spread(partial) if name != "step" else "",
                f"{shares_sign(partial):.0%}" if name != "step" else "",
                _spread(within(runs, name, "loss_gap")),
            ]
        )
        if name in PRIMARY:
            medians = [float(np.nanmedian(plain[regime])) for regime in REGIMES]
            same = min(medians) >= LEAST_MEDIAN or (name != "unit_peak" and max(medians) <= -LEAST_MEDIAN)
            more = abs(np.nanmedian(partial)) >= LEAST_PARTIAL and shares_sign(partial) >= LEAST_SIGN
            holds.append((f"{shown} follows the gap within a run", same and sign >= LEAST_SIGN))
            holds.append((f"{shown} says more of the gap than the step number does", bool(more)))
    head = ["", *(f"gap, {regime}" for regime in REGIMES), "one sign", "gaps of other runs"]
    head += ["given the step", "one sign", "loss gap"]
    text = (
        "**Within runs**: Spearman with the gap over checkpoints, median [range] over seeds. *gaps of other "
        "runs*: median when a run's topology is paired with the gaps of other seeds of its regime. *given "
        "the step*: partial correlation."
    )
    return f"{text}\n\n{_table(head, rows)}", holds


def _write_across(runs: Sequence[Run]) -> tuple[str, list[tuple[str, bool]]]:
    rows, holds = [], []
    for name, shown in (PRIMARY | SECONDARY | PLAIN).items():
        if name == "step":
            continue
        found = [across(part, name, "gap") for part in (runs, *(of(runs, regime) for regime in REGIMES))]
        rows.append([shown, *(f"{r:+.2f} (p {p:.4f})" if np.isfinite(r) else "not known" for r, p in found)])
        if name in PRIMARY:
            beats = [bool(p < CHANCE) for _, p in found]
            holds.append((f"{shown} across runs", beats[0] and sum(beats[1:]) >= 2))
    text = (
        "**Across runs**: Spearman with the gap at the last checkpoint, and the share of 10,000 permutations "
        "of the runs that reach as much (either sign)."
    )
    return f"{text}\n\n{_table(['', 'all runs', *REGIMES], rows)}", holds


def _write_model(runs: Sequence[Run]) -> tuple[str, list[tuple[str, bool]]]:
    rows, found = [], {}
    for shown, names in MODELS.items():
        run_out = fit_gap(runs, names, lambda run: (run["regime"], run["seed"]))
        regime_out = fit_gap(runs, names, lambda run: run["regime"])
        found[shown] = (run_out[0], regime_out[0])
        rows.append([shown, *(f"{value:.2f}" for value in (*run_out, *regime_out))])
    head = ["gap from", "R2, run left out", "mean error, points", "R2, regime left out", "mean error, points"]
    best = [max(found[name][i] for name in ONE) for i in (0, 1)]
    holds = [
        (f"lambda and mu, {what} left out", bool(found["lambda, mu"][i] >= best[i] + LEAST_R2_GAIN))
        for i, what in enumerate(("a run", "a regime"))
    ]
    text = (
        "**Linear gap model**: checkpoints with a gap between 1 and 100 points; R2 against guessing the mean "
        "gap of the other runs (below 0: worse than that guess)."
    )
    return f"{text}\n\n{_table(head, rows)}", holds


def _write_rules(runs: Sequence[Run]) -> tuple[str, list[tuple[str, bool]]]:
    learnable = [*of(runs, "clean"), *of(runs, "little")]
    rows, near = [], {}
    for rule in RULES:
        pooled = judge_rule(rule, learnable, learnable)
        own = [one for regime in ("clean", "little") for one in _own(rule, of(runs, regime))]
        lost = judge_rule(rule, of(runs, "random"), learnable)
        near[rule] = float(np.mean([one["near"] for one in pooled])) if pooled else float("nan")
        rows.append(
            [
                rule,
                _count(pooled),
                _spread(np.array([one["ratio"] for one in pooled]), ".2f"),
                _spread(np.array([one["points"] for one in pooled]), "+.1f"),
                _spread(np.array([one["loss"] for one in pooled]), ".2f"),
                _count(own),
                _spread(np.array([one["step"] for one in lost]), ".0f"),
            ]
        )
    head = ["rule", "within 10 % of the best step", "step / best step", "validation accuracy, points"]
    head += ["validation loss", "within 10 %, parameter from the same regime", "random labels: stops at"]
    mine, best = near["topology, patience 3"], max(near[rule] for rule in TRIVIAL)
    holds = [
        ("patience 3 lands within 10 % in most runs", mine >= LEAST_NEAR),
        ("patience 3 lands there as often as the best trivial rule", mine >= best),
    ]
    text = (
        f"**Stopping**: the {len(learnable)} clean and little runs; accuracy and loss against those at the "
        "best step. A rule's parameter is chosen on the others of these runs (in the column before the last: "
        "on the other seeds of the same regime). Rules that never fire stop at the end."
    )
    return f"{text}\n\n{_table(head, rows)}", holds


def _write_afterwards(runs: Sequence[Run]) -> str:
    rows = []
    early = [learning(run) for run in runs]
    for name, shown in (PRIMARY | {"unit_mean": SECONDARY["unit_mean"]} | PLAIN).items():
        found = [_spread(within(of(early, regime), name, "gap")) for regime in REGIMES]
        last = [
            _spread(np.array([series(run, name)[-1] for run in of(runs, regime)]), ".3f")
            for regime in REGIMES
        ]
        rows.append([shown, *found, *(last if name in PRIMARY else [""] * len(REGIMES))])
    head = ["", *(f"gap, {regime}" for regime in REGIMES), *(f"at the end, {regime}" for regime in REGIMES)]
    text = (
        "**Afterwards** (not decided before looking): the same Spearman up to the check at which training "
        "accuracy first reaches 99 %, as the gap hardly moves later; and the values at the last check."
    )
    return f"{text}\n\n{_table(head, rows)}"


def _own(rule: str, runs: Sequence[Run]) -> list[dict[str, float]]:
    return judge_rule(rule, runs, runs)


def _count(found: Sequence[dict[str, float]]) -> str:
    return f"{sum(int(one['near']) for one in found)} of {len(found)}"
