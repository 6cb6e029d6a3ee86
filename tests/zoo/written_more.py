"""Hand-written attention of rarer kinds: axes of rows, channels as tokens, several sources, running sums."""

import einops
import numpy as np
import torch
import torch.nn.functional as F
from tests.intercept.by_hand import array, linear, softmax
from tests.zoo.case import Family, Subject
from tests.zoo.truth import executed_softmax
from tests.zoo.windows import dense_over_groups
from tests.zoo.written import (
    BATCH,
    CAUSAL,
    DEEP,
    HEADS,
    LENGTH,
    WIDTH,
    Attention,
    hide,
    random,
    scaled,
    spread_out,
    variant,
)
from torch import nn

MORE = Family("written, rarer")
X = random(BATCH, LENGTH, WIDTH)


@variant(MORE, "einops: rearrange and einsum")
class Einops(Attention):
    def split(self, x, heads):
        return einops.rearrange(x, "b n (h d) -> b h n d", h=heads)

    def merge(self, x):
        return einops.rearrange(x, "b h n d -> b n (h d)")

    def attend(self, q, k, v):
        dots = einops.einsum(q, k, "b h i d, b h j d -> b h i j") * DEEP**-0.5
        weights = dots.masked_fill(~CAUSAL, -torch.finfo(dots.dtype).max).softmax(dim=-1)
        return einops.einsum(weights, v, "b h i j, b h j d -> b h i d")

    def matrix(self, q, k):
        return softmax(hide(scaled(q, k)))


@variant(MORE, "output gate")
class OutputGate(Attention):
    """The output is gated after P V; the weights are the usual ones."""

    def __init__(self):
        super().__init__()
        self.gate = nn.Parameter(torch.zeros(HEADS, 1, DEEP))

    def attend(self, q, k, v):
        return (q @ k.mT * DEEP**-0.5).softmax(-1) @ v * torch.sigmoid(self.gate)

    def matrix(self, q, k):
        return softmax(scaled(q, k))

    def mixed(self, weights, v):
        return weights @ v / (1 + np.exp(-array(self.gate)))


@variant(MORE, "learned memory keys before the sequence's own")
class MemoryKeys(Attention):
    def __init__(self):
        super().__init__()
        self.memory = nn.Parameter(torch.randn(2, HEADS, 2, DEEP))

    def attend(self, q, k, v):
        k, v = (
            torch.cat([m.expand(BATCH, -1, -1, -1), t], dim=2)
            for m, t in zip(self.memory, (k, v), strict=True)
        )
        return torch.softmax(q @ k.mT / DEEP**0.5, -1) @ v

    def longer(self, t, part):
        memory = np.broadcast_to(array(self.memory)[part], (BATCH, HEADS, 2, DEEP))
        return np.concatenate([memory, t], 2)

    def matrix(self, q, k):
        return softmax(scaled(q, self.longer(k, 0)))

    def mixed(self, weights, v):
        return weights @ self.longer(v, 1)


@variant(MORE, "distance instead of a product (L2)")
class Distance(Attention):
    def attend(self, q, k, v):
        return F.softmax(-(torch.cdist(q, k) ** 2) / DEEP**0.5, dim=-1) @ v

    def matrix(self, q, k):
        return softmax(-((q[:, :, :, None] - k[:, :, None]) ** 2).sum(-1) / DEEP**0.5)


@variant(MORE, "softmax with a dropped-out score mask and NaN-safe rows")
class NanSafe(Attention):
    """Rows without any key give zeros, by nan_to_num."""

    def attend(self, q, k, v):
        scores = (q @ k.mT / DEEP**0.5).masked_fill(~self.seen(), float("-inf"))
        return torch.nan_to_num(scores.softmax(-1), 0.0) @ v

    @staticmethod
    def seen():
        seen = CAUSAL.clone()
        seen[0] = False
        return seen

    def matrix(self, q, k):
        weights = softmax(hide(scaled(q, k)))
        weights[:, :, 0] = 0
        return weights


@variant(
    MORE,
    "memory beside the sequence: one softmax, two products with values",
    expect="partial",
    says="learned values",
)
class TwoSources(Attention):
    """As in memorizing transformers: the weights are cut in two before they meet values."""

    def __init__(self):
        super().__init__()
        self.memory = nn.Parameter(torch.randn(2, HEADS, 3, DEEP))

    def attend(self, q, k, v):
        keys, values = self.memory.unsqueeze(1)
        scores = torch.cat([q @ keys.mT, q @ k.mT], dim=-1) / DEEP**0.5
        ours, own = scores.softmax(-1).split([3, LENGTH], dim=-1)
        return ours @ values + own @ v

    def matrix(self, q, k):
        memory = np.broadcast_to(array(self.memory)[0], (BATCH, HEADS, 3, DEEP))
        return softmax(scaled(q, np.concatenate([memory, k], 2)))

    def mixed(self, weights, v):
        memory = np.broadcast_to(array(self.memory)[1], (BATCH, HEADS, 3, DEEP))
        return weights @ np.concatenate([memory, v], 2)


