"""Draw the figures of docs/analysis/topology.md from MiniLM: one head beside its graph, and all heads.

Run: python scripts/topology_figures.py [FOLDER]. Needs the extras minilm and topology.
"""

import sys
from pathlib import Path

import torch

from headscape.analysis.topology.of_trace import head_topology
from headscape.demo.minilm import join_texts, load_minilm
from headscape.draw.topology import draw_head, draw_layers
from headscape.intercept.run import capture

TEXT = (
    "We were told that the crew would bring water, but nobody came until the plane had landed in Boston. "
    "My bag was lost, and the hotel that they promised was full."
)
LAYER, HEAD = 1, 4  # a head of MiniLM with a sink, chains of neighbours, and cycles of some length


def main() -> None:
    """Write both figures into the folder."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "docs/img")
    mini = load_minilm()
    ids, labels, _ = mini.labels(TEXT)
    tokens, mask = join_texts([ids])
    with capture(mini.model, keep="all", tokens=[labels]) as run, torch.no_grad():
        mini.model(input_ids=tokens, attention_mask=mask)
    found = head_topology(run.trace, h1=True)
    draw_head(found, LAYER, HEAD, beside=run.trace).savefig(folder / "topology_head.png")
    draw_layers(found).savefig(folder / "topology_layers.png")
    print(f"wrote topology_head.png and topology_layers.png into {folder}")


if __name__ == "__main__":
    main()
