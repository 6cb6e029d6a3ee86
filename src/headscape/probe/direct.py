"""What each head, edge, token and feed-forward part adds to a score directly, adding up to the score."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from headscape.errors import CaptureError, NoAttentionError, OptionError
from headscape.intercept.calls import Found
from headscape.intercept.gradients import Live
from headscape.intercept.ledger import Ledger, Straight
from headscape.intercept.recorder import Options, Seen
from headscape.intercept.rerun import Rerun, rerun
from headscape.intercept.rows import aside, weights_of
from headscape.probe.answers import Target, expect_class, expect_module, read
from headscape.probe.copies import Given
from headscape.trace.trace import Trace

Floats: TypeAlias = npt.NDArray[np.float32]
Method = Literal["exact", "gradient x activation"]
# By how much of the sizes of its parts a score may differ from their sum and still be called exact.
_EXACT = 1e-3


@dataclass(frozen=True, eq=False, repr=False)
class Direct:
    """Direct contributions to one score of each example, in units of that score (logits, say).

    Attributes
    ----------
    score : (example,) float32 array
        The score itself.
    edges : tuple of (example, head, query, key) float32 arrays
        One array a call: what each edge adds along the residual stream.
    inputs : tuple of (example, token) float32 arrays
        What the states add that a stack of blocks begins with; one array a stack that the answer follows.
    feed_forward : dict
        By call: what the feed-forward part behind it adds at each token, (example, token) float32.
    offsets : dict
        By name of the parameter: what learned offsets (biases) add, (example,) float32.
    remainder : (example,) float32 array
        The score less everything above.
    method : str
        ``"exact"``: they add up, the model's head is linear in its states once the normalisations' scales are
        held. ``"gradient x activation"``: it is not, and they are a first-order account.
    trace : Trace
        The pass.
    """

    score: Floats
    edges: tuple[Floats, ...]
    inputs: tuple[Floats, ...]
    feed_forward: dict[int, Floats]
    offsets: dict[str, Floats]
    remainder: Floats
    method: Method
    trace: Trace

    def __repr__(self) -> str:
        return f"Direct({len(self.edges)} calls, {len(self.score)} examples, {self.method})"

    def heads(self, layer: int) -> Floats:
        """Return what each head of a call adds, (example, head) float32."""
        found: Floats = self.edges[layer].sum((2, 3))
        return found

    def parts(self, example: int = 0) -> dict[str, float]:
        """Return all shares by name, heads as ``"layer 0 head 1"``; they and the remainder make the score."""
        found = {f"input {n}": float(one[example].sum()) for n, one in enumerate(self.inputs)}
        for layer in range(len(self.edges)):
            for head, share in enumerate(self.heads(layer)[example].tolist()):
                found[f"layer {layer} head {head}"] = share
            if layer in self.feed_forward:
                found[f"feed-forward behind layer {layer}"] = float(self.feed_forward[layer][example].sum())
        return found | {name: float(one[example]) for name, one in self.offsets.items()}


def direct(
    model: nn.Module, inputs: Any, *, target: Target = None, classes: Sequence[str] | None = None
) -> Direct:
    """Return what each part of a model adds to a score along the residual stream, without the parts between.

    The score is followed back from the answer through the model's own head, the sums and the normalisations
    to what each attention call and feed-forward part gave. The normalisations' scales are held at what they
    were, so for a head without further bends the contributions add up to the score exactly. What a part does
    to the score through later attention and feed-forward parts is not in it: that is theirs.

    Parameters
    ----------
    model : torch.nn.Module
        In ``eval()`` mode.
    inputs : tensor, tuple or dict
        What the model is called with.
    target : int, callable or None
        The score: None the best answer, a class (or token) number, or a function that takes the model's
        output and returns one number an example, (batch,).
    classes : sequence of str, optional
        Names of the model's classes.

    Returns
    -------
    Direct

    Raises
    ------
    OptionError
        The model is in training mode, or has no scores and no target was named.
    CaptureError
        The way from the states to the answer could not be run again.

    Notes
    -----
    Cost: one pass that keeps all its tensors, one run of head and sums again, one backward pass through these
    for each example; and batch x heads x queries x keys numbers a call.

    References
    ----------
    .. [1] N. Elhage et al., "A Mathematical Framework for Transformer Circuits", 2021,
       transformer-circuits.pub/2021/framework
    .. [2] J. Ferrando, G. I. Gállego, M. R. Costa-jussà, "Measuring the Mixing of Contextual Information in
       the Transformer", 2022, arXiv:2203.04212 (normalisations as linear maps)
    """
    model = expect_module("direct()", model)
    if model.training:
        raise OptionError("direct() was given a model in training mode: call model.eval() first.")
    given, ledger = Given.of(inputs), Ledger()
    parts = _Parts(ledger)
    names = None if classes is None else tuple(map(str, classes))
    options = Options(keep="all", strict=True, classes=names)
    held: list[Tensor] = []
    plain = given.call(model)

    def call() -> Any:
        output = plain()
        if callable(target):
            held.append(target(output))
        return output

    with torch.inference_mode(False):
        found = rerun(model, call, options, parts, ledger=ledger)
        if not found.trace.calls:
            raise NoAttentionError(found.trace.warnings[0])
        known = {id(p): name for name, p in model.named_parameters()}
        straight, score = _straight(found, ledger, known, target, held)
        return _account(found, parts, straight, score)


class _Parts:
    """An editor that changes nothing, and notes what each call gave."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self.found: list[tuple[Seen, Found]] = []

    def edit(self, number: int, seen: Seen, found: Found) -> Tensor | None:
        if not isinstance(found.live, Live):
            raise RuntimeError("dropout acts on the weights of this model: call model.eval() first")
        self._ledger.part("attention", number, found.live.output)
        self.found.append((seen, found))
        return None


