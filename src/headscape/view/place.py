"""Where this program runs: a Jupyter kernel, marimo, or neither."""

import sys
from typing import Any


def notebook_shell() -> Any | None:
    """Return IPython's shell when this code runs in a notebook kernel, else None. Never loads IPython."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None and hasattr(ipython, "get_ipython") else None
    return shell if hasattr(shell, "kernel") else None


def in_marimo() -> bool:
    """Tell whether a cell of marimo runs this. Never loads marimo."""
    marimo = sys.modules.get("marimo")
    return marimo is not None and hasattr(marimo, "running_in_notebook") and marimo.running_in_notebook()
