"""A decoder of the Llama kind, written plainly: grouped queries, rotary positions, RMSNorm, SwiGLU."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

NORM_EPSILON = 1e-5
ROTARY_BASE = 10_000.0

Cache = list[tuple[Tensor, Tensor]]


@dataclass(frozen=True)
class LlamaShape:
    """How large a Llama is.

    ``heads`` query heads share ``key_heads`` key and value heads in groups; ``longest`` is the number of
    tokens it was trained to read.
    """

    width: int
    hidden: int
    layers: int
    heads: int
    key_heads: int
    vocabulary: int
    longest: int

    @property
    def head_width(self) -> int:
        """Width of one head."""
        return self.width // self.heads


def rotate(states: Tensor, start: int) -> Tensor:
    """Turn neighbouring pairs of (batch, head, token, width) by their position, counted from ``start``.

    Su et al. 2021, "RoFormer", doi:10.48550/arXiv.2104.09864, section 3.2.2.
    """
    length, width = states.shape[-2:]
    rates = ROTARY_BASE ** -(torch.arange(0, width, 2, dtype=torch.float32, device=states.device) / width)
    angles = torch.arange(start, start + length, device=states.device)[:, None] * rates
    cos, sin = angles.cos().to(states.dtype), angles.sin().to(states.dtype)
    even, odd = states[..., 0::2], states[..., 1::2]
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1).flatten(-2)


class LlamaAttention(nn.Module):
    """Causal self-attention whose query heads share key and value heads in groups."""

    def __init__(self, shape: LlamaShape) -> None:
        super().__init__()
        self.shape = shape
        narrow = shape.key_heads * shape.head_width
        self.queries = nn.Linear(shape.width, shape.width, bias=False)
        self.keys = nn.Linear(shape.width, narrow, bias=False)
        self.values = nn.Linear(shape.width, narrow, bias=False)
        self.out = nn.Linear(shape.width, shape.width, bias=False)

    def _split(self, states: Tensor, heads: int) -> Tensor:
        return states.view(*states.shape[:2], heads, self.shape.head_width).transpose(1, 2)

    def forward(
        self, states: Tensor, mask: Tensor | None, past: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Attend from new tokens to all tokens so far; return the result and keys and values of them all."""
        start = 0 if past is None else past[0].shape[2]
        queries = rotate(self._split(self.queries(states), self.shape.heads), start)
        keys = rotate(self._split(self.keys(states), self.shape.key_heads), start)
        values = self._split(self.values(states), self.shape.key_heads)
        if past is not None:
            keys, values = torch.cat([past[0], keys], 2), torch.cat([past[1], values], 2)
        mixed = F.scaled_dot_product_attention(
            queries,
            keys,
            values,
            attn_mask=mask,
            is_causal=mask is None and start == 0 and states.shape[1] > 1,
            enable_gqa=self.shape.heads != self.shape.key_heads,
        )
        return self.out(mixed.transpose(1, 2).flatten(2)), (keys, values)


class SwiGlu(nn.Module):
    """The feed-forward part: one expansion gates another (Shazeer 2020, doi:10.48550/arXiv.2002.05202)."""

    def __init__(self, shape: LlamaShape) -> None:
        super().__init__()
        self.gate = nn.Linear(shape.width, shape.hidden, bias=False)
        self.up = nn.Linear(shape.width, shape.hidden, bias=False)
        self.down = nn.Linear(shape.hidden, shape.width, bias=False)

    def forward(self, states: Tensor) -> Tensor:
        """Work on each token for itself."""
        result: Tensor = self.down(F.silu(self.gate(states)) * self.up(states))
        return result


