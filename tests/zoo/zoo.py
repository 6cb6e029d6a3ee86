"""All families of the zoo."""

from tests.zoo import (
    hf_decoders,
    hf_encoders,
    hf_generation,
    hf_joined,
    hf_seq2seq,
    hf_series,
    hf_vision,
    libraries,
    torch_nn,
    written_kernels,
    written_layout,
    written_models,
    written_more,
    written_others,
    written_softmax,
)
from tests.zoo.case import Case, Family

FAMILIES: list[Family] = [
    torch_nn.TORCH_NN,
    written_softmax.SOFTMAX,
    written_layout.LAYOUT,
    written_models.MODELS,
    written_more.MORE,
    written_kernels.KERNELS,
    written_others.OTHERS,
    hf_encoders.TEXT_ENCODERS,
    hf_decoders.DECODERS,
    hf_decoders.HYBRIDS,
    hf_seq2seq.ENCODER_DECODERS,
    hf_seq2seq.AUDIO,
    hf_vision.VISION,
    hf_vision.VIDEO_MODELS,
    hf_joined.MULTIMODAL,
    hf_series.SERIES,
    hf_generation.GENERATION,
    libraries.LIBRARIES,
    hf_encoders.NO_ATTENTION,
    hf_series.FORECAST_WITHOUT,
]

CASES: list[Case] = [case for family in FAMILIES for case in family.cases]
