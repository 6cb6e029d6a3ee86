"""The viewer's script, as the build put it into the package."""

import base64
import hashlib
import os
import re
from functools import lru_cache
from pathlib import Path

from headscape.errors import MissingBundleError

PATH = Path(__file__).parent / "static" / "viewer.js"
# What a notebook widget adds to it, and what the page of `headscape serve` adds: the only script that asks a
# server for anything.
_WIDGET, _SERVED = "widget.js", "served.js"
# An HTML parser ends a script at "</script" and may swallow the rest of the page after "<!--". Both occur in
# strings and regular expressions only, where \x3C is the same "<".
_ENDS_SCRIPT = re.compile(r"<(?=/script|!--)", re.IGNORECASE)


def read_script() -> str:
    """Return the viewer's script, safe inside an inline ``<script>``.

    Raises
    ------
    MissingBundleError
        This installation was built without it.
    """
    try:
        changed = PATH.stat().st_mtime_ns
    except OSError:
        raise MissingBundleError(
            "No page can be made: this headscape was built without its viewer (HEADSCAPE_SKIP_VIEWER was "
            "set, or it was never built). Capture, graphs and trace.figure() work. For the page install the "
            "published wheel, or run `make viewer` in the checkout."
        ) from None
    return _read(os.fspath(PATH), changed)


def read_module() -> str:
    """Return the viewer as a module for notebook widgets: the page's script, and what it exports."""
    # Taken at once, since a notebook may hold widgets of several versions.
    return f"{read_script()}\n{_read_beside(_WIDGET)}\nexport default globalThis.headscape.widget;\n"


def read_served_script() -> str:
    """Return the script of the served page, which is a file of its own there."""
    return _read_beside(_SERVED)


def _read_beside(name: str) -> str:
    read_script()  # says what is missing
    return PATH.with_name(name).read_text(encoding="utf-8")


@lru_cache(maxsize=1)
def _read(path: str, changed: int) -> str:
    text = Path(path).read_text(encoding="utf-8")
    # The HTML parser changes a BOM and carriage returns, and then the policy's hash would not match.
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    return _ENDS_SCRIPT.sub(r"\\x3C", text)


def policy_hash(script: str) -> str:
    """Return the Content-Security-Policy source that allows exactly this inline script."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
