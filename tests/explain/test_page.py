"""The page on explanations runs as it stands."""

import re
from pathlib import Path

PAGE = Path(__file__).parents[2] / "docs" / "analysis" / "explain.md"


def test_every_block_of_the_page_runs(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 1
    names: dict[str, object] = {}
    exec(compile(blocks[0], PAGE.name, "exec"), names)
    said = capsys.readouterr().out
    assert "Sequential, 8 heads in 2 layers, on 4 examples, 32 tokens" in said
    assert (tmp_path / "explanation.pdf").read_bytes().startswith(b"%PDF")
