"""Recording one attention call, whichever way it was seen."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from headscape.intercept.factors import Vectors, vectors_of
from headscape.intercept.gradients import Live
from headscape.intercept.grid import Meeting
from headscape.intercept.layout import Axes, Layout, find_layout
from headscape.intercept.lineage import Lineage, Mark, Meet, Role
from headscape.intercept.names import Names
from headscape.intercept.places import Places
from headscape.intercept.products import lettered
from headscape.intercept.recorder import Options, Origin, Recorder, Seen
from headscape.intercept.rows import OutputCheck, Rescore, Scores, Written, aside
from headscape.intercept.settle import Hints, Standing, settle
from headscape.intercept.torch_nn import sdpa_options


@dataclass(frozen=True)
class Found:
    """A call laid out as (group, head, query, key), before it is recorded.

    ``mixed`` (group, head, query, width) is what the weights and values gave, None where dropout makes it
    no check.
    """

    source: str
    rows: Scores | Written
    value: Tensor
    mixed: Tensor | None
    places: tuple[Tensor | None, Tensor | None]  # of rows (group, query), of keys (group, key)
    follows: tuple[int, int]  # newest call that the queries, the keys follow; -1 for none
    is_alike: bool
    suffix: str = ""
    padded_keys: Tensor | None = None
    projection: Tensor | None = None
    extra_keys: int = 0
    pieces: bool = False
    has_own_rows: bool = False  # each head has other rows
    bend: str = ""
    live: Live | Literal["dropped"] | None = None  # what weights and values gave, for gradients
    vectors: Vectors | None = None  # of a product that the model wrote


class Editor(Protocol):
    """Changes what weights and values gave; see :mod:`headscape.intercept.rerun`."""

    def edit(self, number: int, seen: Seen, found: Found) -> Tensor | None:
        """Return what call ``number`` gives instead, (group, head, query, width); None leaves it."""


class Calls:
    """The calls of one pass, with what they follow and what follows them."""

    def __init__(self, names: Names, options: Options, places: Places, lineage: Lineage) -> None:
        self.editor: Editor | None = None
        self.names = names
        self.options = options
        self.places = places
        self.lineage = lineage
        self.recorder = Recorder(options)

    @property
    def _batch(self) -> int:
        return self.places.spaces[0].shape[0] if self.places.spaces else 0

    def record(self, found: Found, began: int) -> tuple[Seen, Meet]:
        """Record one call; its norms fill as the pass goes on."""
        standing = self._standing(found)
        same = (
            found.has_own_rows
            or standing.query_space is standing.key_space
            or bool(found.extra_keys and found.is_alike)
        )
        kind = "self" if same and (found.is_alike or found.follows[0] == found.follows[1]) else "cross"
        path, frame = self.names.running()
        origin = Origin(
            ".".join(part for part in (path, found.suffix) if part), found.source, kind,
            *found.follows, standing, frame, found.padded_keys, found.value.detach(),
            found.projection, found.extra_keys, found.pieces, found.has_own_rows, bend=found.bend,
        )  # fmt: skip
        check = None
        if found.mixed is not None and self.options.values:
            check = OutputCheck(found.value, found.mixed)
        vectors = vectors_of(found.rows, found.vectors) if self.options.vectors else None
        seen = self.recorder.record(found.rows, origin, check, found.live, vectors)
        if self.editor is not None:
            self._edit(self.editor, seen, found)
        return seen, Meet(standing.codes, seen.flow, began, seen.states)

    def _edit(self, editor: Editor, seen: Seen, found: Found) -> None:
        """Write what an editor makes of a call into the very tensor that the model goes on with."""
        new = editor.edit(len(self.recorder.calls) - 1, seen, found)
        if new is None:
            return
        if not isinstance(found.live, Live) or found.live.output.is_nested:
            raise RuntimeError(
                f"{seen.origin.path or 'the model itself'} cannot be changed: dropout acts on its weights, "
                "or its tensors are nested. Call model.eval(), and pass padded tensors."
            )
        output, lay = found.live.output, found.live.lay
        index = lay(torch.arange(output.numel(), device=output.device).view(output.shape))
        flat = torch.empty(output.numel(), dtype=output.dtype, device=output.device)
        flat[index.reshape(-1)] = new.to(output.dtype).reshape(-1)
        output.copy_(flat.view(output.shape))

    def _standing(self, found: Found) -> Standing:
        is_alike = found.is_alike and not found.has_own_rows
        hints = Hints(is_alike, *(self._space_of(call) for call in found.follows))
        shape = found.rows.shape
        if not found.extra_keys:
            return settle(self.places, *found.places, shape, hints)
        own = (*shape[:3], shape[3] - found.extra_keys)
        standing = settle(self.places, *found.places, own, hints)
        owner = np.unique(standing.key_space.examples.numpy())
        if not standing.is_plain or len(owner) != shape[0]:
            return settle(self.places, found.places[0], None, shape, replace(hints, is_alike=False))
        # Learned keys behind the tokens' own: they stand on a sequence of their own.
        space = self.places.joined((standing.key_space.number, -found.extra_keys), owner, shape[3])
        keys = space.tokens.view(standing.keys.shape[0], 1, -1).numpy()
        return replace(standing, key_space=space, keys=keys)

    def _space_of(self, call: int) -> int:
        return self.recorder.calls[call].origin.standing.query_space.number if call >= 0 else -1

    def begin(self, seen: Seen, meet: Meet, output: Tensor, features: Tensor | None, role: Role) -> Mark:
        """Mark a call's output, so that what follows it is known."""
        seen.half = output.dtype in (torch.float16, torch.bfloat16)
        return self.lineage.begin_call(len(self.recorder.calls) - 1, meet, output, features, role)

    # scaled_dot_product_attention, and what works as it does

    def record_scores(self, arguments: "Arguments", result: Tensor, began: int, source: str = "sdpa") -> Mark:
        """Record a kernel's call from its queries, keys and values."""
        given = arguments
        axes = given.axes()
        rows = None if self.places.is_fixed(given.states) else self.places.rows(given.states, met=True)
        if rows is not None and given.groups > 1:
            rows = rows.reshape(given.query.shape[:-1])
        keys = self._keys_of(given, axes)
        layout = find_layout(axes, rows, keys, self._batch)
        ahead = given.ahead
        causal, mask = given.is_causal, given.mask
        if causal and layout.queries != ("m",):
            mask, causal = given.causal_mask(), False
        if mask is not None:
            mask = layout.weights(mask, (*ahead, "m", "n")[-mask.dim() :] if mask.dim() else (), thin=True)
        scores = Scores(
            layout.queries_of(given.query, (*ahead, "m", "d")).detach(),
            layout.keys_of(given.key, (*given.key_ahead, "n", "d"), shared_heads=True).detach(),
            mask, causal, given.scale, given.rescore,
        )  # fmt: skip
        value = layout.keys_of(given.value, (*given.key_ahead, "n", "e"), shared_heads=True).detach()
        if result.is_nested:
            result = pad_examples(result.unbind(), float("nan"))
        shown = result.reshape(*given.query.shape[:-1], result.shape[-1])
        mixed = None if given.drops else layout.queries_of(shown, (*ahead, "m", "e")).detach()
        shape = shown.shape  # a hook that held the tensor itself would keep its own graph alive
        live = Live(result, lambda t: layout.queries_of(t.reshape(shape), (*ahead, "m", "e")))
        follows = self.lineage.newest_call([given.states]), self.lineage.newest_call([given.key])
        found = Found(
            source, scores, value, mixed, _grouped(layout, axes, rows, keys), follows,
            is_alike=follows[0] == follows[1] and given.query.shape[-2] <= given.key.shape[-2],
            padded_keys=given.padded, live="dropped" if given.drops else live,
        )  # fmt: skip
        return self._finish(found, Shown(layout, axes, rows, shown, (*ahead, "m", "e")), result, began)

    def _keys_of(self, given: "Arguments", axes: Axes) -> Tensor | None:
        codes = None if self.places.is_fixed(given.key) else self.places.rows(given.key, met=True)
        if codes is None:
            return None
        wanted = [a for a in axes.others if a in axes.shared] + ["n"]
        return lettered(codes, [*given.key_ahead, "n"], wanted, [axes.sizes[a] for a in wanted])

    # attention written by hand

    def record_meeting(self, meeting: Meeting, result: Tensor, began: int) -> Mark:
        """Record a matrix of weights that met values."""
        axes, grid = meeting.axes, meeting.grid
        with aside(result.device):
            layout = find_layout(axes, meeting.rows, meeting.keys, self._batch)
            mask = None
            if meeting.hidden is not None:
                mask = ~layout.weights(meeting.hidden, axes.weights)
            rows = Written(layout.weights(meeting.weights, axes.weights), mask)
            value = layout.keys_of(meeting.values.detach(), meeting.value_axes)
            mixed = layout.queries_of(result.detach(), meeting.result_axes)
            vectors = None
            if grid.factors is not None:
                vectors = grid.factors.laid(lambda t: layout.weights(t, axes.weights))
        dropped, result_axes = grid.whole is not None, meeting.result_axes
        same_length = rows.shape[2] <= rows.shape[3]
        found = Found(
            "written", rows, value, None if dropped else mixed,
            _grouped(layout, axes, meeting.rows, meeting.keys), (grid.query_from, grid.key_from),
            is_alike=grid.query_from == grid.key_from and same_length, pieces=grid.pieces,
            has_own_rows=layout.rows_differ, bend=grid.bend, vectors=vectors,
            live="dropped" if dropped else Live(result, lambda t: layout.queries_of(t, result_axes)),
        )  # fmt: skip
        shown = Shown(layout, axes, meeting.rows, result, meeting.result_axes)
        return self._finish(found, shown, result, began)

    def _finish(self, found: Found, given: "Shown", result: Tensor, began: int) -> Mark:
        layout, axes, rows, shown, shown_axes = (
            given.layout, given.axes, given.rows, given.output, given.output_axes
        )  # fmt: skip
        seen, meet = self.record(found, began)
        if rows is None and seen.origin.standing.row_codes is not None:
            rows = _ungrouped(layout, axes, seen.origin.standing.row_codes, result.device)
        if rows is not None:
            codes = lettered(rows, list(axes.others), list(shown_axes), shown.shape)
            self.places.put(result, None if codes is None else codes.reshape(result.shape))
        features = _features(layout, axes, shown_axes, shown)
        return self.begin(seen, meet, result, features.reshape(result.shape), "branch")


