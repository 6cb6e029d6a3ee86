"""Hand-written attention: the ways tensors are laid out and multiplied."""

import math

import numpy as np
import torch
import torch.nn.functional as F
from tests.intercept.by_hand import softmax
from tests.zoo.case import Family, Truth
from tests.zoo.written import (
    BATCH,
    CAUSAL,
    DEEP,
    HEADS,
    LENGTH,
    Attention,
    hide,
    scaled,
    variant,
)

LAYOUT = Family("written layout")


def rows_of(truth: Truth, places: slice) -> Truth:
    """Keep some queries: a call that holds only those has nothing in the others."""
    real = np.zeros((BATCH, LENGTH), bool)
    real[:, places] = True
    return truth.but(weights=truth.weights * real[:, None, :, None])


def by_rows(truths: list[Truth]) -> list[Truth]:
    """Cut each matrix into the rows that a loop over queries makes."""
    return [rows_of(truth, slice(i, i + 1)) for truth in truths for i in range(LENGTH)]


def by_chunks(truths: list[Truth]) -> list[Truth]:
    """Cut each matrix in two along the queries."""
    return [rows_of(truth, slice(i, i + 3)) for truth in truths for i in (0, 3)]


def one_head(truths: list[Truth]) -> list[Truth]:
    """Keep one head of those that are alike by construction."""
    return [t.but(weights=t.weights[:, :1]) for t in truths]


class Causal(Attention):
    """Causal softmax attention; subclasses differ in layout only."""

    def matrix(self, q, k):
        return softmax(hide(scaled(q, k)))


class Open(Attention):
    """Softmax attention over all keys."""

    def matrix(self, q, k):
        return softmax(scaled(q, k))


@variant(LAYOUT, "einsum, heads second")
class EinsumSecond(Causal):
    def attend(self, q, k, v):
        scores = torch.einsum("bhid,bhjd->bhij", q, k) * DEEP**-0.5
        weights = scores.masked_fill(~CAUSAL, -torch.finfo(scores.dtype).max).softmax(dim=-1)
        return torch.einsum("bhij,bhjd->bhid", self.drop(weights), v)


class Unsplit(Attention):
    """Projections are handed on as (batch, token, head, width)."""

    def split(self, x, heads):
        return x.view(x.shape[0], x.shape[1], heads, -1)

    def merge(self, x):
        return x.flatten(2)


@variant(LAYOUT, "einsum, heads third")
class EinsumThird(Unsplit, Causal):
    def attend(self, q, k, v):
        energy = torch.einsum("nqhd,nkhd->nhqk", [q, k]).masked_fill(CAUSAL == 0, float("-1e20"))
        weights = torch.softmax(energy / DEEP**0.5, dim=3)
        return torch.einsum("nhql,nlhd->nqhd", [self.drop(weights), v])


@variant(LAYOUT, "einsum, heads last, softmax over the third axis")
class EinsumLast(Unsplit, Causal):
    def attend(self, q, k, v):
        scores = torch.einsum("bqhd,bkhd->bqkh", q, k) / math.sqrt(DEEP)
        weights = F.softmax(scores.masked_fill(~CAUSAL[None, :, :, None], float("-inf")), dim=2)
        return torch.einsum("bqkh,bkhd->bqhd", weights, v)


@variant(LAYOUT, "einsum, keys before queries")
class EinsumTurned(Unsplit, Open):
    def attend(self, q, k, v):
        weights = torch.einsum("bkhd,bqhd->bhkq", k, q).div(DEEP**0.5).softmax(dim=2)
        return torch.einsum("bhkq,bkhd->bqhd", weights, v)


@variant(LAYOUT, "einsum with numbered axes")
class EinsumSublists(Open):
    def attend(self, q, k, v):
        weights = torch.einsum(q, [0, 1, 2, 4], k, [0, 1, 3, 4], [0, 1, 2, 3]).mul(DEEP**-0.5).softmax(-1)
        return torch.einsum(weights, [0, 1, 2, 3], v, [0, 1, 3, 4], [0, 1, 2, 4])


