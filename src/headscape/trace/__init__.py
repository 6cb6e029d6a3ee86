"""What one forward pass did, as NumPy arrays; readable where torch is not installed."""

from headscape.trace.call import AttentionCall
from headscape.trace.file import load
from headscape.trace.outputs import Outputs
from headscape.trace.sides import Side
from headscape.trace.states import CallStates, Norm
from headscape.trace.stats import CallStats, TokenFlow
from headscape.trace.trace import Trace

__all__ = [
    "AttentionCall",
    "CallStates",
    "CallStats",
    "Norm",
    "Outputs",
    "Side",
    "TokenFlow",
    "Trace",
    "load",
]
