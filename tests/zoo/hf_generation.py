"""generate() of Hugging Face models: one trace for each forward pass, keys growing with the cache."""

from typing import Any

import torch
from tests.zoo.case import Family, Subject, Truth
from tests.zoo.hf_seq2seq import BART, T5
from tests.zoo.hugging_face import Line, build, sequences, text
from tests.zoo.truth import everything_seen

GENERATION = Family("generation with a cache")
NEW = 3


def generation_case(name, line, inputs, *, calls_a_pass=2, heads=4, says="", **options):
    """Register ``generate``; truths are split into passes, and decoding steps of grouped heads unfolded.

    An encoder runs once, before and outside of the model's own forward passes: it is in none of their
    traces, and ``says`` is what tells so.
    """

    @GENERATION.add(name, road="identity probe and executed softmax", says=says)
    def make():
        model = build(line)
        given = inputs()
        given.pop("decoder_input_ids", None)

        def run(m: Any) -> Any:
            return m.generate(**given, max_new_tokens=NEW, min_new_tokens=NEW, do_sample=False, **options)

        def truths() -> list[Truth]:
            found = [
                t for t in everything_seen(model, run) if not t.path.startswith(("encoder", "model.encoder"))
            ]
            assert len(found) == calls_a_pass * NEW
            return [_told(truth, number // calls_a_pass, given, heads) for number, truth in enumerate(found)]

        return Subject(model, run, truths, trains=False)


def _told(truth: Truth, step: int, given: dict[str, torch.Tensor], heads: int) -> Truth:
    """Name step and kind; give grouped decoding queries, (batch, kv head, group, key), their heads."""
    batch, _, _, keys = truth.weights.shape
    is_cross = any(piece in truth.path for piece in ("encoder_attn", "EncDecAttention"))
    if truth.weights.shape[1] != heads:
        truth = truth.but(weights=truth.weights.reshape(batch, heads, 1, keys))
    mask = given.get("attention_mask")
    has_rows = mask is not None and not is_cross and truth.weights.shape[:3:2] == tuple(mask.shape)
    real = mask.bool().numpy() if has_rows else None
    return truth.but(step=step, kind="cross" if is_cross else "self", real=real)


GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 32}
GROUPED = {"num_key_value_heads": 2}


def unpadded():
    """Tokens alone."""
    return text(padded=False)


def left():
    """Prompts padded on the left."""
    return text(left=True)


generation_case("gpt2", Line("GPT2LMHeadModel", GPT2), unpadded)
generation_case("gpt2, padded on the left", Line("GPT2LMHeadModel", GPT2), left)
generation_case("gpt2, eager", Line("GPT2LMHeadModel", GPT2, implementation="eager"), unpadded)
generation_case("gpt2, two beams", Line("GPT2LMHeadModel", GPT2), unpadded, num_beams=2)
generation_case("llama, grouped heads", Line("LlamaForCausalLM", GROUPED), unpadded)
generation_case("llama, grouped heads, padded on the left", Line("LlamaForCausalLM", GROUPED), left)
generation_case(
    "mistral, window shorter than the text",
    Line("MistralForCausalLM", GROUPED | {"sliding_window": 5}),
    unpadded,
)
generation_case(
    "bloom (ALiBi), padded on the left", Line("BloomForCausalLM", {"n_layer": 2, "n_head": 4}), left
)
generation_case(
    "bart, decoder steps",
    Line("BartForConditionalGeneration", BART),
    sequences,
    calls_a_pass=4,
    says="encoder.",
)
generation_case(
    "t5, decoder steps", Line("T5ForConditionalGeneration", T5), sequences, calls_a_pass=4, says="encoder."
)
