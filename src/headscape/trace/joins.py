"""The one seam by which a Trace reaches the parts above it.

``trace.figure()`` must work for a person who knows only the trace, but this part imports nothing above
itself. The verbs are therefore named here as text and looked up when they are first called; the test of
import directions knows this file and no other.
"""

import importlib
from collections.abc import Callable
from typing import Any

VERBS = {
    "graph": "headscape.graph.build:build_graph",
    "figure": "headscape.draw.figure:draw_figure",
    "to_html": "headscape.view.page:write_page",
    "show": "headscape.view.show:show",
    "widget": "headscape.view.widget:make_widget",
}


def verb(name: str) -> Callable[..., Any]:
    """Return the function behind ``trace.<name>()``."""
    module, _, function = VERBS[name].partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return found
