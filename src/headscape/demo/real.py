"""Real models on the user's own texts: load, run once under capture, write the page and the figure."""

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from headscape.demo.llama import continue_text
from headscape.demo.minilm import join_texts, load_minilm, sentence_vectors
from headscape.demo.pieces import BEGIN, END
from headscape.demo.results import Written, prepare_folder, write_results
from headscape.demo.stories import Stories, find_stories, load_stories
from headscape.errors import OptionError, expect_option
from headscape.intercept.run import capture
from headscape.trace.outputs import Outputs, share_text
from headscape.trace.trace import Trace
from headscape.view.frames import LONGEST_LABEL, Frame

MODELS = ("minilm", "stories")
MINILM_TITLE = "all-MiniLM-L6-v2 reads"
STORIES_TITLE = "A story-telling Llama reads and goes on"
MINILM_TEXTS = (
    "The cat sat on the mat because it was embarrassingly tired.",
    "A worn-out kitten was resting on the rug.",
    "Shares of the airline fell after it cancelled its flights.",
)
STORIES_TEXTS = ("The big dog was", "One day, a cat met a bird. The cat said to the")

# Pages hold every weight of every text; more texts than this make a file that opens slowly.
MOST_TEXTS = 8
# A vocabulary has hundreds of next tokens; what lies behind the best few has next to no probability.
BEST_TOKENS = 10
# Tokens the story-teller adds unless told otherwise: a few words.
ADDED_TOKENS = 8


@dataclass(frozen=True)
class RealShown:
    """One text of the page, how many tokens it has, and what the model made of it."""

    text: str
    tokens: int
    answer: str


@dataclass(frozen=True)
class RealResult:
    """What a real model did with the texts, and where the files lie."""

    title: str
    note: str
    answer_title: str
    shown: list[RealShown]
    lines: list[str]
    written: Written
    seconds: float


@dataclass(frozen=True)
class Telling:
    """How the story-teller goes on: see :func:`headscape.demo.llama.continue_text`."""

    added: int = ADDED_TOKENS
    top_p: float | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.top_p is not None and not 0 < self.top_p <= 1:
            raise OptionError(f"top-p is {self.top_p:g}; it takes a share above 0, up to 1.")

    @classmethod
    def given(cls, added: int | None, top_p: float | None, seed: int) -> "Telling | None":
        """Return what a user chose; None if nothing but a seed, which alone decides nothing."""
        if added is None and top_p is None:
            return None
        return cls(ADDED_TOKENS if added is None else added, top_p, seed)


def run_real(
    name: str,
    texts: Sequence[str],
    out: Path,
    *,
    weights: Path | None = None,
    download: bool = False,
    telling: Telling | None = None,
    environment: Mapping[str, str] = os.environ,
) -> RealResult:
    """Show what a real model does with texts.

    Parameters
    ----------
    name : str
        One of :data:`MODELS`.
    texts : sequence of str
        Up to :data:`MOST_TEXTS`; none gives texts that suit the model.
    out : Path
        Folder for the results; made if it is not there.
    weights : Path, optional
        For ``"stories"``: the folder or file of the weights. Default: what the environment's
        ``HEADSCAPE_STORIES`` names.
    download : bool
        For ``"stories"``: fetch the weights (once).
    telling : Telling, optional
        For ``"stories"``: how many tokens the model adds, and how it chooses them.
    environment : mapping
        Where ``HEADSCAPE_STORIES`` is looked up.

    Raises
    ------
    OptionError
        There is no such model, or a text is empty or too long, or there are too many.
    MissingExtraError
        What the model needs is not installed.
    FileError, FormatError
        ``out`` cannot be written, or the weights cannot be read.
    """
    start = time.perf_counter()
    expect_option("headscape demo", "model", name, MODELS)
    if len(texts) > MOST_TEXTS:
        raise OptionError(f"{len(texts)} texts were given; a page takes up to {MOST_TEXTS}.")
    for number, text in enumerate(texts, 1):
        if not text.strip():
            raise OptionError(f"text {number} is empty. Pass a text with words, or none at all.")
    if name == "minilm":
        if weights is not None or download:
            raise OptionError("minilm takes no weights: they come with its package.")
        if telling is not None:
            raise OptionError("minilm adds no tokens: tokens and top-p go with the model stories.")
        found = _run_minilm(texts or MINILM_TEXTS, out)
    else:
        stories = load_stories(find_stories(weights, download=download, environment=environment))
        found = _run_stories(stories, texts or STORIES_TEXTS, out, telling or Telling())
    return replace(found, seconds=time.perf_counter() - start)


