"""More models for the hand-written cases: vision, sets, recurrent decoders, windows and frames."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from tests.intercept.by_hand import array, linear, norm, softmax
from tests.zoo.case import Truth
from tests.zoo.written import DEEP, HEADS, WIDTH
from torch import nn


class Plain(nn.Module):
    """Multi-head attention of two sequences, with widths of their own."""

    def __init__(self, key_width=WIDTH):
        super().__init__()
        self.to_q = nn.Linear(WIDTH, WIDTH, bias=False)
        self.to_kv = nn.Linear(key_width, 2 * WIDTH, bias=False)
        self.to_out = nn.Sequential(nn.Linear(WIDTH, WIDTH), nn.Dropout(0.1))

    def forward(self, x, context=None):
        """Return what ``x`` reads from ``context``, or from itself."""
        context = x if context is None else context
        k, v = self.to_kv(context).chunk(2, dim=-1)
        q, k, v = (t.unflatten(-1, (HEADS, DEEP)).transpose(1, 2) for t in (self.to_q(x), k, v))
        weights = (torch.matmul(q, k.transpose(-1, -2)) * DEEP**-0.5).softmax(dim=-1)
        return self.to_out(torch.matmul(weights, v).transpose(1, 2).flatten(2))


class VisionTransformer(nn.Module):
    """Patches, a class token, learned positions, two blocks."""

    def __init__(self):
        super().__init__()
        self.patch = nn.Conv2d(3, WIDTH, 4, stride=4)
        self.cls_token = nn.Parameter(torch.zeros(1, 1, WIDTH))
        self.pos_embed = nn.Parameter(torch.zeros(1, 5, WIDTH))
        self.blocks = nn.ModuleList(Plain() for _ in range(2))
        self.norm, self.head = nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 3)

    def forward(self, pictures):
        """Return class scores."""
        x = self.patch(pictures).flatten(2).transpose(1, 2)
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], 1) + self.pos_embed
        for block in self.blocks:
            x = x + block(self.norm(x))
        return self.head(x[:, 0]).softmax(-1)  # class probabilities are no attention


class NonLocal(nn.Module):
    """Every place of a feature map looks at every other; 1x1 convolutions project."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, stride=2, padding=1)
        self.theta, self.phi, self.g = (nn.Conv2d(8, 4, 1) for _ in range(3))
        self.back = nn.Conv2d(4, 8, 1)
        self.gamma = nn.Parameter(torch.ones(1))

    def forward(self, pictures):
        """Return feature maps."""
        x = self.stem(pictures)
        batch, _, height, width = x.shape
        theta, phi, g = (part(x).view(batch, 4, -1) for part in (self.theta, self.phi, self.g))
        weights = torch.softmax(torch.bmm(theta.permute(0, 2, 1), phi), dim=-1)
        mixed = torch.bmm(g, weights.permute(0, 2, 1)).view(batch, 4, height, width)
        return self.gamma * self.back(mixed) + x


class PooledByQuery(nn.Module):
    """A learned query reads the sequence."""

    def __init__(self):
        super().__init__()
        self.query = nn.Parameter(torch.randn(1, 1, WIDTH))
        self.attend, self.head = Plain(), nn.Linear(WIDTH, 3)

    def forward(self, x):
        """Return class scores."""
        return self.head(self.attend(self.query.expand(len(x), -1, -1), x)[:, 0])


class Latents(nn.Module):
    """Learned latents read the input once and then look at each other."""

    def __init__(self):
        super().__init__()
        self.latents = nn.Parameter(torch.randn(3, WIDTH))
        self.reads, self.thinks = Plain(), Plain()

    def forward(self, x):
        """Return latents."""
        z = self.latents.unsqueeze(0).repeat(len(x), 1, 1)
        z = z + self.reads(z, x)
        return z + self.thinks(z)


class InducedSet(nn.Module):
    """Set transformer: inducing points read the set, the set reads them."""

    def __init__(self):
        super().__init__()
        self.points = nn.Parameter(torch.randn(1, 3, WIDTH))
        self.first, self.second = Plain(), Plain()

    def forward(self, x):
        """Return the set's new states."""
        return self.second(x, self.first(self.points.repeat(x.size(0), 1, 1), x))


class Unlike(nn.Module):
    """Cross-attention between sequences of other widths."""

    def __init__(self):
        super().__init__()
        self.attend = Plain(key_width=10)

    def forward(self, x, context):
        """Return what ``x`` reads."""
        return x + self.attend(x, context)


