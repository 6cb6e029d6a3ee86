"""Which tokens rows and columns stand for, when a model folds, cuts, shifts or merges its axes."""

import gc
import weakref

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import headscape
from headscape.intercept.layout import Axes, find_layout, regroup
from headscape.intercept.places import Places, count_within


def test_places_of_one_example_are_numbered_as_they_stand():
    assert count_within(torch.tensor([0, 0, 1, 0])).tolist() == [0, 1, 0, 2]
    assert count_within(torch.tensor([1, 0, 1]), torch.tensor([5, 0, 2])).tolist() == [1, 0, 0]


def test_places_move_as_the_tensor_moves():
    places, x = Places(), torch.randn(2, 4, 8)
    steps = [
        ("view", torch.Tensor.view, (2, 2, 2, 8)),
        ("permute", torch.Tensor.permute, (1, 0, 2, 3)),
        ("flip", torch.flip, ((2,),)),
        ("reshape", torch.Tensor.reshape, (4, 2, 8)),
    ]
    state = x
    for name, function, arguments in steps:
        made = function(state, *arguments)
        places.follow(name, function, (state, *arguments), {}, made)
        state = made
    _, example, token = places.look_up(places.rows(state))
    # The same by hand: halves of four tokens, the halves first, each read backwards.
    assert example.tolist() == [[0, 0], [1, 1], [0, 0], [1, 1]]
    assert token.tolist() == [[1, 0], [1, 0], [3, 2], [3, 2]]


def test_what_follows_from_parameters_alone_has_no_place():
    weight = nn.Parameter(torch.randn(3, 8))
    places = Places([weight])
    spread = weight.unsqueeze(0).expand(2, -1, -1)
    places.follow("expand", torch.Tensor.expand, (weight.unsqueeze(0), 2, -1, -1), {}, spread)
    assert places.is_fixed(weight)
    made = weight * 2
    places.follow("mul", torch.mul, (weight, 2), {}, made)
    assert places.is_fixed(made)
    assert not places.is_fixed(torch.randn(2))


def test_a_linear_map_makes_one_token_of_the_pixels_it_mixes():
    """Patches cut by reshape alone: each is the token of its pixels, in the order of the picture."""
    places, picture = Places(), torch.randn(2, 3, 4, 4)
    cut = picture.reshape(2, 3, 2, 2, 2, 2)
    places.follow("reshape", torch.Tensor.reshape, (picture, 2, 3, 2, 2, 2, 2), {}, cut)
    order = (0, 2, 4, 3, 5, 1)
    turned = cut.permute(*order)
    places.follow("permute", torch.Tensor.permute, (cut, *order), {}, turned)
    patches = turned.reshape(2, 4, 12)
    places.follow("reshape", torch.Tensor.reshape, (turned, 2, 4, 12), {}, patches)
    weight = nn.Parameter(torch.randn(5, 12))
    state = F.linear(patches, weight)
    places.follow("linear", F.linear, (patches, weight), {}, state)
    _, example, token = places.look_up(places.rows(state))
    assert example.tolist() == [[0] * 4, [1] * 4]
    assert token.tolist() == [[0, 1, 2, 3]] * 2
    again = F.linear(patches, weight)
    places.follow("linear", F.linear, (patches, weight), {}, again)
    assert torch.equal(places.rows(again), places.rows(state))


def codes(*shape):
    return torch.arange(int(np.prod(shape)), dtype=torch.int32).view(shape)


def test_axes_are_told_apart_by_what_changes_along_them():
    tokens = codes(2, 5)
    axes = Axes(("x", "y", "q", "k"), {"x": 3, "y": 2, "q": 5, "k": 5}, ("k",), frozenset("xy"))
    rows = tokens[None].expand(3, 2, 5)  # x: heads, y: examples
    layout = find_layout(axes, rows, rows, 2)
    assert (layout.groups, layout.heads, layout.queries) == (("y",), ("x",), ("q",))
    weights = torch.rand(3, 2, 5, 5)
    assert torch.equal(layout.weights(weights, axes.weights), weights.transpose(0, 1))


