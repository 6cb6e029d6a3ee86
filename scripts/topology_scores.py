"""Rank correlations, the linear gap model and stopping rules of the topology experiment."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from headscape.analysis.functional import stop_at

Run = dict[str, Any]
REGIMES = ("clean", "random", "little")
PERMUTATIONS = 10_000
FEWEST_POINTS = 5  # for a rank correlation that means something
NEAR = 0.1  # share of the best step that counts as having found it
LEARNT = 99  # % of training accuracy, after which the gap hardly moves
GAP_RANGE = (1, 100)  # points; the published fit leaves other gaps out


def series(run: Run, name: str) -> np.ndarray:
    """One number of one run at each check. "gap" is in points of accuracy, "loss_gap" in nats."""
    record = run["record"]
    if name == "gap":
        return np.subtract(record["train_accuracy"], record["valid_accuracy"])
    if name == "loss_gap":
        return np.subtract(record["valid_loss"], record["train_loss"])
    return np.asarray(record[name], float)


def of(runs: Sequence[Run], regime: str) -> list[Run]:
    """The runs of one regime."""
    return [run for run in runs if run["regime"] == regime]


def rank(values: np.ndarray) -> np.ndarray:
    """Ranks from 0; equal values share the mean of theirs."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(count) - (count + 1) / 2)[place]


def spearman(a: np.ndarray, b: np.ndarray, given: np.ndarray | None = None) -> float:
    """Rank correlation of two series where both are known; partial, with ``given`` held still, if passed."""
    known = np.isfinite(a) & np.isfinite(b)
    ranks = [rank(values[known]) for values in (a, b, given) if values is not None]
    if known.sum() < FEWEST_POINTS or any(np.ptp(found) == 0 for found in ranks[:2]):
        return float("nan")
    if given is None:
        return float(np.corrcoef(ranks)[0, 1])
    z = ranks.pop()
    if np.ptp(z) == 0:
        return float("nan")
    (xy, xz, yz) = np.corrcoef([*ranks, z])[np.triu_indices(3, 1)]
    left = (1 - xz**2) * (1 - yz**2)
    return float((xy - xz * yz) / left**0.5) if left > 1e-12 else float("nan")  # all of it is `given`


def learning(run: Run) -> Run:
    """The part of a run up to the check at which training accuracy is 99 % for the first time."""
    learnt = _first(series(run, "train_accuracy") >= LEARNT)
    end = None if learnt is None else learnt + 1
    return run | {"record": {name: values[:end] for name, values in run["record"].items()}}


def within(runs: Sequence[Run], name: str, target: str, *, partial: bool = False) -> np.ndarray:
    """Spearman over the checks of each run, (run,); ``partial`` holds the step number still."""
    return np.array(
        [
            spearman(series(run, name), series(run, target), series(run, "step") if partial else None)
            for run in runs
        ]
    )


def swapped(runs: Sequence[Run], name: str, target: str) -> float:
    """Median Spearman of one run's numbers with the gap of each other run of its regime."""
    found = [
        spearman(series(one, name), series(other, target))
        for one in runs
        for other in runs
        if one is not other and one["regime"] == other["regime"]
    ]
    return float(np.nanmedian(found)) if np.isfinite(found).any() else float("nan")


def shares_sign(values: np.ndarray) -> float:
    """Share of the runs whose correlation has the commoner sign; unknown ones count as none."""
    return float(max((values > 0).mean(), (values < 0).mean()))


def across(runs: Sequence[Run], name: str, target: str) -> tuple[float, float]:
    """Spearman over runs at the last check, and the share of permutations that reach it (either sign)."""
    x = np.array([series(run, name)[-1] for run in runs])
    y = np.array([series(run, target)[-1] for run in runs])
    found = spearman(x, y)
    if np.isnan(found):
        return found, float("nan")
    known = np.isfinite(x) & np.isfinite(y)
    a, b = rank(x[known]), rank(y[known])
    rng = np.random.default_rng(0)
    a, b = (a - a.mean()) / a.std(), (b - b.mean()) / b.std()
    orders = rng.permuted(np.tile(b, (PERMUTATIONS, 1)), axis=1)
    chance = np.abs(orders @ a) / len(a)
    return found, float((1 + (chance >= abs(found) - 1e-12).sum()) / (1 + PERMUTATIONS))


def fit_gap(runs: Sequence[Run], names: Sequence[str], group: Callable[[Run], Any]) -> tuple[float, float]:
    """R2 and mean error (points) of the linear gap model on groups of runs that were left out of its fit.

    R2 is pooled over all left-out checks, against guessing the mean gap of the runs that were not left out.
    """
    tables = [_table(run, names) for run in runs]
    keys = [group(run) for run in runs]
    errors, spreads = [], []
    for left in sorted(set(keys)):
        inside = np.concatenate([table for table, key in zip(tables, keys, strict=True) if key != left])
        outside = np.concatenate([table for table, key in zip(tables, keys, strict=True) if key == left])
        if not len(inside) or not len(outside):
            continue
        middle, scale = inside[:, :-1].mean(0), inside[:, :-1].std(0) + 1e-12
        design = np.column_stack([(inside[:, :-1] - middle) / scale, np.ones(len(inside))])
        weights = np.linalg.lstsq(design, inside[:, -1], rcond=None)[0]
        guess = np.column_stack([(outside[:, :-1] - middle) / scale, np.ones(len(outside))]) @ weights
        errors.append(outside[:, -1] - guess)
        spreads.append(outside[:, -1] - inside[:, -1].mean())
    if not errors:
        return float("nan"), float("nan")
    error, spread = np.concatenate(errors), np.concatenate(spreads)
    return float(1 - (error**2).sum() / (spread**2).sum()), float(np.abs(error).mean())


