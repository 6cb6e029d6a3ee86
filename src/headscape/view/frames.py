"""The pictures of a page: which there are, what each is called, and the bytes that hold it."""

import gzip
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any

import numpy as np

from headscape.errors import LabelError, OptionError, expect_option
from headscape.trace.outputs import share_text
from headscape.trace.texts import JOIN
from headscape.trace.trace import Trace
from headscape.view.scene import scene_block

# Examples of a batch that a page holds unless the caller names them: enough to compare in a small file.
DEFAULT_EXAMPLES = 8
# Characters of a text that a frame without an answer is named after.
LONGEST_LABEL = 48
# "other" frames stand beside the one that names them in `against`, and have no button of their own.
GROUPS = ("example", "step", "generation", "other")


@dataclass(frozen=True)
class Frame:
    """One picture of a page: one example of one trace.

    Attributes
    ----------
    trace : Trace
        Where the numbers come from.
    example : int
        Which example of its batch.
    label : str, optional
        What the page calls it. Default: the model's answer and its probability, or the first words.
    group : str
        ``"example"`` for pictures side by side, ``"step"`` for one model at several times, ``"generation"``
        for passes that each read some tokens more, ``"other"`` for one that others are compared with.
    number : int, optional
        Place in the group. Default: counted from 1.
    truth : str, optional
        Name of the right answer.
    against : int, optional
        Place in the page, from 0, of the frame that this one is compared with when the reader asks.
    marks : mapping of str to float
        Numbers of this step that the page draws as a line over all steps, such as the loss. The page adds
        ``entropy`` (mean over rows and heads, bits) and, with an answer, ``probability`` of the first.
    layout : "spring", optional
        Also work out where NetworkX's spring layout puts the tokens, for the page to offer.
    findings : mapping
        Roles and knock-outs, as :func:`headscape.view.findings.add_findings` writes them.
    """

    trace: Trace
    example: int = 0
    label: str | None = None
    group: str = "example"
    number: int | None = None
    truth: str | None = None
    against: int | None = None
    marks: Mapping[str, float] = field(default_factory=dict)
    layout: str | None = None
    findings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class EncodedFrame:
    """A frame as the page holds it: what the page's list says of it, and a gzip of its scene block."""

    label: str
    group: str
    number: int
    data: bytes
    example: int = 0
    against: int | None = None
    tokens: tuple[int, ...] = ()  # of each side
    marks: Mapping[str, float] = field(default_factory=dict)

    def entry(self, array: str) -> dict[str, Any]:
        """Return what the page's list of frames says; ``array`` names the bytes."""
        said: dict[str, Any] = {
            "label": self.label, "group": self.group, "number": self.number, "array": array,
            "example": self.example, "tokens": list(self.tokens),
        }  # fmt: skip
        if self.against is not None:
            said["against"] = self.against
        return said | ({"marks": dict(self.marks)} if self.marks else {})


def encode_frame(frame: Frame, number: int) -> EncodedFrame:
    """Encode one frame: the costly part of a page, and the part that a stepping page keeps."""
    expect_option("Frame", "group", frame.group, GROUPS)
    expect_option("Frame", "layout", frame.layout or "spring", ("spring",))
    label = frame.label
    if label is None and frame.group == "step":
        answer = f": {label_of(frame)}" if frame.trace.outputs is not None else ""
        label = f"pass {number}{answer}"
    elif label is None:
        label = label_of(frame)
    block = scene_block(
        frame.trace, frame.example, truth=frame.truth, layout=frame.layout, findings=frame.findings
    )
    # mtime=0: the same trace gives the same file
    data = gzip.compress(block, compresslevel=6, mtime=0)
    return EncodedFrame(
        label, frame.group, number if frame.number is None else frame.number, data,
        frame.example, frame.against,
        tuple(side.length for side in frame.trace.sides), _marks(frame),
    )  # fmt: skip


