"""What a wrapper costs while it is off: microseconds added to one call, and whether the bits stay.

Run: python benchmarks/off.py [--rounds 2000]. A model that does almost nothing shows the frame that the
wrapper adds; a small encoder shows what that is beside real work. Calls alternate; medians and, for noise,
the plain model against itself.
"""

import argparse
import platform
import statistics
import time

import torch
from torch import nn

import headscape


def models() -> dict[str, tuple[nn.Module, torch.Tensor]]:
    """Return models by name, each with an input."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(64, 4, 128, batch_first=True)
    return {
        "identity": (nn.Identity(), torch.zeros(1)),
        "encoder, 2 x 64, 16 tokens": (nn.TransformerEncoder(layer, 2).eval(), torch.randn(1, 16, 64)),
    }


def main() -> None:
    """Time every model plain, plain again and wrapped, in turn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2000)
    rounds = parser.parse_args().rounds
    print(f"{platform.machine()}, torch {torch.__version__}, Python {platform.python_version()}")
    print(f"{'model':28} {'plain, us':>10} {'plain again, +us':>17} {'off, +us':>9} {'same bits':>10}")
    for name, (model, given) in models().items():
        ways = {"plain": model, "again": model, "off": headscape.Wrapper(model, show=False)}
        times: dict[str, list[float]] = {way: [] for way in ways}
        with torch.no_grad():
            same = torch.equal(ways["plain"](given), ways["off"](given))
            for _ in range(rounds):
                for way, spent in times.items():
                    begin = time.perf_counter()
                    ways[way](given)
                    spent.append(time.perf_counter() - begin)
        plain, again, off = (1e6 * statistics.median(times[way]) for way in ("plain", "again", "off"))
        print(f"{name:28} {plain:10.1f} {again - plain:17.1f} {off - plain:9.1f} {same!s:>10}")


if __name__ == "__main__":
    main()
