"""What a trace says in words: what was not captured, and why."""

import re

from headscape.intercept.gradients import gradient_notes
from headscape.intercept.recorder import Seen
from headscape.intercept.watcher import Watcher
from headscape.trace.call import AttentionCall

# Largest difference between what was recorded and what the model computed that rounding explains,
# relative to the largest value: float32, and half precision.
_ROUNDING = {"float32": 1e-4, "half": 3e-2}
_SUMS = 1e-2  # how far above 1 the sum of a row may be in bfloat16
_NAMED_MODULES = 8  # how many modules a message names
_LOOKS_LIKE_ATTENTION = re.compile(r"attention|attn", re.IGNORECASE)
_NEAR = {
    "straight": (
        "Queries met keys and then values without a softmax or another bend between them, as in linear "
        "attention and retention; there is no matrix of weights in that."
    ),
    "features": (
        "Some attention joins features, not tokens (cross-covariance attention): sums over the tokens became "
        "weights on the features. It has no edges between tokens and is not recorded."
    ),
    "learned values": (
        "Some weights met learned values (a memory) that no token stands behind; what they carry is not "
        "recorded, and rows of the recorded part may add up to less than 1."
    ),
}


def _no_attention(watcher: Watcher, model: str) -> str:
    """Say that no attention was seen, and where was looked."""
    leaves = [
        f"{name} ({type(module).__name__})" if name else type(module).__name__
        for name, module in watcher.names.all()
        if not any(True for _ in module.children())
    ]
    more = f" and {len(leaves) - _NAMED_MODULES} more" if len(leaves) > _NAMED_MODULES else ""
    near = "".join(f"{_NEAR[what]} " for what in watcher.grids.said if what in _NEAR)
    return (
        f"no attention was seen in {model}. {near}"
        f"Looked at {', '.join(leaves[:_NAMED_MODULES])}{more}. Convolutions, Fourier mixing, recurrences "
        "and linear attention have no attention weights; if this model has, capture the module that holds "
        "them and call that module."
    )


def notes_of(watcher: Watcher, seen: list[Seen], calls: tuple[AttentionCall, ...], model: str) -> list[str]:
    """Say what was not captured, and what of what was captured is to be known."""
    notes = list(watcher.problems)
    if not calls:
        notes.insert(0, _no_attention(watcher, model))
    else:
        notes += [text for what, text in _NEAR.items() if what in watcher.grids.said]
    for call, one in zip(calls, seen, strict=True):
        notes += _notes_of_call(call, one, has_values=watcher.options.values)
        if watcher.options.vectors and call.shape[0]:
            notes += _notes_of_vectors(call)
    notes += gradient_notes(seen, asked=watcher.options.gradients)
    return notes + _silent_modules(watcher, {call.path for call in calls})


def _notes_of_call(call: AttentionCall, seen: Seen, *, has_values: bool) -> list[str]:
    where, origin, notes = call.site or "the model itself", seen.origin, []
    if call.nan_rows:
        notes.append(f"{call.nan_rows} rows of {where} hold NaN; they are left out of graphs and pictures.")
    if has_values and not call.has_values and call.shape[0]:
        notes.append(
            f"{where}: its output projection was not found, so contributions of its edges are not known."
        )
    if origin.has_own_rows:
        notes.append(f"{where}: each head works on queries of its own; they are listed as they came.")
    if origin.pieces:
        notes.append(
            f"{where} multiplies several matrices before its values (landmarks, low rank). What is recorded "
            "is a part of it: weights on what stands between, not on tokens."
        )
    elif origin.of_pieces > 1 and call.site == call.path:
        notes.append(
            f"{where} computed its attention in {origin.of_pieces} pieces that could not be put together; "
            "each is a call of its own, and rows need not add up to 1."
        )
    elif origin.bend.startswith("exp") and seen.largest_sum > 1 + _SUMS:
        notes.append(
            f"{where}: rows of its weights add up to as much as {seen.largest_sum:.3g}. They met the values "
            "before they were divided by their sum, and are recorded as they met them."
        )
    limit = _ROUNDING["half" if seen.half else "float32"] * max(1.0, seen.size)
    if call.self_check > limit:
        notes.append(
            f"{where}: recorded weights and values give an output that differs from the model's by "
            f"{call.self_check:.2g} (expected below {limit:.2g}). Do not trust this call."
        )
    return notes


def _notes_of_vectors(call: AttentionCall) -> list[str]:
    where = call.site or "the model itself"
    if not call.has_vectors:
        return [
            f"{where}: its scores are not one product of a query and a key each (pieces put together, heads "
            "mixed, learned or added scores), so no query and key vectors were kept."
        ]
    if call.scale is None:
        return [f"{where}: what products of queries and keys are multiplied with is not one number."]
    return []


def _silent_modules(watcher: Watcher, paths: set[str]) -> list[str]:
    """Name the modules that look like attention and in whose neighbourhood none was seen."""
    notes = []
    for name, module in watcher.names.all():
        if not name or "" in paths or not _LOOKS_LIKE_ATTENTION.search(type(module).__name__):
            continue
        above = name.rpartition(".")[0]
        near = any(
            p == name or p.startswith(f"{name}.") or name.startswith(f"{p}.")
            or (above and (p == above or p.startswith(f"{above}.")))
            for p in paths
        )  # fmt: skip
        if not near and next(module.parameters(), None) is not None:
            notes.append(f"{name} ({type(module).__name__}) looks like attention, but none was seen in it.")
    return notes
