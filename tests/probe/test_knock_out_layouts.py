"""What is changed lands in the right element, however the model lays out what its heads give."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

import headscape

STATES = torch.randn(2, 6, 12, generator=torch.Generator().manual_seed(1))


class Einsum(nn.Module):
    """Attention whose result comes out with the axes in another order."""

    def __init__(self, made):
        super().__init__()
        torch.manual_seed(0)
        self.q, self.k, self.v = (nn.Linear(12, 12) for _ in range(3))
        self.out, self.head, self.made = nn.Linear(12, 12), nn.Linear(12, 4), made

    def forward(self, x):
        q, k, v = (part(x).unflatten(-1, (3, 4)) for part in (self.q, self.k, self.v))
        weights = torch.einsum("bqhd,bkhd->bhqk", q, k).softmax(-1)
        mixed = torch.einsum(f"bhqk,bkhd->{self.made}", weights, v)
        order = [self.made.index(axis) for axis in "bqhd"]
        return self.head((x + self.out(mixed.permute(order).flatten(2))).mean(1))


class Folded(Einsum):
    """Heads folded into the batch, the heads outside."""

    def forward(self, x):
        q, k, v = (
            part(x).view(len(x), 6, 3, 4).permute(2, 0, 1, 3).reshape(-1, 6, 4)
            for part in (self.q, self.k, self.v)
        )
        mixed = torch.bmm(torch.bmm(q, k.transpose(1, 2)).softmax(-1), v)
        mixed = mixed.view(3, len(x), 6, 4).permute(1, 2, 0, 3).flatten(2)
        return self.head((x + self.out(mixed)).mean(1))


@pytest.mark.parametrize("made", ["bhqd", "bqhd", "hbqd", "qbdh", "dhqb", "folded"])
def test_a_head_is_zeroed_where_it_lies(made):
    model = (Folded(made) if made == "folded" else Einsum(made)).eval().requires_grad_(False)
    found = headscape.knock_out(model, STATES, heads="each")
    before = model(STATES)
    for head in range(3):
        changed = copy.deepcopy(model)
        changed.out.weight[:, 4 * head : 4 * head + 4] = 0
        want = (changed(STATES) - before)[torch.arange(2), before.argmax(-1)]
        np.testing.assert_allclose(found.change[head], want, atol=2e-6)
    assert np.abs(found.change).min() > 1e-4