@pytest.mark.parametrize("outer", ["batch", "head"])
def test_heads_folded_into_the_batch_are_unfolded_whichever_comes_first(outer):
    tokens, weights = codes(2, 5), torch.rand(2, 3, 5, 5)
    if outer == "batch":
        rows, folded = tokens.repeat_interleave(3, 0), weights.reshape(6, 5, 5)
    else:
        rows, folded = tokens.repeat(3, 1), weights.transpose(0, 1).reshape(6, 5, 5)
    axes = Axes(("n", "q", "k"), {"n": 6, "q": 5, "k": 5}, ("k",), frozenset("n"))
    layout = find_layout(axes, rows, rows, 0)
    assert torch.equal(layout.weights(folded, axes.weights), weights)


def test_without_places_the_order_of_the_axes_decides():
    axes = Axes(("n", "q", "k"), {"n": 6, "q": 5, "k": 7}, ("k",), frozenset("n"))
    layout = find_layout(axes, None, None, 2)
    weights = torch.rand(2, 3, 5, 7)
    assert torch.equal(layout.weights(weights.reshape(6, 5, 7), axes.weights), weights)


def test_absent_axes_are_repeated_or_left_thin():
    given = torch.rand(2, 4)
    sizes = {"b": 2, "h": 3, "k": 4}
    assert regroup(given, ("b", "k"), (("b",), ("h",), ("k",)), sizes).shape == (2, 3, 4)
    assert regroup(given, ("b", "k"), (("b",), ("h",), ("k",)), sizes, thin=True).shape == (2, 1, 4)


class Patches(nn.Module):
    """Patches by a convolution, a class token, windows of rows of patches, then all patches."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.cut, self.token = nn.Conv2d(3, 8, 2, stride=2), nn.Parameter(torch.randn(1, 1, 8))
        self.qkv, self.out = nn.Linear(8, 24), nn.Linear(8, 8)

    def attend(self, x):
        q, k, v = self.qkv(x).view(*x.shape[:2], 3, 2, 4).permute(2, 0, 3, 1, 4)
        self.weights = (q @ k.mT).softmax(-1)
        return self.out((self.weights @ v).transpose(1, 2).flatten(2))

    def forward(self, picture):
        grid = self.cut(picture).permute(0, 2, 3, 1)  # (batch, row, column, width)
        batch, _, columns, width = grid.shape
        grid = grid + self.attend(grid.reshape(-1, columns, width)).view(grid.shape)
        self.in_rows = self.weights
        x = torch.cat([self.token.expand(batch, -1, -1), grid.flatten(1, 2)], 1)
        return x + self.attend(x)


def test_windows_land_on_their_patches_and_a_class_token_makes_new_nodes():
    model, picture = Patches().eval(), torch.randn(2, 3, 6, 8)
    with headscape.capture(model, strict=True) as run:
        model(picture)
    in_rows, whole = run.trace.calls
    assert in_rows.shape == (2, 2, 12, 12)
    assert run.trace.sides[in_rows.query_side].grid == (3, 4)
    truth = np.zeros((2, 2, 12, 12), np.float32)
    for row in range(3):
        at = slice(4 * row, 4 * row + 4)
        truth[:, :, at, at] = model.in_rows.detach().view(2, 3, 2, 4, 4)[:, row]
    for example in range(2):
        np.testing.assert_allclose(in_rows.weights(example), truth[example], atol=1e-7)
        np.testing.assert_allclose(whole.weights(example), model.weights[example].detach(), atol=1e-7)
    assert in_rows.visible()[0].tolist() == [4] * 12
    # Distance is counted in patches of the picture, not within a window.
    gaps = np.abs(np.arange(12)[:, None] - np.arange(12))
    np.testing.assert_allclose(in_rows.stats.distance[1], (truth[1] * gaps).sum(-1), atol=1e-5)
    assert whole.shape == (2, 2, 13, 13)
    assert whole.query_side != in_rows.query_side


def test_values_and_projections_of_a_block_are_let_go():
    alive = []

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.qkv, self.out = nn.Linear(8, 24), nn.Linear(8, 8)

        def forward(self, x):
            gc.collect()
            alive.append(sum(ref() is not None for ref in made))
            packed = self.qkv(x)
            made.append(weakref.ref(packed))
            q, k, v = packed.view(1, -1, 3, 2, 4).permute(2, 0, 3, 1, 4)
            return x + self.out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))

    made = []
    model = nn.Sequential(*(Block() for _ in range(4))).eval()
    with torch.no_grad(), headscape.capture(model, keep=2, strict=True) as run:
        model(torch.randn(1, 6, 8))
    assert alive == [0, 0, 0, 0]
    assert all(call.has_values for call in run.trace.calls)
