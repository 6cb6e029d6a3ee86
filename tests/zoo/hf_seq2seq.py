"""Hugging Face encoder-decoders and audio models."""

import numpy as np
import torch
from tests.zoo.hugging_face import BATCH, Line, family_of, sequences
from tests.zoo.windows import unfolded

SIDES = ("encoder_attentions", "decoder_attentions", "cross_attentions")
BART = {
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 2,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 37,
    "decoder_ffn_dim": 37,
    "decoder_start_token_id": 2,
    "forced_eos_token_id": None,
}
T5 = {"d_model": 32, "d_kv": 8, "d_ff": 37, "num_layers": 2, "num_heads": 4, "decoder_start_token_id": 0}
CONVOLUTIONS = {
    "conv_dim": (16, 16),
    "conv_kernel": (8, 4),
    "conv_stride": (4, 4),
    "num_conv_pos_embeddings": 4,
    "num_conv_pos_embedding_groups": 2,
    "mask_time_prob": 0.0,
    "layerdrop": 0.0,
    "num_feat_extract_layers": 2,
}


def even():
    """Source tokens without padding, two blocks of them."""
    return sequences(padded=False, length=8)


def streams(truth):
    """Lay ProphetNet's streams out over its decoder's tokens: the main words, then each prediction stream.

    A prediction stream looks at the main words and at itself.
    """
    if not truth.path.startswith("decoder") or "cross" in truth.path:
        return truth
    weights = truth.weights if truth.weights.ndim == 5 else truth.weights[:, None]
    batch, count, heads, length, _ = weights.shape
    is_main = weights.shape[-1] == length
    dense = np.zeros((batch, heads, 3 * length, 3 * length))
    for number in range(count):
        own = slice(0, length) if is_main else slice((1 + number) * length, (2 + number) * length)
        dense[:, :, own, :length] = weights[:, number, ..., :length]
        if not is_main:
            dense[:, :, own, own] = weights[:, number, ..., length:]
    return truth.but(weights=dense, kind="self")


def noise():
    """Two sounds."""
    return {"input_values": torch.randn(BATCH, 160, generator=torch.Generator().manual_seed(3))}


def spectra(length=20, name="input_features", bands=8, turned=False):
    """Two spectrograms, with the decoder's first words."""
    shape = (BATCH, bands, length) if turned else (BATCH, length, bands)
    target = torch.randint(3, 50, (BATCH, 4), generator=torch.Generator().manual_seed(2))
    return {name: torch.randn(shape, generator=torch.Generator().manual_seed(3)), "decoder_input_ids": target}


def one_spectrum():
    """Two spectrograms for an encoder."""
    return {"input_values": torch.randn(BATCH, 24, 16, generator=torch.Generator().manual_seed(3))}


ENCODER_DECODERS = family_of(
    "encoder-decoders",
    {
        "t5": Line("T5Model", T5, sequences, road="told", fields=SIDES),
        "mt5": Line("MT5Model", T5, sequences, road="told", fields=SIDES),
        "umt5": Line("UMT5Model", T5, sequences, road="told", fields=SIDES),
        "longt5": Line(
            "LongT5Model", T5 | {"local_radius": 3}, even, road="softmax", keep=".", reshape=unfolded
        ),
        "bart": Line("BartModel", BART, sequences),
        "marian": Line("MarianModel", BART, sequences),
        "pegasus": Line("PegasusModel", BART, sequences),
        "mbart": Line("MBartModel", BART, sequences),
        "m2m100": Line("M2M100Model", BART, sequences),
        "plbart": Line("PLBartModel", BART, sequences),
        "blenderbot": Line("BlenderbotModel", BART, sequences),
        "prophetnet": Line(
            "ProphetNetModel",
            {
                "vocab_size": 50,
                "hidden_size": 32,
                "num_encoder_layers": 2,
                "num_decoder_layers": 2,
                "num_encoder_attention_heads": 4,
                "num_decoder_attention_heads": 4,
                "encoder_ffn_dim": 37,
                "decoder_ffn_dim": 37,
                "ngram": 2,
                "num_buckets": 8,
                "relative_max_distance": 16,
            },
            sequences,
            road="softmax",
            keep="attn",
            sizes=False,
            reshape=streams,
        ),
        "led (bands)": Line(
            "LEDModel",
            BART
            | {"attention_window": 4, "max_encoder_position_embeddings": 16}
            | {"max_decoder_position_embeddings": 16},
            sequences,
            road="untold",
        ),
        "whisper": Line(
            "WhisperModel",
            BART | {"num_mel_bins": 8, "max_source_positions": 10, "max_target_positions": 16},
            lambda: spectra(turned=True),
        ),
        "speech-to-text": Line(
            "Speech2TextModel",
            BART
            | {"input_feat_per_channel": 8, "conv_channels": 16, "max_source_positions": 40}
            | {"max_target_positions": 16, "num_conv_layers": 2},
            spectra,
            road="told",
            fields=SIDES,
        ),
    },
    partial=("led (bands)",),
    says={"led (bands)": "looks like attention"},
)

AUDIO = family_of(
    "audio",
    {
        "wav2vec2": Line("Wav2Vec2Model", CONVOLUTIONS, noise),
        "hubert": Line("HubertModel", CONVOLUTIONS, noise),
        "unispeech": Line("UniSpeechModel", CONVOLUTIONS, noise),
        "wavlm": Line("WavLMModel", CONVOLUTIONS, noise, road="softmax", keep=".", reshape=unfolded),
        "wav2vec2-conformer": Line(
            "Wav2Vec2ConformerModel",
            CONVOLUTIONS | {"conv_depthwise_kernel_size": 3},
            noise,
            road="told",
        ),
        "audio spectrogram transformer": Line(
            "ASTModel",
            {"patch_size": 8, "max_length": 24, "num_mel_bins": 16, "frequency_stride": 8, "time_stride": 8},
            one_spectrum,
        ),
    },
)