@dataclass(frozen=True)
class Shown:
    """What a call gave, with the names of its axes; ``rows`` are places with the axes ``axes.others``."""

    layout: Layout
    axes: Axes
    rows: Tensor | None
    output: Tensor
    output_axes: Sequence[str]


@dataclass(frozen=True)
class Arguments:
    """Arguments of a kernel: (..., query, width), (..., key, width), (..., key, width).

    ``states`` are the queries as they came; with grouped queries, ``query`` is (..., key head, group, query,
    width).
    """

    states: Tensor
    query: Tensor
    key: Tensor
    value: Tensor
    mask: Tensor | None
    is_causal: bool
    scale: float | None
    drops: bool
    groups: int = 1
    rescore: Rescore | None = None
    padded: Tensor | None = None  # (batch, key) bool, of nested arguments

    @classmethod
    def of(cls, args: tuple[Any, ...], kwargs: dict[str, Any]) -> "Arguments":
        """Read the arguments of ``scaled_dot_product_attention``."""
        named = sdpa_options(*args, **kwargs)
        if any(named[name].is_nested for name in ("query", "key", "value")):
            return cls._of_nested(named)
        query, key, value, mask = named["query"], named["key"], named["value"], named["attn_mask"]
        states = query
        groups = query.shape[-3] // key.shape[-3] if named["enable_gqa"] and query.dim() > 2 else 1
        if groups > 1:
            if mask is not None and mask.dim() > 2:
                mask = mask.unflatten(-3, (-1, groups) if mask.shape[-3] > 1 else (1, 1))
            query = query.unflatten(-3, (-1, groups))
        drops = named["dropout_p"] > 0
        return cls(states, query, key, value, mask, named["is_causal"], named["scale"], drops, groups)

    @classmethod
    def _of_nested(cls, named: dict[str, Any]) -> "Arguments":
        """Pad what is nested, and forbid the padding."""
        parts = {name: named[name].unbind() for name in ("query", "key", "value")}
        lengths = [part.shape[-2] for part in parts["key"]]
        query, key, value = (pad_examples(parts[name]) for name in ("query", "key", "value"))
        there = (
            torch.arange(key.shape[-2], device=key.device) < torch.tensor(lengths, device=key.device)[:, None]
        )
        mask = there.view(len(lengths), *[1] * (key.dim() - 2), key.shape[-2])
        drops = named["dropout_p"] > 0
        found = cls(query, query, key, value, mask, False, named["scale"], drops, padded=~there)
        return replace(found, mask=mask & found.causal_mask()) if named["is_causal"] else found

    @property
    def ahead(self) -> tuple[str, ...]:
        """Names of the leading axes of the query."""
        count = self.query.dim() - 2
        if self.groups == 1:
            return tuple(f"a{n}" for n in range(count))
        return (*[f"a{n}" for n in range(count - 1)], "g")

    @property
    def key_ahead(self) -> tuple[str, ...]:
        """Names of the leading axes of the key."""
        names = tuple(a for a in self.ahead if a != "g")
        return names[len(names) - (self.key.dim() - 2) :]

    def axes(self) -> Axes:
        """Name the axes of the matrix of weights."""
        names = (*self.ahead, "m", "n")
        sizes = dict(zip(names, (*self.query.shape[:-1], self.key.shape[-2]), strict=True))
        shared = frozenset(
            a for a, n in zip(self.key_ahead, self.key.shape, strict=False) if n != 1 or sizes[a] == 1
        )
        return Axes(names, sizes, ("n",), shared)

    def causal_mask(self) -> Tensor:
        """Write the causal flag as a mask, True = may attend."""
        shape = (self.query.shape[-2], self.key.shape[-2])
        return torch.ones(shape, dtype=torch.bool, device=self.query.device).tril()


