"""Whole models as people write them, for the most part with the softmax they execute as their truth."""

import numpy as np
import torch
from tests.zoo import written_parts as parts
from tests.zoo.case import Family, Subject, Truth
from tests.zoo.truth import executed_softmax, identity_probe
from tests.zoo.windows import dense_over_groups, one_head
from tests.zoo.written import BATCH, LENGTH, WIDTH, Stack, random, spread_out
from tests.zoo.written_blocks import (
    FramesThenPlaces,
    InducedSet,
    Latents,
    NonLocal,
    PooledByQuery,
    Seq2Seq,
    SlotAttention,
    Unlike,
    VisionTransformer,
    WindowBlock,
    WordPooling,
    places_over_frames,
    shifted_windows,
)
from torch import nn

MODELS = Family("written models")
IDS = torch.randint(1, 20, (BATCH, LENGTH), generator=torch.Generator().manual_seed(1))
PADDED = IDS * (torch.arange(LENGTH)[None, :] < torch.tensor([6, 4])[:, None])
STATES = random(BATCH, LENGTH, WIDTH)
PICTURES = random(BATCH, 3, 8, 8, seed=4)


def softmax_case(name, build, inputs, *, cross="src_attn", keep=None, change=None, **subject):
    """Register a model whose executed softmaxes (those that ``keep`` accepts) are what meets V.

    ``cross`` is a piece of the paths that are cross-attention, or None where all are.
    """

    @MODELS.add(name, road="executed softmax")
    def make():
        model = spread_out(build())

        def run(m):
            return m(*inputs)

        def truths():
            found = executed_softmax(model, run, keep or (lambda truth: True))
            found = [t.but(kind="cross" if cross is None or cross in t.path else "self") for t in found]
            return [change(truth) for truth in found] if change else found

        return Subject(model, run, truths, **subject)


def without_padding(truth: Truth) -> Truth:
    """Leave padded queries of the source out."""
    is_source = truth.path.startswith("encoder")
    return truth.but(real=(PADDED != 0).numpy()) if is_source else truth


softmax_case("nanoGPT", parts.NanoGPT, (IDS,))
softmax_case("heads as modules, concatenated", lambda: Stack(parts.MultiHeads), (STATES,), change=one_head)
softmax_case("one head alone", lambda: nn.Sequential(parts.Head()), (STATES,), change=one_head)
softmax_case("annotated transformer", parts.EncoderDecoder, (PADDED, IDS[:, :4]), change=without_padding)
softmax_case(
    "vision transformer with a class token",
    VisionTransformer,
    (PICTURES,),
    keep=lambda truth: truth.weights.ndim == 4,  # not its class probabilities
)
softmax_case("non-local block over feature maps", NonLocal, (PICTURES,), change=one_head)
softmax_case("pooling by a learned query", PooledByQuery, (STATES,), cross=None)
softmax_case("latents that read, then think (Perceiver)", Latents, (STATES,), cross="reads")
softmax_case("induced set attention", InducedSet, (STATES,), cross=None)
softmax_case("cross-attention between widths", Unlike, (STATES, random(BATCH, 5, 10, seed=3)), cross=None)
softmax_case(
    "word pooling by a context vector",
    WordPooling,
    (STATES,),
    cross=None,
    change=lambda t: t.but(weights=t.weights[:, None, None]),
)
softmax_case(
    "shifted windows (Swin by hand)",
    WindowBlock,
    (random(BATCH, 64, WIDTH),),
    change=lambda t: dense_over_groups(t, shifted_windows(8, 4, 2 if "1" in t.path else 0), BATCH),
)
softmax_case(
    "frames then places (TimeSformer by hand)",
    FramesThenPlaces,
    (random(BATCH, 3, 4, WIDTH),),
    change=lambda t: dense_over_groups(t, places_over_frames(3, 4, "time" in t.path), BATCH),
)


@MODELS.add("LSTM decoder with dot attention, a step at a time", road="executed softmax")
def steps():
    """Each step is a call of its own: one row of the target, the others absent."""
    model = spread_out(Seq2Seq())

    def run(m):
        return m(IDS, IDS[:, :3])

    def truths():
        found = []
        for step, truth in enumerate(executed_softmax(model, run)):
            weights = np.zeros((BATCH, 1, 3, LENGTH))
            weights[:, 0, step] = truth.weights
            found.append(truth.but(weights=weights, kind="cross"))
        return found

    return Subject(model, run, truths, has_dropout=False)


@MODELS.add("slot attention")
def slots():
    model, x = spread_out(SlotAttention()), STATES
    return Subject(model, lambda m: m(x), lambda: model.worked_out(x), has_dropout=False)


@MODELS.add("nanoGPT with its flash branch", road="identity probe")
def flash():
    model = spread_out(parts.NanoGPT(flash=True))
    return Subject(model, lambda m: m(IDS), lambda: identity_probe(model, lambda m: m(IDS)))


def in_steps(truths, calls_a_step):
    """Number the forward passes of a generation."""
    return [truth.but(step=number // calls_a_step) for number, truth in enumerate(truths)]


@MODELS.add("nanoGPT generating with a cache of its own", road="executed softmax")
def generating():
    model = spread_out(parts.NanoGPT())

    def run(m):
        return m.generate(IDS, 4)

    def truths():
        found = in_steps(executed_softmax(model, run), 2)
        shapes = [truth.weights.shape[2:] for truth in found[::2]]
        assert shapes == [(6, 6), (1, 7), (1, 8), (1, 9)]
        return found

    return Subject(model, run, truths, trains=False)
