"""Made-up airline tweets, labelled by construction: what the demo learns when no real data is given."""

import random
import re
from dataclasses import dataclass, field

from headscape.demo.lexicon import TOPICS, WORDS
from headscape.demo.phrases import CLAUSES, TWEETS

LABELS = ("negative", "neutral", "positive")
# Complaints lead and questions come last, roughly as in what people really write to airlines.
SHARES = {"negative": 0.42, "neutral": 0.25, "positive": 0.33}

_SLOT = re.compile(r"\{([^{}]+)\}")
_LINE = re.compile(r"(?:(?P<weight>\d+)\*)?\s*(?P<text>.*)")
_KIND = re.compile(r"(?P<kind>[a-z]+): (?P<text>\{.*\})")
_VERB = re.compile(r"^(\w+)/(\w+)")
_TOPICS = ("person", "seat", "food", "net", "line", "flight", "bag")
# What may differ without making a tweet a new one; filled in last.
_FREE = ("city", "day", "flight", "friend", "gate", "hours", "number", "seat", "time", "very")
# Tries per wanted tweet before the grammar counts as exhausted; fewer than two are needed for 4,000 tweets.
_MOST_TRIES = 50
# What cannot be "very" anything.
_UNGRADED = re.compile(r"\{very\} (?=(?:a|down|falling|frozen|intact|lost|on|safe|well|working|worth)\b)")
_HANDLE_FIRST_SHARE = 0.85
_SLANG_SHARE = 0.15
_CAPITAL_SHARE = 0.6
_EMOJI_SHARE = 0.18
# An emoji often only decorates; a sarcastic one smiles.
_PLAIN_EMOJI_SHARE = 0.5
_SLANG = {
    "are": "r",
    "great": "gr8",
    "please": "pls",
    "really": "rly",
    "thanks": "thx",
    "you": "u",
    "your": "ur",
}
_SLANG_WORDS = re.compile(rf"\b(?:{'|'.join(_SLANG)})\b")

_Rules = dict[str, tuple[list[str], list[int]]]


@dataclass(frozen=True)
class MadeTweet:
    """A made-up tweet, its label, and what kind of sentence it is ("plain", "negated", "mixed"...).

    ``core`` is the sentence before places, days, numbers and the like were filled in.
    """

    text: str
    label: str
    kind: str
    core: str = field(repr=False)


def make_tweets(count: int = 4000, *, seed: int = 0) -> list[MadeTweet]:
    """Make tweets to airlines that do not exist.

    The label is that of the symbol a tweet was expanded from, so nobody's opinion enters it. No two
    tweets have the same sentence: texts that differ only in handle, place, day, number, emoji,
    opening or ending count as one and are made once.

    Parameters
    ----------
    count : int
        How many: 42 % negative, 25 % neutral, 33 % positive. The grammar holds some tens of
        thousands of sentences; where a label runs out, fewer tweets come back.
    seed : int
        Same seed, same tweets, on every machine.

    Returns
    -------
    list of MadeTweet
        In random order.
    """
    rng = random.Random(seed)
    wanted = {label: round(count * share) for label, share in SHARES.items()}
    wanted["negative"] += count - sum(wanted.values())
    tweets: list[MadeTweet] = []
    seen: set[str] = set()
    for label in LABELS:
        made = tries = 0
        while made < wanted[label] and tries < _MOST_TRIES * count:
            tries += 1
            tweet = _write(rng, label)
            if tweet.core not in seen:
                seen.add(tweet.core)
                tweets.append(tweet)
                made += 1
    rng.shuffle(tweets)
    return tweets


def _read_rules(*texts: str) -> _Rules:
    """Read symbols ("name:" at the margin) and their alternatives (indented, one per line)."""
    rules: _Rules = {}
    lines: list[str] = []
    weights: list[int] = []
    for line in "\n".join(texts).splitlines():
        if line.endswith(":") and not line.startswith(" "):
            lines, weights = [], []
            rules[line.removesuffix(":")] = (lines, weights)
        elif line.strip():
            found = _LINE.fullmatch(line.strip())
            if found:
                lines.append(found["text"])
                weights.append(int(found["weight"] or 1))
    return rules


