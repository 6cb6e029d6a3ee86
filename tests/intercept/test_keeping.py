"""What `keep` takes."""

import numpy as np
import pytest

from headscape.errors import OptionError
from headscape.intercept.keeping import Keeping


@pytest.mark.parametrize(
    ("keep", "expected"),
    [
        ("all", Keeping("all")),
        (3, Keeping("top_k", 3)),
        (np.int64(3), Keeping("top_k", 3)),
        ({"top_k": 16}, Keeping("top_k", 16)),
        ({"threshold": 1}, Keeping("threshold", 1.0)),
        ({"threshold": np.float32(0.5)}, Keeping("threshold", 0.5)),
        ({"nucleus": 0.9}, Keeping("nucleus", 0.9)),
        (Keeping("top_k", 2), Keeping("top_k", 2)),
    ],
    ids=str,
)
def test_reads_what_a_user_passes(keep, expected):
    assert Keeping.of(keep) == expected


@pytest.mark.parametrize(
    "keep",
    [
        0, -1, True, 2.5, None, "most", {}, {"top_k": 0}, {"top_k": 1.5}, {"top_k": True}, {"threshold": 0},
        {"threshold": 1.01}, {"threshold": "half"}, {"nucleus": 0.0}, {"nucleus": float("nan")},
        {"nucleus": True}, {"top": 3}, {"top_k": 3, "threshold": 0.1}, [3],
    ],
    ids=str,
)  # fmt: skip
def test_anything_else_is_answered_with_what_there_is(keep):
    with pytest.raises(OptionError, match=r'takes "auto", "all" or a number.*threshold.*nucleus') as found:
        Keeping.of(keep)
    assert repr(keep) in str(found.value)
