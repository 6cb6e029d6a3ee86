"""Interception of a running model.

The folder is not called ``capture``: a package of that name would hide the function ``headscape.capture``.
"""

from headscape.intercept.run import Run, capture

__all__ = ["Run", "capture"]
