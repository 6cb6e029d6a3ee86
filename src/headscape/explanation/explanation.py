"""What ``headscape.explain`` found, and the ways to look at it."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from headscape.analysis.roles import Roles
from headscape.analysis.routes import Routes
from headscape.analysis.topology.of_trace import HeadTopology
from headscape.draw.sheet.sheet import draw_sheet
from headscape.explanation.content import fill_sheet
from headscape.explanation.words import caption_of, text_of
from headscape.probe.direct import Direct
from headscape.probe.judge import Judgement
from headscape.probe.knock_out import knock_out
from headscape.probe.results import KnockOuts
from headscape.trace.trace import Trace


@dataclass(frozen=True, eq=False, repr=False)
class Measured:
    """The findings themselves, each as its own function returned it.

    Attributes
    ----------
    trace : Trace
        The pass, with every weight, states and gradients of the score.
    roles : Roles
        What each head looks at, over all examples.
    heads : KnockOuts
        What the score does without each head, in order of call and head.
    judged : Judgement
        How well measures foretell that.
    direct : Direct or None
        What each part adds to the score; None where it could not be followed.
    routes : Routes or None
        The routes to the answer of the drawn example.
    tokens : KnockOuts or None
        What the score does where nobody attends to a token.
    topology : HeadTopology or None
        Of the drawn example.
    """

    trace: Trace
    roles: Roles
    heads: KnockOuts
    judged: Judgement
    direct: Direct | None
    routes: Routes | None
    tokens: KnockOuts | None
    topology: HeadTopology | None


@dataclass(frozen=True, eq=False, repr=False)
class Explanation:
    """What each head of a model is for, on some inputs. Made by :func:`headscape.explain`.

    In a notebook, an Explanation as the last line of a cell shows its figure; :meth:`show` adds the viewer,
    in which heads, edges and tokens can be removed from the running model.

    Attributes
    ----------
    found : Measured
        The findings, each as its own function returned it.
    example : int
        The example whose flow and topology are drawn.
    target : str
        The score that is explained, in words.
    is_own : bool
        Whether that is the similarity of the answer's vector to itself.
    name : str
        What the page calls the model.
    texts : tuple of str
        What the examples are called; may be empty.
    missing : tuple of str
        What is not known, and why, in sentences.
    """

    found: Measured
    example: int
    target: str
    is_own: bool
    name: str
    texts: tuple[str, ...]
    missing: tuple[str, ...]
    _live: tuple[Any, Any, Any, Any] = field(repr=False)

    def __repr__(self) -> str:
        calls = self.found.trace.calls
        heads = sum(call.shape[1] for call in calls)
        many = self.found.trace.batch
        return (
            f"Explanation({self.name or 'model'}: {heads} heads in {len(calls)} layers, "
            f"{many} example{'' if many == 1 else 's'})"
        )

    def strongest(self, most: int = 10) -> list[tuple[int, int]]:
        """Return the heads whose removal moves the score most, as (call, head), the strongest first."""
        parts = [self.found.heads.removals[n].parts[0] for n in self.found.heads.ranked()[:most]]
        return [(int(call), int(head)) for call, head in parts]

    def changes(self) -> tuple[npt.NDArray[np.float64], ...]:
        """Return the mean change of the score when a head is removed, one (head,) array a call."""
        found = self.found.heads
        moved = found.output_change if found.change is None else found.change
        means = moved.astype(np.float64).mean(1)
        ends = np.cumsum([call.shape[1] for call in self.found.trace.calls])
        return tuple(np.split(means, ends[:-1]))

    def correlations(self) -> list[tuple[str, float, float]]:
        """Return (measure, mean rank correlation with the knock-outs, its standard deviation), best first.

        Over examples, -1 to 1; NaN where a measure gives all heads of every example the same number.
        """
        rows = []
        for name in self.found.judged.measures:
            rho = self.found.judged.spearman[name]
            rho = rho[np.isfinite(rho)]
            mean, spread = (float(rho.mean()), float(rho.std())) if len(rho) else (float("nan"),) * 2
            rows.append((name, mean, spread))
        return rows

    def figure(self, *, theme: str = "light", head: tuple[int, int] | None = None) -> Any:
        """Return the page as one Matplotlib Figure, 7 x 9.3 inches, fit for print as PDF or PNG.

        Parameters
        ----------
        theme : str
            ``"light"`` or ``"dark"``.
        head : (int, int), optional
            The head whose topology is drawn, (call, head). Default: the one whose removal moves the score
            most.
        """
        return draw_sheet(fill_sheet(self, head), theme)

    def caption(self) -> str:
        """Return what stands under the figure in a paper: what was measured, on how much, and how."""
        return caption_of(self)

    def text(self) -> str:
        """Return all findings as plain text."""
        return text_of(self)

    def to_html(self, path: str | os.PathLike[str] | None = None, **options: Any) -> Path:
        """Write the interactive page with roles, knock-outs and topology, and return its path.

        Options: those of ``trace.to_html``.
        """
        return self.found.trace.to_html(path, **{**self._shown(), **options})

    def show(self, **options: Any) -> Any:
        """Show the figure and the viewer in a notebook; in a script write the page and print its path.

        In a live notebook the viewer's "knock out" runs the model. Options: those of ``trace.show``.
        """
        return self.found.trace.show(**{**self._shown(), "knock_out": self._ask, **options})

    def _shown(self) -> dict[str, Any]:
        outs = self.found.heads.findings()
        outs += self.found.tokens.findings() if self.found.tokens is not None else []
        given: dict[str, Any] = {
            "roles": self.found.roles, "knock_outs": outs, "title": self.name or None,
            "note": f"explained: {self.target}",
        }  # fmt: skip
        if self.texts:
            given["labels"] = [_short(text) for text in self.texts]
            given["examples"] = list(range(self.found.trace.batch))
        return given

    def _ask(self, request: dict[str, Any]) -> Any:
        """Answer a press on "knock out" in the viewer."""
        model, inputs, target, classes = self._live
        return knock_out(model, inputs, target=target, classes=classes, **request["options"])

    def _repr_html_(self) -> str:
        import base64
        import html
        import io

        file = io.BytesIO()
        self.figure().savefig(file, format="png", dpi=130)
        picture = base64.b64encode(file.getvalue()).decode()
        caption = html.escape(self.caption())
        return (
            f'<figure style="max-width:910px"><img alt="{html.escape(repr(self))}" style="max-width:100%" '
            f'src="data:image/png;base64,{picture}"><figcaption>{caption}</figcaption></figure>'
        )


def _short(text: str, most: int = 60) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1] + "…"
