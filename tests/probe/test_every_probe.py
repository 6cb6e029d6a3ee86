"""Probes give the same for a text in a batch, alone or behind a cache, and say what they cannot take."""

import numpy as np
import pytest
import torch
from tests.analysis.odd_models import Encoder, LanguageModel, llama, seen, spread, states

import headscape
from headscape.errors import OptionError, ShapeError
from headscape.probe.direct import direct
from headscape.probe.evidence import judging_trace
from headscape.probe.knock_out import Knocker

LENGTHS = [7, 4, 1]
IDS = torch.tensor([[3, 1, 4, 1, 5, 9, 2]])
CLOSE = {"rtol": 1e-3, "atol": 2e-4}


def padding(side):
    hidden = torch.arange(7)[None] >= torch.tensor(LENGTHS)[:, None]
    return hidden.flip(1) if side == "left" else hidden


@pytest.mark.parametrize("by", ["zero", "renormalise", "mean"])
@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("batch_first", [True, False])
def test_a_knock_out_is_that_of_the_text_alone(batch_first, side, by):
    model, hidden, given = spread(Encoder(batch_first=batch_first)), padding(side), states(3, 7)
    laid = (lambda t: t) if batch_first else (lambda t: t.transpose(0, 1).contiguous())
    for n, length in enumerate(LENGTHS):
        first = int((~hidden[n]).nonzero().min())
        last = first + length - 1
        alone = laid(given[n : n + 1, ~hidden[n]])
        asked = {"edges": ([(1, None, last, first), (0, 1, first, last)],
                           [(1, None, length - 1, 0), (0, 1, 0, length - 1)]),
                 "tokens": ([first, last], [0, length - 1])}  # fmt: skip
        if by == "zero":
            asked["heads"] = ("each", "each")
        for unit, (here, there) in asked.items():
            one = headscape.knock_out(model, (laid(given), hidden), by=by, **{unit: here})
            other = headscape.knock_out(model, (alone,), by=by, **{unit: there})
            np.testing.assert_allclose(one.change[:, n], other.change[:, 0], **CLOSE)
            np.testing.assert_allclose(one.divergence[:, n], other.divergence[:, 0], **CLOSE)


@pytest.mark.parametrize("side", ["right", "left"])
def test_direct_contributions_are_those_of_the_text_alone(side):
    model, hidden, given = spread(Encoder()), padding(side), states(3, 7)
    batch = direct(model, (given, hidden))
    for n in range(3):
        alone = direct(model, (given[n : n + 1, ~hidden[n]],))
        for layer in range(2):
            np.testing.assert_allclose(batch.heads(layer)[n], alone.heads(layer)[0], **CLOSE)
        np.testing.assert_allclose(batch.score[n], alone.score[0], **CLOSE)


def test_behind_a_cache_a_head_does_what_it_does_without():
    model = llama()
    with torch.no_grad():
        past = model(IDS[:, :4], use_cache=True).past_key_values
    heads = [(1, head) for head in range(4)]  # in the last layer, so that earlier tokens do not matter
    given = {"input_ids": IDS[:, 4:], "past_key_values": past}
    whole, cached = (headscape.knock_out(model, one, heads=heads) for one in ({"input_ids": IDS}, given))
    np.testing.assert_allclose(cached.change, whole.change, atol=1e-5)
    found, exact = (direct(model, one) for one in (given, {"input_ids": IDS}))
    np.testing.assert_allclose(found.heads(1), exact.heads(1), atol=1e-5)
    assert judging_trace(model, given).calls[0].shape == (1, 4, 3, 7)
    assert past.get_seq_length() == 4


@pytest.mark.parametrize("batch", [1, 3])
def test_the_score_that_is_judged_is_the_last_token_s_where_tokens_come_first(batch):
    model, given = spread(LanguageModel()), states(batch, 7).transpose(0, 1).contiguous()
    exact = seen(model, given, score=lambda output: output[-1].max(-1).values.sum())
    found = judging_trace(model, (given,))
    np.testing.assert_allclose(found.calls[0].gradient(0), exact.calls[0].gradient(0), atol=1e-6)


@pytest.mark.parametrize("off", [torch.no_grad, torch.inference_mode])
def test_switched_off_gradients_do_not_matter(off):
    model, given = spread(Encoder()), states(2, 5)
    exact, shares = judging_trace(model, (given,)), direct(model, (given,))
    with off():
        found, others = judging_trace(model, (given,)), direct(model, (given,))
    np.testing.assert_allclose(found.calls[0].gradient(0), exact.calls[0].gradient(0), atol=1e-6)
    np.testing.assert_allclose(others.heads(0), shares.heads(0), atol=1e-6)


def test_direct_contributions_in_bfloat16_are_near_those_in_float32():
    model, given = spread(Encoder()).to(torch.bfloat16), states(2, 5).to(torch.bfloat16)
    coarse = direct(model, (given,))
    exact = direct(model.float(), (given.float(),))
    np.testing.assert_allclose(coarse.heads(1), exact.heads(1), atol=0.03)


def test_a_trace_of_another_pass_is_not_judged():
    model, given = spread(Encoder()), states(3, 7)
    for other in (seen(model, given[:, :5]), seen(model, states(3, 7, seed=8)),
                  seen(spread(Encoder(heads=4)), given)):  # fmt: skip
        with pytest.raises(OptionError, match="that very pass"):
            headscape.judge(other, model, (given,))


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"heads": 5}, OptionError, "pass a list"),
        ({"heads": "each", "labels": "abc"}, ShapeError, "no numbers"),
        ({"heads": "each", "target": "x"}, OptionError, "no class"),
        ({"heads": "each", "target": 1.5}, OptionError, "no class"),
        ({"heads": "each", "most_tokens": 0}, OptionError, "most_tokens=0"),
    ],
)
def test_knock_outs_that_cannot_be_are_refused(options, error, says):
    with pytest.raises(error, match=says):
        headscape.knock_out(spread(Encoder()), states(1, 3), **options)


def test_models_and_inputs_that_are_none_are_refused():
    for probe in (direct, judging_trace, Knocker):
        with pytest.raises(OptionError, match=r"torch\.nn\.Module"):
            probe(lambda x: x, states(1, 3))
    with pytest.raises(OptionError, match="no example"):
        headscape.knock_out(spread(Encoder()), states(0, 3), heads="each")


def test_a_class_may_be_counted_from_the_last():
    model, given = spread(Encoder()), states(2, 3)
    np.testing.assert_array_equal(direct(model, given, target=-1).score, direct(model, given, target=3).score)