def _straight(
    found: Rerun, ledger: Ledger, names: dict[int, str], target: Target, held: list[Tensor]
) -> tuple[Straight, Tensor]:
    """Return the straight road to the score, and the score on it, (example,)."""
    examples = found.trace.batch
    if callable(target):
        score, wanted = held[0], read(found, found, examples, lambda _: held[0]).target
    else:
        if found.answer is None or found.rows is None:
            raise OptionError(
                "this model's output is no table of scores, so a score has to be named: pass target=, a "
                "function that takes the output and returns one number an example."
            )
        score, wanted = found.answer, read(found, found, examples, target).target
    if not ledger.knows(score) or wanted is None:
        raise CaptureError("the score does not follow from the model's states by functions that were seen.")
    straight = ledger.replay(score, names)
    shown = straight.answer
    if callable(target):
        picked = shown.reshape(-1).expand(examples) if shown.numel() == 1 else shown.reshape(examples)
    else:
        rows = found.rows(shown)  # type: ignore[misc]
        number = None if target is None else expect_class(target, rows.shape[1])
        best = found.scores.argmax(-1) if number is None else torch.full((examples,), number)  # type: ignore[union-attr]
        picked = rows.gather(1, best.to(rows.device)[:, None])[:, 0]
    gap = float((picked.detach().float().cpu() - wanted).abs().max())
    if gap > _slack(shown) * (1 + float(wanted.abs().max())):
        raise CaptureError(
            f"the way from the states to the score, run again, gave a score that differs by {gap:.2g}: the "
            "model changes tensors in place there, or draws random numbers."
        )
    return straight, picked


def _slack(score: Tensor) -> float:
    """Share of a score that rounding may take: a few of the steps in which the model's numbers stand."""
    return max(_EXACT, 4 * torch.finfo(score.dtype).eps)


