"""From findings to the plain numbers that the panels of the page show."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from headscape.analysis.answer import side_padding
from headscape.draw.sheet.parts import Column, Judged, Layers, Sheet
from headscape.errors import expect_index
from headscape.probe.direct import Direct
from headscape.trace.texts import piece_style, readable

if TYPE_CHECKING:
    from headscape.explanation.explanation import Explanation, Measured

Reals = npt.NDArray[np.float64]
# Token rows that can be read at the page's size; of more, the weightiest have a row each.
MOST_ROWS = 22
# Titles of the columns of token rows.
ROUTES, DIRECT, WITHOUT = "brings by routes", "adds directly", "nobody attends to it"


def fill_sheet(page: "Explanation", head: tuple[int, int] | None) -> Sheet:
    """Return what the page's panels show."""
    found, example = page.found, page.example
    if head is None:
        head = page.strongest(1)[0]
    else:
        call = found.trace.calls[expect_index("the model", "call", head[0], len(found.trace.calls))]
        head = call.layer, expect_index(f"layer {call.layer}", "head", head[1], call.shape[1])
    columns = token_columns(found, example)
    rows = choose_rows(real_tokens(found, example), columns)
    known = real_tokens(found, example)
    shown = [
        Column(name, unit, None if values is None else _gathered(values, known, rows, name != WITHOUT))
        for name, unit, values in columns
    ]
    labels = token_labels(found, example)
    return Sheet(
        title=f"What each attention head of {page.name} is for",
        said=f"Score: {short_target(page)}. {_drawn(page)}",
        unit=unit_of(page),
        changes=page.changes(),
        roles=found.roles,
        rows=tuple(rows),
        labels=tuple(labels[row] for row in rows),
        others=len(known) - len(rows),
        columns=tuple(shown),
        routes=found.routes,
        layers=None if found.direct is None else by_layer(found.direct, example),
        judged=tuple(Judged(name, found.judged.spearman[name]) for name in found.judged.measures),
        shape=() if found.topology is None else found.topology.layers,
        head=head,
        calls=tuple(str(call.layer) for call in found.trace.calls),
        sides=tuple((call.query_side, call.key_side) for call in found.trace.calls),
    )


def unit_of(page: "Explanation") -> str:
    """Return what changes of the score are counted in."""
    if page.is_own:
        return "similarity"
    return "logit" if page.target.startswith("the score (logit)") else "score"


def short_target(page: "Explanation") -> str:
    """Return the score in a few words."""
    if page.is_own:
        return "similarity of the answer's vector to itself, untouched"
    return page.target.removeprefix("the score given as ").replace("the score (logit)", "logit")


def _drawn(page: "Explanation") -> str:
    many = page.found.trace.batch
    word = "text" if page.texts else "example"
    if many == 1:
        return f"One {word}."
    text = f" “{page.texts[page.example]}”" if page.texts else ""
    return f"a, e: {many} {word}s; b, c, d, f: {word} {page.example + 1}{text}."


def real_tokens(found: "Measured", example: int) -> list[tuple[int, int]]:
    """Return the tokens of an example that are no padding, (side, token)."""
    trace = found.trace
    sides = sorted({call.key_side for call in trace.calls} | {call.query_side for call in trace.calls})
    return [
        (side, token)
        for side in sides
        for token in np.flatnonzero(~side_padding(trace, example, side)).tolist()
    ]


def token_labels(found: "Measured", example: int) -> dict[tuple[int, int], str]:
    """Return the label of each token, as a person writes it."""
    labels = {}
    for side in range(len(found.trace.sides)):
        pieces = found.trace.tokens(example, side)
        for token, text in enumerate(readable(pieces, piece_style(pieces))):
            labels[side, token] = text
    return labels


