"""What the heads of all-MiniLM-L6-v2 do on a text, measured on captures as Clark et al. 2019 did on BERT.

    python benchmarks/minilm_heads.py TEXT_FILE [--segments 28] [--tokens 128]

The text is cut into segments of that many tokens, [CLS] and [SEP] among them. Needs headscape[minilm].
Clark et al. 2019, "What Does BERT Look At?", doi:10.18653/v1/W19-4828.
"""

import argparse
import math
from pathlib import Path

import numpy as np
import torch

import headscape
from headscape.demo.minilm import load_minilm

NATS = math.log(2)
# Segments captured at once: all weights are kept.
AT_ONCE = 4
# A head is a sink if its rows put more than this share on one token on average (Gu et al. 2024).
SINK_SHARE = 0.3


def segments(mini, text: str, count: int, length: int) -> tuple[torch.Tensor, list[list[str]]]:
    """Cut a text into ids, (segment, token), and labels, each [CLS] ... [SEP]."""
    found = mini.tokenizer.encode(text, add_special_tokens=False)
    inner = length - 2
    rows = [slice(at, at + inner) for at in range(0, len(found.ids) - inner + 1, inner)][:count]
    if not rows:
        raise SystemExit(f"The text has {len(found.ids)} tokens; one segment takes {inner}.")
    ids = torch.tensor([[101, *found.ids[row], 102] for row in rows])
    return ids, [["[CLS]", *found.tokens[row], "[SEP]"] for row in rows]


def divergences(weights: np.ndarray) -> np.ndarray:
    """Return the Jensen-Shannon divergence of each pair of heads in nats a row, mean over rows.

    ``weights`` is (head, query, key); Clark's smoothing is applied.
    """
    p = (0.999 * weights + 0.001 / weights.shape[-1]).astype(np.float64)
    own = (p * np.log(p)).sum(-1).mean(-1)
    table = np.zeros((len(p), len(p)))
    for one in range(len(p)):
        middle = (p[one] + p[one:]) / 2
        both = (middle * np.log(middle)).sum(-1).mean(-1)
        table[one, one:] = table[one:, one] = (own[one] + own[one:]) / 2 - both
    return table


class Sums:
    """Means over segments of everything that is measured, by layer and head."""

    def __init__(self) -> None:
        self.parts: dict[str, list[np.ndarray]] = {}

    def add(self, name: str, values: np.ndarray) -> None:
        """Add one segment's (layer, head) table, or any other array."""
        self.parts.setdefault(name, []).append(values)

    def mean(self, name: str) -> np.ndarray:
        """Return the mean over segments."""
        return np.mean(self.parts[name], axis=0)


def measure(trace, sums: Sums) -> None:
    """Measure each example of a trace; entropy, distance and [CLS] come from its exact statistics."""
    for example in range(trace.batch):
        labels = np.array(trace.tokens(example))
        stops = np.isin(labels, [".", ","])
        stats = [call.stats for call in trace.calls]
        weights = np.stack([call.weights(example) for call in trace.calls])  # (layer, head, query, key)
        size = weights.shape[-1]
        sums.add("entropy", np.stack([s.entropy[example] for s in stats]).mean(-1) * NATS)
        sums.add("entropy of [CLS]", np.stack([s.entropy[example, :, 0] for s in stats]) * NATS)
        sums.add("distance", np.stack([s.distance[example] for s in stats]).mean(-1))
        received = np.stack([s.received[example] for s in stats]) / size
        sums.add("to [CLS]", np.stack([s.first_key[example] for s in stats]).mean(-1))
        sums.add("to [SEP]", received[..., -1])
        sums.add("to . and ,", received[..., stops].sum(-1))
        sums.add("share of . and ,", stops.mean())
        sums.add("previous", np.trace(weights, -1, 2, 3) / (size - 1))
        sums.add("next", np.trace(weights, 1, 2, 3) / (size - 1))
        sums.add("divergence", divergences(weights.reshape(-1, size, size)))


def show(sums: Sums, count: int, size: int) -> None:
    """Print every measure."""
    print(
        f"{count} segments of {size} tokens; uniform entropy {math.log(size):.2f} nats, uniform distance "
        f"{(size - 1 / size) / 3:.1f} tokens"
    )
    for name in ("entropy", "entropy of [CLS]", "to [CLS]", "to [SEP]", "to . and ,", "distance"):
        table = sums.mean(name)
        by_layer = ", ".join(f"{value:.3f}" for value in table.mean(-1))
        print(f"{name:18} by layer: {by_layer}; largest head {table.max():.3f}")
    print(f"{'':18} . and , are {sums.mean('share of . and ,'):.3f} of the tokens")
    for name in ("previous", "next"):
        table = sums.mean(name)
        layer, head = np.unravel_index(table.argmax(), table.shape)
        print(
            f"strongest head for the {name} token: layer {layer} head {head} ({table.max():.3f}); "
            f"{(table > 0.5).sum()} above one half"
        )
    sinks = sums.mean("to [CLS]") > SINK_SHARE
    print(
        f"heads with more than {SINK_SHARE} on [CLS]: {sinks.mean():.0%}; "
        f"on [SEP]: {(sums.mean('to [SEP]') > SINK_SHARE).mean():.0%}"
    )
    table = sums.mean("divergence")
    layers, heads = sums.mean("entropy").shape
    within = [table[n * heads : (n + 1) * heads, n * heads : (n + 1) * heads] for n in range(layers)]
    pairs = np.triu_indices(heads, 1)
    print(
        "Jensen-Shannon within a layer: "
        + ", ".join(f"{part[pairs].mean():.3f}" for part in within)
        + f"; over all pairs {table[np.triu_indices(layers * heads, 1)].mean():.3f} nats a row"
    )


def main() -> None:
    """Capture, measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("text", type=Path)
    parser.add_argument("--segments", type=int, default=28)
    parser.add_argument("--tokens", type=int, default=128)
    given = parser.parse_args()
    mini = load_minilm()
    ids, labels = segments(mini, given.text.read_text(encoding="utf-8"), given.segments, given.tokens)
    sums = Sums()
    for at in range(0, len(ids), AT_ONCE):
        part = ids[at : at + AT_ONCE]
        with headscape.capture(mini.model, tokens=labels[at : at + AT_ONCE], keep="all", values=False) as run:
            mini.model(input_ids=part, attention_mask=torch.ones_like(part))
        measure(run.trace, sums)
    show(sums, len(ids), given.tokens)


if __name__ == "__main__":
    main()
