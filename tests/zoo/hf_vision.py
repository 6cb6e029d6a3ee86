"""Hugging Face vision, video and multimodal models."""

import torch
from tests.zoo.hugging_face import BATCH, SIZES, Line, family_of, pictures, text
from tests.zoo.windows import dense_over_groups, rows_alone
from tests.zoo.written_blocks import shifted_windows

VIT = {"image_size": 16, "patch_size": 8}
SWIN = {
    "image_size": 32,
    "patch_size": 4,
    "embed_dim": 16,
    "depths": [2, 1],
    "num_heads": [2, 4],
    "window_size": 4,
}
STAGES = {
    "num_encoder_blocks": 2,
    "depths": [1, 1],
    "sr_ratios": [2, 1],
    "hidden_sizes": [16, 32],
    "patch_sizes": [4, 2],
    "strides": [4, 2],
    "num_attention_heads": [2, 4],
    "mlp_ratios": [2, 2],
}
TEXT = {name: SIZES[name] for name in SIZES}
VIDEO = {"image_size": 16, "num_frames": 2}


def video(frames=2, size=16):
    """Two short films."""
    return {
        "pixel_values": torch.randn(BATCH, frames, 3, size, size, generator=torch.Generator().manual_seed(3))
    }


def with_words(size=16):
    """Pictures and words."""
    return {**text(), **pictures(size)}


def windows_of(truth):
    """Lay Swin's windows out over the tokens of its stage."""
    stage, block = (int(part) for part in truth.path.split(".") if part.isdigit())
    side = 8 >> stage
    window = min(4, side)
    shift = 2 if block % 2 and side > window else 0
    return dense_over_groups(truth, shifted_windows(side, window, shift), BATCH)


VISION = family_of(
    "vision",
    {
        "vit": Line("ViTModel", VIT, pictures),
        "deit": Line("DeiTModel", VIT, pictures),
        "beit": Line("BeitModel", VIT | {"use_relative_position_bias": True}, pictures),
        "data2vec-vision": Line("Data2VecVisionModel", VIT, pictures),
        "dinov2": Line("Dinov2Model", VIT, pictures),
        "dinov2 with registers": Line("Dinov2WithRegistersModel", VIT, pictures),
        "ijepa": Line("IJepaModel", VIT, pictures),
        "vit-mae": Line("ViTMAEModel", VIT, pictures),
        "vit-msn": Line("ViTMSNModel", VIT, pictures),
        "yolos": Line(
            "YolosModel", {"image_size": [16, 16], "patch_size": 8, "num_detection_tokens": 3}, pictures
        ),
        "swin": Line("SwinModel", SWIN, lambda: pictures(32), sizes=False, reshape=windows_of),
        "swinv2": Line(
            "Swinv2Model",
            SWIN,
            lambda: pictures(32),
            sizes=False,
            reshape=windows_of,
            road="softmax",
            keep=".",
        ),
        "pvt": Line(
            "PvtModel",
            STAGES | {"image_size": 16, "sequence_reduction_ratios": [2, 1]},
            pictures,
            road="told",
            sizes=False,
        ),
        "segformer": Line("SegformerModel", STAGES, pictures, sizes=False),
        "cvt": Line(
            "CvtModel",
            {"embed_dim": [8, 16, 32], "num_heads": [1, 2, 4], "depth": [1, 2, 3]}
            | {"patch_sizes": [7, 3, 3], "patch_stride": [2, 2, 2], "patch_padding": [2, 1, 1]}
            | {"cls_token": [False, False, True]}
            | {name: [value] * 3 for name, value in (("mlp_ratio", 2.0), ("attention_drop_rate", 0.0))}
            | {name: [value] * 3 for name, value in (("drop_rate", 0.0), ("drop_path_rate", 0.0))}
            | {name: [value] * 3 for name, value in (("qkv_bias", True), ("kernel_qkv", 3))}
            | {"qkv_projection_method": ["dw_bn"] * 3, "padding_kv": [1] * 3, "stride_kv": [2] * 3}
            | {"padding_q": [1] * 3, "stride_q": [1] * 3},
            pictures,
            road="softmax",
            keep=".",
            sizes=False,
        ),
    },
)

VIDEO_MODELS = family_of(
    "video",
    {
        "vivit": Line("VivitModel", VIDEO | {"tubelet_size": [1, 8, 8]}, video),
        "timesformer": Line(
            "TimesformerModel",
            VIDEO | {"patch_size": 8},
            video,
            road="softmax",
            keep=".",
            reshape=rows_alone,
        ),
        "videomae": Line("VideoMAEModel", VIDEO | {"patch_size": 8, "tubelet_size": 1}, video),
    },
)

PICTURE = VIT | {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 37}
