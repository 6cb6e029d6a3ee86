"""The notebook around this program, if there is one: which it is, and showing something in its cell."""

import html
import os
import sys
import uuid
from typing import Any

from headscape.errors import MissingExtraError

# Height of the viewer in a notebook cell: a 16:10 view in a cell of common width.
HEIGHT_PX = 640


def notebook_shell() -> Any | None:
    """Return IPython's shell when this code runs in a notebook kernel, else None. Never loads IPython."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None and hasattr(ipython, "get_ipython") else None
    return shell if hasattr(shell, "kernel") else None


def in_marimo() -> bool:
    """Tell whether a cell of marimo runs this. Never loads marimo."""
    marimo = sys.modules.get("marimo")
    return marimo is not None and hasattr(marimo, "running_in_notebook") and marimo.running_in_notebook()


def find_widget_class() -> Any | None:
    """Return :class:`headscape.view.widget.Widget`, or None where anywidget is not installed."""
    try:
        from headscape.view.widget import Widget
    except MissingExtraError:
        return None
    return Widget


def new_display_id() -> str:
    """Return a name for an output that will be replaced."""
    return f"headscape-{uuid.uuid4().hex}"


def _keeps_outputs_apart() -> bool:
    """Tell whether the viewer can hide the picture beneath it: in Jupyter's own front ends."""
    return not ("VSCODE_PID" in os.environ or "VSCODE_CWD" in os.environ or "google.colab" in sys.modules)


def display_widget(widget: Any, still_id: str | None = None) -> None:
    """Show a widget, and a still picture beneath it that the running widget hides.

    A saved notebook that names a widget shows nothing else of that output, whether the widget can run or
    not; so the picture is an output of its own.
    """
    if in_marimo():
        import marimo

        marimo.output.append(widget)
        return
    from IPython.display import display

    if not _keeps_outputs_apart():
        display(widget)  # type: ignore[no-untyped-call]
        return
    data, metadata = widget.live()
    display(data, metadata=metadata, raw=True)  # type: ignore[no-untyped-call]
    update_still(widget, still_id or new_display_id(), update=False)


def update_still(widget: Any, display_id: str, *, update: bool = True) -> None:
    """Show the picture of what a widget holds now."""
    if in_marimo() or not _keeps_outputs_apart():
        return
    from IPython.display import display

    data, metadata = widget.still()
    display(data, metadata=metadata, raw=True, display_id=display_id, update=update)  # type: ignore[no-untyped-call]


def iframe(page: str, title: str) -> str:
    """Return a page as an inline frame: its script runs, but cannot reach the notebook around it."""
    return (
        f'<iframe sandbox="allow-scripts" srcdoc="{html.escape(page)}" title="{html.escape(title)}" '
        f'width="100%" height="{HEIGHT_PX}" style="border:0;width:100%;height:{HEIGHT_PX}px"></iframe>'
    )


def display_page(page: str, title: str, text: str, display_id: str, *, update: bool = False) -> None:
    """Show a page in a frame of its own."""
    if in_marimo():
        import marimo

        (marimo.output.replace if update else marimo.output.append)(marimo.Html(iframe(page, title)))
        return
    from IPython.display import display

    bundle = {"text/html": iframe(page, title), "text/plain": text}
    display(bundle, raw=True, display_id=display_id, update=update)  # type: ignore[no-untyped-call]
