"""What the hand-written models share: a stack of residual attention blocks, and its float64 reference.

A model is a class with ``attend(q, k, v)``, written the way people write it in torch, beside
``matrix(q, k)``, which says in NumPy what meets V. The reference runs the whole stack in float64 and must
end in the model's own output: a wrong matrix anywhere shows there.
"""

import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from tests.intercept import by_hand
from tests.zoo.case import Family, Subject, Truth
from tests.zoo.truth import TruthError
from torch import Tensor, nn

BATCH, LENGTH, WIDTH, HEADS = 2, 6, 16, 4
DEEP = WIDTH // HEADS
CAUSAL = torch.ones(LENGTH, LENGTH, dtype=torch.bool).tril()
Array = np.ndarray


def random(*shape: int, seed: int = 1) -> Tensor:
    """Random numbers that are the same in every process."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def hide(scores: Array, seen: Any = None) -> Array:
    """Set what a query may not see to minus infinity; causal unless told otherwise."""
    visible = CAUSAL.numpy() if seen is None else np.asarray(seen)
    return np.where(visible, scores, -np.inf)


def scaled(q: Array, k: Array) -> Array:
    """Scores of scaled dot-product attention."""
    return q @ k.swapaxes(-1, -2) / math.sqrt(q.shape[-1])


class Attention(nn.Module):
    """Projections, heads, output projection: everything but the attention itself."""

    kv_heads: ClassVar[int] = HEADS

    def __init__(self) -> None:
        super().__init__()
        self.q = nn.Linear(WIDTH, WIDTH)
        self.k = nn.Linear(WIDTH, self.kv_heads * DEEP)
        self.v = nn.Linear(WIDTH, self.kv_heads * DEEP)
        self.o = nn.Linear(WIDTH, WIDTH)
        self.drop = nn.Dropout(0.1)

    def split(self, x: Tensor, heads: int) -> Tensor:
        """Return (batch, head, token, width of a head)."""
        return x.view(x.shape[0], x.shape[1], heads, -1).transpose(1, 2)

    def merge(self, x: Tensor) -> Tensor:
        """Return (batch, token, width)."""
        return x.transpose(1, 2).reshape(x.shape[0], x.shape[2], -1)

    def forward(self, x: Tensor) -> Tensor:
        """Attend and project."""
        q = self.split(self.q(x), HEADS)
        k, v = self.split(self.k(x), self.kv_heads), self.split(self.v(x), self.kv_heads)
        return self.o(self.merge(self.attend(q, k, v)))

    def attend(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Return (batch, head, token, width of a head): the code under test."""
        raise NotImplementedError

    def matrix(self, q: Array, k: Array) -> Array:
        """Return what meets V, (batch, head, query, key) float64."""
        raise NotImplementedError

    def mixed(self, weights: Array, v: Array) -> Array:
        """Return what attention makes of the values; P V but for models that add to it."""
        return weights @ v


class Stack(nn.Module):
    """Residual blocks and a small classifier."""

    def __init__(self, attention: Callable[[], nn.Module], layers: int = 2) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(layers))
        self.layers = nn.ModuleList(attention() for _ in range(layers))
        self.head = nn.Linear(WIDTH, 3)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return class scores and states."""
        for norm, layer in zip(self.norms, self.layers, strict=True):
            x = x + layer(norm(x))
        return self.head(x.mean(1)), x


def spread_out(model: nn.Module) -> nn.Module:
    """Give matrices larger values, so that attention is peaked and mistakes show."""
    generator = torch.Generator().manual_seed(9)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return model


def reference(model: Stack, x: Tensor) -> list[Truth]:
    """Run a stack in float64 NumPy; return the weights of each layer."""
    state, found = x.double().numpy(), []
    for number, (norm, layer) in enumerate(zip(model.norms, model.layers, strict=True)):
        given = by_hand.norm(norm, state)
        q, k, v = (
            by_hand.split(by_hand.linear(given, part.weight, part.bias), heads)
            for part, heads in ((layer.q, HEADS), (layer.k, layer.kv_heads), (layer.v, layer.kv_heads))
        )
        k, v = (np.repeat(part, HEADS // layer.kv_heads, axis=1) for part in (k, v))
        weights = layer.matrix(q, k)
        mixed = layer.mixed(weights, v).transpose(0, 2, 1, 3).reshape(given.shape)
        state = state + by_hand.linear(mixed, layer.o.weight, layer.o.bias)
        found.append(Truth(weights, f"layers.{number}"))
    with torch.no_grad():
        check_reaches(model(x)[1], state)
    return found


def check_reaches(output: Tensor, state: Array, within: float = 5e-5) -> None:
    """Assert that a reference ends where the model ends."""
    gap = np.abs(output.double().numpy() - state).max()
    if not gap <= within * max(1.0, np.abs(state).max()):
        raise TruthError(f"the float64 reference ends {gap:.2g} away from the model's output")


def variant(family: Family, name: str, **options: Any) -> Callable[[type[Attention]], type[Attention]]:
    """Return a decorator that makes a case of a stack of the decorated attention."""
    within = options.pop("within", None)
    subject = options.pop("subject", {})
    change = options.pop("change", lambda truths: truths)

    def register(attention: type[Attention]) -> type[Attention]:
        @family.add(name, **options)
        def make() -> Subject:
            model, x = spread_out(Stack(attention)), random(BATCH, LENGTH, WIDTH)

            def truths() -> list[Truth]:
                found = change(reference(model, x))
                return found if within is None else [truth.but(within=within) for truth in found]

            return Subject(model, lambda m: m(x), truths, **subject)

        return attention

    return register
