"""The page on topology says what comes out."""

import doctest
import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[3] / "docs" / "analysis" / "topology.md"


def run_page(text):
    """Run the examples of a page; return (failed, tried) and what was said of failures."""
    said = []
    # A fence right behind an example's result would be taken for a part of it.
    plain = re.sub(r"^```.*$", "", text, flags=re.MULTILINE)
    test = doctest.DocTestParser().get_doctest(plain, {}, "topology.md", str(PAGE), 0)
    runner = doctest.DocTestRunner(verbose=False)
    runner.run(test, out=said.append)
    return tuple(runner.summarize(verbose=False))[:2], "".join(said)


@pytest.mark.usefixtures("ripser")
def test_every_example_of_the_page_gives_what_it_says():
    (failed, tried), said = run_page(PAGE.read_text(encoding="utf-8"))
    assert tried > 25
    assert failed == 0, said


def test_a_wrong_example_is_noticed():
    (failed, tried), _ = run_page("```python\n>>> 1 + 1\n3\n```\n")
    assert (failed, tried) == (1, 1)
