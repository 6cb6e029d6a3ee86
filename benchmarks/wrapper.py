"""What a wrapper costs when it is off, and a captured pass when it is on, beside the plain module.

Run: python benchmarks/wrapper.py [--rounds 15]. Every round runs each way once, in turn.
"""

import argparse
import os
import platform
import statistics
import time

import torch
from torch import nn

import headscape

SIZES = (16, 128, 512)  # tokens in each of 4 examples


def make() -> nn.TransformerEncoder:
    """Return the paper's kind of encoder, wide enough that its own work is not nothing."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(512, 8, 2048, batch_first=True)
    return nn.TransformerEncoder(layer, 6).eval()


def needing_weights(model: nn.TransformerEncoder, x: torch.Tensor) -> list[torch.Tensor]:
    """Return what people do today: every layer by hand with need_weights=True, all matrices kept."""
    kept = []
    for layer in model.layers:
        mixed, weights = layer.self_attn(x, x, x, need_weights=True, average_attn_weights=False)
        kept.append(weights)
        x = layer.norm1(x + mixed)
        x = layer.norm2(x + layer._ff_block(x))
    return kept


def main() -> None:
    """Time every way at every size and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    model = make()
    wrapper = headscape.Wrapper(model, show=False, keep="all")
    lean = headscape.Wrapper(model, show=False, keep=16, values=False)
    print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, "
        f"Python {platform.python_version()}; 6 layers x 512, 8 heads, 4 examples, medians of {rounds} rounds"
    )
    print(
        f"{'tokens':>7} {'plain, ms':>10} {'plain again':>12} {'off':>6} "
        f"{'on, all':>8} {'on, top 16':>11} {'need_weights':>13}"
    )
    for length in SIZES:
        x = torch.randn(4, length, 512)
        ways = {
            "plain": lambda x=x: model(x),
            "again": lambda x=x: model(x),
            "off": lambda x=x: wrapper(x),
            "all": lambda x=x: wrapper(x, viz=True),
            "top": lambda x=x: lean(x, viz=True),
            "need": lambda x=x: needing_weights(model, x),
        }
        times: dict[str, list[float]] = {name: [] for name in ways}
        with torch.no_grad():
            for warm in (True, *[False] * rounds):
                for name, way in ways.items():
                    start = time.perf_counter()
                    way()
                    if not warm:
                        times[name].append(time.perf_counter() - start)
        plain = statistics.median(times["plain"])
        ratio = {name: statistics.median(found) / plain for name, found in times.items()}
        print(
            f"{length:7} {plain * 1e3:10.1f} {ratio['again']:12.2f} {ratio['off']:6.2f} {ratio['all']:8.2f} "
            f"{ratio['top']:11.2f} {ratio['need']:13.2f}"
        )


if __name__ == "__main__":
    main()