def _table(run: Run, names: Sequence[str]) -> np.ndarray:
    """Predictors and the gap (last column) at the checks where the gap counts and topology is known."""
    always = ("unit_life", "unit_midlife", "unit_peak")  # the same checks for every model
    gap = series(run, "gap")
    kept = (gap > GAP_RANGE[0]) & (gap < GAP_RANGE[1])
    for name in (*always, *names):
        kept &= np.isfinite(series(run, name))
    return np.column_stack([*(series(run, name) for name in names), gap])[kept]


def best_check(run: Run) -> int:
    """The check with the lowest validation loss."""
    return int(series(run, "valid_loss").argmin())


def _first(flags: np.ndarray) -> int | None:
    return int(flags.argmax()) if flags.any() else None


def _by_topology(run: Run, patience: float) -> int | None:
    return stop_at(series(run, "unit_peak"), patience=int(patience))


def _by_topology_minimum(run: Run, patience: float) -> int | None:
    """Go back to the smallest peak seen, as patience on the validation loss goes back to its best."""
    stop = _by_topology(run, patience)
    return None if stop is None else int(np.nanargmin(series(run, "unit_peak")[: stop + 1]))


def _by_loss(run: Run, limit: float) -> int | None:
    return _first(series(run, "train_loss") < limit)


def _at_step(run: Run, step: float) -> int | None:
    return _first(series(run, "step") >= step)


def _by_norm(run: Run, share: float, *, span: int = 5) -> int | None:
    """The weight norm grew less over the last ``span`` checks than ``share`` of the most it ever did."""
    norm = series(run, "norm")
    growth = norm[span:] - norm[:-span]
    most = np.maximum.accumulate(growth)
    found = _first((growth < share * most) & (most > 0))
    return None if found is None else found + span


def _by_validation(run: Run, patience: float) -> int | None:
    loss = series(run, "valid_loss")
    best = 0
    for check in range(len(loss)):
        best = check if loss[check] < loss[best] else best
        if check - best >= patience:
            return best
    return best


PATIENCES = (1, 2, 3, 5, 8, 12, 20)
# Each rule with the values its one parameter may take; which of them is chosen on other runs.
RULES: dict[str, tuple[Callable[[Run, float], int | None], Sequence[float]]] = {
    "topology, patience 3": (_by_topology, (3,)),
    "topology, patience chosen": (_by_topology, PATIENCES),
    "topology, back to its minimum": (_by_topology_minimum, PATIENCES),
    "training loss below a limit": (_by_loss, (0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 0.02)),
    "fixed step": (_at_step, tuple(range(10, 1001, 10))),
    "weight norm's growth slows": (_by_norm, (0.95, 0.9, 0.8, 0.7, 0.5, 0.3, 0.2)),
    "patience on validation loss": (_by_validation, PATIENCES),
}
TRIVIAL = ("training loss below a limit", "fixed step", "weight norm's growth slows")


def stop(rule: str, run: Run, value: float) -> int:
    """The check at which a rule stops this run; the last one where it never fires."""
    found = RULES[rule][0](run, value)
    return len(series(run, "step")) - 1 if found is None else found


def is_near(run: Run, check: int) -> bool:
    """Whether a check lies within a tenth of the best step."""
    steps = series(run, "step")
    best = steps[best_check(run)]
    return bool(abs(steps[check] - best) <= NEAR * best)


def choose(rule: str, runs: Sequence[Run]) -> float:
    """The parameter that comes near in most of these runs; of several the one closest in the median."""

    def merit(value: float) -> tuple[int, float]:
        checks = [stop(rule, run, value) for run in runs]
        near = sum(is_near(run, check) for run, check in zip(runs, checks, strict=True))
        off = [
            abs(np.log((1 + check) / (1 + best_check(run)))) for run, check in zip(runs, checks, strict=True)
        ]
        return near, -float(np.median(off))

    return max(RULES[rule][1], key=merit)


def judge_rule(rule: str, runs: Sequence[Run], chosen_on: Sequence[Run]) -> list[dict[str, float]]:
    """What stopping by a rule gives in each run, with its parameter chosen on the other ones."""
    found = []
    for run in runs:
        others = [other for other in chosen_on if other is not run]
        value = choose(rule, others) if others else RULES[rule][1][0]
        check, best = stop(rule, run, value), best_check(run)
        steps, right = series(run, "step"), series(run, "valid_accuracy")
        loss = series(run, "valid_loss")
        found.append(
            {
                "near": float(is_near(run, check)),
                "ratio": float(steps[check] / steps[best]) if steps[best] else float("nan"),
                "step": float(steps[check]),
                "points": float(right[check] - right[best]),
                "loss": float(loss[check] - loss[best]),
                "value": float(value),
            }
        )
    return found
