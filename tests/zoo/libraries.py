"""Models of other libraries, and what libraries do to a model; each is imported when its case is made."""

import copy
import functools

import torch
from tests.zoo.case import Family, Subject, Truth
from tests.zoo.hugging_face import Line, build, text
from tests.zoo.truth import array, executed_softmax, identity_probe, ready
from torch import nn
from torch.nn.utils import prune

LIBRARIES = Family("libraries")
WORDS = text()


def run_text(model):
    """Run a text encoder on two padded sentences."""
    return model(**WORDS)


def told(model, prefix=""):
    """Probe a text encoder; names without the library's prefix, padded queries left out."""
    real = WORDS["attention_mask"].bool().numpy()
    return [
        truth.but(path=truth.path.removeprefix(prefix), real=real)
        for truth in identity_probe(model, run_text)
    ]


@LIBRARIES.add("peft: LoRA on bert", road="identity probe")
def lora():
    import peft

    config = peft.LoraConfig(r=2, target_modules=["query", "value"], init_lora_weights=False)
    model = peft.get_peft_model(build(Line("BertModel")), config)
    return Subject(model, run_text, lambda: told(model, "base_model.model."))


@LIBRARIES.add("accelerate: hooks that move tensors", road="identity probe")
def dispatched():
    from accelerate.hooks import attach_align_device_hook

    model = build(Line("BertModel"))
    plain = copy.deepcopy(model)
    attach_align_device_hook(model, execution_device=torch.device("cpu"))
    return Subject(model, run_text, lambda: told(plain))


@LIBRARIES.add("torch.ao: bert with dynamically quantised layers", road="identity probe")
def quantised():
    model = torch.ao.quantization.quantize_dynamic(build(Line("BertModel")).eval(), {nn.Linear}, torch.qint8)
    return Subject(model, run_text, lambda: told(model), trains=False)


@LIBRARIES.add("torch.nn.DataParallel on one device", road="identity probe")
def parallel():
    model = build(Line("BertModel"))
    return Subject(nn.DataParallel(model), run_text, lambda: told(model))


@LIBRARIES.add("torch.nn.utils: pruned and weight-normed bert", road="identity probe")
def parametrised():
    model = build(Line("BertModel"))
    for layer in model.encoder.layer:
        torch.nn.utils.parametrizations.weight_norm(layer.attention.self.query)
        prune.l1_unstructured(layer.attention.self.key, "weight", 0.5)
    plain = functools.partial(told, model)
    return Subject(model, run_text, plain, trains=False)


def x_transformers_case(name, *, road, decoder=True, truths, **options):
    """Register an x-transformers language model."""

    @LIBRARIES.add(f"x-transformers: {name}", road=road)
    def make():
        from x_transformers import Decoder, Encoder, TransformerWrapper

        layers = (Decoder if decoder else Encoder)(dim=32, depth=2, heads=4, attn_dim_head=8, **options)
        model = TransformerWrapper(num_tokens=50, max_seq_len=16, attn_layers=layers)
        generator = torch.Generator().manual_seed(4)
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.1)
        ids = WORDS["input_ids"]
        return Subject(model, lambda m: m(ids), lambda: truths(model, lambda m: m(ids)))


def mixed_heads(model, run):
    """What the module that mixes heads after softmax returned: that is what meets V."""
    twin, _ = ready(model)
    found = []
    for name, module in twin.named_modules():
        if name.endswith("post_softmax_talking_heads"):
            path = name.rpartition(".")[0]
            module.register_forward_hook(
                lambda m, args, output, path=path: found.append(Truth(array(output), path))
            )
    with torch.no_grad():
        run(twin)
    return found


x_transformers_case("decoder", road="executed softmax", truths=executed_softmax)
x_transformers_case("flash decoder", road="identity probe", truths=identity_probe, attn_flash=True)
x_transformers_case(
    "encoder with rotary and one key head",
    road="executed softmax",
    decoder=False,
    truths=executed_softmax,
    rotary_pos_emb=True,
    attn_one_kv_head=True,
)
x_transformers_case(
    "talking heads",
    road="hook on the model's own mixing",
    truths=mixed_heads,
    attn_pre_talking_heads=True,
    attn_post_talking_heads=True,
)
