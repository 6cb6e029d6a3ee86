"""One line for what each head does, with the numbers it stands on."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from headscape.analysis.heads import Doubles, HeadStats, measure_heads
from headscape.errors import OptionError, expect_index
from headscape.trace.call import AttentionCall
from headscape.trace.trace import Trace

# A role is named where the head puts this much of what chance leaves on the keys in question (see
# HeadStats.lift): Gu et al.'s threshold for sink heads, taken for all roles.
NAMED = 0.3
# Rows below which nothing is said: a single short text is no evidence.
FEWEST_ROWS = 20
# Standard deviations by which the share must be above chance. They are those of a head whose every row looks
# at one key drawn at random, the luckiest head that looks at nothing in particular: on 20 rows of two keys it
# would reach a lift of 0.3 in one try of eight. A model has hundreds of heads to be lucky with, hence 4.
LUCK = 4.0
# Of the mass that a wide role holds (near tokens), a narrow one within it (the previous token) must have at
# least this share to give the head its name.
NARROW = 0.5
# Entropy, as share of that of uniform attention, from which a head is called uniform or broad.
UNIFORM, BROAD = 0.98, 0.75

# Names by measure. Narrow roles first; of equals the first wins, so that the simpler reading does.
NARROW_ROLES = {
    "previous": "previous token",
    "next": "next token",
    "same": "same token",
    "first": "first token",
    "separator": "separator",
    "punctuation": "punctuation",
    "induction": "induction",
    "duplicate": "duplicate",
}
# Wide roles, and the narrow ones within them.
WIDE_ROLES = {
    "near": ("local", ("previous", "next", "same")),
    "special": ("special tokens", ("first", "separator")),
}
# Names where nothing can be said.
UNKNOWN = ("too little text", "not judged")
WHERE = {
    "previous": "the previous token", "next": "the next token", "same": "the token itself",
    "first": "the first token", "separator": "separators", "punctuation": "punctuation",
    "induction": "the token behind a copy", "duplicate": "copies of the token",
    "near": "tokens at most {} away", "special": "special tokens",
}  # fmt: skip


@dataclass(frozen=True)
class HeadRole:
    """What one head does.

    Attributes
    ----------
    layer : int
        ``call.layer``.
    head : int
        Head within the call.
    name : str
        At most 16 characters: "previous token", "next token", "same token", "first token", "separator",
        "special tokens", "punctuation", "induction", "duplicate", "local", "uniform", "broad", "mixed", or
        "too little text" and "not judged" where nothing can be said.
    share : float
        Share of the head's attention that the role is about, 0 to 1. For "uniform" and "broad" the entropy as
        a share of the largest one; for "mixed" the share of the strongest of the roles it falls short of.
    chance : float
        What uniform attention gives for that share on the same rows.
    rows, texts : int
        What the evidence stands on.
    evidence : str
        One sentence with these numbers.
    """

    layer: int
    head: int
    name: str
    share: float
    chance: float
    rows: int
    texts: int
    evidence: str

    @property
    def is_named(self) -> bool:
        """Whether the head attends to something in particular."""
        return self.name not in ("uniform", "broad", "mixed", *UNKNOWN)

    def __str__(self) -> str:
        return self.name if self.name in ("mixed", *UNKNOWN) else f"{self.name}, {self.share:.0%}"


@dataclass(frozen=True, eq=False, repr=False)
class Roles:
    """The roles of all heads of a model, in order of call and head.

    Attributes
    ----------
    stats : HeadStats
        The measures behind them.
    missing : tuple of str
        Roles that could not be judged, and which option of ``capture`` gives what they need.
    """

    stats: HeadStats
    missing: tuple[str, ...]
    _roles: tuple[tuple[HeadRole, ...], ...]

    def __repr__(self) -> str:
        return f"Roles({', '.join(f'{count} {name}' for name, count in self.counts().items())})"

    def __iter__(self) -> Iterator[HeadRole]:
        return (role for call in self._roles for role in call)

    def __len__(self) -> int:
        return sum(map(len, self._roles))

    def of(self, call: AttentionCall | int, head: int) -> HeadRole:
        """Return the role of one head.

        ``call`` is an attention call of a trace of the same model, or its number in order of execution.

        Raises
        ------
        OptionError
            There is no such call or head.
        """
        if isinstance(call, AttentionCall):
            if call.site not in self.stats.sites:
                raise OptionError(
                    f"no role is known for call {call.site!r}: find roles in this model's traces."
                )
            number = self.stats.sites.index(call.site)
        else:
            number = expect_index("roles", "call", call, len(self._roles))
        heads = self._roles[number]
        return heads[expect_index(self.stats.sites[number] or "the model itself", "head", head, len(heads))]

    def counts(self) -> dict[str, int]:
        """Return how many heads have each role, most frequent first."""
        names = [role.name for role in self]
        return {name: names.count(name) for name in sorted(set(names), key=lambda n: (-names.count(n), n))}

    def table(self) -> list[tuple[str, ...]]:
        """Return rows of text to print: headings, then layer, head, role, share, chance and evidence."""
        lines: list[tuple[str, ...]] = [("layer", "head", "role", "share", "chance", "evidence")]
        for one in self:
            share = "" if np.isnan(one.share) else f"{one.share:.0%}"
            chance = "" if np.isnan(one.chance) else f"{one.chance:.1%}"
            lines.append((str(one.layer), str(one.head), one.name, share, chance, one.evidence))
        return lines


def find_roles(
    traces: Trace | Iterable[Trace] | HeadStats, *, named: float = NAMED, fewest_rows: int = FEWEST_ROWS
) -> Roles:
    """Name what each head does.

    Parameters
    ----------
    traces : Trace, iterable of Trace, or HeadStats
        Passes of one model over the texts to judge by, best captured with ``keep="all"`` and ``tokens=``; or
        what :func:`headscape.analysis.heads.measure_heads` found in them.
    named : float
        Lift over chance from which a role is given, 0 to 1 (:meth:`HeadStats.lift`). Where luck alone could
        reach as much, more is needed (:data:`LUCK`).
    fewest_rows : int
        Rows on which a role must stand. A row counts if it may see two keys or more.

    Returns
    -------
    Roles
        Every head has one: a narrow role (previous, next, same or first token, separator, punctuation,
        induction, duplicate) with the largest lift of at least ``named``; else a wide one (local, special
        tokens); else what its entropy says (uniform, broad), else "mixed". Where only lists of keys were
        kept and none of these names fits, a head is "not judged".

    Notes
    -----
    Roles describe where a head looks on *these* texts. They do not say that the model needs it: knock it out
    to see. A share is judged as lift, ``(share - chance) / (1 - chance)``, because on short texts every head
    puts much on the previous token.

    References
    ----------
    .. [1] Clark, Khandelwal, Levy, Manning, "What Does BERT Look At?", 2019, doi:10.18653/v1/W19-4828
    .. [2] Olsson et al., "In-context Learning and Induction Heads", 2022, arXiv:2209.11895

    Examples
    --------
    >>> import numpy as np
    >>> from headscape.trace.synthetic import example_trace
    >>> roles = find_roles(example_trace(layers=1, heads=2, seed=3))
    >>> [role.name for role in roles]
    ['previous token', 'first token']
    """
    if not 0 < named < 1 or fewest_rows < 1:
        raise OptionError(
            f"find_roles() got named={named} and fewest_rows={fewest_rows}; named is a share between 0 and "
            "1, fewest_rows at least 1."
        )
    stats = traces if isinstance(traces, HeadStats) else measure_heads(traces)
    lifts = {name: stats.lift(name) for name in (*NARROW_ROLES, *WIDE_ROLES)}
    needs = {name: np.maximum(named, LUCK * _spread(stats, name)) for name in lifts}
    for name, lift in lifts.items():
        lifts[name] = np.where(stats.rows[name] >= fewest_rows, lift, np.nan)
    found = tuple(
        tuple(_judge(stats, lifts, needs, (call, head), fewest_rows) for head in range(heads))
        for call, heads in enumerate(stats.heads)
    )
    return Roles(stats, stats.missing, found)


def _spread(stats: HeadStats, name: str) -> Doubles:
    """Return the standard deviation of the lift of a head whose rows look at one random key each."""
    chance, rows = stats.chances[name], stats.rows[name]
    variance = np.divide(chance, (1 - chance) * rows, out=np.full_like(chance, np.nan), where=chance < 1)
    found: Doubles = np.sqrt(variance)
    return found


def _judge(
    stats: HeadStats,
    lifts: Mapping[str, Doubles],
    needs: Mapping[str, Doubles],
    at: tuple[int, int],
    fewest: int,
) -> HeadRole:
    """Return the role of one head; see :func:`find_roles`."""
    lift = {name: float(table[at]) for name, table in lifts.items() if not np.isnan(table[at])}
    narrow = {name: value for name, value in lift.items() if name in NARROW_ROLES}
    passing = [name for name, value in narrow.items() if value >= needs[name][at]]
    for wide, (title, parts) in WIDE_ROLES.items():
        inside = [stats[name][at] for name in parts if name in passing]
        outside = [name for name in passing if name not in parts]
        is_wide = lift.get(wide, -1) >= needs[wide][at] and not outside
        if is_wide and max(inside, default=0) < NARROW * stats[wide][at]:
            return _role(stats, at, title, wide)
    if passing:
        best = max(passing, key=lambda name: narrow[name])
        return _role(stats, at, NARROW_ROLES[best], best)
    if not stats.rows["evenness"][at] >= fewest:  # NaN too
        rows = int(np.nan_to_num(stats.rows["evenness"][at]))
        sentence = f"only {rows} rows may choose between keys; {fewest} are needed: capture more texts"
        return _plain(stats, at, "too little text", float("nan"), sentence)
    even = float(stats["evenness"][at])
    if even >= BROAD:
        bits, most = stats["entropy"][at], stats.chances["entropy"][at]
        sentence = f"entropy {bits:.2f} of at most {most:.2f} bits, {_stands_on(stats, at, 'evenness')}"
        return _plain(stats, at, "uniform" if even >= UNIFORM else "broad", even, sentence)
    # Only where queries and keys stand on one line is there a distance, and should there be a "same".
    if np.isnan(stats["same"][at]) and not np.isnan(stats["distance"][at]):
        sentence = 'neighbours and copies are not known: capture with keep="all"'
        return _plain(stats, at, "not judged", float("nan"), sentence)
    if not lift:
        return _plain(stats, at, "not judged", float("nan"), "no role could be judged: see missing")
    best = max(lift, key=lambda name: lift[name])
    return _role(stats, at, "mixed", best)


def _role(stats: HeadStats, at: tuple[int, int], title: str, measure: str) -> HeadRole:
    share, chance = float(stats[measure][at]), float(stats.chances[measure][at])
    where = WHERE[measure].format(stats.reach)
    judged = "of what could be judged, " if stats.missing else ""
    only = f"{judged}no more than " if title == "mixed" else ""
    sentence = f"{only}{share:.0%} on {where} (chance {chance:.1%}), {_stands_on(stats, at, measure)}"
    rows = int(stats.rows[measure][at])
    place = stats.layers[at[0]], at[1]
    return HeadRole(*place, title, share, chance, rows, int(stats.texts[at[0]]), sentence)


def _plain(stats: HeadStats, at: tuple[int, int], title: str, share: float, sentence: str) -> HeadRole:
    rows = int(np.nan_to_num(stats.rows["evenness"][at]))
    place = stats.layers[at[0]], at[1]
    chance = float("nan") if np.isnan(share) else 1.0
    return HeadRole(*place, title, share, chance, rows, int(stats.texts[at[0]]), sentence)


def _stands_on(stats: HeadStats, at: tuple[int, int], measure: str) -> str:
    rows, texts = int(stats.rows[measure][at]), int(stats.texts[at[0]])
    return f"{rows:,} rows of {texts:,} text{'' if texts == 1 else 's'}"
