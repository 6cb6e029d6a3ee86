"""Hand-written attention: the ways from scores to weights."""

import numpy as np
import torch
import torch.nn.functional as F
from tests.intercept.by_hand import array, softmax
from tests.zoo.case import Family
from tests.zoo.written import CAUSAL, HEADS, LENGTH, Attention, hide, random, scaled, variant
from torch import nn

SOFTMAX = Family("written softmax")
DISTANCE = torch.arange(LENGTH)[:, None] - torch.arange(LENGTH)[None, :]


class Usual(Attention):
    """Scores of the usual kind, causal; subclasses say how they become weights."""

    def scores(self, q, k):
        return (q @ k.transpose(-2, -1)) * (1.0 / q.size(-1) ** 0.5)

    def matrix(self, q, k):
        return softmax(hide(scaled(q, k)))

    def attend(self, q, k, v):
        return self.drop(self.weigh(self.scores(q, k))) @ v


@variant(SOFTMAX, "masked_fill and F.softmax, as in nanoGPT")
class MaskedFill(Usual):
    def weigh(self, scores):
        return F.softmax(scores.masked_fill(CAUSAL == 0, float("-inf")), dim=-1)


@variant(SOFTMAX, "masked_fill_ in place")
class MaskedInPlace(Usual):
    def weigh(self, scores):
        scores.masked_fill_(~CAUSAL, -1e9)
        return scores.softmax(-1)


@variant(SOFTMAX, "torch.where and nn.Softmax")
class Where(Usual):
    def __init__(self):
        super().__init__()
        self.normalise = nn.Softmax(dim=-1)

    def weigh(self, scores):
        return self.normalise(torch.where(CAUSAL, scores, torch.finfo(scores.dtype).min))


@variant(SOFTMAX, "additive mask, torch.softmax with dtype")
class Additive(Usual):
    def weigh(self, scores):
        scores += torch.zeros(LENGTH, LENGTH).masked_fill(~CAUSAL, float("-inf"))
        return torch.softmax(scores, dim=-1, dtype=torch.float32).type_as(scores)


@variant(SOFTMAX, "exp and sum with the maximum subtracted")
class ExpSum(Usual):
    def weigh(self, scores):
        scores = scores.masked_fill(~CAUSAL, float("-inf"))
        shifted = torch.exp(scores - scores.max(dim=-1, keepdim=True).values)
        return shifted / shifted.sum(dim=-1, keepdim=True)


@variant(SOFTMAX, "exp, divided after the product with V", expect="partial", says="divided by their sum")
class LateDivision(Usual):
    """What meets V is not normalised, but each row is then divided by its own sum: the weights are known."""

    def attend(self, q, k, v):
        shifted = torch.exp(self.scores(q, k)) * CAUSAL
        return (shifted @ v) / shifted.sum(-1, keepdim=True)


@variant(SOFTMAX, "log_softmax and exp")
class LogSoftmax(Usual):
    def weigh(self, scores):
        return F.log_softmax(scores.masked_fill(~CAUSAL, float("-inf")), dim=-1).exp()


@variant(SOFTMAX, "sigmoid")
class Sigmoid(Usual):
    def weigh(self, scores):
        return torch.sigmoid(scores) * CAUSAL

    def matrix(self, q, k):
        return CAUSAL.numpy() / (1 + np.exp(-scaled(q, k)))


@variant(SOFTMAX, "squared ReLU over length")
class SquaredRelu(Usual):
    def weigh(self, scores):
        return F.relu(scores).square() / LENGTH

    def matrix(self, q, k):
        return np.maximum(scaled(q, k), 0) ** 2 / LENGTH


@variant(SOFTMAX, "softmax off by one")
class SoftmaxOne(Usual):
    def weigh(self, scores):
        top = scores.amax(-1, keepdim=True).clamp(min=0)
        shifted = (scores - top).exp()
        return shifted / (shifted.sum(-1, keepdim=True) + (-top).exp())

    def matrix(self, q, k):
        raised = np.exp(scaled(q, k))
        return raised / (1 + raised.sum(-1, keepdims=True))


