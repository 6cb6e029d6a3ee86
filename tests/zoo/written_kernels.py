"""Hand-written models that call torch's attention kernels, and what torch may be told to do with a model."""

import copy

import numpy as np
import torch
import torch.nn.functional as F
from tests.intercept.by_hand import softmax
from tests.zoo.case import Family, Subject, Truth
from tests.zoo.truth import executed_softmax
from tests.zoo.written import (
    BATCH,
    CAUSAL,
    DEEP,
    HEADS,
    LENGTH,
    WIDTH,
    Attention,
    Stack,
    hide,
    random,
    reference,
    scaled,
    spread_out,
    variant,
)
from tests.zoo.written_softmax import MaskedFill
from torch.nn.attention.flex_attention import create_block_mask, flex_attention
from torch.nn.functional import scaled_dot_product_attention
from torch.utils.checkpoint import checkpoint

KERNELS = Family("kernels and modes")
X = random(BATCH, LENGTH, WIDTH)


class Open(Attention):
    """Softmax over all keys."""

    def matrix(self, q, k):
        return softmax(scaled(q, k))


class Causal(Attention):
    """Softmax over earlier keys."""

    def matrix(self, q, k):
        return softmax(hide(scaled(q, k)))


@variant(KERNELS, "scaled_dot_product_attention, imported by name")
class EarlyBound(Causal):
    def attend(self, q, k, v):
        return scaled_dot_product_attention(q, k, v, is_causal=True, dropout_p=0.1 if self.training else 0.0)


SEEN = torch.tensor([[1, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0]], dtype=torch.bool)


@variant(
    KERNELS,
    "bool mask and a scale",
    change=lambda truths: [t.but(real=SEEN.numpy()) for t in truths],
)
class BoolMask(Attention):
    def attend(self, q, k, v):
        mask = CAUSAL & SEEN[:, None, None, :]
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, scale=0.9)

    def matrix(self, q, k):
        mask = (CAUSAL & SEEN[:, None, None, :]).numpy()
        return softmax(hide(q @ k.swapaxes(2, 3) * 0.9, mask))


BIAS = random(HEADS, LENGTH, LENGTH, seed=8)


@variant(KERNELS, "float bias for each head")
class FloatMask(Attention):
    def attend(self, q, k, v):
        return F.scaled_dot_product_attention(q, k, v, BIAS)

    def matrix(self, q, k):
        return softmax(scaled(q, k) + BIAS.double().numpy())


@variant(KERNELS, "enable_gqa")
class Gqa(Causal):
    kv_heads = 2

    def attend(self, q, k, v):
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)


@variant(KERNELS, "three axes, heads folded into the batch")
class Folded(Open):
    def attend(self, q, k, v):
        folded = (t.reshape(BATCH * HEADS, LENGTH, DEEP) for t in (q, k, v))
        return F.scaled_dot_product_attention(*folded).view(BATCH, HEADS, LENGTH, DEEP)


@variant(KERNELS, "tokens and heads exchanged by a view that is not contiguous")
class Strided(Open):
    def split(self, x, heads):
        return x.view(BATCH, LENGTH, DEEP, heads).permute(0, 3, 1, 2)

    def merge(self, x):
        return x.permute(0, 2, 3, 1).reshape(BATCH, LENGTH, WIDTH)

    def forward(self, x):
        q, k, v = (self.split(part(x), HEADS) for part in (self.q, self.k, self.v))
        return self.o(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))

    def matrix(self, q, k):
        # The reference splits heads first; here they run fastest.
        return softmax(scaled(*(self.fastest(t) for t in (q, k))))

    def mixed(self, weights, v):
        return weights @ self.fastest(v)

    @staticmethod
    def fastest(t):
        flat = t.transpose(0, 2, 1, 3).reshape(BATCH, LENGTH, DEEP, HEADS)
        return flat.transpose(0, 3, 1, 2)


def relative(score, batch, head, query, key):
    """Add a bias that grows with the distance."""
    return score + (query - key) * 0.3 * (head + 1)


def is_earlier(batch, head, query, key):
    """Whether a key is not later."""
    return query >= key


@variant(KERNELS, "flex_attention with score_mod", subject={"trains": False})
class FlexScore(Attention):
    def attend(self, q, k, v):
        return flex_attention(q, k, v, score_mod=relative)

    def matrix(self, q, k):
        away = np.arange(LENGTH)[:, None] - np.arange(LENGTH)[None, :]
        return softmax(scaled(q, k) + away * 0.3 * np.arange(1, HEADS + 1)[:, None, None])


@variant(KERNELS, "flex_attention with a block mask, grouped heads", subject={"trains": False})
class FlexBlock(Causal):
    kv_heads = 2

    def attend(self, q, k, v):
        mask = create_block_mask(is_earlier, None, None, LENGTH, LENGTH, device="cpu")
        return flex_attention(q, k, v, block_mask=mask, enable_gqa=True)