class LlamaLayer(nn.Module):
    """Attention, then feed-forward, each added to the stream."""

    def __init__(self, shape: LlamaShape) -> None:
        super().__init__()
        self.attention_norm = nn.RMSNorm(shape.width, eps=NORM_EPSILON)
        self.attention = LlamaAttention(shape)
        self.feed_forward_norm = nn.RMSNorm(shape.width, eps=NORM_EPSILON)
        self.feed_forward = SwiGlu(shape)

    def forward(
        self, states: Tensor, mask: Tensor | None, past: tuple[Tensor, Tensor] | None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """Return the new states and this layer's keys and values."""
        mixed, kept = self.attention(self.attention_norm(states), mask, past)
        states = states + mixed
        return states + self.feed_forward(self.feed_forward_norm(states)), kept


class Llama(nn.Module):
    """Scores for the next token at each position; the last step is the embedding again."""

    def __init__(self, shape: LlamaShape, *, tied: bool = True) -> None:
        super().__init__()
        self.shape = shape
        self.embedding = nn.Embedding(shape.vocabulary, shape.width)
        self.layers = nn.ModuleList(LlamaLayer(shape) for _ in range(shape.layers))
        self.norm = nn.RMSNorm(shape.width, eps=NORM_EPSILON)
        self.scores = nn.Linear(shape.width, shape.vocabulary, bias=False)
        if tied:
            self.scores.weight = self.embedding.weight

    def forward(self, ids: Tensor, *, lengths: Tensor | None = None, cache: Cache | None = None) -> Tensor:
        """Return the scores of every token's successor.

        Parameters
        ----------
        ids : (batch, token) int64 tensor
            The tokens, or those that are new where a cache holds the others.
        lengths : (batch,) int64 tensor, optional
            Real tokens of each text; what stands behind them is padding. Not together with a cache.
        cache : list, optional
            Keys and values by layer; empty at first, and filled by each call.

        Returns
        -------
        (batch, token, vocabulary) tensor
        """
        states = self.embedding(ids)
        mask = None
        if lengths is not None:
            place = torch.arange(ids.shape[1], device=ids.device)
            mask = (place <= place[:, None]) & (place < lengths[:, None, None])
            mask = mask[:, None]
        elif cache and ids.shape[1] > 1:
            start = cache[0][0].shape[2]
            place = torch.arange(start + ids.shape[1], device=ids.device)
            mask = place <= place[start:, None]
        for number, layer in enumerate(self.layers):
            past = cache[number] if cache and number < len(cache) else None
            states, kept = layer(states, mask, past)
            if cache is not None:
                cache[number : number + 1] = [kept]
        scores: Tensor = self.scores(self.norm(states))
        return scores


@torch.no_grad()
def continue_text(
    model: Llama,
    ids: Iterable[int],
    count: int,
    *,
    top_p: float | None = None,
    seed: int = 0,
    stop: frozenset[int] = frozenset(),
) -> list[int]:
    """Return ``ids`` and up to ``count`` tokens that the model adds, one at a time.

    Parameters
    ----------
    model : Llama
        In evaluation mode.
    ids : iterable of int
        What stands before; at least one token.
    count : int
        Most tokens to add. Fewer are added where the model says a token of ``stop`` (which is left out) or
        its longest text is reached.
    top_p : float, optional
        Draw from the likeliest tokens that together hold this probability, in (0, 1] (Holtzman et al. 2020,
        "The Curious Case of Neural Text Degeneration", doi:10.48550/arXiv.1904.09751). Default: always take
        the likeliest.
    seed : int
        For the draws; PyTorch's own generator is not touched.
    stop : frozenset of int
        Tokens that end a text.
    """
    text = list(ids)
    cache: Cache = []
    generator = torch.Generator().manual_seed(seed)
    fresh = text
    for _ in range(min(count, model.shape.longest - len(text))):
        scores = model(torch.tensor([fresh]), cache=cache)[0, -1]
        token = int(scores.argmax()) if top_p is None else draw_token(scores, top_p, generator)
        if token in stop:
            break
        text.append(token)
        fresh = [token]
    return text


def draw_token(scores: Tensor, top_p: float, generator: torch.Generator) -> int:
    """Draw from the fewest likeliest tokens that together hold ``top_p``."""
    shares, order = torch.softmax(scores.float(), -1).sort(descending=True, stable=True)
    before = shares.cumsum(-1) - shares
    shares = torch.where(before < top_p, shares, 0.0)
    return int(order[torch.multinomial(shares, 1, generator=generator)])
