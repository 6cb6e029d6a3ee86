"""Train small encoders and read the topology of their functional graphs while they learn."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from headscape.analysis.functional import FunctionalTopology, correlate_units, functional_topologies
from headscape.analysis.functional_heads import compare_heads
from headscape.demo.corpus import LabelledText, made_up_corpus
from headscape.demo.words import Vocabulary, split_words
from headscape.probe.units import read_heads, read_units

LONGEST = 32  # tokens; the longest of the made-up tweets has as many
REGIMES = {"clean": 600, "random": 600, "little": 80}  # training texts
# As far as the published analysis lets its filtration go.
REACH = 0.4


@dataclass(frozen=True)
class Plan:
    """Sizes of the experiment; the defaults are those of the report."""

    seeds: int = 6
    steps: int = 1000
    every: int = 10
    batch: int = 16
    rate: float = 1.5e-4
    texts: int = 6000
    validation: int = 300
    scored: int = 300  # training texts that training loss and accuracy are read on at a check
    probe: int = 128  # texts whose tokens the units are correlated over
    probe_heads: int = 32
    units: int = 128


class Encoder(nn.Module):
    """Words to scores of three classes: 3 layers of 8 heads, mean over the words, a linear layer."""

    def __init__(self, words: int, *, width: int = 32, heads: int = 8, layers: int = 3) -> None:
        super().__init__()
        self.words = nn.Embedding(words, width, padding_idx=0)
        self.places = nn.Embedding(LONGEST, width)
        layer = nn.TransformerEncoderLayer(
            width, heads, 2 * width, dropout=0.0, activation="gelu", batch_first=True, norm_first=True
        )
        self.encoder = nn.TransformerEncoder(
            layer, layers, norm=nn.LayerNorm(width), enable_nested_tensor=False
        )
        self.classify = nn.Linear(width, 3)
        nn.init.normal_(self.words.weight, std=0.02)
        nn.init.normal_(self.places.weight, std=0.02)

    def forward(self, ids: Tensor) -> Tensor:
        """Scores (text, class) of token ids (text, token); 0 is padding."""
        padded = ids == 0
        states = self.words(ids) + self.places.weight[: ids.shape[1]]
        states = self.encoder(states, src_key_padding_mask=padded)
        kept = (~padded).unsqueeze(-1).to(states.dtype)
        return self.classify((states * kept).sum(dim=1) / kept.sum(dim=1))


@dataclass(frozen=True)
class Data:
    """Token ids and labels of the pool that training texts are drawn from, and of the validation texts."""

    pool: Tensor
    pool_labels: Tensor
    valid: Tensor
    valid_labels: Tensor
    words: int


def load_data(plan: Plan) -> Data:
    """Make the texts. The test part is left alone."""
    corpus = made_up_corpus(plan.texts)
    vocabulary = Vocabulary.learn(split_words(item.text) for item in corpus.train)

    def encode(items: list[LabelledText]) -> tuple[Tensor, Tensor]:
        ids = torch.zeros(len(items), LONGEST, dtype=torch.int64)
        for row, item in enumerate(items):
            found = vocabulary.encode(split_words(item.text), longest=LONGEST)
            ids[row, : len(found)] = torch.tensor(found)
        return ids, torch.tensor([item.label for item in items])

    return Data(*encode(corpus.train), *encode(corpus.valid[: plan.validation]), len(vocabulary))


def train(regime: str, seed: int, plan: Plan, data: Data) -> dict[str, Any]:
    """One run: what was measured at each check, as lists by name, and how long it took."""
    start, worked = time.perf_counter(), _processor_seconds()
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    rows = rng.permutation(len(data.pool))[: REGIMES[regime]]
    texts, labels = data.pool[rows], data.pool_labels[rows]
    if regime == "random":
        labels = labels[rng.permutation(len(labels))]
    model = Encoder(data.words)
    optimizer = torch.optim.AdamW(model.parameters(), lr=plan.rate, weight_decay=0.0, fused=True)
    record: dict[str, list[float]] = {}
    graphs: dict[str, list[Any]] = {"unit": [], "head": []}

    def check(step: int) -> None:
        scores = {"step": step, "norm": _norm(model)}
        scores |= _score(model, texts[: plan.scored], labels[: plan.scored], "train")
        scores |= _score(model, data.valid, data.valid_labels, "valid")
        for name, value in scores.items():
            record.setdefault(name, []).append(float(value))
        for name, weights in read_graphs(model, plan, data).items():
            graphs[name].append(weights)

    check(0)
    for step, batch in enumerate(_batches(len(rows), plan, rng), start=1):
        ids = texts[batch]
        ids = ids[:, : int((ids > 0).sum(dim=1).max())]
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(ids), labels[batch]).backward()
        optimizer.step()
        if step % plan.every == 0:
            check(step)
    curves = _add_topology(record, graphs)
    minutes = (time.perf_counter() - start) / 60
    processor = (_processor_seconds() - worked) / 60
    return {
        "regime": regime,
        "seed": seed,
        "minutes": minutes,
        "processor_minutes": processor,
        "record": record,
        "curves": curves,
    }


def read_graphs(model: nn.Module, plan: Plan, data: Data) -> dict[str, np.ndarray]:
    """Weights of the graphs of units and of heads, on the same validation texts each time."""
    ids = data.valid[: plan.probe]
    units = read_units(model, ids, samples=ids > 0, most=plan.units)
    trace = read_heads(model, data.valid[: plan.probe_heads])
    return {"unit": correlate_units(units.signals), "head": compare_heads(trace)}


def _add_topology(record: dict[str, list[float]], graphs: dict[str, list[Any]]) -> dict[str, Any]:
    """Add the topology's numbers to the record; return the curves of the units' cycles."""
    curves: dict[str, Any] = {}
    numbers: dict[str, Callable[[FunctionalTopology], float]] = {
        "peak": lambda found: found.peak,
        "life": lambda found: found.life,
        "midlife": lambda found: found.midlife,
        "bars": lambda found: found.bars,
        "life_near": lambda found: found.below(REACH).life,
        "midlife_near": lambda found: found.below(REACH).midlife,
        "h0": lambda found: found.components.total,
    }
    for graph, checks in graphs.items():
        found = functional_topologies(checks)
        stopped = [one.cycles.stopped for one in found if one.cycles.stopped]
        if stopped:
            raise RuntimeError(f"cycles of {len(stopped)} checks are not known: {stopped[0]}")
        for name, number in numbers.items():
            record[f"{graph}_{name}"] = [number(one) for one in found]
        off = ~np.eye(len(checks[0]), dtype=bool)
        record[f"{graph}_mean"] = [float(weights[off].mean()) for weights in checks]
        curves[f"{graph}_beta_1"] = [one.beta_1.tolist() for one in found]
    return curves


def _processor_seconds() -> float:
    """What this process and its ended children have worked, on a machine that others use as well."""
    times = os.times()
    return times.user + times.system + times.children_user + times.children_system


def _score(model: nn.Module, ids: Tensor, labels: Tensor, part: str) -> dict[str, float]:
    model.eval()
    with torch.no_grad():
        scores = model(ids)
        loss = nn.functional.cross_entropy(scores, labels).item()
    model.train()
    right = (scores.argmax(dim=1) == labels).double().mean().item()
    return {f"{part}_loss": loss, f"{part}_accuracy": 100 * right}


def _norm(model: nn.Module) -> float:
    return float(sum(p.detach().double().square().sum() for p in model.parameters()) ** 0.5)


def _batches(count: int, plan: Plan, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Batches of rows, each text once before any comes again; ``plan.steps`` of them."""
    order = np.empty(0, dtype=np.int64)
    for _ in range(plan.steps):
        if len(order) < plan.batch:
            order = np.concatenate([order, rng.permutation(count)])
        yield order[: plan.batch]
        order = order[plan.batch :]
