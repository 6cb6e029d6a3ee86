"""Labels, class names and pictures that a caller gives with a capture."""

import numpy as np
import pytest
import torch
from torch import nn

import headscape
from headscape.errors import LabelError, ShapeError


def encoder(layers=2):
    torch.manual_seed(0)
    return nn.TransformerEncoder(nn.TransformerEncoderLayer(16, 4, 32, batch_first=True), layers)


def test_labels_of_the_wrong_length_name_both_lengths():
    model = encoder()
    with (
        pytest.raises(LabelError, match=r"4 labels in example 0, but the model saw 5 tokens"),
        headscape.capture(model, tokens=["a", "b", "c", "d"]),
    ):
        model(torch.randn(2, 5, 16))


@pytest.mark.parametrize("tokens", [[1, 2, 3, 4, 5], torch.arange(5), [None] * 5, []])
def test_labels_that_are_no_texts_are_answered_with_what_labels_are(tokens):
    model = encoder(1)
    with pytest.raises(LabelError, match="labels are texts"), headscape.capture(model, tokens=tokens):
        model(torch.randn(1, 5, 16))


def test_wrong_number_of_class_names_names_both_numbers():
    model = nn.Sequential(encoder(1), nn.Flatten(1), nn.Linear(80, 3))
    with (
        pytest.raises(LabelError, match="names 2 classes, but the model gives 3 scores"),
        headscape.capture(model, classes=["a", "b"]),
    ):
        model(torch.randn(1, 5, 16))


def test_labels_for_the_wrong_number_of_examples_name_both_numbers():
    model = encoder()
    with (
        pytest.raises(LabelError, match=r"labels for 3 examples, but the batch has 2"),
        headscape.capture(model, tokens=[["a"] * 5] * 3),
    ):
        model(torch.randn(2, 5, 16))


def test_labels_may_leave_out_padding():
    model = encoder()
    padding = torch.tensor([[False] * 5, [False] * 3 + [True] * 2])
    with headscape.capture(model, tokens=[list("abcde"), list("xyz")]) as run:
        model(torch.randn(2, 5, 16), src_key_padding_mask=padding)
    assert run.trace.tokens(1) == ["x", "y", "z", "", ""]
    assert run.trace.tokens(0) == list("abcde")
    with (
        pytest.raises(LabelError, match=r"4 labels in example 1.*saw 5 tokens \(3 without padding\)"),
        headscape.capture(model, tokens=[list("abcde"), list("wxyz")]),
    ):
        model(torch.randn(2, 5, 16), src_key_padding_mask=padding)


def test_two_sides_need_labels_that_say_which():
    model = nn.Transformer(16, 4, 1, 1, 32, batch_first=True)
    src, tgt = torch.randn(1, 3, 16), torch.randn(1, 4, 16)
    with headscape.capture(model, tokens=(list("abc"), list("wxyz"))) as run:
        model(src, tgt)
    assert (run.trace.tokens(), run.trace.tokens(side=1)) == (list("abc"), list("wxyz"))
    with headscape.capture(model, tokens=list("wxyz")) as run:
        model(src, tgt)
    assert (run.trace.tokens(), run.trace.tokens(side=1)) == (["0", "1", "2"], list("wxyz"))
    with (
        pytest.raises(
            LabelError, match=r"2 sides \('source' of 3, 'target' of 3\) and several fit.*Pass a dict"
        ),
        headscape.capture(model, tokens=list("abc")),
    ):
        model(src, src)
    with (
        pytest.raises(LabelError, match=r"names a side 'sauce'; this model works on 'source', 'target'"),
        headscape.capture(model, tokens={"sauce": list("abc")}),
    ):
        model(src, tgt)


@pytest.mark.parametrize(
    "text", ["</script><script>alert(1)</script>", "", "🛫👩‍✈️", "שלום", "x" * 1_000_000, "\x00\ud800"]
)
def test_any_text_is_a_label(text, tmp_path):
    model = encoder(1)
    with headscape.capture(model, tokens=[text, "b"]) as run:
        model(torch.randn(1, 2, 16))
    assert run.trace.tokens()[0] == text
    run.trace.save(tmp_path / "t.headscape")
    loaded = headscape.load(tmp_path / "t.headscape").tokens()[0]
    assert loaded == text.replace("\ud800", "\ufffd")


def test_pictures_are_aligned_with_the_last_tokens():
    model = encoder(1)
    patches = np.linspace(0, 1, 2 * 4 * 2 * 2).reshape(2, 4, 2, 2)
    with headscape.capture(model, patches=patches) as run:
        model(torch.randn(2, 5, 16))
    (side,) = run.trace.sides
    assert (side.grid, side.unpictured) == ((2, 2), [0])
    np.testing.assert_array_equal(side.patches(1)[1:, ..., 0], np.rint(patches[1] * 255))
    assert (side.patches(1)[0] == 0).all()
    with (
        pytest.raises(ShapeError, match="2 examples of 6 patches, but the model saw 2 examples of 5 tokens"),
        headscape.capture(model, patches=np.zeros((2, 6, 2, 2))),
    ):
        model(torch.randn(2, 5, 16))
