"""What each token adds to the answer: sums to the logit where the head is affine, and says where not."""

import numpy as np
import pytest
import torch
from torch import nn

import headscape

PAD = torch.tensor([[False] * 6, [False] * 4 + [True] * 2])


class Model(nn.Module):
    """An encoder whose head is given as a function of its states."""

    def __init__(self, head, **layers):
        super().__init__()
        torch.manual_seed(0)
        layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.linear = nn.Linear(16, 3)
        self.inner = nn.Linear(16, 16)
        self.norm = nn.LayerNorm(16)
        self.drop = nn.Dropout(0.5)
        self.head = head

    def forward(self, x):
        return self.head(self, self.encoder(x, src_key_padding_mask=PAD))


def masked_mean(states):
    keep = (~PAD).to(states.dtype)[..., None]
    return (states * keep).sum(1) / keep.sum(1)


AFFINE = {
    "mean": lambda m, s: m.linear(s.mean(1)),
    "masked mean": lambda m, s: m.linear(masked_mean(s)),
    "first token": lambda m, s: m.linear(s[:, 0]),
    "two linear maps": lambda m, s: m.linear(m.inner(s[:, 0])),
    "flattened mean with matmul": lambda m, s: torch.einsum("bsd,cd->bc", s, m.linear.weight),
}
CURVED = {
    "tanh pooler": lambda m, s: m.linear(torch.tanh(m.inner(s[:, 0]))),
    "max": lambda m, s: m.linear(s.amax(1)),
    "relu": lambda m, s: m.linear(torch.relu(m.inner(masked_mean(s)))),
    "norm after pooling": lambda m, s: m.linear(m.norm(masked_mean(s))),
}
WAYS = ["grad", "no_grad", "inference"]


def captured(head, way, train=False):
    model = Model(head).train(train)
    x = torch.randn(2, 6, 16, generator=torch.Generator().manual_seed(1))
    grad = torch.enable_grad if way == "grad" else torch.no_grad if way == "no_grad" else torch.inference_mode
    with grad(), headscape.capture(model, classes=["bad", "so-so", "good"], strict=True) as run:
        output = model(x)
    return model, x, output.detach(), run.trace.outputs


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("head", AFFINE)
def test_affine_head_is_exact_and_adds_up_to_the_logit(head, way):
    _, _, output, answer = captured(AFFINE[head], way)
    assert (answer.kind, answer.method) == ("classes", "exact")
    order = output.numpy().argsort(-1)[:, ::-1]
    np.testing.assert_array_equal(answer.class_ids, order)
    np.testing.assert_allclose(answer.scores, np.take_along_axis(output.numpy(), order, -1))
    np.testing.assert_allclose(answer.contributions.sum(-1) + answer.base, answer.scores, atol=2e-5)
    np.testing.assert_allclose(answer.probabilities.sum(-1), 1, atol=1e-6)
    assert answer.names(1)[0] == ["bad", "so-so", "good"][order[1, 0]]


def test_masked_mean_contributions_equal_those_by_hand():
    model, x, _, answer = captured(AFFINE["masked mean"], "grad")
    states = model.encoder(x, src_key_padding_mask=PAD).detach().double().numpy()
    keep = (~PAD).double().numpy()
    each = (
        states
        @ model.linear.weight.detach().double().numpy().T
        * (keep / keep.sum(1, keepdims=True))[..., None]
    )
    for example in range(2):
        expected = each[example][:, answer.class_ids[example]].T
        # dropout is active in no part: the model is in eval mode
        np.testing.assert_allclose(answer.contribution(example), expected, atol=1e-5)
        np.testing.assert_allclose(
            answer.base[example], model.linear.bias.detach()[answer.class_ids[example]], atol=1e-5
        )
    assert (answer.contribution(1)[:, 4:] == 0).all()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("head", CURVED)
def test_curved_head_is_called_gradient_x_activation(head, way):
    _, _, output, answer = captured(CURVED[head], way)
    assert answer.method == "gradient x activation"
    np.testing.assert_allclose(answer.contributions.sum(-1) + answer.base, answer.scores, atol=2e-5)
    np.testing.assert_allclose(answer.scores[0, 0], output[0].max(), rtol=1e-6)


def test_gradient_x_activation_equals_autograd_through_the_users_graph():
    model = Model(CURVED["tanh pooler"]).eval()
    x = torch.randn(2, 6, 16)
    with headscape.capture(model) as run:
        model(x)
    states = model.encoder(x, src_key_padding_mask=PAD)
    states.retain_grad()
    score = model.head(model, states)[1, int(run.trace.outputs.class_ids[1, 0])]
    (slope,) = torch.autograd.grad(score, states)
    np.testing.assert_allclose(
        run.trace.outputs.contribution(1)[0], (slope * states)[1].sum(-1).detach(), atol=1e-5
    )


def test_dropout_in_the_head_is_replayed_as_it_was_drawn():
    _, _, _, answer = captured(lambda m, s: m.linear(m.drop(s.mean(1))), "grad", train=True)
    assert answer.method == "exact"
    np.testing.assert_allclose(answer.contributions.sum(-1) + answer.base, answer.scores, atol=2e-5)


def test_hidden_states_and_head_that_cannot_be_replayed_claim_nothing():
    _, _, _, states = captured(lambda m, s: s, "grad")
    assert states is None
    _, _, output, answer = captured(
        lambda m, s: m.linear(torch.from_numpy(s.detach().numpy().mean(1))), "grad"
    )
    assert answer.method == "none"
    assert answer.contribution() is None
    np.testing.assert_allclose(answer.scores[0, 0], output[0].max(), rtol=1e-6)


@pytest.mark.parametrize("batch_first", [True, False])
def test_next_token_scores_are_read_at_the_last_real_position(batch_first):
    class Language(nn.Module):
        def __init__(self):
            super().__init__()
            layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=batch_first)
            self.encoder, self.out = nn.TransformerEncoder(layer, 1), nn.Linear(16, 40)

        def forward(self, x):
            return self.out(self.encoder(x, src_key_padding_mask=PAD))

    torch.manual_seed(0)
    model, x = Language(), torch.randn(2, 6, 16)
    model.eval()
    with headscape.capture(model) as run:
        output = model(x if batch_first else x.transpose(0, 1))
    output = output if batch_first else output.transpose(0, 1)
    answer = run.trace.outputs
    assert (answer.kind, answer.method, answer.scores.shape) == ("next tokens", "exact", (2, 5))
    for example, last in enumerate((5, 3)):
        top = output[example, last].detach().topk(5)
        np.testing.assert_array_equal(answer.class_ids[example], top.indices)
        np.testing.assert_allclose(answer.scores[example], top.values, rtol=1e-6)
        others = np.delete(answer.contribution(example), last, axis=1)
        np.testing.assert_allclose(others, 0, atol=1e-6)


def test_share_outputs_are_not_softmaxed_again():
    _, _, output, answer = captured(lambda m, s: torch.softmax(m.linear(s[:, 0]), -1), "grad")
    np.testing.assert_allclose(answer.probabilities[0, 0], output[0].max(), rtol=1e-6)
    assert answer.method == "gradient x activation"
