"""What do the heads of a GPT that sorts do? The right answer is known for every input, so it can be counted.

    python examples/nano_sort_gpt.py gpt-nano-sort-model.json [--out nano_sort]

The model is the one of the llm-viz walkthrough (public project bbycroft/llm-viz, MIT, the file
public/gpt-nano-sort-model.json): three layers of three heads, trained with minGPT to sort six digits out of
0, 1 and 2. It reads the six, writes the smallest, reads that, writes the next, and so on. It is written out
here the way minGPT writes it, with attention as two products and a softmax, and headscape sees it as it is.
"""

import argparse
import base64
import itertools
import json
import math
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import headscape

DIGITS = 6
VALUES = 3
INPUTS = VALUES**DIGITS


class CausalSelfAttention(nn.Module):
    """Attention written out by hand."""

    def __init__(self, width: int, heads: int, longest: int) -> None:
        super().__init__()
        self.c_attn = nn.Linear(width, 3 * width)
        self.c_proj = nn.Linear(width, width)
        self.register_buffer("bias", torch.tril(torch.ones(1, 1, longest, longest)))
        self.heads = heads

    def forward(self, x: Tensor) -> Tensor:
        """Mix tokens: (batch, token, width) to the same."""
        batch, length, width = x.shape
        q, k, v = (
            part.view(batch, length, self.heads, width // self.heads).transpose(1, 2)
            for part in self.c_attn(x).split(width, dim=2)
        )
        att = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.shape[-1]))
        att = att.masked_fill(self.bias[:, :, :length, :length] == 0, float("-inf"))
        att = F.softmax(att, dim=-1)
        y = att @ v
        return self.c_proj(y.transpose(1, 2).contiguous().view(batch, length, width))


class Block(nn.Module):
    """Attention, then feed-forward, each behind a norm and added to the stream."""

    def __init__(self, width: int, heads: int, longest: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width)
        self.attn = CausalSelfAttention(width, heads, longest)
        self.ln_2 = nn.LayerNorm(width)
        self.mlp = nn.ModuleDict({"c_fc": nn.Linear(width, 4 * width), "c_proj": nn.Linear(4 * width, width)})

    def forward(self, x: Tensor) -> Tensor:
        """Do both: (batch, token, width) to the same."""
        x = x + self.attn(self.ln_1(x))
        hidden = F.gelu(self.mlp["c_fc"](self.ln_2(x)), approximate="tanh")
        return x + self.mlp["c_proj"](hidden)


class GPT(nn.Module):
    """Scores for the next digit at each position; ids are (batch, token)."""

    def __init__(self, *, n_layer: int, n_head: int, n_embd: int, vocab_size: int, block_size: int) -> None:
        super().__init__()
        self.transformer = nn.ModuleDict(
            {
                "wte": nn.Embedding(vocab_size, n_embd),
                "wpe": nn.Embedding(block_size, n_embd),
                "h": nn.ModuleList(Block(n_embd, n_head, block_size) for _ in range(n_layer)),
                "ln_f": nn.LayerNorm(n_embd),
            }
        )
        self.lm_head = nn.Linear(n_embd, vocab_size, bias=False)

    def forward(self, ids: Tensor) -> Tensor:
        """Return scores, (batch, token, value)."""
        places = torch.arange(ids.shape[1], device=ids.device)
        x = self.transformer["wte"](ids) + self.transformer["wpe"](places)
        for block in self.transformer["h"]:
            x = block(x)
        return self.lm_head(self.transformer["ln_f"](x))


def load(path: Path) -> GPT:
    """Read the model from its JSON file: sizes under "config", then base64 of float32 under each name."""
    stored = json.loads(path.read_text(encoding="utf-8"))
    config = stored.pop("config")
    model = GPT(
        **{name: config[name] for name in ("n_layer", "n_head", "n_embd", "vocab_size", "block_size")}
    )
    tensors = {
        name: torch.from_numpy(
            np.frombuffer(base64.b64decode(entry["data"]), "<f4").reshape(entry["shape"]).copy()
        )
        for name, entry in stored.items()
    }
    model.load_state_dict(tensors)
    return model.eval()


def every_input() -> Tensor:
    """Return all inputs there are, (729, 6)."""
    return torch.tensor(list(itertools.product(range(VALUES), repeat=DIGITS)))