class Seq2Seq(nn.Module):
    """An LSTM decoder that looks at the source once a step, with one head."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(20, WIDTH)
        self.encoder, self.cell = nn.LSTM(WIDTH, WIDTH, batch_first=True), nn.LSTMCell(WIDTH, WIDTH)
        self.out = nn.Linear(2 * WIDTH, 20)

    def forward(self, source, target):
        """Return logits of the target."""
        memory, _ = self.encoder(self.embed(source))
        state, logits = None, []
        for step in range(target.shape[1]):
            state = self.cell(self.embed(target[:, step]), state)
            scores = torch.bmm(memory, state[0].unsqueeze(2)).squeeze(2)
            weights = F.softmax(scores, dim=1)
            context = torch.bmm(weights.unsqueeze(1), memory).squeeze(1)
            logits.append(self.out(torch.cat([state[0], context], dim=1)))
        return torch.stack(logits, 1)


class WordPooling(nn.Module):
    """Hierarchical attention networks: scores against a context vector, then a weighted sum."""

    def __init__(self):
        super().__init__()
        self.gru = nn.GRU(WIDTH, WIDTH, batch_first=True)
        self.word, self.context = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, 1, bias=False)
        self.head = nn.Linear(WIDTH, 3)

    def forward(self, x):
        """Return class scores."""
        states, _ = self.gru(x)
        alpha = torch.softmax(self.context(torch.tanh(self.word(states))).squeeze(-1), dim=1)
        return self.head((alpha.unsqueeze(-1) * states).sum(dim=1))


class SlotAttention(nn.Module):
    """Slots compete for tokens: softmax over slots, then each slot's weights are divided by their sum."""

    rounds = 2

    def __init__(self):
        super().__init__()
        self.slots = nn.Parameter(torch.randn(3, WIDTH))
        self.q, self.k, self.v = (nn.Linear(WIDTH, WIDTH, bias=False) for _ in range(3))
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, x):
        """Return slots."""
        k, v = self.k(x), self.v(x)
        slots = self.slots.expand(len(x), -1, -1)
        for _ in range(self.rounds):
            scores = torch.einsum("bid,bjd->bij", self.q(self.norm(slots)), k) * WIDTH**-0.5
            weights = scores.softmax(dim=1) + 1e-8
            weights = weights / weights.sum(dim=-1, keepdim=True)
            slots = slots + torch.einsum("bjd,bij->bid", v, weights)
        return slots

    def worked_out(self, x):
        """Return the truths in float64."""
        x = x.double().numpy()
        k, v = linear(x, self.k.weight, None), linear(x, self.v.weight, None)
        slots, found = np.repeat(array(self.slots)[None], len(x), 0), []
        for _ in range(self.rounds):
            q = linear(norm(self.norm, slots), self.q.weight, None)
            shares = softmax((q @ k.swapaxes(1, 2) / math.sqrt(WIDTH)).swapaxes(1, 2)).swapaxes(1, 2) + 1e-8
            weights = shares / shares.sum(-1, keepdims=True)
            slots = slots + weights @ v
            found.append(Truth(weights[:, None], "", "cross"))
        return found


def partition(x, window):
    """Return windows of a (batch, height, width, channel) map, folded into the batch."""
    batch, height, width, channels = x.shape
    x = x.view(batch, height // window, window, width // window, window, channels)
    return x.permute(0, 1, 3, 2, 4, 5).reshape(-1, window * window, channels)


class Windowed(nn.Module):
    """Attention within windows of a square map, moved by ``shift``; windows that wrap round are masked."""

    def __init__(self, shift, side=8, window=4):
        super().__init__()
        self.side, self.window, self.shift = side, window, shift
        self.qkv, self.proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)

    def mask(self):
        """Hide pairs of places that only the roll brought together."""
        regions = torch.zeros(1, self.side, self.side, 1)
        cuts = (slice(0, -self.window), slice(-self.window, -self.shift), slice(-self.shift, None))
        for number, (rows, columns) in enumerate((a, b) for a in cuts for b in cuts):
            regions[:, rows, columns] = number
        flat = partition(regions, self.window)[..., 0]
        return (flat[:, None] - flat[:, :, None]) * 0 - 100.0 * (flat[:, None] != flat[:, :, None])

    def forward(self, x):
        """Return (batch, token, width)."""
        batch, side = len(x), self.side
        y = x.view(batch, side, side, WIDTH).roll((-self.shift, -self.shift), dims=(1, 2))
        windows = partition(y, self.window)
        q, k, v = self.qkv(windows).unflatten(-1, (3, HEADS, DEEP)).permute(2, 0, 3, 1, 4)
        scores = q * DEEP**-0.5 @ k.transpose(-2, -1)
        if self.shift:
            mask = self.mask()
            scores = scores.view(batch, len(mask), HEADS, *scores.shape[2:]) + mask[None, :, None]
            scores = scores.flatten(0, 1)
        mixed = (scores.softmax(dim=-1) @ v).transpose(1, 2).reshape(windows.shape)
        count = side // self.window
        y = mixed.view(batch, count, count, self.window, self.window, WIDTH).permute(0, 1, 3, 2, 4, 5)
        y = y.reshape(batch, side, side, WIDTH).roll((self.shift, self.shift), dims=(1, 2))
        return self.proj(y.reshape(x.shape))


class WindowBlock(nn.Module):
    """One layer of plain and one of shifted windows."""

    def __init__(self):
        super().__init__()
        self.layers = nn.ModuleList(Windowed(shift) for shift in (0, 2))
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, x):
        """Return states."""
        for layer in self.layers:
            x = x + layer(self.norm(x))
        return x


def shifted_windows(side, window, shift):
    """Return the numbers of the tokens of each window, (window, token of the window)."""
    numbers = np.roll(np.arange(side * side).reshape(side, side), (-shift, -shift), (0, 1))
    rows = [
        numbers[r : r + window, c : c + window].ravel()
        for r in range(0, side, window)
        for c in range(0, side, window)
    ]
    return np.stack(rows)


class FramesThenPlaces(nn.Module):
    """Divided space-time attention over (batch, frame, place, width)."""

    def __init__(self):
        super().__init__()
        self.time, self.space, self.norm = Plain(), Plain(), nn.LayerNorm(WIDTH)

    def forward(self, x):
        """Return states of the same shape."""
        batch, frames, places, width = x.shape
        y = self.norm(x).transpose(1, 2).reshape(batch * places, frames, width)
        x = x + self.time(y).view(batch, places, frames, width).transpose(1, 2)
        y = self.norm(x).reshape(batch * frames, places, width)
        return x + self.space(y).view(x.shape)


def places_over_frames(frames, places, is_time):
    """Return the numbers of the tokens that look at each other; token = frame * places + place."""
    numbers = np.arange(frames * places).reshape(frames, places)
    return numbers.T if is_time else numbers