@variant(SOFTMAX, "sink column, sliced off")
class Sink(Usual):
    def __init__(self):
        super().__init__()
        self.sink = nn.Parameter(torch.zeros(HEADS))

    def weigh(self, scores):
        sink = self.sink.view(1, -1, 1, 1).expand(scores.shape[0], -1, scores.shape[2], 1)
        scores = scores.masked_fill(~CAUSAL, float("-inf"))
        return torch.cat([scores, sink], dim=-1).softmax(-1)[..., :-1]

    def matrix(self, q, k):
        raised = np.exp(hide(scaled(q, k)))
        return raised / (raised.sum(-1, keepdims=True) + np.exp(array(self.sink))[:, None, None])


@variant(SOFTMAX, "softcap by tanh")
class Softcap(Usual):
    def weigh(self, scores):
        return F.softmax((2.0 * torch.tanh(scores / 2.0)).masked_fill(~CAUSAL, float("-inf")), -1)

    def matrix(self, q, k):
        return softmax(hide(2 * np.tanh(scaled(q, k) / 2)))


@variant(SOFTMAX, "learned position bias, as in T5")
class PositionBias(Usual):
    def __init__(self):
        super().__init__()
        self.bias = nn.Embedding(2 * LENGTH, HEADS)

    def weigh(self, scores):
        bias = self.bias(DISTANCE + LENGTH).permute(2, 0, 1).unsqueeze(0)
        return F.softmax((scores + bias).float(), dim=-1).type_as(scores)

    def matrix(self, q, k):
        bias = array(self.bias.weight)[(DISTANCE + LENGTH).numpy()].transpose(2, 0, 1)
        return softmax(scaled(q, k) + bias)


class Relative(Usual):
    """Shaw 2018: a second product, of the query with a vector for each distance, is added."""

    def __init__(self):
        super().__init__()
        self.places = nn.Parameter(random(LENGTH, LENGTH, 4, seed=3) * 0.5)

    def scores(self, q, k):
        relative = torch.einsum("bhqd,qkd->bhqk", q, self.places)
        return (torch.matmul(q, k.transpose(-1, -2)) + relative) / q.shape[-1] ** 0.5

    def weigh(self, scores):
        return F.softmax(scores, dim=-1)

    def matrix(self, q, k):
        relative = np.einsum("bhqd,qkd->bhqk", q, array(self.places))
        return softmax(scaled(q, k) + relative / 2)


variant(SOFTMAX, "relative keys, as in Shaw 2018")(Relative)


@variant(SOFTMAX, "relative keys and values", subject={"checks_itself": False})
class RelativeValues(Relative):
    """Self-check: the output holds a second product, so P V alone is not all of it."""

    def attend(self, q, k, v):
        weights = self.drop(self.weigh(self.scores(q, k)))
        return weights @ v + torch.einsum("bhqk,qkd->bhqd", weights, self.places)

    def mixed(self, weights, v):
        return weights @ v + np.einsum("bhqk,qkd->bhqd", weights, array(self.places))


@variant(SOFTMAX, "cosine with a learned temperature")
class Cosine(Usual):
    def __init__(self):
        super().__init__()
        self.temperature = nn.Parameter(torch.ones(HEADS, 1, 1))

    def scores(self, q, k):
        cosine = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1)
        return cosine * torch.clamp(self.temperature, max=4.6).exp()

    def weigh(self, scores):
        return scores.softmax(dim=-1)

    def matrix(self, q, k):
        q, k = (x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (q, k))
        return softmax(q @ k.swapaxes(2, 3) * np.exp(array(self.temperature)))


