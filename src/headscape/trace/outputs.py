"""What the model answered, and what each token's last state added to the answer."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt

from headscape.errors import expect_index
from headscape.trace.texts import piece_style, readable

Floats = npt.NDArray[np.float32]
Kind = Literal["classes", "next tokens"]
Method = Literal["exact", "gradient x activation", "none"]


def share_text(share: float) -> str:
    """Return a share, 0 to 1, as whole percent: ``"96 %"``, and neither 0 nor 100 for what is neither."""
    if share != share:
        return "NaN"
    if 0 < share < 0.01:
        return "< 1 %"
    if 0.99 < share < 1:
        return "> 99 %"
    return f"{round(100 * share)} %"


@dataclass(frozen=True, eq=False, repr=False)
class Outputs:
    """The model's answer for each example: its highest scores, falling.

    Attributes
    ----------
    kind : str
        ``"classes"`` for one row of scores an example, ``"next tokens"`` for those at the last real token.
    side : int
        Which of ``trace.sides`` feeds the answer.
    class_ids : (batch, answer) int32 array
        Index of each answer in the model's output, in falling order of score.
    scores, probabilities : (batch, answer) float32 array
        Logit, and its softmax over *all* classes (0 to 1).
    contributions : (batch, answer, token) float32 array, or None
        What each token's last state adds to the logit (can be negative).
    base : (batch, answer) float32 array
        What no token adds (a bias). ``contributions.sum(-1) + base`` is the score where ``method`` is exact.
    method : str
        ``"exact"``: the head is affine in the tokens' last states (checked when captured). ``"gradient x
        activation"``: it is not, and contributions are a first-order account. ``"none"``: not known.
    class_names : tuple of str, or None
        One name per class of the model's output.
    """

    kind: Kind
    side: int
    class_ids: npt.NDArray[np.int32]
    scores: Floats
    probabilities: Floats
    contributions: Floats | None = field(repr=False)
    base: Floats
    method: Method
    class_names: tuple[str, ...] | None = None

    def __repr__(self) -> str:
        best = ", ".join(f"{self.names(n)[0]!r}" for n in range(min(3, len(self.class_ids))))
        return f"Outputs({self.kind}, method={self.method!r}, {len(self.class_ids)} examples: {best})"

    def _example(self, example: int) -> int:
        return expect_index("outputs", "example", example, len(self.class_ids))

    def names(self, example: int = 0) -> list[str]:
        """Return the answers' names, best first; ``"class 3"`` or ``"token 3"`` where no names were given."""
        ids = self.class_ids[self._example(example)]
        if self.class_names is not None:
            return [self.class_names[i] for i in ids]
        word = "class" if self.kind == "classes" else "token"
        return [f"{word} {i}" for i in ids]

    def texts(self, names: Sequence[str]) -> list[str]:
        """Return names of answers as a person writes them: a tokenizer's signs for spaces are gone."""
        is_piece = self.kind == "next tokens" and self.class_names is not None
        return readable(names, piece_style(self.class_names or ()) if is_piece else None, is_text=False)

    def contribution(self, example: int = 0) -> Floats | None:
        """Return what each token adds to each answer's logit, (answer, token) float32; None if not known."""
        return None if self.contributions is None else self.contributions[self._example(example)]
