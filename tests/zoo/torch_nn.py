"""torch.nn's own attention: weights worked out in float64 NumPy from the parameters."""

import copy

import numpy as np
import torch
from tests.intercept import by_hand
from tests.zoo.case import Family, Subject, Truth
from torch import nn

TORCH_NN = Family("torch.nn")

WIDTH, HEADS, LENGTH = 16, 4, 6
PAD = torch.arange(LENGTH)[None, :] >= torch.tensor([6, 4])[:, None]
CAUSAL = torch.triu(torch.ones(LENGTH, LENGTH, dtype=torch.bool), 1)


def randomised(model: nn.Module) -> nn.Module:
    """Give every parameter a random value: biases and norms that are 0 and 1 hide mistakes."""
    for parameter in model.parameters():
        nn.init.normal_(parameter, 0.1, 0.4)
    return model


def random(*shape: int, seed: int = 1) -> torch.Tensor:
    """Random numbers that are the same in every process."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def attention_case(name, *, cross=False, options=None, call=None):
    """Register one nn.MultiheadAttention; keyword arguments of the module and of its call."""
    options, call = options or {}, call or {}

    @TORCH_NN.add(f"MultiheadAttention {name}")
    def make():
        model = randomised(nn.MultiheadAttention(WIDTH, HEADS, batch_first=True, dropout=0.1, **options))
        query = random(2, LENGTH, WIDTH)
        key = random(2, 5, options.get("kdim", WIDTH), seed=2) if cross else query
        value = random(2, 5, options["vdim"], seed=3) if "vdim" in options else key

        def truths():
            padding = call.get("key_padding_mask")
            weights, _, output = by_hand.attention(
                model,
                *(t.double().numpy() for t in (query, key, value)),
                attn_mask=call.get("attn_mask"),
                padding=padding,
            )
            with torch.no_grad():
                np.testing.assert_allclose(model(query, key, value, **call)[0], output, atol=2e-5)
            real = None if padding is None or cross else ~padding.numpy()
            return [Truth(weights, "", "cross" if cross else "self", real)]

        return Subject(model, lambda m: m(query, key, value, **call), truths)


attention_case("self")
attention_case("self without weights", call={"need_weights": False})
attention_case("self per head", call={"average_attn_weights": False})
attention_case("self causal", call={"attn_mask": CAUSAL, "is_causal": True, "need_weights": False})
attention_case("self padded", call={"key_padding_mask": PAD})
attention_case("self with a float bias", call={"attn_mask": random(2 * HEADS, LENGTH, LENGTH, seed=5)})
attention_case("cross", cross=True)
attention_case("cross, other widths", cross=True, options={"kdim": 12, "vdim": 10})
attention_case("no bias", options={"bias": False})


def extended(model, x):
    """Work out self-attention with bias_k/bias_v and a zero key behind the real ones."""
    x = x.double().numpy()
    (wq, bq), (wk, bk), _ = by_hand.projections(model)
    keys = np.concatenate(
        [by_hand.linear(x, wk, bk), np.broadcast_to(by_hand.array(model.bias_k), (len(x), 1, WIDTH))], 1
    )
    keys = np.concatenate([keys, np.zeros((len(x), 1, WIDTH))], 1)
    q, k = by_hand.split(by_hand.linear(x, wq, bq), HEADS), by_hand.split(keys, HEADS)
    return by_hand.softmax(q @ k.swapaxes(2, 3) / np.sqrt(WIDTH / HEADS))


@TORCH_NN.add("MultiheadAttention with bias_k and a zero key")
def extra_keys():
    model = randomised(
        nn.MultiheadAttention(WIDTH, HEADS, add_bias_kv=True, add_zero_attn=True, batch_first=True)
    )
    x = random(2, LENGTH, WIDTH)
    return Subject(model, lambda m: m(x, x, x), lambda: [Truth(extended(model, x), "")], has_dropout=False)


def encoder_case(name, *, padded=False, causal=False, batch_first=True, nested=False, **options):
    """Register an nn.TransformerEncoder of two layers."""

    @TORCH_NN.add(f"TransformerEncoder {name}")
    def make():
        layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 32, batch_first=batch_first, **options)
        model = randomised(nn.TransformerEncoder(layer, 2, enable_nested_tensor=nested))
        for layer in model.layers:  # clones of one layer would hide a mixed-up order
            randomised(layer)
        x = random(2, LENGTH, WIDTH)
        masks = {"mask": CAUSAL if causal else None, "src_key_padding_mask": PAD if padded else None}

        def truths():
            found = by_hand.encoder(
                model.layers,
                x.double().numpy(),
                attn_mask=masks["mask"],
                padding=masks["src_key_padding_mask"],
            )
            real = ~PAD.numpy() if padded else None
            return [Truth(w, f"layers.{i}.self_attn", "self", real) for i, (w, _) in enumerate(found)]

        given = x if batch_first else x.transpose(0, 1)
        return Subject(model, lambda m: m(given, **masks), truths)


encoder_case("fast path")
encoder_case("fast path, padded", padded=True)
encoder_case("nested", padded=True, nested=True)
encoder_case("pre-norm", norm_first=True)
encoder_case("causal", causal=True)
encoder_case("pre-norm, causal, padded", norm_first=True, causal=True, padded=True)
encoder_case("sequence first", batch_first=False)


def transformer_case(name, *, batch_first):
    """Register an nn.Transformer; its truth is a float64 copy whose modules are asked for their weights."""

    @TORCH_NN.add(f"Transformer {name}", road="float64 modules asked for their weights")
    def make():
        model = randomised(nn.Transformer(WIDTH, HEADS, 2, 2, 32, batch_first=batch_first))
        source, target = random(2, LENGTH, WIDTH), random(2, 4, WIDTH, seed=2)
        if not batch_first:
            source, target = source.transpose(0, 1), target.transpose(0, 1)
        hidden = torch.triu(torch.ones(4, 4, dtype=torch.bool), 1)
        return Subject(
            model,
            lambda m: m(source, target, tgt_mask=hidden),
            lambda: asked(model, (source.double(), target.double()), hidden),
        )


def asked(model, inputs, hidden):
    """Ask each MultiheadAttention of a float64 copy for the weights it returns, module by module."""
    twin, found = copy.deepcopy(model).double().eval(), []

    def asking(name, forward):
        def call(query, key, value, **options):
            options |= {"need_weights": True, "average_attn_weights": False}
            output, weights = forward(query, key, value, **options)
            kind = "cross" if "multihead" in name else "self"
            found.append(Truth(weights.detach().numpy(), name, kind))
            return output, weights

        return call

    for name, module in twin.named_modules():
        if isinstance(module, nn.MultiheadAttention):
            module.forward = asking(name, module.forward)
    twin(inputs[0], inputs[1], tgt_mask=hidden)
    return found


transformer_case("sequence first", batch_first=False)
transformer_case("batch first", batch_first=True)
