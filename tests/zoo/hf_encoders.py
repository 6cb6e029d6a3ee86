"""Hugging Face text encoders, and models without attention."""

import functools

import numpy as np
from tests.zoo.case import Truth
from tests.zoo.hugging_face import Line, family_of, pictures, text

XLNET = {"vocab_size": 50, "d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 37}
DISENTANGLED = {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]}
FUNNEL = {
    "vocab_size": 50,
    "block_sizes": [1, 1],
    "num_decoder_layers": 1,
    "d_model": 32,
    "n_head": 4,
    "d_head": 8,
    "d_inner": 37,
}
RESNET = {"embedding_size": 8, "hidden_sizes": [8, 16], "depths": [1, 1], "layer_type": "basic"}


def in_chunks(truths: list[Truth]) -> list[Truth]:
    """Lay the chunks of the character layer out over the characters: 4, 4 and the last 3."""
    characters = text(length=11)["attention_mask"].bool().numpy()
    laid_out = []
    for number, truth in enumerate(truths):
        if truth.path.startswith("initial"):
            weights = np.zeros((*truth.weights.shape[:2], 11, 11))
            places = slice(4 * number, 4 * number + 4)
            weights[:, :, places, places] = truth.weights
            laid_out.append(truth.but(weights=weights, real=characters))
        else:
            laid_out.append(truth)
    return laid_out


plain_text = functools.partial(text, padded=False)

TEXT_ENCODERS = family_of(
    "text encoders",
    {
        "bert": Line("BertModel"),
        "bert, eager": Line("BertModel", road="told", implementation="eager"),
        "roberta": Line("RobertaModel"),
        "electra": Line("ElectraModel", {"embedding_size": 16}),
        "camembert": Line("CamembertModel"),
        "xlm-roberta": Line("XLMRobertaModel"),
        "ernie": Line("ErnieModel"),
        "mpnet": Line("MPNetModel", road="told"),
        "roformer": Line("RoFormerModel", road="told"),
        "megatron-bert": Line("MegatronBertModel", road="told"),
        "layoutlm": Line("LayoutLMModel"),
        "splinter": Line("SplinterModel", {"question_token_id": 4}, road="told"),
        "albert (one layer shared)": Line("AlbertModel", {"embedding_size": 16}),
        "convbert": Line("ConvBertModel", {"embedding_size": 16}, road="told"),
        "distilbert": Line("DistilBertModel", {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 37}),
        "xlm": Line("XLMModel", {"emb_dim": 32, "n_layers": 2, "n_heads": 4}, road="told"),
        "flaubert": Line("FlaubertModel", {"emb_dim": 32, "n_layers": 2, "n_heads": 4}, road="told"),
        "xlnet": Line("XLNetModel", XLNET, road="told", sizes=False),
        "funnel": Line("FunnelModel", FUNNEL, road="told", sizes=False),
        "esm": Line("EsmModel", {"token_dropout": False}),
        "modernbert": Line(
            "ModernBertModel",
            {"global_attn_every_n_layers": 2, "local_attention": 4, "cls_token_id": 1, "sep_token_id": 2},
        ),
        "deberta": Line("DebertaModel", DISENTANGLED, road="told"),
        "deberta-v2": Line("DebertaV2Model", DISENTANGLED, road="told"),
        "tapas": Line("TapasModel", road="told"),
        "big_bird, full": Line("BigBirdModel", {"attention_type": "original_full"}, road="told"),
        "canine": Line(
            "CanineModel",
            {"num_hash_buckets": 64, "local_transformer_stride": 4},
            functools.partial(text, length=11),
            road="softmax",
            arrange=in_chunks,
        ),
        "nystromformer": Line(
            "NystromformerModel",
            {"num_landmarks": 3, "segment_means_seq_len": 6},
            functools.partial(text, length=6, padded=False),
            road="untold",
        ),
        "longformer": Line("LongformerModel", {"attention_window": 4, "sep_token_id": 2}, road="untold"),
        "big_bird, sparse": Line(
            "BigBirdModel",
            {
                "attention_type": "block_sparse",
                "block_size": 4,
                "num_random_blocks": 1,
                "max_position_embeddings": 64,
            },
            inputs=functools.partial(text, length=64),
            road="untold",
        ),
    },
    partial=("nystromformer", "longformer", "big_bird, sparse"),
    says={"nystromformer": "multiplies several matrices", "longformer": "looks like attention"},
)

NO_ATTENTION = family_of(
    "no attention",
    {
        "mamba": Line("MambaModel", {"state_size": 4}, plain_text, road="none"),
        "rwkv": Line("RwkvModel", {"attention_hidden_size": 32}, plain_text, road="none"),
        "fnet": Line("FNetModel", {}, plain_text, road="none"),
        "resnet": Line("ResNetModel", RESNET, pictures, road="none", sizes=False),
    },
    empty=("mamba", "rwkv", "fnet", "resnet"),
)
