"""Models the zoo's hand-written cases run: teaching code, textbook blocks, written anew."""

import math

import torch
import torch.nn.functional as F
from tests.zoo.written import DEEP, HEADS, LENGTH, WIDTH
from torch import nn


class Head(nn.Module):
    """One head with projections of its own, as in many lessons."""

    def __init__(self):
        super().__init__()
        self.key, self.query, self.value = (nn.Linear(WIDTH, DEEP, bias=False) for _ in range(3))
        self.register_buffer("tril", torch.tril(torch.ones(LENGTH, LENGTH)))
        self.dropout = nn.Dropout(0.1)

    def forward(self, x):
        """Return (batch, token, width of a head)."""
        size = x.shape[1]
        k, q = self.key(x), self.query(x)
        wei = q @ k.transpose(-2, -1) * k.shape[-1] ** -0.5
        wei = wei.masked_fill(self.tril[:size, :size] == 0, float("-inf"))
        return self.dropout(F.softmax(wei, dim=-1)) @ self.value(x)


class MultiHeads(nn.Module):
    """Heads side by side."""

    def __init__(self):
        super().__init__()
        self.heads = nn.ModuleList(Head() for _ in range(HEADS))
        self.proj = nn.Linear(WIDTH, WIDTH)

    def forward(self, x):
        """Concatenate what the heads say."""
        return self.proj(torch.cat([head(x) for head in self.heads], dim=-1))


class FusedProjection(nn.Module):
    """Causal attention with one projection for Q, K and V, and a cache of what came before."""

    def __init__(self, flash=False):
        super().__init__()
        self.flash = flash
        self.c_attn, self.c_proj = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.attn_dropout = nn.Dropout(0.1)
        self.register_buffer("bias", torch.tril(torch.ones(32, 32)).view(1, 1, 32, 32))

    def forward(self, x, past=None):
        """Return the states and keys and values for the next step."""
        batch, size, width = x.size()
        q, k, v = (
            t.view(batch, size, HEADS, width // HEADS).transpose(1, 2)
            for t in self.c_attn(x).split(width, dim=2)
        )
        if past is not None:
            k, v = torch.cat([past[0], k], dim=2), torch.cat([past[1], v], dim=2)
        if self.flash:
            y = F.scaled_dot_product_attention(
                q, k, v, dropout_p=0.1 if self.training else 0, is_causal=past is None
            )
        else:
            att = (q @ k.transpose(-2, -1)) * (1.0 / math.sqrt(k.size(-1)))
            first = k.size(2) - size
            att = att.masked_fill(self.bias[:, :, first : first + size, : k.size(2)] == 0, float("-inf"))
            y = self.attn_dropout(F.softmax(att, dim=-1)) @ v
        y = y.transpose(1, 2).contiguous().view(batch, size, width)
        return self.c_proj(y), (k, v)


class Block(nn.Module):
    """Pre-norm block."""

    def __init__(self, flash):
        super().__init__()
        self.ln_1, self.ln_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.attn = FusedProjection(flash)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 2 * WIDTH), nn.GELU(), nn.Linear(2 * WIDTH, WIDTH))

    def forward(self, x, past=None):
        """Return states and cache."""
        y, cache = self.attn(self.ln_1(x), past)
        x = x + y
        return x + self.mlp(self.ln_2(x)), cache


class NanoGPT(nn.Module):
    """A small decoder with learned positions and tied weights."""

    def __init__(self, flash=False, words=20):
        super().__init__()
        self.wte, self.wpe = nn.Embedding(words, WIDTH), nn.Embedding(32, WIDTH)
        self.h = nn.ModuleList(Block(flash) for _ in range(2))
        self.ln_f = nn.LayerNorm(WIDTH)
        self.lm_head = nn.Linear(WIDTH, words, bias=False)
        self.wte.weight = self.lm_head.weight

    def forward(self, ids, past=None):
        """Return logits and caches."""
        first = 0 if past is None else past[0][0].shape[2]
        x = self.wte(ids) + self.wpe(torch.arange(first, first + ids.shape[1]))
        caches = []
        for number, block in enumerate(self.h):
            x, cache = block(x, None if past is None else past[number])
            caches.append(cache)
        return self.lm_head(self.ln_f(x)), caches

    @torch.no_grad()
    def generate(self, ids, count):
        """Append ``count`` words, one pass each."""
        past, fresh = None, ids
        for _ in range(count):
            logits, past = self(fresh, past)
            fresh = logits[:, -1:].argmax(-1)
            ids = torch.cat([ids, fresh], dim=1)
        return ids


def attention(query, key, value, mask=None, dropout=None):
    """Scaled dot-product attention; also returns the weights."""
    scores = torch.matmul(query, key.transpose(-2, -1)) / math.sqrt(query.size(-1))
    if mask is not None:
        scores = scores.masked_fill(mask == 0, -1e9)
    weights = scores.softmax(dim=-1)
    if dropout is not None:
        weights = dropout(weights)
    return torch.matmul(weights, value), weights


class MultiHeadedAttention(nn.Module):
    """Four linear layers and the function above, keeping its weights."""

    def __init__(self):
        super().__init__()
        self.linears = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.attn = None
        self.dropout = nn.Dropout(0.1)

    def forward(self, query, key, value, mask=None):
        """Attend in all heads at once."""
        mask = None if mask is None else mask.unsqueeze(1)
        batch = query.size(0)
        query, key, value = (
            lin(x).view(batch, -1, HEADS, DEEP).transpose(1, 2)
            for lin, x in zip(self.linears, (query, key, value), strict=False)
        )
        x, weights = attention(query, key, value, mask=mask, dropout=self.dropout)
        self.attn = weights.detach()
        return self.linears[-1](x.transpose(1, 2).contiguous().view(batch, -1, WIDTH))


class EncoderDecoder(nn.Module):
    """Two encoder and two decoder layers in the annotated-transformer manner."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(20, WIDTH)
        self.encoder = nn.ModuleList(nn.ModuleDict({"self_attn": MultiHeadedAttention()}) for _ in range(2))
        self.decoder = nn.ModuleList(
            nn.ModuleDict({"self_attn": MultiHeadedAttention(), "src_attn": MultiHeadedAttention()})
            for _ in range(2)
        )
        self.norm = nn.LayerNorm(WIDTH)

    def forward(self, source, target):
        """Return states of the target."""
        seen = (source != 0).unsqueeze(-2)
        later = torch.tril(torch.ones(1, target.shape[1], target.shape[1])) == 1
        memory, x = self.embed(source), self.embed(target)
        for layer in self.encoder:
            normed = self.norm(memory)
            memory = memory + layer["self_attn"](normed, normed, normed, seen)
        for layer in self.decoder:
            normed = self.norm(x)
            x = x + layer["self_attn"](normed, normed, normed, later)
            x = x + layer["src_attn"](self.norm(x), memory, memory, seen)
        return x