def pad_examples(parts: Sequence[Tensor], value: float = 0.0) -> Tensor:
    """Stack examples, (..., token, width) each, padded to the longest."""
    longest = max(part.shape[-2] for part in parts)
    padded = [
        torch.nn.functional.pad(part, (0, 0, 0, longest - part.shape[-2]), value=value) for part in parts
    ]
    return torch.stack(padded)


def _grouped(
    layout: Layout, axes: Axes, rows: Tensor | None, keys: Tensor | None
) -> tuple[Tensor | None, Tensor | None]:
    """Return the places of rows as (group, query) and of keys as (group, key)."""
    if layout.rows_differ:
        rows = None
    if rows is not None:
        rows = layout.queries_of(rows, axes.others)[:, 0, :, 0]
    if keys is not None:
        own = [a for a in axes.others if a in axes.shared]
        keys = layout.keys_of(keys, (*own, *axes.keys))[:, 0, :, 0]
    return rows, keys


def _ungrouped(layout: Layout, axes: Axes, codes: Any, device: torch.device) -> Tensor | None:
    """Return (group, query) places with the axes of the matrix's rows again."""
    flat = torch.as_tensor(codes, dtype=torch.int32, device=device)
    if layout.row_folded > 1:
        return None  # the rows' places were known
    if layout.folded > 1:
        flat = flat.repeat_interleave(layout.folded, dim=0)
        if layout.order is not None:
            flat = flat[torch.argsort(layout.order.to(device))]
    own = [*layout.groups, *layout.queries]
    shaped = flat.reshape([axes.sizes[a] for a in own])
    return lettered(shaped, own, list(axes.others), [axes.sizes[a] for a in axes.others])


