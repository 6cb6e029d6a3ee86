"""A tiny random Llama in the files of llama2.c, for tests: no trained weights are part of this repository."""

import struct

import numpy as np

from headscape.demo.llama import LlamaShape
from headscape.demo.stories import PIECES_NAME, WEIGHTS_NAME

SHAPE = LlamaShape(width=16, hidden=24, layers=2, heads=4, key_heads=2, vocabulary=270, longest=32)
WORDS = [b" ", b"a", b"b", b"ab", b" a", b" ab", "é".encode(), b"aa"]


def made_up(shape=SHAPE, *, tied=True, seed=0):
    """Return random tensors by name, in the order of the file."""
    draw = np.random.default_rng(seed)
    n, d, f, narrow = shape.layers, shape.width, shape.hidden, shape.key_heads * shape.head_width
    sizes = {
        "emb": (shape.vocabulary, d),
        "norm1": (n, d),
        "q": (n, d, d),
        "k": (n, narrow, d),
        "v": (n, narrow, d),
        "o": (n, d, d),
        "norm2": (n, d),
        "gate": (n, f, d),
        "down": (n, d, f),
        "up": (n, f, d),
        "norm": (d,),
        "angles": (shape.longest * shape.head_width,),
    }
    if not tied:
        sizes["head"] = (shape.vocabulary, d)
    tensors = {name: draw.normal(0, 0.5, size).astype("<f4") for name, size in sizes.items()}
    for name in ("norm1", "norm2", "norm"):
        tensors[name] += 1
    return tensors


def write_files(folder, tensors, *, tied=True, shape=SHAPE):
    vocabulary = shape.vocabulary if tied else -shape.vocabulary
    head = (shape.width, shape.hidden, shape.layers, shape.heads, shape.key_heads, vocabulary, shape.longest)
    raw = b"".join(tensor.tobytes() for tensor in tensors.values())
    (folder / WEIGHTS_NAME).write_bytes(struct.pack("<7i", *head) + raw)
    pieces = [b"<unk>", b"<s>", b"</s>", *(f"<0x{n:02X}>".encode() for n in range(256)), *WORDS]
    pieces += [b"?"] * (shape.vocabulary - len(pieces))
    scores = [0.0] * 259 + [-1.0 - n for n in range(len(pieces) - 259)]
    body = b"".join(struct.pack("<fi", s, len(p)) + p for s, p in zip(scores, pieces, strict=True))
    (folder / PIECES_NAME).write_bytes(struct.pack("<i", 9) + body)
    return folder
