"""The pages on knock-outs run as they stand."""

import re
from pathlib import Path

import pytest

PAGES = Path(__file__).parents[2] / "docs" / "analysis"


@pytest.mark.parametrize(
    ("page", "blocks", "says"),
    [("knock_outs.md", 6, "layer 1 head"), ("judged.md", 1, "8 heads of 2 examples")],
)
def test_every_block_of_a_page_runs(page, blocks, says, capsys):
    found = re.findall(r"```python\n(.*?)```", (PAGES / page).read_text(encoding="utf-8"), re.DOTALL)
    assert len(found) == blocks
    names: dict[str, object] = {}
    for number, block in enumerate(found):
        exec(compile(block, f"{page}, block {number}", "exec"), names)
    assert says in capsys.readouterr().out
    if page == "knock_outs.md":
        assert names["account"].method == "exact"
        total = sum(names["parts"].values())
        assert total == pytest.approx(float(names["account"].score[0]), abs=1e-5)
