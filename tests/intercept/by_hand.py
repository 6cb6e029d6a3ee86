"""Attention worked out from a module's parameters in float64 NumPy: the independent road of these tests."""

import numpy as np


def softmax(scores):
    shifted = np.exp(scores - np.max(scores, axis=-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


def array(tensor):
    return tensor.detach().double().numpy()


def linear(x, weight, bias):
    return x @ array(weight).T + (0 if bias is None else array(bias))


def split(x, heads):
    batch, length, width = x.shape
    return x.reshape(batch, length, heads, width // heads).transpose(0, 2, 1, 3)


def projections(mha):
    """Return (weight, bias) for query, key and value."""
    if mha.in_proj_weight is not None:
        weights = mha.in_proj_weight.chunk(3)
    else:
        weights = (mha.q_proj_weight, mha.k_proj_weight, mha.v_proj_weight)
    biases = (None,) * 3 if mha.in_proj_bias is None else mha.in_proj_bias.chunk(3)
    return list(zip(weights, biases, strict=True))


def additive(mask, batch, heads):
    """Return an additive (batch, head or 1, query or 1, key) mask; in a bool one True = hidden."""
    if mask is None:
        return 0.0
    values = np.where(mask.numpy(), -np.inf, 0.0) if mask.dtype.is_floating_point is False else array(mask)
    return values.reshape(batch, heads, *values.shape[1:]) if values.ndim == 3 else values


def attention(mha, query, key=None, value=None, *, attn_mask=None, padding=None):
    """Return weights (batch, head, query, key), values (batch, head, key, width) and output, batch first."""
    key = query if key is None else key
    value = key if value is None else value
    (wq, bq), (wk, bk), (wv, bv) = projections(mha)
    heads = mha.num_heads
    q, k, v = (split(linear(x, w, b), heads) for x, w, b in ((query, wq, bq), (key, wk, bk), (value, wv, bv)))
    scores = q @ k.transpose(0, 1, 3, 2) / np.sqrt(q.shape[-1])
    scores = scores + additive(attn_mask, len(query), heads)
    if padding is not None:
        scores = np.where(padding.numpy()[:, None, None, :], -np.inf, scores)
    weights = softmax(scores)
    mixed = (weights @ v).transpose(0, 2, 1, 3).reshape(len(query), query.shape[1], -1)
    return weights, v, linear(mixed, mha.out_proj.weight, mha.out_proj.bias)


def norm(module, x):
    centred = x - x.mean(-1, keepdims=True)
    scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + module.eps)
    return scaled * array(module.weight) + array(module.bias)


def feed_forward(layer, x):
    hidden = linear(x, layer.linear1.weight, layer.linear1.bias)
    return linear(np.maximum(hidden, 0), layer.linear2.weight, layer.linear2.bias)


def encoder_layer(layer, x, *, attn_mask=None, padding=None):
    """Return (weights, parts, output) of one ReLU encoder layer without dropout.

    ``parts`` are the residual, attention, stream and feed-forward states that meet.
    """
    given = norm(layer.norm1, x) if layer.norm_first else x
    weights, _, attended = attention(layer.self_attn, given, attn_mask=attn_mask, padding=padding)
    stream = x + attended if layer.norm_first else norm(layer.norm1, x + attended)
    forward = feed_forward(layer, norm(layer.norm2, stream) if layer.norm_first else stream)
    output = stream + forward if layer.norm_first else norm(layer.norm2, stream + forward)
    return weights, (x, attended, stream, forward), output


def encoder(layers, x, **masks):
    """Return [(weights, parts), ...] of a stack."""
    found = []
    for layer in layers:
        weights, parts, x = encoder_layer(layer, x, **masks)
        found.append((weights, parts))
    return found
