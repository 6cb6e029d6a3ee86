"""Does memory grow with the number of captures? Ten thousand of them, their traces dropped.

Two small models take turns: one written by hand, one that runs torch.nn's fused encoder layers. After every
block of captures the process's resident memory, the objects that Python's collector tracks and the tensors
alive are read. The slope of memory is fitted by least squares over the second half, where allocators have
settled, with the standard error that the spread of its residuals gives.

    python benchmarks/soak.py                 # 10,000 captures, some minutes
    python benchmarks/soak.py --captures 500
"""

import argparse
import gc
import sys
import time

import numpy as np
import numpy.typing as npt
import psutil
import torch
from torch import nn

import headscape

# Bytes a capture may grow by before it counts as a leak: a trace of these models takes over 50,000.
LEAK_BYTES = 100.0
_HEADS = 4

Readings = npt.NDArray[np.int64]


class Written(nn.Module):
    """Attention written by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.out = nn.Linear(32, 96), nn.Linear(32, 32)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Mix the tokens of x, (batch, token, 32)."""
        q, k, v = (t.unflatten(-1, (_HEADS, -1)).transpose(1, 2) for t in self.qkv(x).chunk(3, -1))
        weights = torch.softmax(q @ k.mT / q.shape[-1] ** 0.5, -1)
        return x + self.out((weights @ v).transpose(1, 2).flatten(2))


def make_models() -> list[nn.Module]:
    """Return the model written by hand and the one of torch.nn's fused layers."""
    layer = nn.TransformerEncoderLayer(32, _HEADS, 64, batch_first=True)
    fused = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
    written = nn.Sequential(Written(), Written(), nn.Linear(32, 3))
    return [written.eval(), fused.eval()]


def read() -> tuple[int, int, int, int]:
    """Count what is alive now, after a collection: resident bytes, objects, tensors, blocks of memory."""
    gc.collect()
    alive = gc.get_objects()
    tensors = sum(issubclass(type(thing), torch.Tensor) for thing in alive)
    objects = len(alive)
    del alive
    return psutil.Process().memory_info().rss, objects, tensors, sys.getallocatedblocks()


def soak(captures: int, every: int, *, plain: bool = False) -> Readings:
    """Capture again and again, both models in turn, and read what is alive after each block.

    With ``plain`` the same passes run without a capture.

    Returns
    -------
    (reading, 5) int64 array
        Passes made, resident bytes, objects, tensors, blocks of Python's memory.
    """
    torch.manual_seed(0)
    models, x = make_models(), torch.randn(2, 24, 32)
    readings = np.zeros((captures // every + 1, 5), np.int64)  # made at once: it must not grow itself
    for n in range(captures + 1):
        if n % every == 0:
            readings[n // every] = (n, *read())
        model = models[n % 2]
        if plain:
            with torch.no_grad():
                model(x)
            continue
        with torch.no_grad(), headscape.capture(model) as run:
            model(x)
        if not run.trace.calls:
            raise RuntimeError(f"capture {n} saw no attention, so this measures nothing.")
    return readings


def slope(readings: Readings) -> tuple[float, float]:
    """Return the growth of resident memory in bytes a capture, and its standard error."""
    half = readings[len(readings) // 2 :]
    x, y = half[:, 0].astype(float), half[:, 1].astype(float)
    centred = x - x.mean()
    rise = float(centred @ y / (centred @ centred))
    rest = y - y.mean() - rise * centred
    return rise, float(np.sqrt(rest @ rest / max(1, len(x) - 2) / (centred @ centred)))


def main() -> int:
    """Print the readings, the slope and a verdict; return 1 for a leak."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--captures", type=int, default=10_000)
    parser.add_argument("--every", type=int, default=250)
    parser.add_argument("--plain", action="store_true", help="the same passes without a capture")
    asked = parser.parse_args()
    began = time.perf_counter()
    soak(200, 200)  # imports, compiled kernels, caches
    readings = soak(asked.captures, asked.every, plain=asked.plain)
    print(f"{'passes':>9} {'resident MiB':>13} {'objects':>9} {'tensors':>8} {'blocks':>9}")
    step = max(1, (len(readings) - 1) // 8)
    for count, resident, objects, tensors, blocks in readings[::step].tolist():
        print(f"{count:>9,} {resident / 2**20:>13.2f} {objects:>9,} {tensors:>8} {blocks:>9,}")
    rise, error = slope(readings)
    _, _, objects, tensors, blocks = (readings[-1] - readings[1]).tolist()
    print(f"\nresident memory grows by {rise:+.1f} ± {2 * error:.1f} bytes a capture (two standard errors)")
    print(
        f"objects {objects:+,}, tensors {tensors:+,}, blocks {blocks:+,} from capture {readings[1, 0]:,} on"
    )
    leaks = rise - 2 * error > LEAK_BYTES or objects > 0 or tensors > 0
    print(f"verdict: {'LEAKS' if leaks else 'no growth'} ({time.perf_counter() - began:.0f} s)")
    return int(leaks)


if __name__ == "__main__":
    sys.exit(main())
