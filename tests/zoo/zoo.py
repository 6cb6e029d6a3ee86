"""All families of the zoo."""

from tests.zoo import hf_encoders, torch_nn, written_layout, written_models, written_softmax
from tests.zoo.case import Case, Family

FAMILIES: list[Family] = [torch_nn.TORCH_NN, written_softmax.SOFTMAX, written_layout.LAYOUT, written_models.MODELS, hf_encoders.TEXT_ENCODERS]

CASES: list[Case] = [case for family in FAMILIES for case in family.cases]
