"""A small Llama that was trained to tell stories, read from llama2.c's files, wherever the user has them."""

import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from headscape.demo.fetch import PublicFile, fetch_file
from headscape.demo.llama import Llama, LlamaShape
from headscape.demo.pieces import Pieces, load_pieces
from headscape.errors import FileError, FormatError, OptionError

VARIABLE = "HEADSCAPE_STORIES"
WEIGHTS_NAME = "stories260K.bin"
PIECES_NAME = "tok512.bin"

# A model that is larger would take minutes on a laptop, and its page could not be read.
LARGEST_BYTES = 512 * 1024 * 1024
MOST_LAYERS = 128
LONGEST_CONTEXT = 32_768
LARGEST_VOCABULARY = 200_000
SOURCE = "the public project karpathy/tinyllamas (folder stories260K), written by llama2.c (MIT)"
_TRUNK = "https://huggingface.co/karpathy/tinyllamas/resolve/main/stories260K/"
# A copy of the two files under a fixed commit.
_COPY = "https://raw.githubusercontent.com/DaveBben/esp32-llm/934dab4d242d259abd88678488ea3b62d4fca601/data/"
FILES = (
    PublicFile(
        name=WEIGHTS_NAME,
        title="The weights of the story-telling model",
        sha256="b0a507e7ad0f626624f17112325e66691f9076d622e1d3274d103d00299f2696",
        size=1_056_540,
        addresses=(_TRUNK + WEIGHTS_NAME, _COPY + WEIGHTS_NAME),
    ),
    PublicFile(
        name=PIECES_NAME,
        title="The tokenizer of the story-telling model",
        sha256="037cb335abb25d1fa9e8ecae30ed2a3a8ace9302862ebcdc05d51a6bbb10c312",
        size=6_227,
        addresses=(_TRUNK + PIECES_NAME, _COPY + PIECES_NAME),
    ),
)
_BY_HAND = (
    f"Get {WEIGHTS_NAME} and {PIECES_NAME} from {SOURCE}, put both into one folder and run: "
    "headscape demo --model stories --weights FOLDER"
)
_HEADER = struct.Struct("<7i")


@dataclass(frozen=True)
class Stories:
    """A model and what its tokens stand for."""

    model: Llama
    pieces: Pieces


def find_stories(
    weights: str | os.PathLike[str] | None, *, download: bool, environment: Mapping[str, str]
) -> Path:
    """Return where the model's files lie: what was passed, what was fetched, or what the environment names.

    Raises
    ------
    OptionError
        Nothing says where they are; the message says where to get them.
    FileError
        They could not be fetched.
    """
    if weights is not None:
        return Path(weights)
    if download:
        otherwise = f"Check the network, or do it by hand. {_BY_HAND}"
        weights, _ = (fetch_file(file, otherwise=otherwise) for file in FILES)
        return weights
    if environment.get(VARIABLE):
        return Path(environment[VARIABLE])
    raise OptionError(
        f"The story-telling model's weights are not part of headscape. {_BY_HAND} (or name the folder in the "
        f"environment variable {VARIABLE}). With --download the two files (1 MB) are fetched once."
    )


def load_stories(place: str | os.PathLike[str]) -> Stories:
    """Load the model and its tokenizer.

    Parameters
    ----------
    place : path
        The folder with :data:`WEIGHTS_NAME` and :data:`PIECES_NAME`, or the weights' file, with the tokenizer
        beside it.

    Raises
    ------
    FileError
        A file is not there or cannot be read.
    FormatError
        A file is not what it should be.
    """
    weights = Path(place)
    if weights.is_dir():
        weights = weights / WEIGHTS_NAME
    model = load_checkpoint(weights)
    return Stories(model, load_pieces(weights.with_name(PIECES_NAME), model.shape.vocabulary))


def load_checkpoint(path: Path) -> Llama:
    """Read a llama2.c checkpoint: seven int32, then float32 tensors, kind by kind.

    The numbers of the header are held against the size of the file before anything is made of them.

    Raises
    ------
    FileError
        The file cannot be read.
    FormatError
        It is no such checkpoint, holds numbers that are not finite, or is larger than
        :data:`LARGEST_BYTES`.
    """
    try:
        with path.open("rb") as file:
            head = file.read(_HEADER.size)
            size = os.fstat(file.fileno()).st_size
            if len(head) < _HEADER.size:
                raise FormatError(f"{path} has {len(head)} bytes; a checkpoint begins with {_HEADER.size}.")
            shape, tied = _read_header(path, head)
            _expect_size(path, size, shape, tied=tied)
            numbers = np.frombuffer(file.read(size - _HEADER.size), "<f4")
    except OSError as error:
        if isinstance(error, FileError):
            raise
        raise FileError(f"the weights cannot be read from {path}: {error.strerror or error}.") from None
    if not np.isfinite(numbers).all():
        raise FormatError(f"{path} holds numbers that are not finite. It is damaged: get it again.")
    model = Llama(shape, tied=tied)
    _fill(model, numbers, tied=tied)
    return model.eval().requires_grad_(False)


