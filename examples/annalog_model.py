"""A trained encoder-decoder with attention written out by hand: ANNalog, which rewrites molecules.

    pip install --no-deps annalog
    python examples/annalog_model.py [SMILES] [--out annalog]

The package annalog (MIT) brings the model, a molecule-to-molecule translator over SMILES, and its weights.
Left to itself it copies its input, so its runner-up is taken where it is least sure, and it goes on from
there. The model is captured as it is, from the package's own code. It returns the cross-attention of its last
decoder layer; the capture is held against it.
"""

import argparse
import importlib.util
import pickle
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

import headscape

ASPIRIN = "CC(=O)Oc1ccccc1C(=O)O"
LONGEST = 102


class PlainUnpickler(pickle.Unpickler):
    """Reads lists, dicts and texts, and refuses everything that would run code."""

    def find_class(self, module: str, name: str) -> Any:
        """Refuse."""
        raise pickle.UnpicklingError(
            f"the vocabulary asks for {module}.{name}, which plain data does not need"
        )


def package_folder() -> Path:
    """Return where annalog is installed, without importing it (that would need RDKit)."""
    found = importlib.util.find_spec("annalog")
    if found is None or found.origin is None:
        raise SystemExit("annalog is not installed. Install it with: pip install --no-deps annalog")
    return Path(found.origin).parent


def load_parts(folder: Path) -> tuple[Any, Any]:
    """Import the package's model and tokenizer alone."""
    name = "annalog_model_files"
    home = folder / "model_files"
    spec = importlib.util.spec_from_file_location(
        name, home / "__init__.py", submodule_search_locations=[str(home)]
    )
    package = importlib.util.module_from_spec(spec)
    sys.modules[name] = package
    spec.loader.exec_module(package)
    return sys.modules[f"{name}.seq2seq_attention"], sys.modules[f"{name}.vocabulary"]


def read_words(path: Path) -> list[str]:
    """Return the model's tokens in the order of their ids."""
    with path.open("rb") as file:
        return list(PlainUnpickler(file).load()["itos"])


def build(code: Any, words: int, padding: int, *, width: int = 256, inner: int = 512) -> torch.nn.Module:
    """Return the model, three layers of eight heads on each side, with random weights."""
    device = torch.device("cpu")
    sizes = (words, width, 3, 8, inner, 0.1, device, LONGEST)
    model = code.Seq2Seq(code.Encoder(*sizes), code.Decoder(*sizes), padding, padding, device)
    return model.eval()


@torch.no_grad()
def write_on(model: torch.nn.Module, source: torch.Tensor, written: torch.Tensor, end: int) -> torch.Tensor:
    """Write the likeliest tokens behind ``written``, (1, token), up to ``end``."""
    while written.shape[1] < LONGEST and written[0, -1] != end:
        scores, _ = model(source, written)
        written = torch.cat([written, scores[:, -1:].argmax(-1)], dim=1)
    return written


@torch.no_grad()
def write_another(model: torch.nn.Module, source: torch.Tensor, begin: int, end: int) -> torch.Tensor:
    """Write the likeliest molecule but for one token: the runner-up, where the model is least sure."""
    first = write_on(model, source, torch.tensor([[begin]]), end)
    shares, order = torch.softmax(model(source, first[:, :-1])[0][0], -1).topk(2)
    place = int(shares[:, 1].argmax())
    return write_on(model, source, torch.cat([first[:, : place + 1], order[place : place + 1, 1:]], 1), end)


def count_copies(weights: np.ndarray, source: list[str], written: list[str]) -> float:
    """Return the share of written tokens for which a head's strongest source token is the same token.

    ``weights`` is (query, key): row n belongs to the token that is written after ``written[n]``.
    """
    strongest = weights.argmax(-1)
    after = written[1:]
    return float(np.mean([source[key] == token for key, token in zip(strongest, after, strict=False)]))


def main(arguments: list[str] | None = None) -> None:
    """Rewrite one molecule under capture, count, and write the page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("smiles", nargs="?", default=ASPIRIN)
    parser.add_argument("--out", type=Path, default=Path("annalog"))
    given = parser.parse_args(arguments)
    folder = package_folder()
    code, vocabulary = load_parts(folder)
    words = read_words(folder / "ckpt_and_vocab" / "stereo_experiment_vocab_ttf.pkl")
    ids = {word: number for number, word in enumerate(words)}
    model = build(code, len(words), ids["<pad>"])
    weights = folder / "ckpt_and_vocab" / "Lev_extended.pt"
    model.load_state_dict(torch.load(weights, map_location="cpu", weights_only=True))
    source = ["<sos>", *vocabulary.SMILESTokenizer().tokenize(given.smiles), "<eos>"]
    source_ids = torch.tensor([[ids.get(token, ids["<unk>"]) for token in source]])
    written_ids = write_another(model, source_ids, ids["<sos>"], ids["<eos>"])
    written = [words[token] for token in written_ids[0]]
    becomes = f"{given.smiles} becomes {''.join(written[1:]).removesuffix('<eos>')}"
    print(becomes)
    labels = {"source": source, "target": written[:-1]}
    with headscape.capture(model, tokens=labels, classes=words) as run, torch.no_grad():
        _, told = model(source_ids, written_ids[:, :-1])
    report(run.trace, told[0].numpy(), source, written)
    given.out.mkdir(parents=True, exist_ok=True)
    page = run.trace.to_html(given.out / "attention.html", title="ANNalog rewrites a molecule", note=becomes)
    print(f"Page: {page}")


def report(trace: Any, told: np.ndarray, source: list[str], written: list[str]) -> None:
    """Print what was captured, how it agrees with the model's own word, and which heads copy."""
    kinds = ", ".join(f"{call.path} ({call.kind})" for call in trace.calls)
    print(f"{len(trace.calls)} attention calls: {kinds}")
    crossing = [call for call in trace.calls if call.kind == "cross"]
    gap = np.abs(crossing[-1].weights() - told).max()
    print(f"largest difference from the attention that the model returns: {gap:.1e}")
    for call in crossing:
        shares = [count_copies(rows, source, written) for rows in call.weights()]
        by_head = ", ".join(f"{share:.0%}" for share in shares)
        print(f"{call.path}: the strongest source token is the token written, by head: {by_head}")


if __name__ == "__main__":
    main()
