"""Hugging Face models that join several sequences: pictures with words, queries with memories."""

import numpy as np
import torch
from tests.zoo.hf_vision import PICTURE, TEXT, VIT, with_words
from tests.zoo.hugging_face import BATCH, Line, family_of, pictures, text
from tests.zoo.windows import unfolded

DETR = {
    "use_timm_backbone": False,
    "use_pretrained_backbone": False,
    "backbone": None,
    "d_model": 32,
    "num_queries": 3,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 40,
    "decoder_ffn_dim": 40,
}
PERCEIVER = {
    "vocab_size": 50,
    "d_model": 16,
    "d_latents": 16,
    "num_latents": 3,
    "num_self_attends_per_block": 2,
    "num_blocks": 1,
    "num_self_attention_heads": 2,
    "num_cross_attention_heads": 2,
    "max_position_embeddings": 16,
}
QFORMER = {
    "encoder_hidden_size": 24,
    "cross_attention_frequency": 2,
    "num_hidden_layers": 2,
    "hidden_size": 32,
    "num_attention_heads": 4,
    "intermediate_size": 40,
}


def random(*shape, seed=3):
    """Random numbers that are the same in every process."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def detr():
    """DETR's configuration with a small ResNet."""
    import transformers

    backbone = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", out_features=["stage2"]
    )
    return DETR | {"backbone_config": backbone}


def regions():
    """Words beside two regions of a picture."""
    return {**text(), "visual_feats": random(BATCH, 3, 12), "visual_pos": random(BATCH, 3, 4, seed=4)}


def queries():
    """Queries that read a picture's states."""
    return {"query_embeds": random(BATCH, 3, 32), "encoder_hidden_states": random(BATCH, 5, 24, seed=4)}


def embedded():
    """What the Perceiver reads, as it comes."""
    return {"inputs": random(BATCH, 6, 16)}


def real_words(truth):
    """Leave padded words out; the picture's tokens follow the words."""
    words = text()["attention_mask"].bool().numpy()
    picture = np.ones((BATCH, truth.weights.shape[2] - words.shape[1]), bool)
    return truth.but(real=np.concatenate([words, picture], 1))


def with_memory():
    """Words and the states of an encoder."""
    return {**text(), "encoder_hidden_states": random(BATCH, 5, 32)}


MULTIMODAL = family_of(
    "joined sequences",
    {
        "clip": Line(
            "CLIPModel",
            {"text_config": TEXT | {"eos_token_id": 2, "bos_token_id": 1}, "vision_config": PICTURE},
            with_words,
            sizes=False,
        ),
        "siglip": Line(
            "SiglipModel",
            {"text_config": TEXT | {"eos_token_id": 2, "bos_token_id": 1}, "vision_config": PICTURE},
            with_words,
            sizes=False,
            cross="head.attention",
            road="both",
            reshape=unfolded,
        ),
        "vilt": Line("ViltModel", VIT, with_words, road="told", reshape=real_words),
        "lxmert": Line(
            "LxmertModel",
            {"visual_feat_dim": 12, "l_layers": 1, "x_layers": 1, "r_layers": 1},
            regions,
            road="softmax",
            keep="att",
            cross="visual_attention",
        ),
        "blip2 q-former": Line("Blip2QFormerModel", QFORMER, queries, sizes=False, road="both"),
        "perceiver": Line(
            "PerceiverModel",
            PERCEIVER,
            embedded,
            sizes=False,
            road="told",
            fields=("attentions", "cross_attentions"),
        ),
        "detr": Line("DetrModel", detr, lambda: pictures(32), sizes=False, road="both"),
        "bert as a decoder": Line(
            "BertModel", {"is_decoder": True, "add_cross_attention": True}, with_memory
        ),
    },
)
