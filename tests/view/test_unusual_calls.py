"""What models other than plain stacks do is saved, put into a graph, drawn and packed as it was captured."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import headscape
from headscape.errors import FormatError
from headscape.trace.block import pack, unpack
from headscape.trace.file import from_bytes, to_bytes
from headscape.trace.measure import sums_note
from headscape.view import scene
from headscape.view.scene import scene_block


class Cached(nn.Module):
    """One causal layer that remembers the keys and values of earlier passes, and a head on the last token."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.qkv, self.out, self.head = nn.Linear(8, 24), nn.Linear(8, 8), nn.Linear(8, 5)

    def forward(self, x, past=None):
        q, k, v = self.qkv(x).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4)
        if past is not None:
            k, v = torch.cat([past[0], k], 2), torch.cat([past[1], v], 2)
        mixed = F.scaled_dot_product_attention(q, k, v, is_causal=past is None)
        return self.head(x + self.out(mixed.transpose(1, 2).flatten(2))), (k, v)


class Step(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = Cached()

    def forward(self, x, past=None):
        logits, self.past = self.layer(x, past)
        return logits


class Scored(nn.Module):
    """Attention whose rows need not sum to 1: with a sink, or of sigmoids."""

    def __init__(self, way, size=1.0):
        super().__init__()
        torch.manual_seed(0)
        self.qkv, self.out, self.way, self.size = nn.Linear(8, 24), nn.Linear(8, 8), way, size

    def forward(self, x):
        q, k, v = self.qkv(x).unflatten(-1, (3, 2, 4)).permute(2, 0, 3, 1, 4)
        scores = q @ k.transpose(-2, -1)
        if self.way == "sink":
            weights = F.softmax(torch.cat([scores, torch.zeros_like(scores[..., :1])], -1), -1)[..., :-1]
        else:
            weights = torch.sigmoid(scores) * self.size
        return x + self.out((weights @ v).transpose(1, 2).flatten(2))


class Windows(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x):
        cut = x.unflatten(1, (-1, 4)).flatten(0, 1)
        return x + self.attention(cut, cut, cut, need_weights=False)[0].view(x.shape)


def traced(model, *args, **options):
    with torch.no_grad(), headscape.capture(model.eval(), strict=True, **options) as run:
        model(*args)
    return run.trace


@pytest.fixture(scope="module")
def step():
    """The second pass of a cached generation: one new token behind five."""
    model, x = Step(), torch.randn(1, 6, 8, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        model(x[:, :5])
    return traced(model, x[:, 5:], model.past)


def test_a_cached_step_is_saved_and_loaded(step, tmp_path):
    assert step.calls[0].shape == (1, 2, 1, 6)
    assert step.sides[0].length == 6
    loaded = headscape.load(step.save(tmp_path / "step.headscape"))
    np.testing.assert_array_equal(loaded.calls[0].weights(), step.calls[0].weights())
    np.testing.assert_array_equal(loaded.outputs.contributions, step.outputs.contributions)


def test_a_file_with_more_rows_than_tokens_is_refused(step):
    arrays, meta = unpack(to_bytes(step))
    meta["sides"][0]["length"] = meta["calls"][0]["shape"][3] = 6
    for name in (
        "weights",
        "kept",
        "visible",
        "flow",
        "entropy",
        "distance",
        "first_key",
        "largest",
        "padded",
    ):
        array = arrays[f"call.0.{name}"]
        arrays[f"call.0.{name}"] = np.repeat(array, 7, axis=1 if name == "padded" else 2)
    meta["calls"][0]["shape"][2] = 7
    with pytest.raises(FormatError, match="7 positions on query_side, which has 6 tokens"):
        from_bytes(pack(arrays, meta))


def test_a_cached_steps_edges_start_at_its_new_token(step):
    graph = step.graph()
    attention = graph.edges.select(graph.edges.kind == 0)
    assert set(attention.query.tolist()) == {5}
    assert set(attention.key.tolist()) == {0, 1, 2, 3, 4, 5}


def test_only_the_new_token_of_a_cached_step_adds_to_its_answer(step):
    known = step.outputs.contribution(0)
    assert known.shape[1] == 6
    assert (known[:, :5] == 0).all()
    np.testing.assert_allclose(known.sum(1) + step.outputs.base[0], step.outputs.scores[0], atol=1e-5)
    _, meta = unpack(scene_block(step))
    assert (meta["calls"][0]["queries"], len(meta["sides"][0]["tokens"])) == (1, 6)
    step.figure()


def test_windows_are_whole_and_nobody_says_that_keys_were_left_out():
    trace = traced(Windows(), torch.randn(1, 12, 8))
    assert (trace.calls[0].k, trace.calls[0].is_whole) == (4, True)
    graph = trace.graph()
    assert graph.notes == ()
    _, meta = unpack(scene_block(trace))
    assert meta["calls"][0]["is_whole"] is True
    cut = traced(Windows(), torch.randn(1, 12, 8), keep=2)
    assert "top 2 keys" in cut.graph().notes[0]
    assert "is_whole" not in unpack(scene_block(cut))[1]["calls"][0]


def test_a_page_that_cuts_whole_rows_does_not_call_them_whole(monkeypatch):
    trace = traced(Windows(), torch.randn(1, 12, 8))
    monkeypatch.setattr(scene, "MOST_WEIGHTS", 2 * 12 * 2 * scene.KEPT_COST)
    _, meta = unpack(scene_block(trace))
    assert meta["calls"][0]["k"] == 2
    assert "is_whole" not in meta["calls"][0]


@pytest.mark.parametrize("keep", ["all", 3])
@pytest.mark.parametrize("way", ["sink", "sigmoid"])
def test_rows_that_do_not_sum_to_one_are_said_to_wherever_shares_are_shown(way, keep):
    trace = traced(Scored(way), torch.randn(1, 7, 8), keep=keep)
    whole = traced(Scored(way), torch.randn(1, 7, 8), keep="all") if keep == "all" else None
    note = trace.graph().notes[-1]
    assert "rows of attention sum to" in note
    assert "shares are of what the rows hold" in note
    _, meta = unpack(scene_block(trace))
    assert meta["calls"][0]["sums"] in note
    assert any(meta["calls"][0]["sums"] in text for text in meta["warnings"])
    figure = trace.figure()
    drawn = [t.get_text() for t in figure.findobj(lambda a: hasattr(a, "get_text"))]
    assert any("rows of attention sum to" in text for text in drawn)
    assert whole is None or whole.calls[0].is_whole


def test_sums_are_told_from_the_rows_themselves():
    assert sums_note(np.array([1, 1.004, 0, np.nan])) == ""
    assert sums_note(np.array([1, 0.5])) == "rows of attention sum to 0.5 to 1, not 1"
    assert sums_note(np.array([2.0, 2.0])) == "rows of attention sum to 2, not 1"


def test_weights_above_one_are_never_squeezed_into_a_code(monkeypatch):
    trace = traced(Scored("sigmoid", size=3.0), torch.randn(1, 7, 8))
    monkeypatch.setattr(scene, "EXACT_WEIGHTS", 10)
    arrays, meta = unpack(scene_block(trace))
    assert trace.calls[0].weights().max() > 1
    assert meta["calls"][0]["code"] == "f32"
    np.testing.assert_array_equal(arrays["weight.0"], trace.calls[0].weights())


def test_a_side_that_is_only_read_is_captioned_by_its_name():
    class Latents(nn.Module):
        def __init__(self):
            super().__init__()
            self.latents = nn.Parameter(torch.randn(3, 8))
            self.read = nn.MultiheadAttention(8, 2, batch_first=True)

        def forward(self, x):
            return self.read(self.latents.expand(len(x), 3, 8), x, x)[0]

    trace = traced(Latents(), torch.randn(1, 9, 8))
    captions = {t.get_gid(): t.get_text() for t in trace.figure().findobj(lambda a: hasattr(a, "get_text"))}
    assert captions["caption-1-0"] == trace.sides[1].name == "source"
    assert captions["caption-0-1"] == "out"