def _run_minilm(texts: Sequence[str], out: Path) -> RealResult:
    mini = load_minilm()
    read = [mini.labels(text) for text in texts]
    ids, mask = join_texts([row[0] for row in read])
    prepare_folder(out)
    with capture(mini.model, tokens=[row[1] for row in read], vectors=True) as run, torch.no_grad():
        states = mini.model(input_ids=ids, attention_mask=mask).last_hidden_state
    near = sentence_vectors(states, mask)
    near = near @ near.T
    pairs = [(i, j) for i in range(len(texts)) for j in range(i)]
    closeness = ", ".join(f"{j + 1} and {i + 1} {near[i, j]:.2f}" for i, j in pairs)
    note = (
        f"cosine similarity of texts {closeness}" if pairs else "one text; pass two to see how close they are"
    )
    lost = [f"{row[2]} tokens of text {n} were cut off" for n, row in enumerate(read, 1) if row[2]]
    shown = [
        RealShown(text, len(row[0]), _nearest(near, n))
        for n, (text, row) in enumerate(zip(texts, read, strict=True))
    ]
    written = write_results(
        [Frame(run.trace, n, label=_short(text), number=n + 1) for n, text in enumerate(texts)],
        out,
        title=f"{MINILM_TITLE} {len(texts)} texts" if len(texts) > 1 else f"{MINILM_TITLE} a text",
        note="; ".join([note, *lost]),
        figure_title=texts[0],
    )
    about = f"6 layers of 12 heads, {_millions(mini.model)} parameters, captured in one pass"
    return RealResult("all-MiniLM-L6-v2 (BERT)", about, "closest to", shown, [*lost], written, 0.0)


def _nearest(near: "np.ndarray[tuple[int, ...], np.dtype[np.float32]]", row: int) -> str:
    others = [(float(near[row, other]), other) for other in range(len(near)) if other != row]
    if not others:
        return "-"
    closeness, other = max(others)
    return f"text {other + 1} (cosine {closeness:.2f})"


def _run_stories(stories: Stories, texts: Sequence[str], out: Path, telling: Telling) -> RealResult:
    pieces, model = stories.pieces, stories.model
    prompts = [pieces.encode(text) for text in texts]
    for number, prompt in enumerate(prompts, 1):
        if len(prompt) > model.shape.longest:
            raise OptionError(
                f"text {number} has {len(prompt)} tokens; the model reads up to {model.shape.longest}."
            )
    prepare_folder(out)
    rows = [
        continue_text(
            model,
            prompt,
            telling.added,
            top_p=telling.top_p,
            seed=telling.seed,
            stop=frozenset((BEGIN, END)),
        )
        for prompt in prompts
    ]
    names = [pieces.label(token) for token in range(model.shape.vocabulary)]
    ids, mask = join_texts(rows)
    lengths = None if len(rows) == 1 else mask.sum(1)  # one text has no padding and needs no mask
    with (
        capture(model, tokens=[[names[i] for i in row] for row in rows], classes=names) as run,
        torch.no_grad(),
    ):
        scores = model(ids, lengths=lengths)
    trace = keep_best(run.trace, scores, mask.sum(1))
    chosen = "the likeliest"
    if telling.top_p is not None:
        chosen = f"drawn within top-p {telling.top_p:g}, seed {telling.seed}"
    counts = [len(row) - len(prompt) for row, prompt in zip(rows, prompts, strict=True)]
    added = str(counts[0]) if len(set(counts)) == 1 else " / ".join(map(str, counts))
    written = write_results(
        [Frame(trace, n, label=_short(pieces.decode(row)), number=n + 1) for n, row in enumerate(rows)],
        out,
        title=STORIES_TITLE,
        note=f"the model added the last {added} tokens, {chosen}; {names[BEGIN]} opens every text",
        figure_title=pieces.decode(rows[0]),
    )
    shown = [RealShown(pieces.decode(row), len(row), _next(trace, n)) for n, row in enumerate(rows)]
    about = (
        f"{model.shape.layers} layers of {model.shape.heads} heads over {model.shape.key_heads} key heads, "
        f"{_millions(model)} parameters; it added {added} tokens, {chosen}"
    )
    return RealResult("A story-telling Llama", about, "next token", shown, [], written, 0.0)


def _next(trace: Trace, example: int) -> str:
    outputs = trace.outputs
    if outputs is None:
        return "-"
    shares = outputs.probabilities[example]
    return ", ".join(
        f"{name} {share_text(float(share))}"
        for name, share in zip(outputs.names(example)[:3], shares[:3], strict=True)
    )


def keep_best(trace: Trace, scores: Tensor, lengths: Tensor, count: int = BEST_TOKENS) -> Trace:
    """Return the trace with the ``count`` best next tokens, where the capture kept fewer.

    Only for a model whose scores are its last token's normed state times a matrix: all of a score is then
    what that token adds.

    Parameters
    ----------
    trace : Trace
        With an answer.
    scores : (batch, token, vocabulary) tensor
        What the model returned.
    lengths : (batch,) tensor
        Real tokens of each text.
    count : int
        How many.
    """
    if trace.outputs is None or trace.outputs.method != "exact":
        return trace
    rows = torch.arange(len(scores))
    last = scores[rows, lengths - 1].float()
    best = last.argsort(dim=-1, descending=True, stable=True)[:, :count]
    values = last.gather(1, best).numpy()
    contributions = np.zeros((*best.shape, scores.shape[1]), np.float32)
    contributions[np.arange(len(values)), :, (lengths - 1).numpy()] = values
    outputs = Outputs(
        kind="next tokens",
        side=trace.outputs.side,
        class_ids=best.numpy().astype(np.int32),
        scores=values,
        probabilities=torch.softmax(last, -1).gather(1, best).numpy(),
        contributions=contributions,
        base=np.zeros_like(values),
        method="exact",
        class_names=trace.outputs.class_names,
    )
    return replace(trace, outputs=outputs)


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= LONGEST_LABEL else text[: LONGEST_LABEL - 1] + "…"


def _millions(model: nn.Module) -> str:
    count = sum(parameter.numel() for parameter in model.parameters())
    return f"{count:,}"
