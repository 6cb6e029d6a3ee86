"""What knock-outs changed."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from headscape.errors import ShapeError
from headscape.probe.answers import Reading
from headscape.probe.edits import By
from headscape.probe.removals import Removal
from headscape.trace.outputs import Outputs, share_text

Floats: TypeAlias = npt.NDArray[np.float32]
_SHOWN = 5  # answers whose probabilities are told before and after


@dataclass(frozen=True, eq=False, repr=False)
class KnockOuts:
    """Changes of a model's answer, by knock-out and example.

    Attributes
    ----------
    removals : tuple of Removal
        What each knock-out removed.
    by : str
        How: ``"zero"``, ``"renormalise"`` or ``"mean"``.
    before : (example,) float32 array, or None
        The watched score of the untouched model. None where nobody named one and the model gives no scores.
    change : (knock-out, example) float32 array, or None
        That score after, minus before: below 0 where what was removed had helped it.
    divergence : (knock-out, example) float32 array, or None
        Kullback-Leibler divergence of the answers' probabilities, before from after, in nats, from 0.
    loss_change : (knock-out, example) float32 array, or None
        Change of the cross-entropy of ``labels``, in nats.
    output_change : (knock-out, example) float32 array
        Euclidean norm of the change of the whole output (scores, or states) over that of the output.
    answers : tuple of tuple of str
        Names of each example's best answers.
    shares, scores : (knock-out + 1, example, answer) float32 arrays, or None
        Their probabilities (0 to 1) and scores; row 0 is the untouched model.
    idle : (knock-out,) bool array
        Where there was nothing to remove (a token that no call has as a key).
    runs : int
        Passes of the model that were needed, without the plain one.
    copies_apart : float
        Largest difference of an untouched copy from the plain pass, as a share of the largest number.
    """

    removals: tuple[Removal, ...]
    by: By
    before: Floats | None
    change: Floats | None
    divergence: Floats | None
    loss_change: Floats | None
    output_change: Floats
    answers: tuple[tuple[str, ...], ...]
    shares: Floats | None = field(repr=False)
    scores: Floats | None = field(repr=False)
    idle: npt.NDArray[np.bool_]
    runs: int
    copies_apart: float

    @classmethod
    def of(
        cls, removals: tuple[Removal, ...], by: By, before: Reading, after: Sequence[Reading], *,
        outputs: Outputs | None, labels: Any, **facts: Any,
    ) -> "KnockOuts":  # fmt: skip
        """Compare the readings of the knock-outs with that of the untouched model."""
        size = before.output.flatten(1).norm(dim=1).clamp_min(1e-30)
        moved = [(one.output - before.output).flatten(1).norm(dim=1) / size for one in after]
        change = divergence = loss = shares = scores = None
        names: tuple[tuple[str, ...], ...] = ()
        if before.target is not None:
            change = _rows([one.target - before.target for one in after if one.target is not None], before)
        if before.scores is not None:
            every = torch.stack([before.scores, *[one.scores for one in after if one.scores is not None]])
            logs = torch.log_softmax(every, -1)
            divergence = (logs[:1].exp() * (logs[:1] - logs[1:])).sum(-1).clamp_min(0).numpy()
            if labels is not None:
                right = _labels(labels, before.scores)
                picked = logs.gather(2, right[None, :, None].expand(len(logs), -1, 1))[..., 0]
                loss = (picked[:1] - picked[1:]).numpy()
            best = before.scores.argsort(dim=-1, descending=True, stable=True)[:, :_SHOWN]
            at = best[None].expand(len(every), -1, -1)
            shares, scores = logs.gather(2, at).exp().numpy(), every.gather(2, at).numpy()
            named = None if outputs is None else outputs.class_names
            word = "token" if outputs is not None and outputs.kind == "next tokens" else "class"
            names = tuple(
                tuple(f"{word} {n}" if named is None else named[n] for n in row) for row in best.tolist()
            )
        return cls(
            removals, by, None if before.target is None else before.target.numpy(), change, divergence, loss,
            _rows(moved, before), names, shares, scores, **facts,
        )  # fmt: skip

    def __repr__(self) -> str:
        return f"KnockOuts({len(self.removals)} by {self.by!r}, {self.output_change.shape[1]} examples)"

    def __len__(self) -> int:
        return len(self.removals)

    @property
    def effect(self) -> Floats:
        """How much each knock-out moved the answer, (knock-out,) from 0: what they are ranked by.

        The mean over examples of the watched score's absolute change; of ``output_change`` where none is
        watched.
        """
        moved = self.output_change if self.change is None else np.abs(self.change)
        found: Floats = moved.mean(1)
        return found

    def ranked(self) -> list[int]:
        """Return the numbers of the knock-outs, the one that moved the answer most first."""
        order: list[int] = np.argsort(-self.effect, kind="stable").tolist()
        return order

    def table(self, most: int = 10) -> str:
        """Return the strongest knock-outs as text, one a line."""
        lines = []
        for n in self.ranked()[:most]:
            line = f"{self.removals[n]}: "
            if self.change is not None:
                line += f"score {self.change[n].mean():+.3f}, "
            line += f"output {share_text(float(self.output_change[n].mean()))}"
            lines.append(line)
        return "\n".join(lines)

    def findings(self) -> list[dict[str, Any]]:
        """Return knock-outs of one part each as plain dicts, for a page: ``trace.to_html(knock_outs=...)``.

        One for each knock-out and example. Knock-outs of several parts together have no place in a picture
        and are left out.
        """
        return [
            self._finding(n, removal, example)
            for n, removal in enumerate(self.removals)
            if len(removal.parts) == 1
            for example in range(self.output_change.shape[1])
        ]

    def _finding(self, n: int, removal: Removal, example: int) -> dict[str, Any]:
        part = removal.parts[0]
        found: dict[str, Any] = {
            "kind": removal.unit.removesuffix("s"), "call": None, "head": None, "query": None, "key": None,
            "example": example, "by": self.by,
        }  # fmt: skip
        if removal.unit == "tokens":
            found |= {"side": part[0], "key": part[1]}
        else:
            found |= dict(zip(("call", "head", "query", "key"), part, strict=False))
        found["answers"] = []
        if self.shares is not None and self.scores is not None:
            for rank, name in enumerate(self.answers[example]):
                before, after = self.shares[[0, n + 1], example, rank].tolist()
                logit_before, logit_after = self.scores[[0, n + 1], example, rank].tolist()
                found["answers"].append({
                    "name": name, "before": before, "after": after, "logit_before": logit_before,
                    "logit_after": logit_after,
                })  # fmt: skip
        found["output_change"] = float(self.output_change[n, example])
        found["note"] = "There was nothing to remove." if self.idle[n] else ""
        return found


def _rows(rows: list[torch.Tensor], before: Reading) -> Floats:
    found: Floats = torch.stack(rows).numpy() if rows else np.zeros((0, len(before.output)), np.float32)
    return found


def _labels(labels: Any, scores: torch.Tensor) -> torch.Tensor:
    try:
        found = torch.as_tensor(labels).cpu().long().reshape(-1)
    except (TypeError, ValueError, RuntimeError):
        raise ShapeError(
            f"labels={labels!r} are no numbers; {len(scores)} are needed, one class of {scores.shape[1]} for "
            "each example."
        ) from None
    if (
        len(found) != len(scores)
        or not len(found)
        or not 0 <= int(found.min()) <= int(found.max()) < scores.shape[1]
    ):
        raise ShapeError(
            f"labels has {len(found)} numbers; {len(scores)} are needed, one class of {scores.shape[1]} for "
            "each example."
        )
    return found