@variant(LAYOUT, "bmm, heads folded into the batch")
class Folded(Causal):
    def attend(self, q, k, v):
        q, k, v = (t.reshape(-1, LENGTH, DEEP) for t in (q, k, v))
        scores = torch.bmm(q / math.sqrt(DEEP), k.transpose(1, 2)) + torch.zeros(LENGTH, LENGTH).masked_fill(
            ~CAUSAL, -1e9
        )
        return torch.bmm(self.drop(F.softmax(scores, dim=-1)), v).view(BATCH, HEADS, LENGTH, DEEP)


@variant(LAYOUT, "bmm, heads folded before the batch")
class FoldedHeadsFirst(Causal):
    """As in older TensorFlow ports: torch.cat of the heads along the batch axis."""

    def split(self, x, heads):
        return torch.cat(x.chunk(heads, dim=2), dim=0)

    def merge(self, x):
        return torch.cat(x.chunk(HEADS, dim=0), dim=2)

    def attend(self, q, k, v):
        scores = torch.bmm(q, k.permute(0, 2, 1)) / DEEP**0.5
        return torch.bmm(F.softmax(scores.masked_fill(~CAUSAL, -(2.0**31)), dim=-1), v)


@variant(LAYOUT, "bmm, sequence first")
class SequenceFirst(Causal):
    """As in fairseq: (token, batch * head, width)."""

    def attend(self, q, k, v):
        q, k, v = (
            t.permute(2, 0, 1, 3).contiguous().view(LENGTH, BATCH * HEADS, DEEP).transpose(0, 1)
            for t in (q, k, v)
        )
        scores = torch.bmm(q * DEEP**-0.5, k.transpose(1, 2)).view(BATCH, HEADS, LENGTH, LENGTH)
        scores = scores.masked_fill(~CAUSAL, float("-inf")).view(BATCH * HEADS, LENGTH, LENGTH)
        mixed = torch.bmm(F.softmax(scores, dim=-1), v).transpose(0, 1)
        return mixed.reshape(LENGTH, BATCH, HEADS, DEEP).permute(1, 2, 0, 3)


SLOPES = 2.0 ** -torch.arange(1, HEADS + 1)
AWAY = torch.arange(LENGTH)[None, :] - torch.arange(LENGTH)[:, None]


@variant(LAYOUT, "baddbmm with scale and ALiBi bias")
class Alibi(Attention):
    def attend(self, q, k, v):
        bias = (SLOPES[:, None, None] * AWAY).repeat(BATCH, 1, 1)
        scores = torch.baddbmm(bias, q.flatten(0, 1), k.flatten(0, 1).mT, beta=1.0, alpha=DEEP**-0.5)
        weights = scores.view(BATCH, HEADS, LENGTH, LENGTH).masked_fill(~CAUSAL, -1e9).softmax(-1)
        mixed = torch.bmm(weights.view(-1, LENGTH, LENGTH), v.flatten(0, 1))
        return mixed.view(BATCH, HEADS, LENGTH, DEEP)

    def matrix(self, q, k):
        return softmax(hide(scaled(q, k) + (SLOPES[:, None, None] * AWAY).numpy()))


@variant(LAYOUT, "K Q^T, softmax over the second last axis, V^T P")
class KeysFirst(Open):
    def attend(self, q, k, v):
        weights = F.softmax(torch.matmul(k, q.transpose(2, 3)) / DEEP**0.5, dim=-2)
        return torch.matmul(v.transpose(2, 3), weights).transpose(2, 3)


@variant(LAYOUT, "V^T P^T")
class ValuesFirst(Causal):
    def attend(self, q, k, v):
        weights = (q @ k.mT / DEEP**0.5).masked_fill(~CAUSAL, float("-inf")).softmax(-1)
        return (v.mT @ weights.mT).mT


@variant(LAYOUT, "product and sum instead of matmul")
class ProductAndSum(Open):
    def attend(self, q, k, v):
        scores = (q[:, :, :, None] * k[:, :, None]).sum(-1) / DEEP**0.5
        return (scores.softmax(-1)[..., None] * v[:, :, None]).sum(3)


@variant(LAYOUT, "one key and value head for all (MQA)")
class Mqa(Causal):
    kv_heads = 1

    def attend(self, q, k, v):
        scores = (q @ k.transpose(-1, -2)) / DEEP**0.5
        return F.softmax(scores.masked_fill(~CAUSAL, float("-inf")), dim=-1) @ v


