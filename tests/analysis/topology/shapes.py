"""Attention whose topology is known, and graphs made at random."""

import numpy as np


def uniform(tokens):
    return np.full((tokens, tokens), 1 / tokens)


def identity(tokens):
    return np.eye(tokens)


def sink(tokens):
    return np.eye(1, tokens).repeat(tokens, axis=0)


def cyclic(tokens):
    return np.roll(np.eye(tokens), 1, axis=1)


def two_blocks(tokens):
    half = tokens // 2
    return np.kron(np.eye(2), np.full((half, half), 1 / half))


def random_rows(rng, tokens, heads=(), *, sharpness=2.0, causal=False):
    """Rows of softmax over random scores."""
    scores = rng.normal(0, sharpness, (*heads, tokens, tokens))
    if causal:
        scores = np.where(np.triu(np.ones((tokens, tokens), bool), 1), -np.inf, scores)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def random_symmetric(rng, nodes, graphs=()):
    values = np.triu(rng.random((*graphs, nodes, nodes)), 1)
    return values + np.swapaxes(values, -1, -2)


def parts(adjacency):
    """Number of parts of an undirected graph, by spreading names along edges until nothing changes."""
    names = np.arange(len(adjacency))
    while True:
        spread = np.array([min([names[i], *names[adjacency[i]]]) for i in range(len(names))])
        if np.array_equal(spread, names):
            return len(set(names.tolist()))
        names = spread
