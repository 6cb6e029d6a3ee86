"""The examples of docs/analysis/heads.md give what they say."""

import doctest
import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "analysis" / "heads.md"


def run_blocks(text):
    """Run the examples of a page in one namespace and return how many there were and what failed."""
    source = "\n".join(re.findall(r"```python\n(.*?)```", text, re.DOTALL))
    test = doctest.DocTestParser().get_doctest(source, {}, "page", "page", 0)
    said = []
    done = doctest.DocTestRunner(verbose=False).run(test, out=said.append)
    return done.attempted, "".join(said)


def test_every_example_of_the_page_gives_what_it_says():
    attempted, said = run_blocks(PAGE.read_text(encoding="utf-8"))
    assert said == ""
    assert attempted >= 30


def test_a_wrong_example_is_found():
    attempted, said = run_blocks("```python\n>>> 1 + 1\n3\n\n```\n")
    assert attempted == 1
    assert "Expected:\n    3\nGot:\n    2" in said