@variant(
    MORE,
    "flash attention in Python: running maximum and sum over blocks of keys",
    expect="partial",
    says="in 3 pieces",
)
class RunningSum(Attention):
    """No row ever exists as a whole."""

    def attend(self, q, k, v):
        top = torch.full((*q.shape[:3], 1), float("-inf"))
        total, mixed = torch.zeros_like(top), torch.zeros_like(q)
        for keys, values in zip(k.split(2, 2), v.split(2, 2), strict=True):
            scores = q @ keys.mT / DEEP**0.5
            higher = torch.maximum(top, scores.amax(-1, keepdim=True))
            raised, fade = torch.exp(scores - higher), torch.exp(top - higher)
            total, mixed, top = (
                total * fade + raised.sum(-1, keepdim=True),
                mixed * fade + raised @ values,
                higher,
            )
        return mixed / total

    def matrix(self, q, k):
        return softmax(scaled(q, k))


class Axial(nn.Module):
    """Attention along the rows of a table, then along its columns, on five axes."""

    def __init__(self):
        super().__init__()
        self.row, self.column = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, 3 * WIDTH)

    def forward(self, x):
        """Return states, (batch, row, column, width)."""
        x = x + self.along(self.row, x)
        return x + self.along(self.column, x.transpose(1, 2)).transpose(1, 2)

    @staticmethod
    def along(part, x):
        """Attend along the third axis."""
        q, k, v = part(x).unflatten(-1, (3, HEADS, DEEP)).permute(3, 0, 1, 4, 2, 5)
        weights = torch.einsum("brhid,brhjd->brhij", q, k).mul(DEEP**-0.5).softmax(-1)
        return torch.einsum("brhij,brhjd->brhid", weights, v).transpose(2, 3).flatten(3)


@MORE.add("axial: rows, then columns, on five axes", road="executed softmax")
def axial():
    model, x = spread_out(Axial()), random(BATCH, 3, 4, WIDTH, seed=6)
    places = np.arange(12).reshape(3, 4)

    def truths():
        found = executed_softmax(model, lambda m: m(x))
        folded = [truth.but(weights=truth.weights.reshape(-1, *truth.weights.shape[2:])) for truth in found]
        return [dense_over_groups(t, g, BATCH) for t, g in zip(folded, (places, places.T), strict=True)]

    return Subject(model, lambda m: m(x), truths, has_dropout=False)


class Channels(nn.Module):
    """Channels look at channels, as in XCiT and Restormer: the tokens are the widths of a head."""

    def __init__(self):
        super().__init__()
        self.qkv, self.temperature = nn.Linear(WIDTH, 3 * WIDTH), nn.Parameter(torch.ones(HEADS, 1, 1))

    def forward(self, x):
        """Return states."""
        q, k, v = self.qkv(x).view(BATCH, LENGTH, 3, HEADS, DEEP).permute(2, 0, 3, 4, 1)
        q, k = F.normalize(q, dim=-1), F.normalize(k, dim=-1)
        weights = (q @ k.transpose(-2, -1) * self.temperature).softmax(dim=-1)
        return (weights @ v).permute(0, 3, 1, 2).reshape(x.shape)

    def worked_out(self, x):
        """Return the weights in float64."""
        made = linear(x.double().numpy(), self.qkv.weight, self.qkv.bias)
        q, k, _ = made.reshape(BATCH, LENGTH, 3, HEADS, DEEP).transpose(2, 0, 3, 4, 1)
        q, k = (t / np.linalg.norm(t, axis=-1, keepdims=True) for t in (q, k))
        return softmax(q @ k.swapaxes(2, 3) * array(self.temperature))


@MORE.add("channels as tokens (XCiT)", expect="none", says="joins features, not tokens")
def channels():
    model = spread_out(Channels())
    return Subject(model, lambda m: m(X), list, has_dropout=False)


class EdgeAttention(nn.Module):
    """Graph attention over a list of edges: weights stand on edges, and there is no matrix."""

    edges = torch.tensor([[0, 1, 2, 3, 4, 5, 0, 2], [1, 2, 3, 4, 5, 0, 3, 5]])

    def __init__(self):
        super().__init__()
        self.project, self.score = nn.Linear(WIDTH, WIDTH), nn.Linear(2 * WIDTH, 1)

    def forward(self, x):
        """Return the states of one graph's nodes."""
        h = self.project(x[0])
        of, to = self.edges
        raised = F.leaky_relu(self.score(torch.cat([h[of], h[to]], -1))).exp()
        total = torch.zeros(LENGTH, 1).index_add(0, to, raised)
        return torch.zeros_like(h).index_add(0, to, raised / total[to] * h[of])


class Pointer(nn.Module):
    """A pointer network: the scores are the answer, and meet no values."""

    def __init__(self):
        super().__init__()
        self.query, self.key = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        """Return where each token points."""
        return (self.query(x) @ self.key(x).mT).softmax(-1)


class SoftWords(nn.Module):
    """Word probabilities times the embedding table: a softmax and a second product, but no attention."""

    def __init__(self):
        super().__init__()
        self.head, self.table = nn.Linear(WIDTH, 20), nn.Embedding(20, WIDTH)

    def forward(self, x):
        """Return expected embeddings."""
        return self.head(x).softmax(-1) @ self.table.weight


def empty_case(name, build):
    """Register a model in which nothing is to be captured, and that is said."""

    @MORE.add(name, expect="none", says="no attention was seen", road="there is none")
    def make():
        return Subject(spread_out(build()), lambda m: m(X), list, has_dropout=False)


empty_case("graph attention over a list of edges", EdgeAttention)
empty_case("pointer network", Pointer)
empty_case("expected word embeddings", SoftWords)
