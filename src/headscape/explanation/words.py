"""An explanation in words: the caption of its figure, and all findings as plain text."""

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

import numpy as np

from headscape.explanation.content import (
    by_layer,
    real_tokens,
    token_columns,
    token_labels,
    unit_of,
)

if TYPE_CHECKING:
    from headscape.explanation.explanation import Explanation

# Heads, tokens and measures listed in the text; the tables of the findings hold all.
MOST_HEADS, MOST_TOKENS, MOST_EXAMPLES = 10, 8, 8
# What no page of this kind can know.
LIMITS = (
    "Heads were removed one by one: heads that stand in for each other look unimportant alone.",
    "Roles say where heads look on these texts, not what the model needs them for.",
    "What a part adds directly leaves out what later parts make of it; knock-outs include that.",
)
WAYS = {"zero": "its output set to zero", "mean": "its output set to its mean over these inputs"}


def texts_of(page: "Explanation") -> str:
    """Return on how much the findings stand: ``"3 texts, 41 tokens"``."""
    many = page.found.trace.batch
    tokens = sum(len(real_tokens(page.found, example)) for example in range(many))
    word = "text" if page.texts else "example"
    return f"{many} {word}{'' if many == 1 else 's'}, {tokens:,} tokens"


def answer_of(page: "Explanation", example: int) -> str:
    """Return what the model answers for one example: a name and its share, or the score alone."""
    outputs, before = page.found.trace.outputs, page.found.heads.before
    score = "" if before is None else f"{unit_of(page)} {float(before[example]):.2f}"
    if outputs is None:
        return score
    name = outputs.texts(outputs.names(example)[:1])[0]
    share = f"{name} {float(outputs.probabilities[example, 0]):.0%}"
    return f"{share}, {score}" if score else share


def caption_of(page: "Explanation") -> str:
    """Return the caption of the page's figure; see :meth:`Explanation.caption`."""
    found, example = page.found, page.example
    trace, heads = found.trace, found.heads
    count = sum(call.shape[1] for call in trace.calls)
    top = heads.ranked()[0]
    call, head = page.strongest(1)[0]
    said = [
        f"{page.name}, {count} heads in {len(trace.calls)} layers, on {texts_of(page)}.",
        f"Score: {page.target}.",
        f"(a) Change of the score when a head is removed ({WAYS[heads.by]}), mean over examples; letters are "
        "roles named from where heads look. Framed: the head with the largest mean size of change, layer "
        f"{call} head {head} "
        f"({_change(page, top)}; {found.roles.of(call, head).name}).",
    ]
    if found.direct is not None:
        shares = by_layer(found.direct, example)
        how = "they add up to it" if shares.is_exact else "a first-order account, which need not add up"
        said.append(
            f"(b) What attention and feed-forward parts add directly to the score of example {example + 1} "
            f"({shares.score:.2f}; {how})."
        )
    if found.topology is not None:
        said.append(
            f"(c) Mean H0 bar of each head's token graph (distance 1 − weight), example {example + 1}."
        )
    routes = "" if found.routes is None else _routes(page)
    said.append(
        f"(d) Example {example + 1} ({answer_of(page, example)}): {routes}"
        "bars: what routes bring from each token, what the states at it add directly, and the change of the "
        "score when nobody attends to it (rows scaled back to 1)."
    )
    if found.judged.measures:
        name, rho, spread = page.correlations()[0]
        sure = f" ± {spread:.2f}, standard deviation over examples" if found.trace.batch > 1 else ""
        said.append(
            "(e) Spearman correlation of each measure of heads with the size of (a), one dot an example, "
            f"bar: mean; best: {name} ({rho:.2f}{sure})."
        )
    if found.topology is not None:
        said.append("(f) H0 and H1 bars of the framed head's token graph, and its components and cycles.")
    return " ".join(said)


def _routes(page: "Explanation") -> str:
    routes = page.found.routes
    if routes is None:
        return ""
    return (
        f"information-flow routes above {routes.tau:g} of a state bring {routes.mass:.0%} of the answer "
        "from the inputs; "
    )


def _change(page: "Explanation", n: int) -> str:
    heads = page.found.heads
    if heads.change is None:
        return f"output moves by {float(heads.output_change[n].mean()):.0%}"
    return f"{unit_of(page)} {float(heads.change[n].mean()):+.2f}"