@torch.no_grad()
def write_on(model: GPT, digits: Tensor) -> Tensor:
    """Return the inputs with the digits the model writes behind them, (input, 12)."""
    ids = digits
    for _ in range(DIGITS):
        ids = torch.cat([ids, model(ids)[:, -1:].argmax(-1)], dim=1)
    return ids


def share_sorted(model: GPT, digits: Tensor) -> float:
    """Return the share of inputs whose six digits all come out in order."""
    wanted = digits.sort(dim=1).values
    return float((write_on(model, digits)[:, DIGITS:] == wanted).all(1).float().mean())


@torch.no_grad()
def shares_without_a_head(model: GPT, digits: Tensor) -> np.ndarray:
    """Return the share that is still sorted when a head's result is set to zero, (layer, head)."""
    heads = model.transformer["h"][0].attn.heads
    found = np.zeros((len(model.transformer["h"]), heads))
    for layer, block in enumerate(model.transformer["h"]):
        weight = block.attn.c_proj.weight
        width = weight.shape[1] // heads
        for head in range(heads):
            columns = slice(head * width, (head + 1) * width)
            kept = weight[:, columns].clone()
            weight[:, columns] = 0
            found[layer, head] = share_sorted(model, digits)
            weight[:, columns] = kept
    return found


def attention(trace) -> np.ndarray:
    """Return all weights of a trace, (example, layer, head, query, key)."""
    return np.stack([[call.weights(n) for call in trace.calls] for n in range(trace.batch)])


def count_heads(weights: np.ndarray, ids: np.ndarray) -> dict[str, np.ndarray]:
    """Count what heads look at while the digits are written.

    Parameters
    ----------
    weights : (input, layer, head, 11, 11) array
        Attention while the model reads the six digits and the first five it wrote.
    ids : (input, 12) int array
        The digits given and the digits written.

    Returns
    -------
    dict of arrays
        "mass": share of a head's attention on digits equal to the one being written, (layer, head).
        "chance": the same for attention spread evenly, a number.
        "inputs": share of attention on the six digits given, (layer, head).
        "top": share of cases in which the strongest token is such a digit, (layer, head, output).
        "lift": attention to a 0, 1 or 2 over even attention, (layer, head, output, value); 1 is even.
    """
    rows = weights[..., DIGITS - 1 :, :]  # (input, layer, head, output, key): those that write
    keys, written = ids[:, :-1], ids[:, DIGITS:]
    places = np.arange(keys.shape[1])
    visible = places <= np.arange(DIGITS - 1, keys.shape[1])[:, None]  # (output, key)
    same = (keys[:, None] == written[..., None]) & visible  # (input, output, key)
    strongest = rows.argmax(-1)  # (input, layer, head, output)
    of_strongest = np.take_along_axis(keys[:, None, None, :], strongest.reshape(len(ids), 1, 1, -1), -1)
    top = (of_strongest.reshape(strongest.shape) == written[:, None, None]).mean(0)
    lift = np.stack(
        [_ratio(rows, (keys == value)[:, None] & visible, visible) for value in range(VALUES)],
        axis=-1,
    )
    return {
        "mass": np.einsum("nlhtk,ntk->lh", rows, same) / same[..., 0].size,
        "chance": np.array((same.sum(-1) / visible.sum(-1)).mean()),
        "inputs": rows[..., :DIGITS].sum(-1).mean((0, 3)),
        "top": top,
        "lift": lift,
    }


def _ratio(rows: np.ndarray, chosen: np.ndarray, visible: np.ndarray) -> np.ndarray:
    """Return attention to the chosen keys over their share of the visible ones, (layer, head, output)."""
    even = (chosen.sum(-1) / visible.sum(-1)).mean(0)
    return np.einsum("nlhtk,ntk->lht", rows, chosen) / len(rows) / np.maximum(even, 1e-9)


def tell(counts: dict[str, np.ndarray], without: np.ndarray, sorted_share: float, digits: int) -> list[str]:
    """Return what was counted, as lines."""
    lines = [
        f"{sorted_share:.1%} of {digits} inputs come out sorted.",
        f"Attention on digits equal to the one being written; {counts['chance']:.1%} if it were even:",
        "layer head  equal  on the six given  strongest token is equal  sorted without the head",
    ]
    for layer, head in np.ndindex(*counts["mass"].shape):
        numbers = (counts["mass"], counts["inputs"], counts["top"].mean(-1), without)
        equal, inputs, top, still = (float(table[layer, head]) for table in numbers)
        lines.append(f"{layer:5} {head:4}  {equal:5.1%} {inputs:17.1%} {top:25.1%} {still:24.1%}")
    layer, head = np.unravel_index(counts["mass"].argmax(), counts["mass"].shape)
    lines.append(f"Head {head} of layer {layer} looks most for the digit being written. Digit by digit:")
    for output in range(DIGITS):
        zero, one, two = counts["lift"][layer, head, output]
        lines.append(
            f"digit {output + 1}: its strongest token equals the digit written in "
            f"{counts['top'][layer, head, output]:.0%} of inputs; "
            f"attention to 0, 1, 2 over even attention: {zero:.2f}, {one:.2f}, {two:.2f}"
        )
    return lines


