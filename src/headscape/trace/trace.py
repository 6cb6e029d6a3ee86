"""Everything one forward pass did."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headscape.errors import NoAttentionError, expect_index
from headscape.trace.call import AttentionCall
from headscape.trace.joins import verb
from headscape.trace.outputs import Outputs
from headscape.trace.sides import Side

if TYPE_CHECKING:
    from headscape.trace.call import Flags


@dataclass(frozen=True, eq=False, repr=False)
class Trace:
    """What the attention of a model did in one forward pass.

    Attributes
    ----------
    calls : tuple of AttentionCall
        In order of execution.
    sides : tuple of Side
        The sequences of tokens the calls' rows and columns stand for.
    outputs : Outputs or None
        The model's answer; None where the output is no table of scores.
    warnings : tuple of str
        What was not captured, and why.
    model : str
        Class name of the model.
    step : int or None
        Number of this trace among those of one wrapper or capture, from 1.
    """

    calls: tuple[AttentionCall, ...]
    sides: tuple[Side, ...]
    outputs: Outputs | None = None
    warnings: tuple[str, ...] = ()
    model: str = ""
    step: int | None = None

    def __repr__(self) -> str:
        sides = ", ".join(f"{side.name} of {side.length}" for side in self.sides)
        return (
            f"Trace({self.model or 'model'}: {len(self.calls)} attention calls, {self.batch} examples, "
            f"{sides}, outputs={self.outputs!r}, {len(self.warnings)} warnings)"
        )

    @property
    def batch(self) -> int:
        """Number of examples in the pass."""
        return self.calls[0].shape[0] if self.calls else 0

    def tokens(self, example: int = 0, side: int = 0) -> list[str]:
        """Labels of one example's tokens; positions as text where no labels were given."""
        expect_index("trace", "example", example, self.batch)
        return self.sides[expect_index("trace", "side", side, len(self.sides))].tokens(example)

    def padded(self, example: int = 0, side: int = 0) -> Flags:
        """Return which tokens of a side are padding, (token,) bool, as far as any call's mask tells."""
        index = expect_index("trace", "side", side, len(self.sides))
        of_queries = [c.padded(example) for c in self.calls if c.query_side == index]
        of_keys = [c.padded_keys(example) for c in self.calls if c.key_side == index]
        return (of_queries or of_keys)[0]

    def _seen(self) -> Trace:
        """Return the trace itself; without a call there is nothing to draw, and the reason is the error."""
        if not self.calls:
            raise NoAttentionError(" ".join(self.warnings) or "this trace has no attention calls.")
        return self

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the whole trace to one file, which :func:`headscape.load` reads without torch or pickle.

        Raises
        ------
        FileError
            The file could not be written; the trace itself is untouched.
        """
        from headscape.trace.file import save

        return save(self, path)

    def graph(self, example: int = 0, **options: Any) -> Any:
        """Return the :class:`headscape.graph.Graph` of one example.

        Options: ``direction``, ``heads``, ``scale`` and ``layers``, as in
        :func:`headscape.graph.build.build_graph`.
        """
        return verb("graph")(self._seen(), example, **options)

    def figure(self, example: int | None = None, **options: Any) -> Any:
        """Return a 3D Matplotlib Figure of one example.

        Options: ``heads``, ``scale``, ``prune``, ``layout``, ``direction``, ``layers``, ``view`` ("3d",
        "front", "layer", or a viewer's state: what it shows, from the same camera), ``theme``, ``figsize``,
        ``title`` and ``seed``, as in
        :func:`headscape.draw.figure.draw_figure`.
        """
        return verb("figure")(self._seen(), example, **options)

    def to_html(self, path: str | os.PathLike[str] | None = None, **options: Any) -> Path:
        """Write one offline page that shows this trace, and return its path.

        Options: ``examples``, ``labels``, ``against``, ``title``, ``note``, ``view``, ``layout``, ``roles``,
        ``knock_outs`` and ``topology``, as in :func:`headscape.view.page.write_page`.
        """
        written: Path = verb("to_html")(self._seen(), path, **options)
        return written

    def show(self, **options: Any) -> Any:
        """Show this trace: as a widget in a notebook, as a file whose path is printed in a script.

        Options: ``examples``, ``labels``, ``against``, ``title``, ``note``, ``view``, ``layout``, ``roles``,
        ``knock_outs``, ``knock_out``, ``topology`` and ``path``, as in :func:`headscape.view.show.show`.
        """
        return verb("show")(self._seen(), **options)

    def widget(self, **options: Any) -> Any:
        """Return the viewer as a notebook widget that Python can talk to.

        Options: those of :meth:`to_html`, and ``knock_out``, a function that runs the model without what is
        selected, as in :class:`headscape.view.widget.Widget`.

        Raises
        ------
        MissingExtraError
            anywidget is not installed; the message names the command.
        """
        return verb("widget")(self._seen(), **options)
