"""Turns one line about a Hugging Face model into a case; transformers is imported when a case is made."""

import functools
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from tests.zoo.case import Case, Expectation, Family, Subject, Truth
from tests.zoo.truth import everything_seen, executed_softmax, identity_probe, told_by_model
from torch import Tensor, nn

BATCH, LENGTH, WORDS = 2, 7, 50
Inputs = dict[str, Tensor]

# Sizes by the names that most configurations share.
SIZES = {
    "vocab_size": WORDS,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 40,  # grouped kernels want strides of 16 bytes
    "max_position_embeddings": 32,
}
PLAIN = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}


def text(*, left: bool = False, padded: bool = True, length: int = LENGTH) -> Inputs:
    """Token numbers with a padding mask, on the right or on the left."""
    ids = torch.randint(3, WORDS, (BATCH, length), generator=torch.Generator().manual_seed(1))
    mask = torch.arange(length)[None, :] < torch.tensor([length, length - 2])[:, None]
    mask = mask.flip(1) if left else mask
    if not padded:
        return {"input_ids": ids}
    return {"input_ids": ids.masked_fill(~mask, 0), "attention_mask": mask.long()}


def sequences(**options: Any) -> Inputs:
    """Source tokens, and target tokens."""
    target = torch.randint(3, WORDS, (BATCH, 5), generator=torch.Generator().manual_seed(2))
    return {**text(**options), "decoder_input_ids": target}


def pictures(size: int = 16, channels: int = 3) -> Inputs:
    """Two random pictures."""
    return {
        "pixel_values": torch.randn(BATCH, channels, size, size, generator=torch.Generator().manual_seed(3))
    }


@dataclass(frozen=True, eq=False)
class Line:
    """What differs between Hugging Face models, as one line of a table.

    ``road`` names how the truth is found: "probe", "told" or "softmax". ``fields`` are the output's fields
    that "told" reads; ``cross`` is a pattern of paths of cross-attention; ``keep`` is a pattern of the paths
    whose softmax is attention (road "softmax").
    """

    model: str
    config: dict[str, Any] | Callable[[], dict[str, Any]] = field(default_factory=dict)
    inputs: Callable[[], Inputs] = text
    road: str = "probe"
    fields: Sequence[str] = ("attentions",)
    cross: str = "cross|encoder_attn|EncDecAttention"
    keep: str = ""
    call: dict[str, Any] = field(default_factory=dict)
    sizes: bool = True
    implementation: str | None = None
    trains: bool = True
    reshape: Callable[[Truth], Truth] | None = None
    arrange: Callable[[list[Truth]], list[Truth]] = list
    subject: dict[str, Any] = field(default_factory=dict)


def build(line: Line) -> nn.Module:
    """Make the tiny model with random weights that are large enough to give peaked attention."""
    import transformers

    maker = getattr(transformers, line.model)
    own = line.config() if callable(line.config) else line.config
    config = maker.config_class(**({**SIZES, **PLAIN} if line.sizes else {}) | own)
    if line.implementation:
        config._attn_implementation = line.implementation
    model: nn.Module = maker(config)
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if parameter.dim() > 1 and "norm" not in name.lower():
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
    return model


def make(line: Line) -> Subject:
    """Build model, inputs and truth of one line."""
    model, inputs = build(line), line.inputs()

    def run(model: nn.Module, **more: Any) -> Any:
        return model(**inputs, **line.call, **more)

    def truths() -> list[Truth]:
        if line.road == "probe":
            found = identity_probe(model, run)
        elif line.road == "told":
            found = told_by_model(model, run, line.fields)
        elif line.road == "both":
            found = everything_seen(model, run)
        elif line.road in ("none", "untold"):
            found = []
        else:
            found = executed_softmax(model, run, lambda truth: bool(re.search(line.keep, truth.path)))
        return [_labelled(line, truth, inputs) for truth in line.arrange(found)]

    return Subject(model, run, truths, trains=line.trains, **line.subject)


def _labelled(line: Line, truth: Truth, inputs: Inputs) -> Truth:
    """Add what is known beside the weights: the kind, and which queries are real."""
    kind = "cross" if re.search(line.cross, truth.path) else "self"
    is_pooled = kind == "self" and truth.weights.shape[-1] != truth.weights.shape[-2]
    truth = truth.but(
        kind=None if is_pooled else kind
    )  # keys pooled from the queries' own tokens: either word
    if line.reshape is not None:
        truth = line.reshape(truth)
    mask = inputs.get("attention_mask")
    has_rows = mask is not None and tuple(mask.shape) == (truth.weights.shape[0], truth.weights.shape[2])
    if has_rows and truth.real is None:
        truth = truth.but(real=mask.bool().numpy())
    return truth


ROADS = {
    "probe": "identity probe",
    "told": "told by the model",
    "softmax": "executed softmax",
    "both": "identity probe and executed softmax",
    "none": "there is none",
    "untold": "pieces, not compared",
}


def family_of(
    name: str,
    lines: dict[str, Line],
    *,
    partial: Iterable[str] = (),
    says: dict[str, str] | None = None,
    empty: Iterable[str] = (),
    slow: Iterable[str] = (),
) -> Family:
    """Make a family of a table; ``says`` maps a name to what a warning must say."""
    family = Family(name)
    for key, line in lines.items():
        expect: Expectation = "none" if key in empty else "exact"
        if key in partial:
            expect = "partial"
        said = (says or {}).get(key, "no attention was seen" if expect == "none" else "")
        road = ROADS.get(line.road, line.road)
        maker = functools.partial(make, line)
        family.cases.append(Case(name, key, maker, expect, said, road, key in slow))
    return family