def token_columns(found: "Measured", example: int) -> list[tuple[str, str, Reals | None]]:
    """Return title, unit and numbers of each measure of tokens; numbers by :func:`real_tokens`."""
    known = real_tokens(found, example)
    routes = None
    if found.routes is not None:
        inputs = found.routes.inputs
        routes = np.array([inputs[side][token] for side, token in known], np.float64) * 100
    removed = None
    if found.tokens is not None:
        outs = found.tokens
        moved = outs.output_change if outs.change is None else outs.change
        by_part = {removal.parts[0]: n for n, removal in enumerate(outs.removals)}
        removed = np.array([moved[by_part[row], example] if row in by_part else 0.0 for row in known])
    account = None if found.direct is None else token_shares(found.direct, example)
    direct = None if account is None else np.array([account.get(row, 0.0) for row in known])
    return [(ROUTES, "%", routes), (DIRECT, "", direct), (WITHOUT, "", removed)]


def token_shares(account: Direct, example: int) -> dict[tuple[int, int], float]:
    """Return what the states at each token add to the score: values read there, inputs, feed-forward parts.

    They, :func:`by_layer`'s offsets and the account's remainder make the score.
    """
    trace, found = account.trace, {}
    for number, side in enumerate(trace.sides):
        found.update({(number, token): 0.0 for token in range(side.length)})
    for call, edges in zip(trace.calls, account.edges, strict=True):
        _add(found, call.key_side, edges[example].sum((0, 1), dtype=np.float64), 0)
        behind = account.feed_forward.get(call.layer)
        if behind is not None:
            own = trace.sides[call.query_side].length - behind.shape[1]
            _add(found, call.query_side, behind[example], own)
    for values, number in zip(account.inputs, _sides_of_inputs(account), strict=True):
        _add(found, number, values[example], trace.sides[number].length - values.shape[1])
    return found


def _add(into: dict[tuple[int, int], float], side: int, values: Sequence[float] | Reals, first: int) -> None:
    for token, value in enumerate(values):
        into[side, first + token] = into.get((side, first + token), 0.0) + float(value)


def _sides_of_inputs(account: Direct) -> list[int]:
    """Return the side of each stack's first states: the answer's, or else the one of that length."""
    trace = account.trace
    last = trace.calls[-1].query_side
    lengths = [side.length for side in trace.sides]
    found = []
    for one in account.inputs:
        fits = [n for n, length in enumerate(lengths) if length >= one.shape[1]]
        found.append(last if last in fits or not fits else fits[0])
    return found


def by_layer(account: Direct, example: int) -> Layers:
    """Return what attention and feed-forward parts of each layer add to the score of one example."""
    calls = len(account.edges)
    attention = [float(account.heads(n)[example].sum(dtype=np.float64)) for n in range(calls)]
    behind = [account.feed_forward.get(n) for n in range(calls)]
    forward = [np.nan if one is None else float(one[example].sum(dtype=np.float64)) for one in behind]
    return Layers(
        np.array(attention),
        np.array(forward),
        float(sum(one[example].sum(dtype=np.float64) for one in account.inputs)),
        float(sum(one[example] for one in account.offsets.values())),
        float(account.score[example]),
        account.method == "exact",
    )


def choose_rows(
    known: list[tuple[int, int]], columns: list[tuple[str, str, Reals | None]], most: int = MOST_ROWS
) -> list[tuple[int, int]]:
    """Choose the tokens that have a row of their own: the weightiest by any measure, in reading order."""
    if len(known) <= most:
        return known
    weight = np.zeros(len(known))
    for _, _, values in columns:
        if values is not None and np.abs(values).max(initial=0) > 0:
            weight = np.maximum(weight, np.abs(np.nan_to_num(values)) / np.abs(np.nan_to_num(values)).max())
    best = np.sort(np.argsort(-weight, kind="stable")[: most - 1])
    return [known[n] for n in best.tolist()]


def _gathered(values: Reals, known: list[tuple[int, int]], rows: list[tuple[int, int]], adds: bool) -> Reals:
    """Return the rows' numbers, and behind them, where there are others, the sum of those (if they add)."""
    at = dict(zip(known, values.tolist(), strict=True))
    own = [at.pop(row) for row in rows]
    rest = [sum(at.values()) if adds else np.nan] if at else []
    return np.array([*own, *rest], np.float64)
