"""What looks like attention and is none, and attention whose weights are no product's softmax."""

import numpy as np
import torch
import torch.nn.functional as F
from tests.intercept.by_hand import array, linear, softmax
from tests.zoo.case import Family, Subject, Truth
from tests.zoo.written import BATCH, HEADS, LENGTH, WIDTH, random, spread_out
from torch import nn

OTHERS = Family("other scores and decoys")
X = random(BATCH, LENGTH, WIDTH)
GRAPH = torch.rand(LENGTH, LENGTH, generator=torch.Generator().manual_seed(2)) > 0.4
GRAPH |= torch.eye(LENGTH, dtype=torch.bool)


class Bahdanau(nn.Module):
    """Additive scores: v tanh(W q + U k)."""

    def __init__(self):
        super().__init__()
        self.query, self.key = nn.Linear(WIDTH, 8), nn.Linear(WIDTH, 8)
        self.score, self.value = nn.Linear(8, 1), nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        """Return what each token reads."""
        scores = self.score(torch.tanh(self.query(x)[:, :, None] + self.key(x)[:, None])).squeeze(-1)
        return torch.bmm(F.softmax(scores, dim=-1), self.value(x))

    def worked_out(self, x):
        """Return the weights in float64."""
        x = x.double().numpy()
        q, k = (linear(x, part.weight, part.bias) for part in (self.query, self.key))
        hidden = np.tanh(q[:, :, None] + k[:, None])
        return softmax(hidden @ array(self.score.weight)[0])[:, None]