def tell_example(weights: np.ndarray, ids: np.ndarray) -> list[str]:
    """Return, for one input, what the strongest head looks at for each digit.

    ``weights`` is (layer, head, 11, 11), ``ids`` (12,).
    """
    lines = [f"The input {' '.join(map(str, ids[:DIGITS]))}:"]
    for output in range(DIGITS):
        rows = weights[:, :, DIGITS - 1 + output]
        layer, head, key = np.unravel_index(rows.argmax(), rows.shape)
        place = f"given digit {key + 1}" if key < DIGITS else f"written digit {key + 1 - DIGITS}"
        fits = (
            "the digit it writes" if ids[key] == ids[DIGITS + output] else f"it writes {ids[DIGITS + output]}"
        )
        lines.append(
            f"digit {output + 1}: head {head} of layer {layer} looks hardest ({rows.max():.2f}), at {place}, "
            f"a {ids[key]} ({fits})"
        )
    return lines


def draw(counts: dict[str, np.ndarray], path: Path) -> None:
    """Draw, for each head, how hard it looks at 0, 1 and 2 while each of the six digits is written."""
    import matplotlib.pyplot as plt
    from matplotlib.colors import TwoSlopeNorm

    layers, heads = counts["mass"].shape
    figure, axes = plt.subplots(
        layers, heads, figsize=(7.2, 5.6), sharex=True, sharey=True, squeeze=False, layout="constrained"
    )
    scale = TwoSlopeNorm(1, 0, max(2, counts["lift"].max()))  # white where attention is even
    for layer, head in np.ndindex(layers, heads):
        axis = axes[layer, head]
        picture = axis.imshow(counts["lift"][layer, head].T, cmap="RdBu", norm=scale, aspect="auto")
        axis.set_title(f"layer {layer} head {head}", fontsize=9)
        axis.set_xticks(range(DIGITS), [str(n + 1) for n in range(DIGITS)])
        axis.set_yticks(range(VALUES), [str(n) for n in range(VALUES)])
    figure.supxlabel("digit being written")
    figure.supylabel("digit looked at")
    figure.colorbar(picture, ax=axes, label="attention over even attention")
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main(arguments: list[str] | None = None) -> None:
    """Sort every input under capture, count, and write the figure and the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", type=Path)
    parser.add_argument("--out", type=Path, default=Path("nano_sort"))
    given = parser.parse_args(arguments)
    model, digits = load(given.model), every_input()
    ids = write_on(model, digits)
    with headscape.capture(model) as run, torch.no_grad():
        model(ids[:, :-1])
    weights = attention(run.trace)
    counts = count_heads(weights, ids.numpy())
    without = shares_without_a_head(model, digits)
    print("\n".join(tell(counts, without, share_sorted(model, digits), len(digits))))
    shown = torch.tensor([[2, 0, 1, 2, 1, 0], [1, 1, 2, 0, 2, 2]])
    rows = [int((digits == row).all(1).nonzero()) for row in shown]
    print("\n".join(tell_example(weights[rows[0]], ids[rows[0]].numpy())))
    given.out.mkdir(parents=True, exist_ok=True)
    draw(counts, given.out / "heads.png")
    labels = [
        [*map(str, ids[row, :DIGITS].tolist()), *(f"→{n}" for n in ids[row, DIGITS:-1].tolist())]
        for row in rows
    ]
    with (
        headscape.capture(model, tokens=labels, classes=[str(n) for n in range(VALUES)]) as run,
        torch.no_grad(),
    ):
        model(ids[rows, :-1])
    names = [" ".join(map(str, row)) for row in shown.tolist()]
    page = given.out / "attention.html"
    run.trace.to_html(page, labels=names, title="A GPT sorts six digits", note="→ marks what it wrote")
    print(f"Figure: {given.out / 'heads.png'}  Page: {page}")


if __name__ == "__main__":
    main()
