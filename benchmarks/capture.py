"""What a captured pass costs in time and memory, beside the plain model and the usual way to see attention.

Run: python benchmarks/capture.py [--models gpt2 llama encoder] [--lengths 128 512 1024 2048 4096]
[--rounds 5] [--json FILE] [--markdown FILE]. Every round runs each way once, in turn, so that a busy
machine slows all of them; "plain again" is the plain model timed as if it were another way, and says how far
the others can be trusted. Memory is the peak of the process over its size before the pass, one process for
each way. The usual way is transformers' eager attention with ``output_attentions=True``, and for torch's
encoder ``need_weights=True`` layer by layer.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn

import headscape

MODELS = ("encoder", "gpt2", "llama")
LENGTHS = (128, 512, 1024, 2048, 4096)
WAYS = ("plain", "again", "off", "top 16", "all", "usual")
LLAMA_LAYERS = 4  # of 22: each costs the same, and all would need more memory than many machines have
# Numbers in one pass's matrices beyond which the ways that keep them all are left out: 6 GB.
MOST_KEPT = 1_500_000_000
SHAPES = {"encoder": (6, 8), "gpt2": (12, 12), "llama": (LLAMA_LAYERS, 32)}  # layers, heads


def make_encoder(length: int) -> nn.Module:
    """Return torch's own encoder, 6 layers x 512."""
    layer = nn.TransformerEncoderLayer(512, 8, 2048, batch_first=True)
    return nn.TransformerEncoder(layer, 6)


def make_gpt2(length: int) -> nn.Module:
    """Return GPT-2 small with random weights and as many positions as it takes."""
    from transformers import GPT2Config, GPT2Model

    return GPT2Model(GPT2Config(n_positions=max(1024, length), use_cache=False))


def make_llama(length: int) -> nn.Module:
    """Return some layers of TinyLlama-1.1B's shape with random weights and a small vocabulary."""
    from transformers import LlamaConfig, LlamaModel

    return LlamaModel(
        LlamaConfig(
            vocab_size=1000, hidden_size=2048, intermediate_size=5632, num_hidden_layers=LLAMA_LAYERS,
            num_attention_heads=32, num_key_value_heads=4, max_position_embeddings=length, use_cache=False,
        )
    )  # fmt: skip


def needing_weights(model: Any, x: torch.Tensor) -> list[torch.Tensor]:
    """Run the encoder by hand, layer by layer, keeping all matrices."""
    kept = []
    for layer in model.layers:
        mixed, weights = layer.self_attn(x, x, x, need_weights=True, average_attn_weights=False)
        kept.append(weights)
        x = layer.norm1(x + mixed)
        x = layer.norm2(x + layer._ff_block(x))
    return kept


def ways_of(name: str, length: int) -> dict[str, Callable[[], Any]]:
    """Return a function for each way to run a model on one input of this length."""
    torch.manual_seed(0)
    model = {"encoder": make_encoder, "gpt2": make_gpt2, "llama": make_llama}[name](length).eval()
    top = headscape.Wrapper(model, show=False, keep=16)
    whole = headscape.Wrapper(model, show=False, keep="all")
    if name == "encoder":
        given: Any = torch.randn(1, length, 512)
        usual = lambda: needing_weights(model, given)  # noqa: E731
    else:
        given = torch.randint(0, 1000, (1, length))

        def usual() -> Any:
            before = model.config._attn_implementation
            model.set_attn_implementation("eager")
            try:
                return model(given, output_attentions=True).attentions
            finally:
                model.set_attn_implementation(before)

    return {
        "plain": lambda: model(given), "again": lambda: model(given), "off": lambda: top(given),
        "top 16": lambda: top(given, viz=True), "all": lambda: whole(given, viz=True), "usual": usual,
    }  # fmt: skip


def affordable(name: str, length: int, chosen: list[str]) -> list[str]:
    """Return the ways that fit in memory."""
    layers, heads = SHAPES[name]
    fits = layers * heads * length * length <= MOST_KEPT
    return [way for way in chosen if fits or way not in ("all", "usual")]


def time_ways(
    name: str, length: int, rounds: int, chosen: list[str], clock: Callable[[], float]
) -> dict[str, list[float]]:
    """Return the seconds of every way in every round; one round before them is not counted."""
    ways = ways_of(name, length)
    times: dict[str, list[float]] = {way: [] for way in affordable(name, length, chosen)}
    with torch.no_grad():
        for counted in (False, *[True] * rounds):
            for way, spent in times.items():
                begin = clock()
                result = ways[way]()
                took = clock() - begin
                del result
                if counted:
                    spent.append(took)
    return times


