"""A widget whose button runs the model without one of its parts."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import headscape  # noqa: E402  after the check for torch
from headscape.view.findings import answer_knock_out  # noqa: E402
from headscape.view.page import choose_frames  # noqa: E402


@pytest.fixture
def small():
    """Make a small encoder, its input and its trace."""
    torch.manual_seed(0)
    layer = torch.nn.TransformerEncoderLayer(8, 2, dim_feedforward=8, batch_first=True, dropout=0.0)
    model = torch.nn.TransformerEncoder(layer, 2, enable_nested_tensor=False).eval()
    inputs = torch.rand(2, 5, 8)
    with headscape.capture(model) as run, torch.no_grad():
        model(inputs)
    return model, inputs, run.trace


@pytest.mark.parametrize(
    ("place", "part"),
    [
        ({"kind": "head", "call": 1, "head": 0}, {"heads": [(1, 0)]}),
        ({"kind": "edge", "call": 0, "head": 1, "query": 3, "key": 2}, {"edges": [(0, 1, 3, 2)]}),
        ({"kind": "token", "key": 4, "side": 0}, {"tokens": [4]}),
    ],
)
def test_a_request_of_the_view_is_what_knock_out_is_asked(small, place, part):
    model, inputs, _ = small
    asked = {**place, "by": "zero", "example": 1}
    said = answer_knock_out(lambda request: headscape.knock_out(model, inputs, **request["options"]), asked)
    assert "error" not in said
    wanted = headscape.knock_out(model, inputs, **part).output_change[0, 1]
    assert said["output_change"] == pytest.approx(float(wanted))
    assert wanted > 0


def test_what_cannot_be_knocked_out_is_said_in_the_words_of_knock_out(small):
    model, inputs, _ = small
    asked = {"kind": "head", "call": 1, "head": 9, "by": "zero", "example": 0}
    said = answer_knock_out(lambda request: headscape.knock_out(model, inputs, **request["options"]), asked)
    assert said["error"].startswith("OptionError: ")
    assert "9" in said["error"]


def test_every_head_knocked_out_beforehand_stands_in_the_page_largest_first(small):
    model, inputs, trace = small
    found = headscape.knock_out(model, inputs, heads="each")
    frames = choose_frames(trace, knock_outs=found).frames
    for example, frame in enumerate(frames):
        outs = frame.findings["knock_outs"]
        order = np.argsort(-found.output_change[:, example], kind="stable")
        assert [2 * one["call"] + one["head"] for one in outs] == order.tolist()
