"""Stands in for annalog's model: the same classes and calls, other code, small enough to run untrained."""

import torch
from torch import nn


class Attention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.into = nn.ModuleList(nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)

    def forward(self, query, key, mask):
        states = (part(x) for part, x in zip(self.into, (query, key, key), strict=True))
        q, k, v = (x.view(*x.shape[:2], self.heads, -1).permute(0, 2, 1, 3) for x in states)
        energy = torch.matmul(q, k.permute(0, 1, 3, 2)) / q.shape[-1] ** 0.5
        attention = torch.softmax(energy.masked_fill(mask == 0, -1e10), dim=-1)
        mixed = torch.matmul(attention, v).permute(0, 2, 1, 3).contiguous()
        return self.out(mixed.view(*query.shape)), attention


class Encoder(nn.Module):
    def __init__(self, *sizes):
        super().__init__()
        words, width, layers, heads, _inner, _dropout, _device, longest = sizes
        self.words, self.places = nn.Embedding(words, width), nn.Embedding(longest, width)
        self.layers = nn.ModuleList(Attention(width, heads) for _ in range(layers))
        self.norms = nn.ModuleList(nn.LayerNorm(width) for _ in range(layers))

    def forward(self, ids, mask):
        x = self.words(ids) + self.places(torch.arange(ids.shape[1]))
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = norm(x + layer(x, x, mask)[0])
        return x


class Decoder(Encoder):
    def __init__(self, *sizes):
        super().__init__(*sizes)
        words, width, layers, heads, *_ = sizes
        self.crossing = nn.ModuleList(Attention(width, heads) for _ in range(layers))
        self.scores = nn.Linear(width, words)

    def forward(self, ids, source, mask, source_mask):
        x = self.words(ids) + self.places(torch.arange(ids.shape[1]))
        for layer, crossing, norm in zip(self.layers, self.crossing, self.norms, strict=True):
            x = norm(x + layer(x, x, mask)[0])
            found, attention = crossing(x, source, source_mask)
            x = norm(x + found)
        return self.scores(x), attention


class Seq2Seq(nn.Module):
    def __init__(self, encoder, decoder, source_padding, target_padding, device):
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.padding = source_padding

    def forward(self, source, target):
        source_mask = (source != self.padding)[:, None, None]
        mask = (
            torch.ones(target.shape[1], target.shape[1]).tril().bool()
            & (target != self.padding)[:, None, None]
        )
        return self.decoder(target, self.encoder(source, source_mask), mask, source_mask)
