"""Attention of GPT-2's shape, made up: causal rows with the patterns that heads of real models have."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from headscape.trace.call import AttentionCall
from headscape.trace.measure import Facts, gather_rows
from headscape.trace.sides import Side
from headscape.trace.synthetic import WORDS
from headscape.trace.trace import Trace

Floats = npt.NDArray[np.float32]
# Rows of one length share a block of noise, read from another corner for each head.
NOISE_CORNERS = 64
# As many patterns as heads take turns with: a layer and the one so many later differ by noise alone.
DISTINCT = 6
# Of the drum of rings: radius of a ring, and the way to the next.
RADIUS, GAP = 100.0, 60.0


@dataclass(frozen=True)
class Size:
    """How much attention a page shows.

    ``k`` is how many keys of a row headscape's capture keeps, None for all; only headscape keeps some.
    ``edges`` is how many edges are drawn, by the libraries that draw a chosen number; None leaves it to them.
    """

    layers: int
    heads: int
    tokens: int
    k: int | None = None
    edges: int | None = None

    @property
    def name(self) -> str:
        """Short name, such as ``12x12x128``, by which the command line chooses it."""
        rest = (f"-top{self.k}" if self.k else "") + (f"-edges{self.edges}" if self.edges else "")
        return f"{self.layers}x{self.heads}x{self.tokens}{rest}"

    @property
    def weights(self) -> int:
        """How many weights the model has at this size, above the diagonal too."""
        return self.layers * self.heads * self.tokens**2

    @property
    def place(self) -> tuple[int, int]:
        """Sizes in order: by weights, then by edges."""
        return self.weights, self.edges or 0


def read_size(name: str) -> Size:
    """Return the size with this name."""
    shape, _, edges = name.partition("-edges")
    shape, _, k = shape.partition("-top")
    layers, heads, tokens = map(int, shape.split("x"))
    return Size(layers, heads, tokens, int(k) if k else None, int(edges) if edges else None)


def make_tokens(length: int) -> list[str]:
    """Return words of a sentence, over and over, as GPT-2's tokenizer writes them."""
    words = [WORDS[n % len(WORDS)] for n in range(length)]
    return [word if n == 0 else f"Ġ{word}" for n, word in enumerate(words)]


def make_layers(size: Size, *, seed: int = 0) -> Iterator[Floats]:
    """Yield the attention of each layer, (head, query, key): rows sum to 1, no query sees a later key.

    Heads take turns: previous token, first token, near tokens, one hub, the token itself, anything.
    """
    rng = np.random.default_rng(seed)
    length = size.tokens
    noise = rng.normal(0, 0.8, (length + NOISE_CORNERS,) * 2).astype(np.float32)
    i, j = np.arange(length)[:, None], np.arange(length)[None, :]
    patterns = [
        np.broadcast_to(pattern, (length, length)).astype(np.float32)
        for pattern in (
            5.0 * (j == i - 1),
            6.0 * (j == 0),
            -0.5 * np.abs(i - j),
            4.0 * (j == length // 3),
            4.0 * (j == i),
            0.0 * j,
        )
    ]
    later = j > i
    for layer in range(size.layers):
        found = np.empty((size.heads, length, length), np.float32)
        for head in range(size.heads):
            y, x = rng.integers(0, NOISE_CORNERS, 2)
            scores = noise[y : y + length, x : x + length] + patterns[(head + layer) % len(patterns)]
            scores[later] = -np.inf
            weights = np.exp(scores - scores.max(-1, keepdims=True))
            found[head] = weights / weights.sum(-1, keepdims=True)
        yield found


def make_trace(size: Size, *, seed: int = 0) -> Trace:
    """Return the attention as a capture of a model would.

    Where ``size.k`` keeps some keys, each group of :data:`DISTINCT` layers repeats the one before it: it
    takes minutes to choose the keys of as many rows as such sizes have.
    """
    none = np.zeros((1, size.tokens), bool)
    shape = (1, size.heads, size.tokens, size.tokens)
    visible = np.broadcast_to(np.arange(1, size.tokens + 1, dtype=np.int32), shape[:3])
    rng = np.random.default_rng(seed)
    found: dict[int, AttentionCall] = {}
    distinct = min(size.layers, DISTINCT) if size.k else size.layers
    for layer, weights in enumerate(make_layers(replace(size, layers=distinct), seed=seed)):
        norms = rng.gamma(4, 0.2, (1, size.heads, size.tokens)).astype(np.float32)
        flow = rng.gamma(6, 0.5, (1, 4, size.tokens)).astype(np.float32)
        arrays = gather_rows([(0, weights[None], visible)], shape, size.k, Facts(none, none, norms, flow))
        for number in range(layer, size.layers, distinct):
            path = f"h.{number}.attn"
            found[number] = AttentionCall(
                path, path, number, "self", "sdpa", 0, 0, number, shape, arrays, 0.0
            )
    side = Side("tokens", size.tokens, size.layers + 1, (tuple(make_tokens(size.tokens)),))
    calls = tuple(found[number] for number in range(size.layers))
    return Trace(calls, (side,), None, (), "GPT2Model", None)


@dataclass(frozen=True)
class Links:
    """The strongest weights of all heads as links between nodes of a drum of rings, one ring a layer.

    ``positions`` is (layer, token, 3). ``layer``, ``head``, ``query``, ``key`` and ``weight`` have one entry
    a link, strongest first.
    """

    positions: npt.NDArray[np.float64]
    layer: npt.NDArray[np.intp]
    head: npt.NDArray[np.intp]
    query: npt.NDArray[np.intp]
    key: npt.NDArray[np.intp]
    weight: Floats

    @property
    def depth(self) -> float:
        """How far in front of the drum a camera of 50 degrees sees all of it, in a window of 1280 x 800."""
        return 0.67 * GAP * len(self.positions) + RADIUS


def make_links(size: Size, count: int) -> Links:
    """Return the ``count`` strongest weights, those of a token to itself left out."""
    weights = np.stack(list(make_layers(size)))
    own = np.arange(size.tokens)
    weights[:, :, own, own] = 0
    count = min(count, int((weights > 0).sum()))
    flat = weights.reshape(-1)
    best = np.argpartition(-flat, count - 1)[:count]
    best = best[np.argsort(-flat[best], kind="stable")]
    layer, head, query, key = np.unravel_index(best, weights.shape)
    angle = 2 * np.pi * own / size.tokens
    ring = np.stack([RADIUS * np.cos(angle), RADIUS * np.sin(angle)], -1)
    positions = np.empty((size.layers, size.tokens, 3))
    positions[:, :, 1:] = ring
    positions[:, :, 0] = GAP * (np.arange(size.layers) - (size.layers - 1) / 2)[:, None]
    return Links(positions, layer, head, query, key, flat[best])
