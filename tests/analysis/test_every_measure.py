"""A number does not depend on how its pass was laid out; what cannot be measured is said in a sentence."""

import numpy as np
import pytest
import torch
from tests.analysis.every_measure import ALL, ONE
from tests.analysis.odd_models import (
    Encoder,
    Joined,
    LanguageModel,
    WithoutResidual,
    llama,
    seen,
    spread,
    states,
)

import headscape
from headscape.analysis.answer import side_padding
from headscape.analysis.norms import mixing_ratio
from headscape.analysis.routes import find_routes
from headscape.analysis.sinks import find_sinks
from headscape.errors import HeadscapeError, NoAttentionError, NotKeptError, ShapeError

LENGTHS = [7, 4, 1]
NEEDS_STATES = {"mixed norms", "block norms", "mixing", "routes"} | {
    f"{kind} by routes" for kind in ("edges", "heads", "tokens")
}


def padding(lengths, side, width=7):
    hidden = torch.arange(width)[None] >= torch.tensor(lengths)[:, None]
    return hidden.flip(1) if side == "left" else hidden


def outcome(measure, *given):
    """Return what a measure gives, or the sentence it says instead; nothing else may come out."""
    try:
        return measure(*given)
    except HeadscapeError as error:
        return type(error)


def real(trace, example, found):
    """Return numbers of real tokens only."""
    array, axes, number = found
    for axis, name in enumerate(axes):
        if name in "qk":
            call = trace.calls[number]
            hidden = call.padded(example) if name == "q" else call.padded_keys(example)
        elif name == "t":
            hidden = side_padding(trace, example, number)
        elif name == "i":
            hidden = np.concatenate([side_padding(trace, example, n) for n in range(len(trace.sides))])
        else:
            continue
        array = np.compress(~hidden, array, axis)
    return array


def expect_equal(name, one, other, tolerance):
    """Compare the outcomes of a measure, already of real tokens."""
    if isinstance(one, type) or isinstance(other, type):
        assert one is other, name
        return
    assert one.keys() == other.keys()
    for key, array in one.items():
        if array.dtype.kind == "U":
            assert array.tolist() == other[key].tolist(), (name, key)
        else:
            np.testing.assert_allclose(array, other[key], **tolerance, err_msg=f"{name} {key}")


def expect_same_example(one, example, other, *, rtol=1e-3, atol=2e-4, without=()):
    for name in ONE.keys() - without:
        found = []
        for trace, at in ((one, example), (other, 0 if other.batch == 1 else example)):
            result = outcome(ONE[name], trace, at)
            found.append(
                result
                if isinstance(result, type)
                else {key: real(trace, at, part) for key, part in result.items()}
            )
        expect_equal(name, *found, {"rtol": rtol, "atol": atol})


def expect_same_texts(one, other, *, rtol=1e-3, atol=2e-4):
    for name, measure in ALL.items():
        expect_equal(name, outcome(measure, one), outcome(measure, other), {"rtol": rtol, "atol": atol})


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize(
    "options", [{}, {"norm_first": True}, {"causal": True}, {"batch_first": False}], ids=str
)
def test_padding_changes_nothing(options, side):
    model, hidden = spread(Encoder(**options)), padding(LENGTHS, side)
    laid = (lambda t: t) if options.get("batch_first", True) else (lambda t: t.transpose(0, 1).contiguous())
    given = states(3, 7)
    batch = seen(model, laid(given), hidden)
    alone = [seen(model, laid(given[n : n + 1, ~hidden[n]])) for n in range(3)]
    for n, one in enumerate(alone):
        expect_same_example(batch, n, one)
    expect_same_texts(batch, alone)


@pytest.mark.parametrize("side", ["right", "left"])
def test_padding_on_both_sides_changes_nothing(side):
    model, lengths = spread(Joined()), [5, 1, 3]
    hidden, hidden_target = padding(LENGTHS, side), padding(lengths, side, 5)
    source, target = states(3, 7), states(3, 5, seed=9)
    batch = seen(model, source, target, hidden, hidden_target)
    alone = [
        seen(model, source[n : n + 1, ~hidden[n]], target[n : n + 1, ~hidden_target[n]]) for n in range(3)
    ]
    for n, one in enumerate(alone):
        expect_same_example(batch, n, one)
    expect_same_texts(batch, alone)


@pytest.mark.parametrize("side", ["right", "left"])
def test_padding_changes_nothing_in_a_causal_model_with_grouped_heads(side):
    model, hidden = llama(), padding(LENGTHS, side)
    ids = torch.zeros(3, 7, dtype=torch.long)
    texts = [torch.tensor([[3, 1, 4, 1, 5, 9, 2]]), torch.tensor([[6, 5, 3, 5]]), torch.tensor([[7]])]
    for n, text in enumerate(texts):
        ids[n, ~hidden[n]] = text[0]
    last = [int((~row).nonzero().max()) for row in hidden]
    batch = seen(
        model,
        {"input_ids": ids, "attention_mask": (~hidden).long(), "use_cache": False},
        score=lambda output: sum(output.logits[n, at].max() for n, at in enumerate(last)),
    )
    alone = [
        seen(model, {"input_ids": text, "use_cache": False}, score=lambda output: output.logits[0, -1].max())
        for text in texts
    ]
    for n, one in enumerate(alone):
        expect_same_example(batch, n, one)
    expect_same_texts(batch, alone)


