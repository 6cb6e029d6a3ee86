"""Real tweets to US airlines: reading the public file, and fetching it when asked to."""

import csv
import hashlib
import os
import re
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from headscape.demo.corpus import LABELS, Corpus, LabelledText, split
from headscape.errors import FileError, FormatError, OptionError

LABEL_COLUMN = "airline_sentiment"
TEXT_COLUMN = "text"

# "Twitter US Airline Sentiment" (CrowdFlower, 2015; CC BY-NC-SA 4.0) in the 15-column public layout.
ADDRESSES = (
    "https://raw.githubusercontent.com/eidehua/Real-Time-SciVi/"
    "d172fa9b83b3b78ed37b3c39bfc21f9465874ff1/twitter-airline-sentiment/Tweets.csv",
    "https://huggingface.co/datasets/osanseviero/twitter-airline-sentiment/resolve/"
    "ce726d52d5186c4f63ceb57581750ca709c7baaf/Tweets.csv",
)
SHA256 = "31aa9f9f90d9da372d1522b463cd0d43128d274f553dcf10b15fb17cdd71df10"
# The file has 3,421,420 bytes; anything much larger is not it.
LARGEST_BYTES = 8_000_000
TIMEOUT_S = 30
LICENCE = "Twitter US Airline Sentiment, CrowdFlower 2015, CC BY-NC-SA 4.0"

_HANDLE = re.compile(r"@(\w+)")
_AIRLINES = frozenset(
    ["americanair", "delta", "jetblue", "southwestair", "united", "usairways", "virginamerica"]
)
# Longest field that the csv reader takes; a tweet has 140 characters.
_LONGEST_FIELD = 1_000_000


def load_tweets(path: str | os.PathLike[str]) -> Corpus:
    """Read labelled tweets from a CSV file and split them.

    Parameters
    ----------
    path : path
        A UTF-8 CSV file with a header; only the columns ``airline_sentiment`` ("negative", "neutral" or
        "positive") and ``text`` are read, whatever else there is and in whatever order.

    Returns
    -------
    Corpus
        Handles other than the airlines' own are replaced by ``@user`` first, then repeated texts are
        dropped: the public file (14,640 rows) gives 14,427 texts, 11,543 / 1,442 / 1,442 by part.

    Raises
    ------
    FileError
        The file cannot be read.
    FormatError
        It is not UTF-8 CSV, a column or label is not as above, or there are fewer than 30 texts.
    """
    path = Path(path)
    texts = list(_rows(path))
    corpus = split(texts, note=f"real tweets to US airlines ({LICENCE})")
    if len(corpus) < 30:
        raise FormatError(
            f"{path} holds {len(corpus)} different tweets; at least 30 are needed to train and test on. "
            "Pass the whole file."
        )
    return corpus


def _rows(path: Path) -> Iterator[LabelledText]:
    before = csv.field_size_limit(_LONGEST_FIELD)
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            columns = reader.fieldnames or []
            for wanted in (LABEL_COLUMN, TEXT_COLUMN):
                if wanted not in columns:
                    raise FormatError(
                        f"{path} has no column {wanted!r}; it has {', '.join(columns) or 'no header line'}. "
                        f"A CSV file with the columns {LABEL_COLUMN!r} and {TEXT_COLUMN!r} is needed."
                    )
            for row in reader:
                yield _row(path, reader.line_num, row)
    except OSError as error:
        reason = error.strerror or str(error)
        raise FileError(
            f"The tweets cannot be read from {path}: {reason}. Pass the path of the CSV file, or leave "
            "--tweets out to use made-up tweets."
        ) from None
    except UnicodeDecodeError as error:
        raise FormatError(
            f"{path} is not UTF-8 text (byte {error.start} of a piece). Save it as UTF-8 CSV."
        ) from None
    except csv.Error as error:
        raise FormatError(f"{path} is not CSV near line {reader.line_num}: {error}.") from None
    finally:
        csv.field_size_limit(before)


