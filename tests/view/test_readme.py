"""The README's Python runs as it stands, once there is something to run it on."""

import re
from pathlib import Path

import matplotlib as mpl
import torch

import headscape

README = Path(__file__).parents[2] / "README.md"


class Classifier(torch.nn.Module):
    """Four words in, three classes out."""

    def __init__(self) -> None:
        super().__init__()
        self.words = torch.nn.Embedding(10, 8)
        layer = torch.nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.encoder = torch.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = torch.nn.Linear(8, 3)

    def forward(self, ids):
        return self.head(self.encoder(self.words(ids)).mean(1))


def test_the_readme_runs(script, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(blocks) == 2
    torch.manual_seed(0)
    names = {
        "src": torch.randn(1, 5, 512),
        "tgt": torch.randn(1, 4, 512),
        "model": Classifier(),
        "ids": torch.tensor([[1, 2, 3, 4]]),
    }
    second = Classifier()
    with headscape.capture(second, tokens=["i", "love", "this", "airline"]) as run:
        second(names["ids"])
    names["other"] = run.trace
    with mpl.rc_context():
        for block in blocks:
            exec(block, names)
    written = {path.name for path in tmp_path.iterdir()}
    assert {
        "headscape.html",
        "attention.html",
        "attention.pdf",
        "attention.headscape",
        "change.html",
    } <= written
    assert names["trace"].tokens() == ["i", "love", "this", "airline"]