class Checkpointed(Stack):
    """Each layer runs again in backward."""

    reentrant = False

    def forward(self, x):
        for norm, layer in zip(self.norms, self.layers, strict=True):
            x = x + checkpoint(lambda y, n=norm, f=layer: f(n(y)), x, use_reentrant=self.reentrant)
        return self.head(x.mean(1)), x


@KERNELS.add("activation checkpointing")
def checkpointing():
    model = spread_out(Checkpointed(MaskedFill))
    return Subject(model, lambda m: m(X), lambda: reference(model, X))


@KERNELS.add("torch.compile", slow=True)
def compiled():
    model = spread_out(Stack(MaskedFill))
    original = copy.deepcopy(model).eval()
    ready = torch.compile(model, backend="eager")
    return Subject(ready, lambda m: m(X), lambda: reference(original, X), trains=False)


@KERNELS.add("a layer compiled in place", slow=True)
def compiled_layer():
    model = spread_out(Stack(MaskedFill))
    original = copy.deepcopy(model).eval()
    model.layers[1].compile(backend="eager")
    return Subject(model, lambda m: m(X), lambda: reference(original, X), trains=False)


@KERNELS.add("autocast to bfloat16", road="executed softmax")
def autocast():
    """What the autocast softmax returned is float32; it meets V as bfloat16."""
    model = spread_out(Stack(MaskedFill))

    def run(m):
        with torch.autocast("cpu", torch.bfloat16):
            return m(X)

    def truths():
        return [truth.but(within=4e-3) for truth in executed_softmax(model, run)]

    return Subject(model, run, truths, has_dropout=False, checked_within=2e-2)


@KERNELS.add("float64", road="by hand")
def doubles():
    model = spread_out(Stack(EarlyBound)).double()
    return Subject(model, lambda m: m(X.double()), lambda: reference(model, X.double()))


@KERNELS.add("inference_mode")
def inference():
    model = spread_out(Stack(MaskedFill))

    def run(m):
        with torch.inference_mode():
            return m(X)

    return Subject(model, run, lambda: reference(model, X), trains=False)


@KERNELS.add("the same stack used twice a pass")
def twice():
    model = spread_out(Stack(MaskedFill))

    class Twice(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.stack = model

        def forward(self, x):
            return self.stack(self.stack(x)[1])

    def truths():
        with torch.no_grad():
            between = model(X)[1]
        return [t.but(path=f"stack.{t.path}") for x in (X, between) for t in reference(model, x)]

    return Subject(Twice(), lambda m: m(X), truths)


@KERNELS.add("torch.vmap over examples", expect="none", says="vmap")
def vmapped():
    model = spread_out(Stack(MaskedFill))
    return Subject(
        model, lambda m: torch.vmap(m, randomness="different")(X[:, None]), list, trains=False, strict=False
    )


def below_python(model, compiled):
    """A model that runs no Python any more: its modules have no names, its matrices are known."""
    return Subject(
        compiled, lambda m: m(X), lambda: [t.but(path="") for t in reference(model, X)], trains=False
    )


@KERNELS.add("the whole model as TorchScript")
def scripted():
    model = spread_out(Stack(MaskedFill)).eval()
    return below_python(model, torch.jit.trace(model, X))


@KERNELS.add("the whole model as an exported program", slow=True)
def exported():
    model = spread_out(Stack(MaskedFill)).eval()
    program = torch.export.export(model, (X,)).module()
    program.eval = lambda: program  # it knows no modes, and says so
    return below_python(model, program)


@KERNELS.add("sequence of nested tensors")
def ragged():
    """Jagged sequences through the kernel: one ragged matrix for each."""

    class Ragged(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.q, self.k, self.v = (torch.nn.Linear(WIDTH, WIDTH) for _ in range(3))

        def forward(self, x):
            q, k, v = (
                part(x).unflatten(-1, [HEADS, DEEP]).transpose(1, 2) for part in (self.q, self.k, self.v)
            )
            return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(-2)

    model = spread_out(Ragged())
    parts = [X[0], X[1, :4]]
    x = torch.nested.nested_tensor(parts, layout=torch.jagged)

    def truths():
        weights = np.zeros((BATCH, HEADS, LENGTH, LENGTH))
        for number, part in enumerate(parts):
            q, k = (
                (layer.double()(part.double()).unflatten(-1, (HEADS, DEEP)).transpose(0, 1).detach().numpy())
                for layer in copy.deepcopy([model.q, model.k])
            )
            weights[number, :, : len(part), : len(part)] = softmax(scaled(q, k))
        real = np.arange(LENGTH)[None, :] < np.array([6, 4])[:, None]
        return [Truth(weights, "", "self", real)]

    return Subject(model, lambda m: m(x), truths, trains=False)
