"""``headscape.explain``: run every measure on one model and some inputs, and put the findings on a page."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from headscape.analysis.roles import find_roles
from headscape.analysis.routes import Routes, find_routes
from headscape.analysis.topology.of_trace import HeadTopology, head_topology
from headscape.errors import HeadscapeError, LabelError, OptionError, expect_index, expect_option
from headscape.explanation.explanation import Explanation, Measured
from headscape.probe.answers import Target, expect_module
from headscape.probe.direct import direct
from headscape.probe.edits import By
from headscape.probe.evidence import judging_trace
from headscape.probe.judge import judge
from headscape.probe.knock_out import knock_out
from headscape.probe.own_vector import OWN_VECTOR, own_vector
from headscape.trace.trace import Trace

# Tokens of an example up to which each is removed in turn: beyond it that alone takes minutes.
MOST_TOKENS_REMOVED = 128
# Tokens up to which cycles that no triangles fill (H1) are worked out: it takes seconds for each head.
MOST_TOKENS_H1 = 64

Found = TypeVar("Found")
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class _Settings:
    by: By = "zero"
    example: int = 0
    name: str = ""
    target_words: str = ""
    most_tokens: int = 8192
    progress: Progress | None = None


def explain(
    model: Any,
    inputs: Any,
    *,
    tokens: Any = None,
    texts: Sequence[str] | None = None,
    classes: Sequence[str] | None = None,
    target: Target = None,
    **options: Any,
) -> Explanation:
    """Say what each attention head of a model is for, by what it looks at and by what happens without it.

    Parameters
    ----------
    model : torch.nn.Module
        Any model that can be captured, in ``eval()`` mode.
    inputs : tensor, tuple or dict
        What the model is called with. More examples make firmer roles and judgements; a few dozen rows of
        attention (a paragraph, several sentences) are the least.
    tokens : labels, optional
        As for :func:`headscape.capture`. Without them kinds of tokens (separators, copies) are not known.
    texts : sequence of str, optional
        What to call the examples.
    classes : sequence of str, optional
        Names of the model's classes.
    target : int, callable or None
        The score that is explained: a class (or token) number, a function of the model's output that returns
        one number an example, or None. None: the best answer's score; of a model without scores the
        similarity of its answer's vector to itself (:func:`headscape.probe.own_vector.own_vector`).
    by : "zero" or "mean"
        How heads are removed, as for :func:`headscape.knock_out`.
    example : int, default 0
        The example whose flow and topology are drawn; roles, knock-outs and judgement count all examples.
    name : str
        What the page calls the model; default its class.
    target_words : str
        What the page calls a score that is a function.
    most_tokens : int
        As for :func:`headscape.knock_out`.
    progress : callable, optional
        Called with steps done, steps planned, and what is done next.

    Returns
    -------
    Explanation
        ``.figure()`` draws it, ``.text()`` and ``.caption()`` say it, ``.to_html()`` writes the page. What
        could not be worked out, and why, is in ``.missing``.

    Raises
    ------
    OptionError
        The model is in training mode, or there is no such option, class or example.
    NoAttentionError
        The model has no attention to explain.
    CaptureError
        The model's pass could not be followed closely enough to be changed.

    Notes
    -----
    Every number is that of its own function: :func:`headscape.analysis.roles.find_roles`,
    :func:`headscape.probe.direct.direct`, :func:`headscape.knock_out`, :func:`headscape.judge`,
    :func:`headscape.analysis.routes.find_routes` and
    :func:`headscape.analysis.topology.of_trace.head_topology`; their sources are named there. Cost: some
    passes, and one copy of the inputs through the model for each head and each token.

    Examples
    --------
    >>> import torch, headscape
    >>> layer = torch.nn.TransformerEncoderLayer(8, 2, batch_first=True)
    >>> encoder = torch.nn.TransformerEncoder(layer, 2).eval()
    >>> headscape.explain(encoder, torch.rand(2, 12, 8))
    Explanation(TransformerEncoder: 4 heads in 2 layers, 2 examples)
    """
    for name in options:
        expect_option("explain()", "option", name, _Settings.__dataclass_fields__)
    settings = _Settings(**options)
    expect_option("explain()", "by", settings.by, ("zero", "mean"))
    model = expect_module("explain()", model)
    if model.training:
        raise OptionError("explain() was given a model in training mode. Call model.eval() first.")
    return _Work(model, inputs, classes, target, settings).run(tokens, texts)


class _Work:
    """The measures one after the other; what one of them lacks is noted and the rest goes on."""

    STEPS = 6

    def __init__(self, model: Any, inputs: Any, classes: Any, target: Target, settings: _Settings) -> None:
        self.model, self.inputs, self.classes = model, inputs, classes
        self.given, self.settings = target, settings
        own = own_vector(model, inputs) if target is None else None
        self.target: Target = target if own is None else own
        self.is_own = own is not None
        self.missing: list[str] = []
        self._done = 0

    def run(self, tokens: Any, texts: Sequence[str] | None) -> Explanation:
        self._next("a pass with everything captured")
        trace = judging_trace(
            self.model, self.inputs, target=self.target, tokens=tokens, classes=self.classes
        )
        trace._seen()
        self.missing += trace.warnings
        example = expect_index("the inputs", "example", self.settings.example, trace.batch)
        if texts is not None and len(texts) != trace.batch:
            raise LabelError(f"texts has {len(texts)} texts; {trace.batch} are needed, one an example.")
        self._next("roles of heads")
        roles = find_roles(trace)
        self.missing += roles.missing
        self._next("each head removed in turn")
        heads = self._remove(heads="each", by=self.settings.by)
        self._next("measures held against the knock-outs")
        judged = judge(
            trace, self.model, self.inputs, by=self.settings.by, target=self.target, curves=False,
            knocked=heads, most_tokens=self.settings.most_tokens,
        )  # fmt: skip
        self.missing += [f"measure {name}: {why}" for name, why in judged.missing.items()]
        self._next("what reaches the answer")
        account = self._try("direct contributions", self._direct)
        if account is not None and account.method != "exact":
            self.missing.append(
                "direct contributions are a first-order account (gradient x activation): the way from the "
                "states to this score has bends, so they need not add up."
            )
        routes: Routes | None = self._try("routes", lambda: find_routes(trace, example))
        removed = self._tokens(trace)
        self._about_target(trace)
        self._next("topology")
        topology = self._topology(trace, example)
        found = Measured(trace, roles, heads, judged, account, routes, removed, topology)
        return Explanation(
            found, example, self._words(), self.is_own, self.settings.name or trace.model,
            tuple(texts) if texts is not None else (), tuple(dict.fromkeys(self.missing)),
            (self.model, self.inputs, self.target, self.classes),
        )  # fmt: skip

    def _next(self, step: str) -> None:
        if self.settings.progress is not None:
            self.settings.progress(self._done, self.STEPS, step)
        self._done += 1

    def _try(self, what: str, work: Callable[[], Found]) -> Found | None:
        try:
            return work()
        except HeadscapeError as error:
            self.missing.append(f"{what}: {error}")
            return None

    def _remove(self, **what: Any) -> Any:
        options = {"classes": self.classes, "most_tokens": self.settings.most_tokens}
        return knock_out(self.model, self.inputs, target=self.target, **what, **options)

    def _direct(self) -> Any:
        return direct(self.model, self.inputs, target=self.target, classes=self.classes)

    def _tokens(self, trace: Trace) -> Any:
        longest = max(side.length for side in trace.sides)
        if longest > MOST_TOKENS_REMOVED:
            self.missing.append(
                f"tokens were not removed one by one: {longest} are more than {MOST_TOKENS_REMOVED}."
            )
            return None
        if sum(side.length for side in trace.sides) == 1:
            self.missing.append("the only token was not removed: nothing would be left to attend to.")
            return None
        return self._try("tokens removed", lambda: self._remove(tokens="each", by="renormalise"))

    def _topology(self, trace: Trace, example: int) -> HeadTopology | None:
        longest = max(side.length for side in trace.sides)
        if longest <= MOST_TOKENS_H1:
            try:
                return head_topology(trace, example, h1=True, expect_sums=False)
            except ImportError as error:  # ripser is an extra
                self.missing.append(f"H1 of the topology: {error}")
            except HeadscapeError:
                pass  # said by the next line, which asks for less
        else:
            self.missing.append(
                f"H1 of the topology: {longest} tokens are more than {MOST_TOKENS_H1}, and it would take "
                "minutes; head_topology(trace, h1=True) works it out."
            )
        return self._try("topology", lambda: head_topology(trace, example, expect_sums=False))

    def _about_target(self, trace: Trace) -> None:
        if trace.outputs is not None and self.given is not None:
            self.missing.append(
                "routes, rollout and weights follow the model's best answer, not the target that was named: "
                "they know no other."
            )

    def _words(self) -> str:
        if self.is_own:
            return OWN_VECTOR
        if callable(self.given):
            return self.settings.target_words or "the score given as target="
        if self.given is None:
            return "the score (logit) of the model's best answer"
        name = f"{int(self.given)}" if self.classes is None else repr(str(self.classes[int(self.given)]))
        return f"the score (logit) of class {name}"