def own_peak() -> int | None:
    """Return the largest size that this process had since it was last reset, in bytes (Linux)."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    found = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(found.split()[1]) * 1024


def measure_memory(name: str, length: int, way: str) -> dict[str, int] | None:
    """Return what one pass adds to the peak of this process, in bytes, after a pass on a few tokens."""
    if own_peak() is None:
        return None
    ways = ways_of(name, length)
    with torch.no_grad():
        if way in ("top 16", "all"):  # loads and compiles what is loaded once
            warm_up()
        Path("/proc/self/clear_refs").write_text("5")  # 5 resets the peak
        before = own_peak() or 0
        result = ways[way]()
        peak = own_peak() or 0
        del result
    return {"added": peak - before}


def warm_up() -> None:
    """Capture a small model, large enough for the compiled kernel."""
    layer = nn.TransformerEncoderLayer(16, 4, 16, batch_first=True)
    wrapper = headscape.Wrapper(nn.TransformerEncoder(layer, 1).eval(), show=False, keep=16)
    wrapper(torch.randn(1, 700, 16), viz=True)


def memory_of(name: str, length: int, way: str) -> int | None:
    """Return the bytes of one way, measured in a process of its own."""
    command = [sys.executable, __file__, "--memory", name, str(length), way]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.stderr.write(done.stderr[-2000:])
        return None
    found = json.loads(done.stdout.splitlines()[-1])
    return None if found is None else int(found["added"])


def machine(is_cpu: bool) -> str:
    """Say what this ran on."""
    names = {"model name": platform.processor() or platform.machine()}
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = [line.split(":", 1) for line in info.read_text().splitlines() if ":" in line]
        names |= {key.strip(): value.strip() for key, value in lines}
    versions = []
    for package in ("torch", "numba", "transformers", "numpy"):
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"no {package}")
    load = f", load {os.getloadavg()[0]:.1f} before" if hasattr(os, "getloadavg") else ""
    threads = "processor time of one thread" if is_cpu else f"{torch.get_num_threads()} threads"
    return (
        f"{names['model name']}, {os.cpu_count()} cores, {threads}{load}; "
        f"Python {platform.python_version()}, {', '.join(versions)}"
    )


def summary(times: dict[str, list[float]]) -> dict[str, Any]:
    """Return seconds of the plain model, and every way's ratio to it: of medians and of minima."""
    plain = times["plain"]
    return {
        "plain_s": statistics.median(plain),
        "ratio": {way: statistics.median(found) / statistics.median(plain) for way, found in times.items()},
        "least": {way: min(found) / min(plain) for way, found in times.items()},
    }


def row_of(name: str, length: int, found: dict[str, Any], chosen: list[str]) -> list[str]:
    """Return one line of the table."""
    cells = [name, str(length), f"{found['plain_s'] * 1e3:.0f}"]
    for way in chosen[1:]:
        if way in found["ratio"]:
            cells.append(f"{found['ratio'][way]:.2f} ({found['least'][way]:.2f})")
        else:
            cells.append("–")
    memory = found.get("memory_mb", {})
    plain = memory.get("plain")
    for way in chosen:
        if way in ("again", "off"):
            continue
        size = memory.get(way)
        shown = size if way == "plain" or size is None or plain is None else size - plain
        cells.append("–" if shown is None else f"{shown:.0f}" if way == "plain" else f"{shown:+.0f}")
    return cells


def heads_of(chosen: list[str]) -> list[str]:
    """Return the table's first line."""
    return [
        "model", "tokens", "plain, ms", *(f"time: {way}" for way in chosen[1:]),
        *(f"MB: {way}" for way in chosen if way not in ("again", "off")),
    ]  # fmt: skip


def write_markdown(path: Path, about: str, heads: list[str], rows: list[list[str]]) -> None:
    """Write the table for the documentation."""
    lines = [
        f"Measured by `benchmarks/capture.py`: {about}.",
        "",
        "Times are multiples of the plain model's: ratio of medians, and of minima in brackets. Memory is "
        "the peak of one pass above the process before it; other ways show what they add to plain. "
        f"`llama` has TinyLlama-1.1B's shape with {LLAMA_LAYERS} of its 22 layers.",
        "",
        *(f"| {' | '.join(line)} |" for line in (heads, ["---"] * len(heads), *rows)),
    ]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def parse() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--lengths", nargs="+", type=int, default=list(LENGTHS))
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-memory", action="store_true")
    parser.add_argument(
        "--cpu", action="store_true", help="one thread, and its processor time: for a busy machine"
    )
    parser.add_argument("--json", type=Path)
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--memory", nargs=3, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    """Measure, print the table as it grows, and write it where asked."""
    asked = parse()
    if asked.memory:
        name, length, way = asked.memory
        print(json.dumps(measure_memory(name, int(length), way)))
        return
    clock = time.perf_counter
    if asked.cpu:
        torch.set_num_threads(1)
        clock = time.process_time
    chosen = ["plain", *(way for way in WAYS if way in asked.ways and way != "plain")]
    about, heads = machine(asked.cpu), heads_of(chosen)
    print(about, "\n" + " | ".join(heads), flush=True)
    rows, results = [], []
    for name in asked.models:
        for length in asked.lengths:
            found = summary(time_ways(name, length, asked.rounds, chosen, clock))
            if not asked.no_memory:
                measured = [way for way in affordable(name, length, chosen) if way not in ("again", "off")]
                sizes = {way: memory_of(name, length, way) for way in measured}
                found["memory_mb"] = {way: n / 1e6 for way, n in sizes.items() if n is not None}
            rows.append(row_of(name, length, found, chosen))
            results.append({"model": name, "tokens": length, **found})
            print(" | ".join(rows[-1]), flush=True)
            if asked.json:
                asked.json.write_text(json.dumps({"machine": about, "results": results}, indent=1) + "\n")
            if asked.markdown:
                write_markdown(asked.markdown, about, heads, rows)


if __name__ == "__main__":
    main()
