"""All families of the zoo."""

from tests.zoo import (
    hf_decoders,
    hf_encoders,
    hf_seq2seq,
    hf_vision,
    torch_nn,
    written_kernels,
    written_layout,
    written_models,
    written_others,
    written_softmax,
)
from tests.zoo.case import Case, Family

FAMILIES: list[Family] = [
    torch_nn.TORCH_NN,
    written_softmax.SOFTMAX,
    written_layout.LAYOUT,
    written_models.MODELS,
    written_kernels.KERNELS,
    written_others.OTHERS,
    hf_encoders.TEXT_ENCODERS,
    hf_decoders.DECODERS,
    hf_decoders.HYBRIDS,
    hf_seq2seq.ENCODER_DECODERS,
    hf_seq2seq.AUDIO,
    hf_vision.VISION,
    hf_vision.VIDEO_MODELS,
    hf_vision.MULTIMODAL,
    hf_encoders.NO_ATTENTION,
]

CASES: list[Case] = [case for family in FAMILIES for case in family.cases]