def _row(path: Path, line: int, row: dict[str, str | None]) -> LabelledText:
    label = (row[LABEL_COLUMN] or "").strip()
    text = row[TEXT_COLUMN]
    if label not in LABELS:
        raise FormatError(
            f"{path}, line {line}: {LABEL_COLUMN} is {label!r}; it must be one of {', '.join(LABELS)}."
        )
    if not text or not text.strip():
        raise FormatError(f"{path}, line {line}: the text is empty. Remove the row or fill it in.")
    return LabelledText(hide_names(text), LABELS.index(label))


def hide_names(text: str) -> str:
    """Replace every handle but the airlines' own by ``@user``: people's names are nobody's business here."""
    return _HANDLE.sub(lambda found: found[0] if found[1].lower() in _AIRLINES else "@user", text)


def cache_folder() -> Path:
    """The folder where this platform keeps what can be fetched again."""
    if sys.platform == "win32":
        root = os.environ.get("LOCALAPPDATA") or str(Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        root = str(Path.home() / "Library" / "Caches")
    else:
        root = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(root) / "headscape"


def download_tweets(*, folder: Path | None = None, addresses: tuple[str, ...] = ADDRESSES) -> Path:
    """Fetch the public file of real tweets once and return where it lies.

    Nothing is sent but the request. The file is checked against a known SHA-256 before it is kept;
    a checked copy that is already there is used without any network.

    Parameters
    ----------
    folder : Path, optional
        Where to keep it. Default: :func:`cache_folder`.
    addresses : tuple of str
        Where to look, in this order; https only.

    Raises
    ------
    FileError
        No address gave the file, or it could not be kept; the message says why and what else to do.
    """
    target = (folder or cache_folder()) / "airline_tweets.csv"
    try:
        if target.is_file() and hashlib.sha256(target.read_bytes()).hexdigest() == SHA256:
            return target
    except OSError:
        pass  # an unreadable copy is fetched again
    failures = []
    for address in addresses:
        try:
            data = _fetch(address)
        except (OSError, FormatError, ValueError) as error:
            failures.append(f"{urllib.parse.urlsplit(address).hostname}: {_reason(error)}")
        else:
            return _keep(data, target)
    raise FileError(
        f"The airline tweets could not be downloaded ({'; '.join(failures)}). Check the network, or get the "
        "file 'Tweets.csv' of the data set 'Twitter US Airline Sentiment' by hand and run: "
        "headscape demo --tweets Tweets.csv. Without either option the demo uses made-up tweets."
    )


class _HttpsOnly(urllib.request.HTTPRedirectHandler):
    def redirect_request(
        self, req: urllib.request.Request, fp: object, code: int, msg: str, headers: object, newurl: str
    ) -> urllib.request.Request | None:
        _expect_https(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


def _expect_https(address: str) -> None:
    if urllib.parse.urlsplit(address).scheme != "https":
        raise OptionError(f"{address} is not an https address")


def _fetch(address: str) -> bytes:
    _expect_https(address)
    opener = urllib.request.build_opener(_HttpsOnly)
    request = urllib.request.Request(address, headers={"User-Agent": "headscape"})  # noqa: S310 - https only
    with opener.open(request, timeout=TIMEOUT_S) as answer:
        data: bytes = answer.read(LARGEST_BYTES + 1)
    if len(data) > LARGEST_BYTES:
        raise FormatError(f"more than {LARGEST_BYTES:,} bytes came; the file has 3,421,420")
    found = hashlib.sha256(data).hexdigest()
    if found != SHA256:
        raise FormatError(f"another file came (SHA-256 {found[:12]}..., wanted {SHA256[:12]}...)")
    return data


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.URLError) and not isinstance(error, urllib.error.HTTPError):
        return str(getattr(error.reason, "strerror", None) or error.reason)
    return str(error)


def _keep(data: bytes, target: Path) -> Path:
    partial = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        partial.write_bytes(data)
        partial.replace(target)
    except OSError as error:
        raise FileError(
            f"The airline tweets came, but could not be kept in {target.parent}: {error.strerror or error}. "
            "Make the folder writable, or set XDG_CACHE_HOME to one that is."
        ) from None
    return target
