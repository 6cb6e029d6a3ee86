"""Small models with padding in each place where padding can stand, for tests of every measure."""

import torch
from torch import nn

import headscape

WIDTH = 12


def states(*shape, seed=1):
    return torch.randn(*shape, WIDTH, generator=torch.Generator().manual_seed(seed))


def spread(model):
    """Make attention uneven and every bias count."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.4)
    return model.eval()


class Encoder(nn.Module):
    """A classifier of torch's own layers over the mean of real tokens."""

    def __init__(self, *, norm_first=False, causal=False, batch_first=True, heads=3):
        super().__init__()
        layer = nn.TransformerEncoderLayer(
            WIDTH, heads, 20, batch_first=batch_first, norm_first=norm_first, dropout=0.0
        )
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head, self.causal, self.batch_first = nn.Linear(WIDTH, 4), causal, batch_first

    def forward(self, x, padding=None):
        mask = None
        length = x.shape[1 if self.batch_first else 0]
        if self.causal:
            mask = torch.ones(length, length, dtype=torch.bool).triu(1)
        x = self.encoder(x, mask, padding)
        x = x if self.batch_first else x.transpose(0, 1)
        real = torch.ones(x.shape[:2]).to(x) if padding is None else (~padding).to(x)
        return self.head((x * real[..., None]).sum(1) / real.sum(1, keepdim=True))


class Joined(nn.Module):
    """An encoder and a decoder that both take padding."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Transformer(WIDTH, 3, 2, 2, 20, dropout=0.0, batch_first=True)
        self.head = nn.Linear(WIDTH, 4)

    def forward(self, source, target, hidden=None, hidden_target=None):
        mask = torch.ones(target.shape[1], target.shape[1], dtype=torch.bool).triu(1)
        x = self.inner(
            source, target, tgt_mask=mask, src_key_padding_mask=hidden, memory_key_padding_mask=hidden,
            tgt_key_padding_mask=hidden_target,
        )  # fmt: skip
        real = torch.ones(x.shape[:2]) if hidden_target is None else (~hidden_target).float()
        return self.head((x * real[..., None]).sum(1) / real.sum(1, keepdim=True))


class LanguageModel(nn.Module):
    """A causal model whose tokens come first."""

    def __init__(self):
        super().__init__()
        self.inner, self.head = Encoder(batch_first=False), nn.Linear(WIDTH, 9)

    def forward(self, x):
        return self.head(self.inner.encoder(x, torch.ones(len(x), len(x), dtype=torch.bool).triu(1)))


class WithoutResidual(nn.Module):
    """Two attentions of 3 and 2 heads, written by hand, of one odd kind, whose residual is out of sight."""

    def __init__(self, kind=""):
        super().__init__()
        self.kind, self.heads = kind, (3, 2)
        self.qkv = nn.ModuleList(nn.Linear(WIDTH, 3 * WIDTH) for _ in self.heads)
        self.out = nn.ModuleList(nn.Linear(WIDTH, WIDTH) for _ in self.heads)
        self.head = nn.Linear(WIDTH, 4)

    def weights(self, scores):
        if self.kind == "sigmoid":
            return scores.sigmoid()
        if self.kind == "sink":
            return torch.cat([scores, torch.ones_like(scores[..., :1])], -1).softmax(-1)[..., :-1]
        if self.kind == "hidden row":
            hidden = torch.zeros(scores.shape[-2:], dtype=torch.bool)
            hidden[2] = True
            return scores.masked_fill(hidden, -torch.inf).softmax(-1).nan_to_num(0)
        found = scores.softmax(-1)
        if self.kind == "NaN row":
            found = found.clone()
            found[:, 0, 1] = torch.nan
        return found

    def forward(self, x):
        for heads, qkv, out in zip(self.heads, self.qkv, self.out, strict=True):
            q, k, v = (t.unflatten(-1, (heads, -1)).transpose(1, 2) for t in qkv(x).chunk(3, -1))
            given = self.weights(q @ k.transpose(-1, -2) / 2) @ v
            x = x + out(given.transpose(1, 2).flatten(2)).nan_to_num(0)
        return self.head(x.mean(1))


def llama():
    from transformers import LlamaConfig, LlamaForCausalLM

    return spread(LlamaForCausalLM(
        LlamaConfig(vocab_size=30, hidden_size=16, intermediate_size=20, num_hidden_layers=2,
                    num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=24)
    ))  # fmt: skip


def seen(model, *inputs, score=None, **options):
    """Capture a pass with all there is to capture, and go backward from its score."""
    with headscape.capture(
        model, **({"keep": "all", "states": True, "values": True, "gradients": True} | options)
    ) as run:
        output = model(*inputs) if not (inputs and isinstance(inputs[0], dict)) else model(**inputs[0])
    if options.get("gradients", True):
        (score or best)(output).backward()
    return run.trace


def best(output):
    return output.max(-1).values.sum()
