"""Public files that a demo fetches when asked to: from pinned addresses, checked before they are kept."""

import hashlib
import os
import sys
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from headscape.errors import FileError, FormatError, OptionError

TIMEOUT_S = 30


@dataclass(frozen=True)
class PublicFile:
    """One public file.

    Attributes
    ----------
    name : str
        What it is kept as.
    title : str
        What messages begin with: "The airline tweets".
    sha256 : str
        Its checksum.
    size : int
        Its bytes; twice as many are the most that is read.
    addresses : tuple of str
        Where to look, in this order; https only.
    """

    name: str
    title: str
    sha256: str
    size: int
    addresses: tuple[str, ...]


def cache_folder() -> Path:
    """The folder where this platform keeps what can be fetched again."""
    if sys.platform == "win32":
        root = os.environ.get("LOCALAPPDATA") or str(Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        root = str(Path.home() / "Library" / "Caches")
    else:
        root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root) / "headscape"


def fetch_file(wanted: PublicFile, *, folder: Path | None = None, otherwise: str) -> Path:
    """Fetch a public file once and return where it lies.

    Nothing is sent but the request. The file is checked against its SHA-256 before it is kept; a checked copy
    that is already there is used without any network.

    Parameters
    ----------
    wanted : PublicFile
        Which.
    folder : Path, optional
        Where to keep it. Default: :func:`cache_folder`.
    otherwise : str
        What else the user can do, as sentences for the message.

    Raises
    ------
    FileError
        No address gave the file, or it could not be kept; the message says why and what else to do.
    """
    target = (folder or cache_folder()) / wanted.name
    try:
        if target.is_file() and hashlib.sha256(target.read_bytes()).hexdigest() == wanted.sha256:
            return target
    except OSError:
        pass  # an unreadable copy is fetched again
    failures = []
    for address in wanted.addresses:
        try:
            data = _fetch(address, wanted)
        except (OSError, FormatError, ValueError) as error:
            failures.append(f"{urllib.parse.urlsplit(address).hostname}: {_reason(error)}")
        else:
            return _keep(data, target, wanted)
    raise FileError(f"{wanted.title} could not be downloaded ({'; '.join(failures)}). {otherwise}")


class _HttpsOnly(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: object, code: int, msg: str, headers: object, newurl: str
    ) -> urllib.request.Request | None:
        _expect_https(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


def _expect_https(address: str) -> None:
    if urllib.parse.urlsplit(address).scheme != "https":
        raise OptionError(f"{address} is not an https address")


def _fetch(address: str, wanted: PublicFile) -> bytes:
    _expect_https(address)
    opener = urllib.request.build_opener(_HttpsOnly)
    request = urllib.request.Request(address, headers={"User-Agent": "headscape"})  # noqa: S310 - https only
    most = 2 * wanted.size
    with opener.open(request, timeout=TIMEOUT_S) as answer:
        data: bytes = answer.read(most + 1)
    if len(data) > most:
        raise FormatError(f"more than {most:,} bytes came; the file has {wanted.size:,}")
    found = hashlib.sha256(data).hexdigest()
    if found != wanted.sha256:
        raise FormatError(f"another file came (SHA-256 {found[:12]}..., wanted {wanted.sha256[:12]}...)")
    return data


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.URLError) and not isinstance(error, urllib.error.HTTPError):
        return str(getattr(error.reason, "strerror", None) or error.reason)
    return str(error)


def _keep(data: bytes, target: Path, wanted: PublicFile) -> Path:
    partial = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(data)
        partial.replace(target)
    except OSError as error:
        raise FileError(
            f"{wanted.title} came, but could not be kept in {target.parent}: {error.strerror or error}. "
            "Make the folder writable, or set XDG_CACHE_HOME to one that is."
        ) from None
    return target
