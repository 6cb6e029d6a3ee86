"""See what the attention of any PyTorch transformer does, without changing the model."""

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from headscape.errors import CaptureWarning, HeadscapeError
    from headscape.graph import Graph
    from headscape.intercept import Run, capture
    from headscape.probe.judge import judge
    from headscape.probe.knock_out import knock_out
    from headscape.trace import AttentionCall, Trace, load
    from headscape.wrapper import Wrapper

# Loaded when first used, so that importing headscape costs nothing and a saved trace opens without torch.
_HOMES = {
    "AttentionCall": "headscape.trace",
    "CaptureWarning": "headscape.errors",
    "Graph": "headscape.graph",
    "HeadscapeError": "headscape.errors",
    "Run": "headscape.intercept",
    "Trace": "headscape.trace",
    "Wrapper": "headscape.wrapper",
    "capture": "headscape.intercept",
    "errors": "headscape",
    "judge": "headscape.probe.judge",
    "knock_out": "headscape.probe.knock_out",
    "load": "headscape.trace",
}

__all__ = [
    "AttentionCall",
    "CaptureWarning",
    "Graph",
    "HeadscapeError",
    "Run",
    "Trace",
    "Wrapper",
    "__version__",
    "capture",
    "judge",
    "knock_out",
    "load",
]


def __getattr__(name: str) -> Any:
    if name == "errors":
        return importlib.import_module("headscape.errors")
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module 'headscape' has no attribute {name!r}; it has {', '.join(__all__)}.")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
