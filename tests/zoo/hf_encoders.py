"""Hugging Face text encoders."""

from tests.zoo.hugging_face import Line, family_of

XLNET = {"vocab_size": 50, "d_model": 32, "n_layer": 2, "n_head": 4, "d_inner": 37}

TEXT_ENCODERS = family_of(
    "text encoders",
    {
        "bert": Line("BertModel"),
        "roberta": Line("RobertaModel"),
        "electra": Line("ElectraModel", {"embedding_size": 16}),
        "camembert": Line("CamembertModel"),
        "xlm-roberta": Line("XLMRobertaModel"),
        "ernie": Line("ErnieModel"),
        "mpnet": Line("MPNetModel", road="told"),
        "roformer": Line("RoFormerModel", road="told"),
        "megatron-bert": Line("MegatronBertModel", road="told"),
        "layoutlm": Line("LayoutLMModel"),
        "splinter": Line("SplinterModel", road="told"),
        "albert (one layer shared)": Line("AlbertModel", {"embedding_size": 16}),
        "convbert": Line("ConvBertModel", {"embedding_size": 16}, road="told"),
        "distilbert": Line("DistilBertModel", {"dim": 32, "n_layers": 2, "n_heads": 4, "hidden_dim": 37}),
        "xlm": Line("XLMModel", {"emb_dim": 32, "n_layers": 2, "n_heads": 4}, road="told"),
        "flaubert": Line("FlaubertModel", {"emb_dim": 32, "n_layers": 2, "n_heads": 4}, road="told"),
        "xlnet": Line("XLNetModel", XLNET, road="told", sizes=False),
        "esm": Line("EsmModel", {"token_dropout": False}),
        "modernbert": Line("ModernBertModel", {"global_attn_every_n_layers": 2, "local_attention": 4}),
        "deberta": Line(
            "DebertaModel", {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]}, road="told"
        ),
        "deberta-v2": Line(
            "DebertaV2Model", {"relative_attention": True, "pos_att_type": ["c2p", "p2c"]}, road="told"
        ),
    },
)
