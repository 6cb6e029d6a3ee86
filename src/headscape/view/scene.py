"""One example of a trace as a scene block: what the browser's viewer draws."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from headscape.errors import expect_index
from headscape.trace.block import pack
from headscape.trace.call import AttentionCall, Floats, Ints
from headscape.trace.measure import sums_note
from headscape.trace.sides import Side
from headscape.trace.trace import Trace
from headscape.view.places import spring_places
from headscape.view.vectors import pack_vectors

FORMAT = 1
# Weights of one example that are stored as float32, exact to the last digit: 4 MB before compression.
# Beyond it each is a code of its square root: a byte for weights below STRONG, 16 bits for the few above.
# Most weights of a model lie far below, so that a page holds some four weights in three bytes.
EXACT_WEIGHTS = 1_000_000
STRONG = 1 / 16
# What a coded weight is off by at most, from STRONG up and below it.
CODE_ERROR = 1.6e-5
WEAK_ERROR = 5e-4
# Steps of the square root from 0 to 1 for weights below STRONG, so that STRONG itself is the 128th.
WEAK_STEPS = 512
# In place of a weak code: the next number of the array ``strong``.
IS_STRONG = 255
# Weights of one example in a page, a byte each where all of a row are there: 12 layers of 12 heads on 512
# tokens are 38 million, which a browser tab opens in some seconds. A longer dense capture is cut to the
# strongest keys of each row.
MOST_WEIGHTS = 40_000_000
# What a weight of a cut row counts, for its key is stored beside it: cutting pays below a third of the keys.
KEPT_COST = 3
# Characters of one token. A picture shows some twenty, the panel a few thousand.
LONGEST_TOKEN = 10_000

Arrays = dict[str, npt.NDArray[np.generic]]


@dataclass
class _Scene:
    """A scene in the making: arrays, and what had to be left out."""

    trace: Trace
    example: int
    arrays: Arrays = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)


def scene_block(
    trace: Trace,
    example: int = 0,
    *,
    truth: str | None = None,
    layout: str | None = None,
    findings: Mapping[str, Any] | None = None,
) -> bytes:
    """Pack one example of a trace for the viewer.

    Parameters
    ----------
    trace : Trace
        Dense or top-k.
    example : int
        Which example of the batch.
    truth : str, optional
        Name of the right answer, shown beside the model's.
    layout : "spring", optional
        Also pack the places of tokens that this layout works out.
    findings : mapping, optional
        What else is known of the example: ``roles`` and ``knock_outs``.

    Returns
    -------
    bytes
        A byte block (see ``headscape.trace.block``). Weights are float32 up to :data:`EXACT_WEIGHTS` of
        them, else codes within :data:`CODE_ERROR` from :data:`STRONG` up and within :data:`WEAK_ERROR` below;
        beyond :data:`MOST_WEIGHTS` only the strongest of
        each row are kept. Whatever was rounded, cut or left out is said in the block's warnings, which the
        page shows. Rows that hold NaN have weight 0, entropy NaN and are counted in ``nan_rows``.

    Raises
    ------
    OptionError
        There is no such example.
    """
    example = expect_index("trace", "example", example, trace.batch)
    scene = _Scene(trace, example, warnings=list(trace.warnings))
    code = _code_name(scene)
    meta = _scene_meta(scene)
    budget = _row_budget(trace)
    vectors = pack_vectors(trace, example, scene.arrays, scene.warnings)
    meta["calls"] = [_call(scene, n, call, code, budget) | vectors[n] for n, call in enumerate(trace.calls)]
    meta["outputs"] = _outputs(scene, truth)
    meta |= {name: found for name, found in (findings or {}).items() if found}
    for n, places in enumerate(spring_places(trace, example) if layout == "spring" else []):
        scene.arrays[f"spring.{n}"] = places
    return pack(scene.arrays, meta)


def scene_head(trace: Trace, example: int = 0) -> bytes:
    """Pack what is known before any weight is read: tokens, the answer, and the calls as empty rows.

    The block is a scene like that of :func:`scene_block` whose calls keep nothing; ``scene_call`` gives them
    one by one. Parameters and errors are those of :func:`scene_block`.
    """
    example = expect_index("trace", "example", example, trace.batch)
    scene = _Scene(trace, example, warnings=list(trace.warnings))
    meta = _scene_meta(scene)
    _code_name(scene)
    meta["calls"] = [_empty_call(scene, n, call) for n, call in enumerate(trace.calls)]
    meta["outputs"] = _outputs(scene, None)
    return pack(scene.arrays, meta)


def scene_call(trace: Trace, number: int, example: int = 0) -> bytes:
    """Pack one call with its weights, as the only one of its scene; errors as in :func:`scene_block`."""
    example = expect_index("trace", "example", example, trace.batch)
    call = trace.calls[expect_index("trace", "call", number, len(trace.calls))]
    scene = _Scene(trace, example)
    code = _code_name(scene)
    meta = _scene_meta(scene)
    scene.warnings.clear()  # the head says those
    scene.arrays.clear()
    for side in meta["sides"]:
        side["has_patches"] = False
    (vectors,) = pack_vectors(replace(trace, calls=(call,)), example, scene.arrays, scene.warnings)
    meta["calls"] = [_call(scene, 0, call, code, _row_budget(trace)) | vectors]
    return pack(scene.arrays, meta)


def _code_name(scene: _Scene) -> str:
    """Choose how weights are stored, and say so where they are rounded."""
    budget = _row_budget(scene.trace)
    stored = sum(math.prod(call.shape[1:3]) * min(_row_width(call), budget) for call in scene.trace.calls)
    if stored <= EXACT_WEIGHTS:
        return "f32"
    scene.warnings.append(
        f"this page stores {stored:,} weights rounded: from {STRONG:g} up within {CODE_ERROR:g}, below "
        f"within {WEAK_ERROR:g}; the trace has them exactly."
    )
    return "sqrt_u8"


def _scene_meta(scene: _Scene) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "kind": "scene",
        "model": scene.trace.model,
        "sides": [_side(scene, n, side) for n, side in enumerate(scene.trace.sides)],
        "warnings": scene.warnings,
    }


def _empty_call(scene: _Scene, number: int, call: AttentionCall) -> dict[str, Any]:
    """Describe a call whose rows keep nothing yet."""
    heads, queries, _ = call.shape[1:]
    arrays = scene.arrays
    arrays[f"key.{number}"] = np.zeros((heads, queries, 0), np.int32)
    arrays[f"weight.{number}"] = np.zeros((heads, queries, 0), np.float32)
    arrays[f"kept.{number}"] = np.zeros((heads, queries), np.float32)
    arrays[f"visible.{number}"] = call.visible(scene.example)
    arrays[f"entropy.{number}"] = np.full((heads, queries), np.nan, np.float32)
    arrays[f"flow.{number}"] = _flow(call, scene.example)
    return _described(call) | {"k": 0, "code": "f32", "nan_rows": 0}


def _row_width(call: AttentionCall) -> int:
    return call.shape[3] if call.k is None else call.k


def _row_budget(trace: Trace) -> int:
    """Return how many weights a row may have so that one example stays within MOST_WEIGHTS."""
    rows = [(math.prod(call.shape[1:3]), _row_width(call), call.k) for call in trace.calls]
    if sum(count * width * (1 if k is None else KEPT_COST) for count, width, k in rows) <= MOST_WEIGHTS:
        return max((width for _, width, _ in rows), default=1)
    return max(1, MOST_WEIGHTS // (KEPT_COST * sum(count for count, _, _ in rows)))


def _side(scene: _Scene, number: int, side: Side) -> dict[str, Any]:
    raw, tokens = side.tokens(scene.example), side.texts(scene.example)
    for position, token in enumerate(tokens):
        if len(token) > LONGEST_TOKEN:
            tokens[position], raw[position] = token[:LONGEST_TOKEN], raw[position][:LONGEST_TOKEN]
            scene.warnings.append(
                f"token {position} of {side.name} has {len(token):,} characters; the page holds the first "
                f"{LONGEST_TOKEN:,}."
            )
    patches = side.patches(scene.example)
    if patches is not None:
        scene.arrays[f"patches.{number}"] = patches
    return ({} if raw == tokens else {"raw": raw}) | {
        "name": side.name,
        "tokens": tokens,
        "padded": np.flatnonzero(scene.trace.padded(scene.example, number)).tolist(),
        "planes": side.planes,
        "grid": None if side.grid is None else list(side.grid),
        "has_patches": patches is not None,
        "unpictured": [] if patches is None else side.unpictured,
    }


def _call(scene: _Scene, number: int, call: AttentionCall, code: str, budget: int) -> dict[str, Any]:
    example, arrays = scene.example, scene.arrays
    keys, weights, kept = _rows(scene, call, budget)
    if keys is not None:
        arrays[f"key.{number}"] = keys
        arrays[f"kept.{number}"] = kept
    if float(weights.max(initial=0)) > 1:  # unnormalised weights: a code holds 0 to 1
        code = "f32"
    if code == "f32":
        arrays[f"weight.{number}"] = weights
    else:
        arrays[f"weight.{number}"], arrays[f"strong.{number}"] = _code(weights)
    arrays[f"visible.{number}"] = call.visible(example)
    entropy = call.stats.entropy[example]
    arrays[f"entropy.{number}"] = entropy
    if call.has_values:
        arrays[f"value_norm.{number}"] = call.value_norms(example)
    arrays[f"measures.{number}"] = _measures(call, example)
    arrays[f"flow.{number}"] = _flow(call, example)
    nan_rows = int((np.isnan(entropy) & ~call.padded(example)).sum())
    sums = sums_note(_row_totals(call, example))
    if sums:
        scene.warnings.append(f"{call.site or 'the model'}: {sums}; shares are of what the rows hold.")
    if nan_rows:
        scene.warnings.append(f"{call.site or 'the model'}: {nan_rows} rows hold NaN and are not drawn.")
    said: dict[str, Any] = {"sums": sums} if sums else {}
    if keys is not None and call.is_whole and keys.shape[-1] == _row_width(call):
        said["is_whole"] = True
    k = None if keys is None else int(keys.shape[-1])
    return said | _described(call) | {"k": k, "code": code, "nan_rows": nan_rows}


def _flow(call: AttentionCall, example: int) -> Floats:
    flow = call.flow(example)
    stacked: Floats = np.stack([flow.residual, flow.attention, flow.stream, flow.feed_forward])
    return stacked


def _described(call: AttentionCall) -> dict[str, Any]:
    return {
        "path": call.path,
        "site": call.site,
        "layer": call.layer,
        "kind": call.kind,
        "source": call.source,
        "query_side": call.query_side,
        "key_side": call.key_side,
        "plane": call.plane,
        "heads": call.shape[1],
        "queries": call.shape[2],
        "keys": call.shape[3],
    }


def _measures(call: AttentionCall, example: int) -> Floats:
    """Return what heads are ordered by, (4, head): means over a head's real rows, whatever the capture kept.

    Entropy in bits, distance in tokens, the first real key's share of a row, and the sum of weight times
    value norm over a row's keys; NaN where it is not known.
    """
    stats = call.stats
    received = stats.received[example]
    is_real = np.isfinite(stats.entropy[example])
    count = is_real.sum(-1)
    first = int(call.padded_keys(example).argmin())
    norms = call.value_norms(example) if call.has_values else np.full_like(received, np.nan)
    sums = [np.where(is_real, rows[example], 0).sum(-1) for rows in (stats.entropy, stats.distance)]
    sums += [received[:, first], (received * norms).sum(-1)]
    found: Floats = np.stack(sums).astype(np.float32)
    means: Floats = np.divide(found, count, out=np.full_like(found, np.nan), where=count > 0)
    return means


def _rows(scene: _Scene, call: AttentionCall, budget: int) -> tuple[Ints | None, Floats, Floats]:
    """Return keys (None: all), weights without NaN, and the share of each row that they hold."""
    kept = np.nan_to_num(call.kept_mass(scene.example))
    if call.k is None and call.shape[3] <= budget:
        return None, np.nan_to_num(call.weights(scene.example)), kept
    keys, weights = call.top(scene.example, min(budget, _row_width(call)))
    weights = np.nan_to_num(weights)
    if keys.shape[-1] < _row_width(call):
        total = _row_totals(call, scene.example)
        kept = np.clip(np.divide(weights.sum(-1), total, out=np.zeros_like(total), where=total > 0), 0, 1)
        share = kept[call.visible(scene.example) > 0].mean()
        scene.warnings.append(
            f"{call.site or 'the model'}: the page keeps the strongest {keys.shape[-1]} of "
            f"{_row_width(call)} weights a row, {share:.1%} of the attention; the trace has them all."
        )
    return keys, weights, kept


def _row_totals(call: AttentionCall, example: int) -> Floats:
    """Return what all weights of each row sum to, from what the capture kept."""
    if call.k is None:
        total: Floats = np.nan_to_num(call.weights(example)).sum(-1)
        return total
    held: Floats = np.nan_to_num(call.top(example)[1]).sum(-1)
    kept = np.nan_to_num(call.kept_mass(example))
    whole: Floats = np.divide(held, kept, out=np.zeros_like(held), where=kept > 0)
    return whole


def _code(weights: Floats) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.uint16]]:
    """Code square roots of weights from 0 to 1: bytes, and what stands behind each IS_STRONG, in order.

    w = (byte / WEAK_STEPS) ** 2, or (strong / 65535) ** 2. What is above 0 stays above 0.
    """
    roots = np.sqrt(np.clip(weights, 0, 1))
    codes = np.maximum(np.rint(roots * WEAK_STEPS), roots > 0)
    strong = weights >= STRONG
    codes[strong] = IS_STRONG
    return codes.astype(np.uint8), np.rint(roots[strong] * 65535).astype(np.uint16)


def _outputs(scene: _Scene, truth: str | None) -> dict[str, Any] | None:
    outputs, example = scene.trace.outputs, scene.example
    if outputs is None:
        return None
    contribution = outputs.contribution(example)
    if contribution is not None:
        scene.arrays["class"] = np.nan_to_num(contribution)
    names = outputs.names(example)
    texts = outputs.texts(names)
    return ({} if texts == names else {"raw": names}) | {
        "kind": outputs.kind,
        "side": outputs.side,
        "names": texts,
        "scores": _numbers(outputs.scores[example]),
        "probabilities": _numbers(outputs.probabilities[example]),
        "base": _numbers(outputs.base[example]),
        "method": outputs.method,
        "truth": None if truth is None else outputs.texts([truth])[0],
    }


def _numbers(values: Floats) -> list[float | None]:
    """Return floats for JSON; None where a value is not finite (a masked class scores -inf)."""
    return [float(value) if math.isfinite(value) else None for value in values]
