"""Real tweets to US airlines: reading the public file, and fetching it when asked to."""

import csv
import os
import re
from collections.abc import Iterator
from pathlib import Path

from headscape.demo.corpus import LABELS, Corpus, LabelledText, split
from headscape.demo.fetch import PublicFile, fetch_file
from headscape.errors import FileError, FormatError

LABEL_COLUMN = "airline_sentiment"
TEXT_COLUMN = "text"

# "Twitter US Airline Sentiment" (CrowdFlower, 2015; CC BY-NC-SA 4.0) in the 15-column public layout.
TWEETS = PublicFile(
    name="airline_tweets.csv",
    title="The airline tweets",
    sha256="31aa9f9f90d9da372d1522b463cd0d43128d274f553dcf10b15fb17cdd71df10",
    size=3_421_420,
    addresses=(
        "https://raw.githubusercontent.com/eidehua/Real-Time-SciVi/"
        "d172fa9b83b3b78ed37b3c39bfc21f9465874ff1/twitter-airline-sentiment/Tweets.csv",
        "https://huggingface.co/datasets/osanseviero/twitter-airline-sentiment/resolve/"
        "ce726d52d5186c4f63ceb57581750ca709c7baaf/Tweets.csv",
    ),
)
_OTHERWISE = (
    "Check the network, or get the file 'Tweets.csv' of the data set 'Twitter US Airline Sentiment' by hand "
    "and run: headscape demo --tweets Tweets.csv. Without either option the demo uses made-up tweets."
)
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


def download_tweets(*, folder: Path | None = None) -> Path:
    """Fetch the public file of real tweets once and return where it lies; see :func:`fetch_file`."""
    return fetch_file(TWEETS, folder=folder, otherwise=_OTHERWISE)