class GraphAttention(nn.Module):
    """GAT: leaky_relu of a sum of two numbers, over neighbours of a graph; dense, four heads."""

    def __init__(self):
        super().__init__()
        self.project = nn.Linear(WIDTH, WIDTH, bias=False)
        self.source = nn.Parameter(torch.randn(HEADS, WIDTH // HEADS))
        self.target = nn.Parameter(torch.randn(HEADS, WIDTH // HEADS))
        self.dropout = nn.Dropout(0.1)

    def forward(self, x):
        """Return the nodes' new states."""
        h = self.project(x).view(BATCH, LENGTH, HEADS, -1).transpose(1, 2)
        to, of = (h * self.target[:, None]).sum(-1), (h * self.source[:, None]).sum(-1)
        scores = F.leaky_relu(to.unsqueeze(-1) + of.unsqueeze(-2), 0.2)
        weights = F.softmax(scores.masked_fill(~GRAPH, float("-inf")), dim=-1)
        return torch.matmul(self.dropout(weights), h).transpose(1, 2).flatten(2)

    def worked_out(self, x):
        """Return the weights in float64."""
        h = linear(x.double().numpy(), self.project.weight, None)
        h = h.reshape(BATCH, LENGTH, HEADS, -1).transpose(0, 2, 1, 3)
        to, of = ((h * array(part)[:, None]).sum(-1) for part in (self.target, self.source))
        scores = to[..., None] + of[..., None, :]
        scores = np.where(scores > 0, scores, 0.2 * scores)
        return softmax(np.where(GRAPH.numpy(), scores, -np.inf))


class Synthesizer(nn.Module):
    """Weights are a learned table, the same for every input: there is nothing that looks."""

    def __init__(self):
        super().__init__()
        self.table, self.value = nn.Parameter(torch.randn(HEADS, LENGTH, LENGTH)), nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        """Return mixed states."""
        v = self.value(x).view(BATCH, LENGTH, HEADS, -1).transpose(1, 2)
        return (self.table.softmax(-1) @ v).transpose(1, 2).flatten(2)


def scored_case(name, build):
    """Register a model that works its own weights out in float64."""

    @OTHERS.add(name)
    def make():
        model = spread_out(build())
        return Subject(model, lambda m: m(X), lambda: [Truth(model.worked_out(X), "")], checks_itself=False)


scored_case("additive scores (Bahdanau)", Bahdanau)
scored_case("graph attention (GAT)", GraphAttention)


class LinearAttention(nn.Module):
    """phi(Q) (phi(K)^T V): there is no matrix of weights."""

    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)

    def forward(self, x):
        """Return states."""
        q, k, v = self.qkv(x).view(BATCH, LENGTH, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        q, k = F.elu(q) + 1, F.elu(k) + 1
        mixed = q @ (k.transpose(-2, -1) @ v)
        return (mixed / (q @ k.sum(-2)[..., None])).transpose(1, 2).flatten(2)


class Retention(nn.Module):
    """Q K^T times a decay, times V, without any softmax."""

    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(WIDTH, 3 * WIDTH)

    def forward(self, x):
        """Return states."""
        q, k, v = self.qkv(x).view(BATCH, LENGTH, 3, HEADS, -1).permute(2, 0, 3, 1, 4)
        away = torch.arange(LENGTH)[:, None] - torch.arange(LENGTH)[None, :]
        decay = torch.where(away >= 0, 0.9 ** away.clamp(min=0), 0.0)
        return ((q @ k.transpose(-2, -1)) * decay @ v).transpose(1, 2).flatten(2)


class Experts(nn.Module):
    """A mixture of experts: gates are a softmax over experts."""

    def __init__(self):
        super().__init__()
        self.gate, self.experts = (
            nn.Linear(WIDTH, 4),
            nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(4)),
        )

    def forward(self, x):
        """Return the experts' weighted answers."""
        gates = F.softmax(self.gate(x), dim=-1)
        answers = torch.stack([expert(x) for expert in self.experts], dim=-2)
        return torch.einsum("bse,bsed->bsd", gates, answers)


class SqueezeExcite(nn.Module):
    """Channels scaled by a sigmoid of their means."""

    def __init__(self):
        super().__init__()
        self.conv, self.down, self.up = (
            nn.Conv1d(WIDTH, WIDTH, 3, padding=1),
            nn.Linear(WIDTH, 4),
            nn.Linear(4, WIDTH),
        )

    def forward(self, x):
        """Return scaled channels."""
        y = self.conv(x.transpose(1, 2))
        return y * torch.sigmoid(self.up(F.relu(self.down(y.mean(-1)))))[..., None]


class Gated(nn.Module):
    """Gated linear units, and class probabilities at the end."""

    def __init__(self):
        super().__init__()
        self.up, self.gate, self.down = nn.Linear(WIDTH, 32), nn.Linear(WIDTH, 32), nn.Linear(32, 3)

    def forward(self, x):
        """Return class probabilities."""
        return F.softmax(self.down(F.silu(self.gate(x)) * self.up(x)), dim=-1)


class Contrast(nn.Module):
    """Two towers and the softmax of their similarities, as a contrastive loss has it."""

    def __init__(self):
        super().__init__()
        self.left, self.right = nn.Linear(WIDTH, 8), nn.Linear(WIDTH, 8)

    def forward(self, x):
        """Return the log-probabilities of pairs and their mean."""
        a, b = (F.normalize(part(x.flatten(0, 1)), dim=-1) for part in (self.left, self.right))
        pairs = F.softmax(a @ b.T / 0.1, dim=-1)
        return pairs.diagonal().log().mean(), pairs


class HeadsWeighed(nn.Module):
    """A softmax over branches weighs their outputs."""

    def __init__(self):
        super().__init__()
        self.branches, self.weigh = nn.Linear(WIDTH, HEADS * WIDTH), nn.Linear(WIDTH, HEADS)

    def forward(self, x):
        """Return the weighted sum of branches."""
        branches = self.branches(x).view(BATCH, LENGTH, HEADS, WIDTH)
        return (self.weigh(x).softmax(-1)[..., None] * branches).sum(2)


class Recurrent(nn.Module):
    """Convolutions and a GRU."""

    def __init__(self):
        super().__init__()
        self.conv, self.gru = nn.Conv1d(WIDTH, WIDTH, 3, padding=1), nn.GRU(WIDTH, WIDTH, batch_first=True)

    def forward(self, x):
        """Return states."""
        return self.gru(self.conv(x.transpose(1, 2)).transpose(1, 2))[0]


def empty_case(name, build):
    """Register a model without attention: nothing is captured, and that is said."""

    @OTHERS.add(name, expect="none", says="no attention was seen", road="there is none")
    def make():
        return Subject(spread_out(build()), lambda m: m(X), list, has_dropout=False)


empty_case("linear attention", LinearAttention)
empty_case("retention without softmax", Retention)
empty_case("weights from a table (Synthesizer)", Synthesizer)
empty_case("mixture of experts", Experts)
empty_case("squeeze and excite", SqueezeExcite)
empty_case("gated linear unit and class probabilities", Gated)
empty_case("similarities of a contrastive loss", Contrast)
empty_case("softmax over branches", HeadsWeighed)
empty_case("convolution and GRU", Recurrent)
