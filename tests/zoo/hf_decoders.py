"""Hugging Face decoders, hybrids, and generation with a cache."""

from tests.zoo.hugging_face import Line, family_of

GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 32}
GROUPED = {"num_key_value_heads": 2}
EXPERTS = {"num_local_experts": 2, "num_experts_per_tok": 1}
LATENT = {
    "q_lora_rank": 8,
    "kv_lora_rank": 8,
    "qk_rope_head_dim": 4,
    "qk_nope_head_dim": 4,
    "v_head_dim": 8,
    "first_k_dense_replace": 1,
    "n_routed_experts": 2,
    "num_experts_per_tok": 1,
    "n_group": 1,
    "topk_group": 1,
    "moe_intermediate_size": 16,
    "n_shared_experts": 1,
}

DECODERS = family_of(
    "decoders",
    {
        "gpt2": Line("GPT2Model", GPT2),
        "gpt2, upcast and reordered": Line(
            "GPT2Model", GPT2 | {"reorder_and_upcast_attn": True}, road="told", implementation="eager"
        ),
        "gpt-neo": Line(
            "GPTNeoModel",
            {
                "num_layers": 2,
                "num_heads": 4,
                "attention_types": [[["global", "local"], 1]],
                "window_size": 3,
            },
            road="told",
        ),
        "gpt-neox": Line("GPTNeoXModel"),
        "gptj": Line("GPTJModel", GPT2 | {"rotary_dim": 4}, road="told"),
        "codegen": Line("CodeGenModel", GPT2 | {"rotary_dim": 4, "n_ctx": 32}, road="told"),
        "gpt-bigcode (MQA)": Line("GPTBigCodeModel", GPT2),
        "opt": Line("OPTModel", {"ffn_dim": 37, "word_embed_proj_dim": 32}),
        "ctrl": Line("CTRLModel", GPT2 | {"dff": 37}, road="told"),
        "llama": Line("LlamaModel", GROUPED),
        "mistral (window)": Line("MistralModel", GROUPED | {"sliding_window": 3}),
        "mixtral": Line("MixtralModel", GROUPED | EXPERTS),
        "qwen2": Line("Qwen2Model", GROUPED),
        "qwen3": Line("Qwen3Model", GROUPED | {"head_dim": 8}),
        "qwen3-moe": Line(
            "Qwen3MoeModel",
            GROUPED
            | {"head_dim": 8, "num_experts": 2, "num_experts_per_tok": 1, "moe_intermediate_size": 16},
        ),
        "olmo2": Line("Olmo2Model", GROUPED),
        "gemma": Line("GemmaModel", GROUPED | {"head_dim": 8}),
        "gemma2 (softcap)": Line("Gemma2Model", GROUPED | {"head_dim": 8, "sliding_window": 3}, road="told"),
        "gemma3": Line("Gemma3TextModel", GROUPED | {"head_dim": 8, "sliding_window": 3}),
        "gpt-oss (sinks)": Line(
            "GptOssModel", GROUPED | EXPERTS | {"head_dim": 8, "sliding_window": 4}, road="told"
        ),
        "granite": Line("GraniteModel", GROUPED),
        "stablelm": Line("StableLmModel", GROUPED),
        "starcoder2": Line("Starcoder2Model", GROUPED),
        "cohere": Line("CohereModel", GROUPED),
        "glm": Line("GlmModel", GROUPED | {"head_dim": 8}),
        "smollm3": Line("SmolLM3Model", GROUPED),
        "phi": Line("PhiModel", GROUPED),
        "phi3": Line("Phi3Model", GROUPED),
        "nemotron": Line("NemotronModel", GROUPED),
        "deepseek-v3 (latent heads)": Line("DeepseekV3Model", LATENT | {"num_key_value_heads": 4}),
        "bloom (ALiBi)": Line("BloomModel", {"n_layer": 2, "n_head": 4}, road="told"),
        "falcon": Line("FalconModel", {"multi_query": True}),
        "falcon (ALiBi)": Line("FalconModel", {"alibi": True, "multi_query": False}),
        "mpt": Line("MptModel", {"d_model": 32, "n_layers": 2, "n_heads": 4, "max_seq_len": 32}, road="told"),
    },
)

HYBRIDS = family_of(
    "hybrids",
    {
        "jamba": Line(
            "JambaModel",
            GROUPED
            | {"attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_period": 2, "num_experts": 2}
            | {"num_experts_per_tok": 1, "mamba_d_state": 4, "mamba_dt_rank": 2},
        ),
        "qwen3-next": Line(
            "Qwen3NextModel",
            GROUPED
            | {
                "head_dim": 8,
                "layer_types": ["linear_attention", "full_attention"],
                "linear_num_key_heads": 2,
            }
            | {"linear_num_value_heads": 2, "linear_key_head_dim": 8, "linear_value_head_dim": 8}
            | {"num_experts": 2, "num_experts_per_tok": 1, "moe_intermediate_size": 16}
            | {"shared_expert_intermediate_size": 16},
        ),
        "recurrent-gemma": Line(
            "RecurrentGemmaModel",
            {"num_key_value_heads": 1, "block_types": ["recurrent", "attention"], "lru_width": 32}
            | {"attention_window_size": 16},
        ),
    },
)