@variant(LAYOUT, "MQA with heads folded into the queries")
class MqaFolded(Open):
    """As in GPT-BigCode: (batch, head * token, width) against (batch, token, width)."""

    kv_heads = 1

    def attend(self, q, k, v):
        q = q.reshape(BATCH, HEADS * LENGTH, DEEP)
        weights = torch.bmm(q, k[:, 0].transpose(1, 2)).mul(DEEP**-0.5).softmax(-1)
        return torch.bmm(weights, v[:, 0]).view(BATCH, HEADS, LENGTH, DEEP)


@variant(LAYOUT, "grouped heads, five axes in einsum (GQA)")
class GqaEinsum(Causal):
    kv_heads = 2

    def attend(self, q, k, v):
        q = q.view(BATCH, 2, HEADS // 2, LENGTH, DEEP)
        scores = torch.einsum("bkgid,bkjd->bkgij", q, k) * DEEP**-0.5
        weights = scores.masked_fill(~CAUSAL, float("-inf")).softmax(-1)
        return torch.einsum("bkgij,bkjd->bkgid", weights, v).reshape(BATCH, HEADS, LENGTH, DEEP)


@variant(LAYOUT, "grouped heads, keys repeated (GQA)")
class GqaRepeated(Causal):
    kv_heads = 2

    def attend(self, q, k, v):
        k, v = (t[:, :, None].expand(-1, -1, 2, -1, -1).reshape(BATCH, HEADS, LENGTH, DEEP) for t in (k, v))
        weights = (q @ k.transpose(2, 3) / math.sqrt(DEEP)).masked_fill(~CAUSAL, float("-inf")).softmax(-1)
        return weights @ v


@variant(LAYOUT, "rotary positions as complex numbers")
class Rotary(Attention):
    def attend(self, q, k, v):
        turn = torch.polar(torch.ones(LENGTH, DEEP // 2), self.angles())
        q, k = (torch.view_as_real(self.pairs(t) * turn).flatten(3) for t in (q, k))
        return (q @ k.mT * DEEP**-0.5).masked_fill(~CAUSAL, float("-inf")).softmax(-1) @ v

    @staticmethod
    def angles():
        return torch.arange(LENGTH)[:, None] * torch.tensor([1.0, 0.1])

    @staticmethod
    def pairs(t):
        return torch.view_as_complex(t.float().reshape(*t.shape[:-1], -1, 2).contiguous())

    def matrix(self, q, k):
        turn = np.exp(1j * self.angles().double().numpy())
        q, k = ((t[..., 0::2] + 1j * t[..., 1::2]) * turn for t in (q, k))
        return softmax(hide((q @ k.conj().swapaxes(2, 3)).real / math.sqrt(DEEP)))


@variant(LAYOUT, "one head of all the width, without a head axis", change=one_head)
class NoHeads(Attention):
    """As in SAGAN and non-local blocks: (batch, token, token)."""

    def split(self, x, heads):
        return x

    def merge(self, x):
        return x

    def attend(self, q, k, v):
        return torch.bmm(torch.softmax(torch.bmm(q, k.permute(0, 2, 1)), dim=-1), v)

    def matrix(self, q, k):
        return np.repeat(softmax((q @ k.swapaxes(2, 3)).sum(1, keepdims=True)), HEADS, 1)


@variant(LAYOUT, "each query row by itself", change=by_rows)
class RowByRow(Causal):
    """A Python loop over queries, as teaching code has it; captured row by row."""

    def attend(self, q, k, v):
        rows = []
        for i in range(LENGTH):
            scores = (q[:, :, i : i + 1] @ k[:, :, : i + 1].transpose(2, 3)) / DEEP**0.5
            rows.append(torch.softmax(scores, -1) @ v[:, :, : i + 1])
        return torch.cat(rows, 2)


@variant(LAYOUT, "queries in two chunks", change=by_chunks)
class Chunked(Open):
    def attend(self, q, k, v):
        parts = [torch.softmax(part @ k.mT / DEEP**0.5, -1) @ v for part in q.split(3, dim=2)]
        return torch.cat(parts, dim=2)
