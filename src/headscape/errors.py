"""Every exception and warning of headscape, and the checks that raise them.

A message says what was seen, what was wanted and what to do about it. Each class also inherits the
built-in exception a caller would expect, so ``except ValueError`` keeps working.
"""

import difflib
from collections.abc import Iterable


class HeadscapeError(Exception):
    """Base of everything headscape raises on purpose."""


class ShapeError(HeadscapeError, ValueError):
    """An array has the wrong axes or values outside their range."""


class LabelError(HeadscapeError, ValueError):
    """Labels do not fit what they label."""


class OptionError(HeadscapeError, ValueError):
    """A named choice does not exist, or options contradict each other."""


class NotKeptError(HeadscapeError, LookupError):
    """A number was asked for that the capture did not keep."""


class NoAttentionError(HeadscapeError, RuntimeError):
    """A forward pass ran and no attention was seen in it."""


class CaptureError(HeadscapeError, RuntimeError):
    """Headscape's own work during a captured pass failed (raised only with ``strict=True``)."""


class ConflictError(HeadscapeError, TypeError):
    """The wrapped module already uses a name that the wrapper needs."""


class FormatError(HeadscapeError, ValueError):
    """Bytes or a file are not what they claim to be."""


class FileError(HeadscapeError, OSError):
    """A file could not be read or written."""


class MissingExtraError(HeadscapeError, ImportError):
    """An optional library is needed for this and is not installed."""


class MissingBundleError(HeadscapeError, RuntimeError):
    """This installation was built without the viewer, so no page can be made."""


class CaptureWarning(UserWarning):
    """Something could not be captured; the model's own result is not touched."""


def expect_option(owner: str, name: str, value: object, options: Iterable[str]) -> None:
    """Raise :class:`OptionError` unless ``value`` is one of ``options``.

    Parameters
    ----------
    owner, name : str
        Whose option it is and what it is called.
    value : object
        What the caller passed.
    options : iterable of str
        What there is to choose from; the message lists it and guesses at a misspelling.
    """
    known = list(options)
    if isinstance(value, str) and value in known:
        return
    near = difflib.get_close_matches(str(value), known, n=1)
    guess = f" Did you mean {near[0]!r}?" if near else ""
    raise OptionError(f"{owner} has no {name} {value!r}; there is {', '.join(map(repr, known))}.{guess}")


def expect_index(owner: str, name: str, value: int, length: int) -> int:
    """Return ``value`` as an index from 0 to ``length - 1`` (negative counts from the end).

    Raises
    ------
    OptionError
        There is no such index.
    """
    index = value + length if value < 0 else value
    if not 0 <= index < length:
        raise OptionError(
            f"{owner} has {length} of {name} (0 to {length - 1}), so there is no {name} {value}."
        )
    return index