_RULES = _read_rules(TOPICS, CLAUSES, TWEETS, WORDS)


def _choose(rng: random.Random, symbol: str) -> str:
    lines, weights = _RULES[symbol]
    return rng.choices(lines, weights)[0]


def _expand(rng: random.Random, text: str, topic: str) -> str:
    """Replace every slot of ``text`` but the free ones; each clause gets a topic of its own."""

    def fill(slot: re.Match[str]) -> str:
        symbol = slot[1]
        if symbol in _FREE:
            return slot[0]
        if symbol in ("do+", "do-", "did+", "did-"):  # the present or the past of a deed
            deed = _choose(rng, f"deed{symbol[-1]}")
            return _expand(rng, _VERB.sub(r"\1" if symbol[:-1] == "do" else r"\2", deed), topic)
        inner = topic
        if symbol.startswith("T"):
            symbol = topic + symbol[1:]
        elif symbol.startswith(("good", "bad")):
            inner = rng.choice([other for other in _TOPICS if other != topic])
        return _expand(rng, _choose(rng, symbol), inner)

    return _SLOT.sub(fill, text)


def _fill_free(rng: random.Random, text: str) -> str:
    text = _UNGRADED.sub("", text)
    cities = rng.sample(_RULES["city"][0], k=len(_RULES["city"][0]))

    def fill(slot: re.Match[str]) -> str:
        match slot[1]:
            case "city":
                return cities.pop()
            case "hours":
                return str(rng.randint(2, 9))
            case "number":
                return str(rng.randint(10, 45))
            case "flight":
                return str(rng.randint(101, 2999))
            case "gate":
                return f"{rng.choice('abcdef')}{rng.randint(1, 39)}"
            case "seat":
                return f"{rng.randint(1, 39)}{rng.choice('abcdef')}"
            case symbol:
                return _choose(rng, symbol)

    return " ".join(_SLOT.sub(fill, text).split())


def _write(rng: random.Random, label: str) -> MadeTweet:
    """Expand one tweet and dress it up: opening, ending, case, slang, emoji, handle."""
    found = _KIND.fullmatch(_choose(rng, label))
    assert found is not None  # noqa: S101 - the grammar's own lines
    core = _expand(rng, found["text"], rng.choice(_TOPICS))
    is_marked = core.endswith("/s")
    sentence = core.removesuffix("/s").rstrip()
    ending = _choose(rng, "ending" if label == "neutral" else "ending of opinion")
    if sentence[-1] not in ".?!":
        marks = (".", "!", "...") if ending != "<>" else (".", "!", "...", "")
        sentence += rng.choices(marks, (4, 2, 1, 4)[: len(marks)])[0]
    sentence = _choose(rng, "opening").replace("<>", sentence)
    sentence = _fill_free(rng, ending.replace("<>", sentence))
    if rng.random() < _SLANG_SHARE:
        sentence = _SLANG_WORDS.sub(lambda word: _SLANG[word[0]], sentence)
    elif rng.random() < _CAPITAL_SHARE:
        sentence = _capitalize(sentence)
    parts = [sentence]
    if is_marked:
        parts.append("/s")
    elif rng.random() < _EMOJI_SHARE:
        parts.append(_emoji(rng, label, found["kind"]))
    handle = _choose(rng, "handle")
    parts = [handle, *parts] if rng.random() < _HANDLE_FIRST_SHARE else [*parts, handle]
    return MadeTweet(" ".join(parts), label, found["kind"], core)


def _emoji(rng: random.Random, label: str, kind: str) -> str:
    if label == "neutral" or rng.random() < _PLAIN_EMOJI_SHARE:
        return _choose(rng, "plain face")
    smiles = label == "positive" or kind == "thanks"
    return _choose(rng, "happy" if smiles else "unhappy")


def _capitalize(text: str) -> str:
    text = re.sub(r"(^|[.!?] )([a-z])", lambda found: found[1] + found[2].upper(), text)
    return re.sub(r"\bi\b", "I", text)