def _features(layout: Layout, axes: Axes, shown_axes: Sequence[str], shown: Tensor) -> Tensor:
    """Return head * width + place for every element of what the heads gave."""
    rest = [a for a in shown_axes if a not in axes.sizes]
    sizes = {a: int(n) for a, n in zip(shown_axes, shown.shape, strict=True)}
    width = 1
    for a in rest:
        width *= sizes[a]
    heads = 1
    for a in layout.heads:
        heads *= axes.sizes[a]
    groups = 1
    for a in layout.groups:
        groups *= axes.sizes[a]
    on = shown.device
    fold = torch.arange(groups, device=on) % layout.folded
    if layout.order is not None:
        fold = fold[torch.argsort(layout.order.to(on))]
    if layout.row_folded > 1:
        return torch.zeros(
            shown.shape, dtype=torch.int32, device=on
        )  # heads lie among the rows: not followed
    number = (fold[:, None] * heads + torch.arange(heads, device=on)) * width  # (group, head)
    full = (number[..., None] + torch.arange(width, device=on)).to(torch.int32)
    own = [*layout.groups, *layout.heads, *rest]
    shaped = full.reshape([sizes.get(a, axes.sizes.get(a, 1)) for a in own])
    laid = lettered(shaped, own, list(shown_axes), shown.shape)
    return torch.zeros(shown.shape, dtype=torch.int32, device=on) if laid is None else laid