@variant(SOFTMAX, "talking heads")
class Talking(Usual):
    """Heads mixed before and after softmax: the mixed matrix is what meets V."""

    def __init__(self):
        super().__init__()
        self.before, self.after = nn.Linear(HEADS, HEADS), nn.Linear(HEADS, HEADS)

    def weigh(self, scores):
        mixed = self.before(scores.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return self.after(mixed.softmax(-1).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    def matrix(self, q, k):
        def mix(part, x):
            mixed = np.einsum("gh,bhqk->bgqk", array(part.weight), x)
            return mixed + array(part.bias)[:, None, None]

        return mix(self.after, softmax(mix(self.before, scaled(q, k))))


@variant(SOFTMAX, "softmax as a torch.autograd.Function")
class OwnFunction(Usual):
    def weigh(self, scores):
        return OwnSoftmax.apply(scores.masked_fill(~CAUSAL, float("-inf")))


class OwnSoftmax(torch.autograd.Function):
    """Softmax with a backward of its own."""

    @staticmethod
    def forward(ctx, scores):
        weights = torch.softmax(scores, -1)
        ctx.save_for_backward(weights)
        return weights

    @staticmethod
    def backward(ctx, gradient):
        (weights,) = ctx.saved_tensors
        return weights * (gradient - (gradient * weights).sum(-1, keepdim=True))


def masked_softmax(scores: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mask and softmax, to be scripted."""
    return torch.softmax(scores.masked_fill(mask == 0, float("-inf")), dim=-1)


@variant(SOFTMAX, "softmax under torch.jit.script")
class Scripted(Usual):
    def weigh(self, scores):
        return torch.jit.script(masked_softmax)(scores, CAUSAL)


@variant(SOFTMAX, "bfloat16 probabilities", within=2e-3, subject={"checked_within": 2e-2})
class Halved(Usual):
    def attend(self, q, k, v):
        weights = F.softmax(self.scores(q, k).masked_fill(~CAUSAL, float("-inf")), -1)
        return (weights.bfloat16() @ v.bfloat16()).float()

    def matrix(self, q, k):
        weights = torch.from_numpy(super().matrix(q, k)).float().bfloat16()
        return weights.double().numpy()

    def mixed(self, weights, v):
        v = torch.from_numpy(v).float().bfloat16()
        return (torch.from_numpy(weights).bfloat16() @ v).double().numpy()


def sparse_rows(scores):
    """Work sparsemax out by its definition: the nearest point of the simplex, by bisection of tau."""
    low, high = scores.max(-1, keepdims=True) - 1, scores.max(-1, keepdims=True)
    for _ in range(60):
        middle = (low + high) / 2
        is_low = np.maximum(scores - middle, 0).sum(-1, keepdims=True) > 1
        low, high = np.where(is_low, middle, low), np.where(is_low, high, middle)
    return np.maximum(scores - low, 0)


@variant(SOFTMAX, "sparsemax by sorting")
class Sparsemax(Usual):
    def weigh(self, scores):
        falling = scores.sort(dim=-1, descending=True).values
        sums = falling.cumsum(-1) - 1
        places = torch.arange(1, LENGTH + 1)
        support = (places * falling > sums).sum(-1, keepdim=True)
        return torch.clamp(scores - sums.gather(-1, support - 1) / support, min=0)

    def matrix(self, q, k):
        return sparse_rows(scaled(q, k))


@variant(SOFTMAX, "only the three largest scores")
class TopScores(Usual):
    def weigh(self, scores):
        bar = scores.topk(3, dim=-1).values[..., -1:]
        return scores.masked_fill(scores < bar, float("-inf")).softmax(-1)

    def matrix(self, q, k):
        scores = scaled(q, k)
        return softmax(hide(scores, scores >= np.sort(scores, -1)[..., -3:-2]))


@variant(SOFTMAX, "differential: one softmax minus another")
class Differential(Usual):
    def attend(self, q, k, v):
        (q1, q2), (k1, k2) = q.chunk(2, -1), k.chunk(2, -1)
        first, second = (self.scores(*pair).softmax(-1) for pair in ((q1, k1), (q2, k2)))
        return (first - 0.4 * second) @ v

    def matrix(self, q, k):
        (q1, q2), (k1, k2) = np.split(q, 2, -1), np.split(k, 2, -1)
        return softmax(scaled(q1, k1)) - 0.4 * softmax(scaled(q2, k2))