def test_the_order_of_the_batch_changes_nothing():
    model, hidden = spread(Encoder()), padding(LENGTHS, "right")
    given, order = states(3, 7), [2, 0, 1]
    one, other = seen(model, given, hidden), seen(model, given[order], hidden[order])
    for n, place in enumerate(order):
        for name, measure in ONE.items():
            found = [
                {key: real(trace, at, part) for key, part in measure(trace, at).items()}
                for trace, at in ((one, place), (other, n))
            ]
            expect_equal(name, *found, {"rtol": 1e-3, "atol": 2e-4})
    expect_same_texts(one, other)


@pytest.mark.parametrize("options", [{}, {"keep": 7}], ids=str)
def test_a_file_holds_all_but_states(options, tmp_path):
    live = seen(spread(Encoder()), states(3, 7), padding(LENGTHS, "right"), **options)
    live.save(tmp_path / "trace")
    loaded = headscape.load(tmp_path / "trace")
    for n in range(3):
        expect_same_example(live, n, loaded, rtol=0, atol=0, without=NEEDS_STATES)
    expect_same_texts(live, loaded, rtol=0, atol=0)
    for name in NEEDS_STATES:
        with pytest.raises(NotKeptError, match="comes from a file"):
            ONE[name](loaded, 0)


def test_lists_of_all_keys_are_as_good_as_matrices():
    model, given, hidden = spread(Encoder()), states(3, 7), padding(LENGTHS, "right")
    one, other = seen(model, given, hidden), seen(model, given, hidden, keep=7)
    for n in range(3):
        expect_same_example(one, n, other)
    expect_same_texts(one, other)


ODDITIES = {
    "top keys only": lambda: seen(spread(Encoder()), states(3, 7), keep=3),
    "no values": lambda: seen(spread(Encoder()), states(3, 7), values=False, states=False),
    "no gradients": lambda: seen(spread(Encoder()), states(3, 7), gradients=False),
    "one token": lambda: seen(spread(Encoder()), states(3, 1)),
    "layers of other heads": lambda: seen(spread(WithoutResidual()), states(3, 7)),
    "sigmoid": lambda: seen(spread(WithoutResidual("sigmoid")), states(3, 7)),
    "sink": lambda: seen(spread(WithoutResidual("sink")), states(3, 7)),
    "a row that sees nothing": lambda: seen(spread(WithoutResidual("hidden row")), states(3, 7)),
    "a row of NaN": lambda: seen(spread(WithoutResidual("NaN row")), states(3, 7)),
    "no example": lambda: seen(spread(Encoder()), states(0, 7)),
    "nothing but padding": lambda: seen(
        spread(Encoder()), states(2, 7), padding([0, 7], "right")
    ),
}  # fmt: skip


@pytest.mark.parametrize("oddity", ODDITIES)
def test_an_oddity_gives_numbers_or_a_sentence(oddity):
    trace = ODDITIES[oddity]()
    for measure in ONE.values():
        outcome(measure, trace, 0)
    for measure in ALL.values():
        outcome(measure, trace)
    if oddity in ("sigmoid", "sink"):
        shares = ["rows", "rollout", "passage", "flow", "topology", "edges by weight", "tokens by weight"]
        assert {outcome(ONE[name], trace, 0) for name in shares} == {ShapeError}
        assert {outcome(measure, trace) for measure in ALL.values()} == {ShapeError}


def test_no_example_and_nothing_but_padding_are_said():
    with pytest.raises(NoAttentionError, match="empty"):
        find_sinks(ODDITIES["no example"]())
    with pytest.raises(NoAttentionError, match="all tokens of example 0 are padding"):
        ONE["topology"](ODDITIES["nothing but padding"](), 0)


@pytest.mark.parametrize("make", [Encoder, llama])
def test_bfloat16_is_followed_as_float32_is(make):
    model = make()
    coarse = spread(model).to(torch.bfloat16)
    if make is llama:
        given = [{"input_ids": torch.tensor([[3, 1, 4, 1, 5, 9, 2]])}] * 2
        score = lambda output: output.logits[0, -1].max()  # noqa: E731
    else:
        given, score = [states(1, 7).to(torch.bfloat16), states(1, 7).to(torch.bfloat16).float()], None
    one = seen(coarse, given[0], score=score)
    other = seen(coarse.float(), given[1], score=score)
    for call, exact in zip(one.calls, other.calls, strict=True):
        np.testing.assert_allclose(mixing_ratio(call).ratio, mixing_ratio(exact).ratio, atol=0.03)
    found, exact = find_routes(one, tau=0), find_routes(other, tau=0)
    np.testing.assert_allclose(found.inputs[0], exact.inputs[0], atol=0.03)


@pytest.mark.parametrize("batch", [1, 3])
def test_the_last_token_is_read_where_tokens_come_first(batch):
    model, given = spread(LanguageModel()), states(batch, 7).transpose(0, 1).contiguous()
    trace = seen(model, given, score=lambda output: output[-1].max(-1).values.sum())
    np.testing.assert_allclose(
        trace.outputs.scores[:, 0], model(given)[-1].detach().max(-1).values, atol=1e-6
    )
    assert trace.outputs.contribution(0) is not None