def _marks(frame: Frame) -> dict[str, float]:
    """Return the numbers of a step that can be drawn as a line; what is not finite is left out."""
    if frame.group not in ("step", "generation"):
        return {}
    trace, example = frame.trace, frame.example
    rows = [call.stats.entropy[example][call.visible(example) > 0] for call in trace.calls]
    entropy = np.concatenate([row.ravel() for row in rows]) if rows else np.zeros(0)
    entropy = entropy[np.isfinite(entropy)]
    found = {"entropy": float(entropy.mean())} if entropy.size else {}
    if trace.outputs is not None and trace.outputs.probabilities.shape[1]:
        found["probability"] = float(trace.outputs.probabilities[example, 0])
    found |= {str(name): float(value) for name, value in frame.marks.items()}
    return {name: value for name, value in found.items() if np.isfinite(value)}


def label_of(frame: Frame) -> str:
    """Return what a frame is called that was given no label: the model's answer, or the first words."""
    outputs = frame.trace.outputs
    if outputs is not None and outputs.scores.shape[1]:
        name, share = outputs.names(frame.example)[0], float(outputs.probabilities[frame.example, 0])
        answer = f"{outputs.texts([name])[0]} {share_text(share)}"
        if frame.truth is None:
            return answer
        truth = outputs.texts([frame.truth])[0]
        return f"right: {answer}" if name == frame.truth else f"wrong: {answer}, truly {truth}"
    words = " ".join(frame.trace.sides[0].texts(frame.example)).replace(f" {JOIN}", "")
    return words if len(words) <= LONGEST_LABEL else words[: LONGEST_LABEL - 1] + "…"


def frames_of(
    source: Trace | Sequence[Trace],
    *,
    examples: Sequence[int] | None = None,
    labels: Sequence[str] | None = None,
    against: Trace | None = None,
) -> tuple[list[Frame], str]:
    """Return the frames that show one trace, or several as steps, and what was left out, in words."""
    if isinstance(source, Trace):
        frames, left_out = _of_examples(source, examples, labels)
    else:
        if examples is not None or against is not None:
            raise OptionError("examples and against go with one trace; several traces are shown as steps.")
        frames, left_out = _of_steps(list(source), labels), ""
    if against is None:
        return frames, left_out
    if against.batch != getattr(source, "batch", 0):
        raise OptionError(
            f"against has {against.batch} examples and the trace {getattr(source, 'batch', 0)}: compare "
            "passes of the same batch."
        )
    others = [Frame(against, frame.example, group="other") for frame in frames]
    return [replace(f, against=len(frames) + n) for n, f in enumerate(frames)] + others, left_out


def _of_examples(
    trace: Trace, examples: Sequence[int] | None, labels: Sequence[str] | None
) -> tuple[list[Frame], str]:
    left_out = ""
    if examples is None:
        examples = range(min(trace.batch, DEFAULT_EXAMPLES))
        if trace.batch > DEFAULT_EXAMPLES:
            left_out = f"the first {DEFAULT_EXAMPLES} of {trace.batch} examples"
    names = _expect_labels(labels, len(examples), "examples")
    return [Frame(trace, example, name) for example, name in zip(examples, names, strict=True)], left_out


def _of_steps(traces: list[Trace], labels: Sequence[str] | None) -> list[Frame]:
    names = _expect_labels(labels, len(traces), "traces")
    group = "generation" if is_generation(traces) else "step"
    if group == "generation" and labels is None:
        names = [_newest(trace) for trace in traces]
    return [
        Frame(trace, 0, name, group, n if trace.step is None else trace.step)
        for n, (trace, name) in enumerate(zip(traces, names, strict=True), 1)
    ]


def _expect_labels(labels: Sequence[str] | None, count: int, what: str) -> Sequence[str | None]:
    if isinstance(labels, str) or (labels is not None and len(labels) != count):
        raise LabelError(f"labels has {len(labels)} entries for {count} {what}. Pass one label each.")
    return labels or [None] * count


def is_generation(traces: Sequence[Trace]) -> bool:
    """Tell whether each trace reads some tokens more than the one before, as ``generate()`` does."""
    lengths = [trace.sides[-1].length if trace.sides else 0 for trace in traces]
    return len(traces) > 1 and all(a < b for a, b in pairwise(lengths))


def _newest(trace: Trace) -> str:
    """Return the last token that a pass read, and what it says comes next."""
    side = len(trace.sides) - 1
    text = trace.tokens(0, side)[-1]
    if trace.outputs is None or not trace.outputs.scores.shape[1]:
        return text
    return f"{text} → {label_of(Frame(trace))}"
