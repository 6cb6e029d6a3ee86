"""What analyses found, beside the weights of a page: roles of heads, knock-outs, topology over steps."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from headscape.errors import OptionError, expect_index, expect_option
from headscape.trace.trace import Trace
from headscape.view.frames import Frame

KINDS = ("head", "edge", "token")
WAYS = ("zero", "renormalise", "mean")
# Knock-outs of one picture: every head of a large model, and some edges. A page says how many it lacks.
MOST_KNOCK_OUTS = 1000
# Answers of one knock-out: as many as a panel shows without scrolling.
MOST_ANSWERS = 12
# Characters of a role, of an answer's name and of a sentence; what is longer ends in an ellipsis.
LONGEST_NAME, LONGEST_SAID = 120, 400
# What a step's number is called in the page's line over all steps.
H0_MARK = "H0 sum, mean of heads"

_PLACES = ("call", "head", "query", "key")
_NUMBERS = ("before", "after", "logit_before", "logit_after")


def add_findings(
    frames: Sequence[Frame],
    *,
    roles: Any = None,
    knock_outs: Any = None,
    topology: bool = False,
) -> tuple[list[Frame], str]:
    """Return frames that carry what was found in them, and what was left out, in words.

    Parameters
    ----------
    frames : sequence of Frame
        Pictures of a page.
    roles : bool, mapping or Roles, optional
        True: find them. A mapping gives (name, evidence) for (call, head); an object gives them by
        ``of(call, head)`` with attributes ``name`` and ``evidence``. The page shows them at every picture.
    knock_outs : KnockOuts, or sequence of mapping, optional
        Results of :func:`headscape.knock_out`, or as in :func:`read_knock_out`. One belongs to the picture
        of its ``example``, of several steps to the last; ``"frame"`` names another, from 0.
    topology : bool
        Give each step the sum of its H0 bars, the mean over all heads, for the line over all steps.

    Raises
    ------
    OptionError
        Roles or a knock-out are not what they should be; the message names the place.
    """
    if not isinstance(topology, bool):
        raise OptionError(f"topology is {topology!r}; True or False is needed.")
    named = _role_entries(roles, [frame.trace for frame in frames if frame.group != "other"])
    placed, left_out = _placed(knock_outs, frames)
    marked = [_with_topology(frame) if topology else frame for frame in frames]
    for n, outs in enumerate(placed):
        found = {"roles": named, "knock_outs": outs}
        given = {name: value for name, value in found.items() if value}
        marked[n] = replace(marked[n], findings={**marked[n].findings, **given})
    return marked, left_out


def _role_entries(roles: Any, traces: Sequence[Trace]) -> list[list[Any]]:
    if roles is None or roles is False:
        return []
    if roles is True:
        from headscape.analysis.roles import find_roles

        roles = find_roles(list({id(trace): trace for trace in traces}.values()))
    if isinstance(roles, Mapping):
        return [_role_entry(place, role) for place, role in roles.items()]
    if not callable(getattr(roles, "of", None)):
        raise OptionError(
            f"roles is a {type(roles).__name__}; pass True, what find_roles() returns, or a mapping of "
            "(call, head) to (name, evidence)."
        )
    heads = [(n, head) for n, call in enumerate(traces[0].calls) for head in range(call.shape[1])]
    found = [(place, roles.of(*place)) for place in heads]
    return [
        _role_entry(place, (role.name, role.evidence))
        for place, role in found
        if role is not None and role.name
    ]


def _role_entry(place: Any, role: Any) -> list[Any]:
    match place, role:
        case (int(call), int(head)), (str(name), str(evidence)) if call >= 0 and head >= 0:
            return [call, head, _cut(name, LONGEST_NAME), _cut(evidence, LONGEST_SAID)]
    raise OptionError(
        f"roles has {place!r}: {role!r}; a mapping of (call, head) to (name, evidence) is needed, such as "
        '{(2, 3): ("previous token", "98 %")}.'
    )


def _placed(knock_outs: Any, frames: Sequence[Frame]) -> tuple[list[list[dict[str, Any]]], str]:
    """Give each frame its knock-outs, of too many those that change most."""
    placed: list[list[dict[str, Any]]] = [[] for _ in frames]
    given = () if knock_outs is None else _plain(knock_outs)
    if isinstance(given, str | Mapping) or not isinstance(given, Iterable):
        raise OptionError(
            f"knock_outs is a {type(given).__name__}; pass what headscape.knock_out() returns, or "
            "a list of dicts."
        )
    left_out = 0
    for n, value in enumerate(given):
        found = read_knock_out(value, f"knock_outs[{n}]")
        place = _frame_of(value, found, frames, n)
        if place is None:
            left_out += 1
        else:
            placed[place].append(found)
    said = [f"{left_out} knock-outs of examples that are not shown left out"] if left_out else []
    left_out = 0
    for outs in placed:
        left_out += max(0, len(outs) - MOST_KNOCK_OUTS)
        outs.sort(key=lambda one: -_change(one))  # stable: equal ones stay as given
        del outs[MOST_KNOCK_OUTS:]
    said += [f"{left_out} smaller knock-outs left out"] if left_out else []
    return placed, " · ".join(said)


def _plain(found: Any) -> Any:
    """Return results of a probe, which describe themselves, as plain dicts."""
    return found.findings() if callable(getattr(found, "findings", None)) else found


def _frame_of(value: Mapping[str, Any], found: dict[str, Any], frames: Sequence[Frame], n: int) -> int | None:
    """Return the place of the frame that a knock-out belongs to; None where its example is not shown."""
    if value.get("frame") is not None:
        return expect_index(f"knock_outs[{n}]", "frame", value["frame"], len(frames))
    own = [
        k for k, frame in enumerate(frames) if frame.group != "other" and frame.example == found["example"]
    ]
    if not own:
        return None
    return own[0] if frames[own[0]].group == "example" else own[-1]


def _change(found: Mapping[str, Any]) -> float:
    """Return by how much a knock-out changes what the model says."""
    if found["output_change"] is not None:
        return abs(float(found["output_change"]))
    moves = [abs(a["after"] - a["before"]) for a in found["answers"] if None not in (a["after"], a["before"])]
    return max(moves, default=-1.0)


def read_knock_out(value: Any, where: str = "the knock-out") -> dict[str, Any]:
    """Check one knock-out and return it as a page holds it.

    Parameters
    ----------
    value : mapping
        ``kind`` "head", "edge" or "token"; ``call``, ``head``, ``query`` and ``key`` as numbers or None, as
        its kind needs them (a token is its ``key``; ``head`` None: all heads); ``example``; ``by`` "zero",
        "renormalise" or "mean"; ``answers``, a list of ``{"name", "before", "after", "logit_before",
        "logit_after"}``; ``output_change``, a number or None; ``note``; or in place of answers an ``error``.
    where : str
        What a message calls it.

    Returns
    -------
    dict
        With plain values only: texts cut to length, numbers that are not finite as None, and the first
        :data:`MOST_ANSWERS` answers.

    Raises
    ------
    OptionError
        Something is missing, or is not what it should be.
    """
    if not isinstance(value, Mapping):
        raise OptionError(f"{where} is a {type(value).__name__}; a dict is needed, as knock_out() gives it.")
    expect_option(where, "kind", value.get("kind"), KINDS)
    expect_option(where, "by", value.get("by", "zero"), WAYS)
    found: dict[str, Any] = {"kind": value["kind"], "by": value.get("by", "zero")}
    for name in (*_PLACES, "side"):
        found[name] = _whole(value.get(name), name, where)
    found["example"] = _whole(value.get("example"), "example", where) or 0
    needed = {"head": ("call", "head"), "edge": ("call", "query", "key"), "token": ("key",)}[found["kind"]]
    missing = [name for name in needed if found[name] is None]
    if missing:
        raise OptionError(
            f"{where} is of kind {found['kind']!r} and has no {' and no '.join(missing)}; a whole number "
            "from 0 is needed."
        )
    answers = value.get("answers") or ()
    if isinstance(answers, str | Mapping) or not isinstance(answers, Iterable):
        raise OptionError(f"{where} has answers {answers!r:.80}; a list of dicts is needed.")
    found["answers"] = [
        _answer(answer, where) for answer, _ in zip(answers, range(MOST_ANSWERS), strict=False)
    ]
    found["output_change"] = _finite(value.get("output_change"))
    for name in ("note", "error"):
        if value.get(name):
            found[name] = _cut(str(value[name]), LONGEST_SAID)
    if not found["answers"] and found["output_change"] is None and "error" not in found:
        raise OptionError(f"{where} has no answers, no output_change and no error: there is nothing to show.")
    return found


def answer_knock_out(ask: Callable[[dict[str, Any]], Any], request: Mapping[str, Any]) -> dict[str, Any]:
    """Let a function answer a view's request; what goes wrong becomes a sentence in its place.

    Parameters
    ----------
    ask : callable
        Takes a dict: ``kind``, ``call``, ``head``, ``query``, ``key``, ``side``, ``example``, ``frame`` (the
        picture's place in the page), ``by``, and ``options``, the same as :func:`headscape.knock_out` takes
        it. Returns what that returns, or a dict as in :func:`read_knock_out`.
    request : mapping
        What a view sent.

    Returns
    -------
    dict
        As :func:`read_knock_out` returns it, or with an ``error`` in words.
    """
    asked = {name: request.get(name) for name in ("kind", *_PLACES, "side", "example", "frame", "by")}
    try:
        example = _whole(asked["example"], "example", "the view's request") or 0
        said = _plain(ask({**asked, "options": _options(asked)}))
        if isinstance(said, list):
            said = next((one for one in said if one["example"] == example), None)
        if isinstance(said, Mapping):
            said = {**asked, **said}
        return read_knock_out(said, "the answer of the knock_out function")
    except Exception as error:  # shown to the person who pressed the button, in the viewer
        said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        return {"error": _cut(said, LONGEST_SAID), "answers": [], "output_change": None}


def _options(asked: Mapping[str, Any]) -> dict[str, Any]:
    """Return a request as options of :func:`headscape.knock_out`."""
    call, head, query, key = (asked[name] for name in _PLACES)
    parts = {"head": (call, head), "edge": (call, head, query, key), "token": (asked["side"] or 0, key)}
    return {f"{asked['kind']}s": [parts[str(asked["kind"])]], "by": asked["by"]}


def _answer(answer: Any, where: str) -> dict[str, Any]:
    if not isinstance(answer, Mapping) or not isinstance(answer.get("name"), str):
        raise OptionError(f"{where} has an answer {answer!r:.80}; a dict with a name is needed.")
    return {"name": _cut(answer["name"], LONGEST_NAME)} | {
        name: _finite(answer.get(name)) for name in _NUMBERS
    }


def _whole(value: Any, name: str, where: str) -> int | None:
    if value is None:
        return None
    try:
        whole = int(value)
    except (TypeError, ValueError):
        whole = -1
    if isinstance(value, bool) or whole < 0 or whole != value:
        raise OptionError(f"{where} has {name} {value!r:.80}; a whole number from 0, or None, is needed.")
    return whole


def _finite(value: Any) -> float | None:
    """Return a number for JSON; None where it is none, or not finite."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _with_topology(frame: Frame) -> Frame:
    if frame.group != "step":  # the sum grows with the tokens, as those of a generation do
        return frame
    from headscape.analysis.topology.of_trace import head_topology

    sums = head_topology(frame.trace, frame.example, expect_sums=False).table("h0_sum")
    return replace(frame, marks={H0_MARK: float(np.nanmean(sums)), **frame.marks})