def _read_header(path: Path, head: bytes) -> tuple[LlamaShape, bool]:
    width, hidden, layers, heads, key_heads, vocabulary, longest = _HEADER.unpack(head)
    tied = vocabulary > 0  # a negative count says that the last step has weights of its own
    shape = LlamaShape(width, hidden, layers, heads, key_heads, abs(vocabulary), longest)
    limits = {
        "width": (width, LARGEST_BYTES // 4),
        "hidden": (hidden, LARGEST_BYTES // 4),
        "layers": (layers, MOST_LAYERS),
        "heads": (heads, max(width, 0)),
        "key heads": (key_heads, max(heads, 0)),
        "vocabulary": (abs(vocabulary), LARGEST_VOCABULARY),
        "context": (longest, LONGEST_CONTEXT),
    }
    for name, (value, most) in limits.items():
        if not 1 <= value <= most:
            raise FormatError(
                f"{path} is no llama2.c checkpoint: its header gives {name} = {value}, not one "
                f"from 1 to {most}. Only the first format of llama2.c is read (float32, no version number)."
            )
    if width % (2 * heads) or heads % key_heads:
        raise FormatError(
            f"{path} is no llama2.c checkpoint: {width} numbers a token cannot be shared by {heads} heads "
            f"over {key_heads} key heads."
        )
    return shape, tied


def _sizes(shape: LlamaShape) -> list[tuple[str, tuple[int, ...]]]:
    """Return the tensors in the order of the file: name in the layer (or the model) and size."""
    narrow = shape.key_heads * shape.head_width
    width, hidden = shape.width, shape.hidden
    by_layer: list[tuple[str, tuple[int, ...]]] = [
        ("attention_norm", (width,)),
        ("attention.queries", (width, width)),
        ("attention.keys", (narrow, width)),
        ("attention.values", (narrow, width)),
        ("attention.out", (width, width)),
        ("feed_forward_norm", (width,)),
        ("feed_forward.gate", (hidden, width)),
        ("feed_forward.down", (width, hidden)),
        ("feed_forward.up", (hidden, width)),
    ]
    stacked = [(name, (shape.layers, *size)) for name, size in by_layer]
    return [("embedding", (shape.vocabulary, width)), *stacked, ("norm", (width,))]


def _expect_size(path: Path, size: int, shape: LlamaShape, *, tied: bool) -> None:
    count = sum(int(np.prod(found, dtype=object)) for _, found in _sizes(shape))
    count += shape.longest * shape.head_width  # tables of angles, which are worked out anew
    count += 0 if tied else shape.vocabulary * shape.width
    wanted = _HEADER.size + 4 * count
    if size != wanted:
        raise FormatError(
            f"{path} has {size:,} bytes, but a checkpoint with its header ({shape}) has {wanted:,}. "
            "It was cut off, or is another kind of file: get it again."
        )
    if size > LARGEST_BYTES:
        raise FormatError(
            f"{path} has {size:,} bytes; the demo takes models of up to {LARGEST_BYTES:,}. "
            "Load it with its own library and use headscape.capture()."
        )


def _fill(model: Llama, numbers: npt.NDArray[np.float32], *, tied: bool) -> None:
    parameters = dict(model.named_parameters())
    at = 0
    for name, size in _sizes(model.shape):
        count = int(np.prod(size))
        found = torch.from_numpy(numbers[at : at + count].reshape(size).copy())
        at += count
        with torch.no_grad():
            if f"{name}.weight" in parameters:
                parameters[f"{name}.weight"].copy_(found)
            else:
                for layer in range(model.shape.layers):
                    parameters[f"layers.{layer}.{name}.weight"].copy_(found[layer])
    if not tied:
        size = (model.shape.vocabulary, model.shape.width)
        with torch.no_grad():
            model.scores.weight.copy_(torch.from_numpy(numbers[-size[0] * size[1] :].reshape(size).copy()))
