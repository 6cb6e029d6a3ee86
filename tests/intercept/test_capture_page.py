"""Every snippet of docs/capture.md runs, in order, and says what is true."""

import re
from pathlib import Path

import pytest
import torch

from headscape.intercept.keeping import Keeping

PAGE = Path(__file__).parents[2] / "docs" / "capture.md"


def blocks(text):
    return re.findall(r"```python\n(.*?)```", text, re.DOTALL)


@pytest.mark.filterwarnings("ignore:.*FutureWarning")
def test_every_snippet_runs():
    torch.manual_seed(0)
    names = {}
    snippets = blocks(PAGE.read_text(encoding="utf-8"))
    assert len(snippets) == 7
    for snippet in snippets:
        exec(compile(snippet, str(PAGE), "exec"), names)
    assert names["call"].path == "layers.0.self_attn"
    assert names["trace"].tokens() == list("abcde")
    assert names["share"].shape == (4, 5)


def test_every_way_to_keep_that_the_page_names_is_one():
    table = PAGE.read_text(encoding="utf-8").split("## What is kept")[1].split("```")[0]
    cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| `")]
    named = [eval(code) for cell in cells[1:] for code in re.findall(r"`([^`]+)`", cell)]
    assert named[0] == "auto"
    assert {Keeping.of(keep).rule for keep in named[1:]} == {"all", "top_k", "threshold", "nucleus"}


def test_a_snippet_that_is_wrong_fails():
    (snippet,) = blocks("```python\nassert 1 + 1 == 3\n```")
    with pytest.raises(AssertionError):
        exec(snippet, {})


def test_the_tests_that_the_page_points_to_are_there():
    found = {path.name for path in Path(__file__).parent.glob("test_situations_*.py")}
    assert len(found) >= 6
    assert all("def test_" in (Path(__file__).parent / name).read_text(encoding="utf-8") for name in found)