def text_of(page: "Explanation") -> str:
    """Return all findings as text; see :meth:`Explanation.text`."""
    title = f"What each attention head of {page.name} is for"
    parts = [
        f"{title}\n{'=' * len(title)}\n{page!r}\nOn {texts_of(page)}. Score: {page.target}.",
        _section("Roles of heads", role_lines(page)),
        _section(f"Heads whose removal moves the {unit_of(page)} most", head_lines(page)),
        _section("What the answer is made of", layer_lines(page)),
        _section("Flow to the answer, by token", token_lines(page)),
        _section("Measures held against the knock-outs", judged_lines(page)),
        _section("Topology", topology_lines(page)),
        _section("What is not known", (*page.missing, *LIMITS)),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _section(title: str, lines: Iterable[str]) -> str:
    body = "\n".join(lines)
    return f"{title}\n{'-' * len(title)}\n{body}" if body else ""


def role_lines(page: "Explanation") -> Iterator[str]:
    """Return how many heads have each role, with the clearest one's evidence."""
    for name, many in page.found.roles.counts().items():
        own = [role for role in page.found.roles if role.name == name]
        best = max(own, key=lambda role: (np.nan_to_num(role.share), -role.layer))
        where = f"layer {best.layer} head {best.head}"
        yield f"{many:>3}  {name:<16} {'clearest ' if many > 1 else ''}{where}: {best.evidence}"


def head_rows(page: "Explanation", most: int = MOST_HEADS) -> list[tuple[str, str, str, str, str]]:
    """Return the strongest heads: name, size and mean of the score's change, direct share, role.

    They are in order of the size, the mean over examples of the change without its sign.
    """
    found, rows = page.found, []
    heads = found.heads
    for n in heads.ranked()[:most]:
        call, head = heads.removals[n].parts[0]
        change = "" if heads.change is None else f"{float(heads.change[n].mean()):+.3f}"
        direct = "" if found.direct is None else f"{float(found.direct.heads(call)[:, head].mean()):+.3f}"
        size = f"{float(heads.effect[n]):.3f}"
        rows.append((f"layer {call} head {head}", size, change, direct, str(found.roles.of(call, head))))
    return rows


def head_lines(page: "Explanation") -> Iterator[str]:
    """Return the strongest heads as lines of text."""
    yield f"{'head':<18}{'mean size':>10}{'mean change':>13}{'adds directly':>15}  role"
    for name, size, change, direct, role in head_rows(page):
        yield f"{name:<18}{size:>10}{change:>13}{direct:>15}  {role}"


def layer_lines(page: "Explanation") -> Iterator[str]:
    """Return what the parts of each layer add to the score of the drawn example."""
    if page.found.direct is None:
        return
    shares = by_layer(page.found.direct, page.example)
    yield f"example {page.example + 1}, {unit_of(page)} {shares.score:.3f}"
    yield f"{'first states':<18}{shares.inputs:>+10.3f}"
    for call, (attention, forward) in enumerate(zip(shares.attention, shares.feed_forward, strict=True)):
        behind = "" if np.isnan(forward) else f"   feed-forward {forward:+.3f}"
        yield f"{f'layer {call} attention':<18}{attention:>+10.3f}{behind}"
    total = shares.inputs + shares.offsets + np.nansum(shares.attention) + np.nansum(shares.feed_forward)
    yield f"{'learned offsets':<18}{shares.offsets:>+10.3f}"
    word = "adds up" if shares.is_exact else "first order, need not add up"
    yield f"{'sum':<18}{total:>+10.3f}   ({word})"


def token_lines(page: "Explanation") -> Iterator[str]:
    """Return for every example its answer and its weightiest tokens by each measure."""
    for example in range(min(page.found.trace.batch, MOST_EXAMPLES)):
        name = f": {page.texts[example]}" if page.texts else ""
        yield f"example {example + 1}{name} ({answer_of(page, example)})"
        labels, known = token_labels(page.found, example), real_tokens(page.found, example)
        for title, unit, values in token_columns(page.found, example):
            if values is None or (unit == "%" and example != page.example):
                continue
            order = np.argsort(-np.abs(values), kind="stable")[:MOST_TOKENS].tolist()
            form = "{:.0f} %" if unit == "%" else "{:+.3f}"
            listed = ", ".join(f"{labels[known[n]]} {form.format(values[n])}" for n in order)
            yield f"  {title:<22}{listed}"


def judged_rows(page: "Explanation") -> list[tuple[str, str, str]]:
    """Return each measure, its mean rank correlation with the knock-outs, and the spread over examples."""
    several = page.found.trace.batch > 1
    return [
        (name, "constant" if np.isnan(rho) else f"{rho:.2f}", f"± {spread:.2f}" if several else "")
        for name, rho, spread in page.correlations()
    ]


def judged_lines(page: "Explanation") -> Iterator[str]:
    """Return how well each measure foretells what knock-outs do."""
    yield f"Spearman correlation of {len(page.found.heads)} heads' measures with the size of their effects"
    for name, rho, spread in judged_rows(page):
        yield f"{name:<22}{rho:>8} {spread}".rstrip()


def topology_lines(page: "Explanation") -> Iterator[str]:
    """Return the topology of the drawn example, layer by layer."""
    topology = page.found.topology
    if topology is None:
        return
    yield f"example {page.example + 1}; H0 sum: 0 where one token draws all, tokens − 1 where nobody attends"
    for layer in topology.layers:
        sums, rank = layer.h0_sum, layer.curves.cycle_rank.max(-1)
        if not np.isfinite(sums).any():
            yield f"layer {layer.layer}: not known"
            continue
        low, high = int(np.nanargmin(sums)), int(np.nanargmax(sums))
        line = (
            f"layer {layer.layer}: H0 sum {np.nanmean(sums):.2f} (head {low} {sums[low]:.2f} to head {high} "
            f"{sums[high]:.2f}), cycle rank up to {int(np.nanmax(rank)):,}"
        )
        if layer.h1 is not None:
            known = [len(bars) for bars in layer.h1 if not bars.stopped]
            line += f", H1 bars {np.mean(known):.1f} a head" if known else ", H1 not known"
        yield line