def _account(found: Rerun, parts: _Parts, straight: Straight, score: Tensor) -> Direct:
    """Read every part's share off its gradient, example by example."""
    trace, examples = found.trace, found.trace.batch
    leaves = [*straight.parts.values(), *straight.offsets.values()]
    sums = _Sums(trace, found.seen)
    offsets = {name: np.zeros(examples, np.float32) for name in straight.offsets}
    for example in range(examples):
        slopes: Sequence[Tensor | None] = [None] * len(leaves)
        if leaves and score.requires_grad:
            slopes = torch.autograd.grad(score[example], leaves, retain_graph=True, allow_unused=True)
        shares = dict(zip([*straight.parts, *straight.offsets], slopes, strict=True))
        for name, leaf in straight.offsets.items():
            slope = shares[name]
            if slope is not None:
                offsets[name][example] = float((slope * leaf).detach().sum())
        for part, leaf in straight.parts.items():
            slope = shares[part]
            if slope is None:
                continue
            if part[0] == "attention":
                sums.add_edges(part[1], *parts.found[part[1]], slope.detach())
            else:
                sums.add_tokens(part, (slope * leaf).detach().sum(-1), example, found.axes)
    total = sums.total() + sum(offsets.values(), np.zeros(examples, np.float32))
    wanted = score.detach().float().cpu().numpy()
    remainder = wanted - total
    size = np.maximum(np.abs(wanted), sums.size())
    method: Method = "exact" if (np.abs(remainder) <= _slack(score) * size).all() else "gradient x activation"
    return Direct(
        wanted, tuple(sums.edges), tuple(sums.inputs.values()), sums.feed_forward, offsets, remainder, method,
        trace,
    )  # fmt: skip


class _Sums:
    """Shares of a score as they are read off, laid out as the trace is."""

    def __init__(self, trace: Trace, seen: list[Seen]) -> None:
        self._trace = trace
        self._places = [one.place for one in seen]
        self.edges = [np.zeros(call.shape, np.float32) for call in trace.calls]
        self.inputs: dict[int, Floats] = {}
        self.feed_forward: dict[int, Floats] = {}

    def add_edges(self, number: int, seen: Seen, found: Found, slope: Tensor) -> None:
        """Share a call's output, by its slope, among its edges."""
        layer, first = self._places[number]
        call, standing = self._trace.calls[layer], seen.origin.standing
        live = found.live
        if not isinstance(live, Live):
            return
        with aside(slope.device):
            weights = weights_of(found.rows, slice(0, found.rows.shape[2]))[0].nan_to_num(0)
            laid, value = live.lay(slope).to(weights.dtype), found.value.to(weights.dtype)
            value = value.repeat_interleave(laid.shape[1] // value.shape[1], dim=1)
            shares = (weights * torch.matmul(laid, value.transpose(-1, -2))).float().cpu().numpy()
        ahead = self._trace.sides[call.query_side].length - call.shape[2]
        for example, windows in enumerate(standing.order):
            for window, group in enumerate(windows.tolist()):
                rows, keys = standing.queries[example, window] - ahead, standing.keys[example, window]
                here = np.ix_(np.arange(first, first + shares.shape[1]), rows[rows >= 0], keys[keys >= 0])
                self.edges[layer][example][here] += shares[group][:, rows >= 0][:, :, keys >= 0]

    def add_tokens(self, part: tuple[str, int], shares: Tensor, example: int, axes: str) -> None:
        """Note what the tokens of one example add through a part; ``shares`` has the axes of the states."""
        numbers = shares.float().cpu().numpy()
        numbers = numbers.T if axes == "qb" and numbers.ndim == 2 else numbers
        numbers = numbers.reshape(1, -1) if numbers.ndim < 2 or len(numbers) != self._trace.batch else numbers
        layer = self._places[part[1]][0]
        into = self.inputs if part[0] == "input" else self.feed_forward
        into.setdefault(layer, np.zeros_like(numbers))[example] += numbers[example]

    def total(self) -> Floats:
        """Return the sum of all shares, (example,)."""
        found: Floats = np.sum([edges.sum((1, 2, 3)) for edges in self.edges], axis=0)
        for one in [*self.inputs.values(), *self.feed_forward.values()]:
            found = found + one.sum(1)
        return found

    def size(self) -> float:
        """Return the size of the largest share: what rounding is relative to."""
        largest = [float(np.abs(edges).max(initial=0)) for edges in self.edges]
        return max([*largest, *(float(np.abs(one).max()) for one in self.inputs.values())])
