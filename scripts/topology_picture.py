"""The figure of the topology experiment: gap, losses and topology over training, a column a regime."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
import matplotlib.pyplot as plt
import numpy as np

from topology_scores import REGIMES, Run, best_check, of, series

ROWS = (
    ("gap", "gap, points of accuracy"),
    ("valid_loss", "validation loss"),
    ("unit_peak", r"$\rho^*$: density with most cycles"),
    ("unit_life", r"life $\lambda$"),
    ("unit_midlife", r"midlife $\mu$"),
)
TITLES = {"clean": "true labels", "random": "shuffled labels", "little": "80 texts, true labels"}
BLUE, GREY = "#1f5fa8", "#8a8a8a"


def draw(runs: Sequence[Run], path: Path) -> None:
    """Draw all runs thin, their median thick, the best steps as ticks; cycles by density below."""
    figure, axes = plt.subplots(
        len(ROWS) + 1, len(REGIMES), figsize=(9, 12.5), sharex="col", sharey="row", layout="constrained"
    )
    for column, regime in enumerate(REGIMES):
        some = of(runs, regime)
        if not some:
            continue
        steps = series(some[0], "step")
        for row, (name, shown) in enumerate(ROWS):
            ax = axes[row, column]
            lines = np.array([series(run, name) for run in some])
            ax.plot(steps, lines.T, color=BLUE, alpha=0.3, linewidth=0.7)
            ax.plot(steps, np.nanmedian(lines, axis=0), color=BLUE, linewidth=1.8)
            for run in some:
                ax.axvline(steps[best_check(run)], ymax=0.06, color="black", linewidth=1)
            if column == 0:
                ax.set_ylabel(shown)
            ax.spines[["top", "right"]].set_visible(False)
        axes[0, column].set_title(f"{regime}: {TITLES[regime]}", fontsize=10)
        curves = np.mean([run["curves"]["unit_beta_1"] for run in some], axis=0)
        ax = axes[-1, column]
        image = ax.imshow(
            curves.T, aspect="auto", origin="lower", cmap="viridis", extent=(steps[0], steps[-1], 0.01, 0.40)
        )
        median = np.nanmedian([series(run, "unit_peak") for run in some], axis=0)
        ax.plot(steps, median, color="white", linewidth=1)
        ax.set_xlabel("step")
    axes[-1, 0].set_ylabel("density")
    figure.colorbar(image, ax=axes[-1, :], label=r"$\beta_1$, mean over seeds", pad=0.01)
    figure.suptitle(
        "Functional graph of 128 feed-forward units while small encoders learn.\n"
        "Thin: one seed. Thick: median. Black ticks: lowest validation loss. White: median "
        r"$\rho^*$.",
        fontsize=9,
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)
    plt.close(figure)
