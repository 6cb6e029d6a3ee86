"""Measures that have to run the model."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headscape.probe.direct import Direct
    from headscape.probe.evidence import judging_trace
    from headscape.probe.judge import Judgement
    from headscape.probe.knock_out import Knocker
    from headscape.probe.results import KnockOuts

# Looked up when first used: nobody pays for the measures that are not asked for.
_HOMES = {
    "Direct": "headscape.probe.direct",
    "Judgement": "headscape.probe.judge",
    "KnockOuts": "headscape.probe.results",
    "Knocker": "headscape.probe.knock_out",
    "judging_trace": "headscape.probe.evidence",
}

__all__ = [
    "Direct",
    "Judgement",
    "KnockOuts",
    "Knocker",
    "judging_trace",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(__all__)}.")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
