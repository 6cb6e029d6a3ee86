"""Names of roles: planted heads get theirs, and heads that do nothing in particular get none."""

import numpy as np
import pytest
import torch
from tests.analysis.planted import looking_at, planted_trace, uniform
from torch import nn

from headscape.analysis.heads import measure_heads
from headscape.analysis.patterns import copies, shifted
from headscape.analysis.roles import NARROW_ROLES, UNKNOWN, WIDE_ROLES, find_roles
from headscape.errors import OptionError
from headscape.intercept.run import capture

S = 40
RNG = np.random.default_rng(0)
SENTENCE = "the cat saw , a dog and the fish ate cat food .".split()  # noqa: SIM905
WORDS = ["[CLS]", *(SENTENCE * 3)[:38], "[SEP]"]


def shares(pattern, share=0.9):
    """Return rows that put ``share`` on a pattern and the rest everywhere, or all everywhere."""
    count = pattern.sum(-1, keepdims=True)
    on = share * pattern / np.maximum(count, 1)
    return on + (1 - on.sum(-1, keepdims=True)) / pattern.shape[1]


def planted_heads():
    keys = np.arange(S)
    kinds = {
        "first token": np.tile(keys == 0, (S, 1)),
        "separator": np.tile(keys == S - 1, (S, 1)),
        "punctuation": np.tile(np.isin(WORDS, [",", "."]), (S, 1)),
        "duplicate": copies(WORDS),
        "induction": shifted(copies(WORDS)),
        "local": np.abs(keys[:, None] - keys) <= 2,
    }
    heads = {
        "previous token": looking_at(-1, S),
        "next token": looking_at(1, S),
        "same token": looking_at(0, S),
        **{name: shares(pattern.astype(float)) for name, pattern in kinds.items()},
        "uniform": uniform(S)[0, 0],
        "broad": shares(RNG.random((S, S)) < 0.5, 0.9),
        "mixed": np.eye(S)[RNG.integers(0, S, S)],
    }
    half = shares(kinds["first token"] * 1.0, 0.5) + shares(kinds["separator"] * 1.0, 0.5) - 1 / S
    heads["special tokens"] = half * 0.55 + 0.45 / S
    return heads


def test_planted_heads_get_their_names():
    heads = planted_heads()
    roles = find_roles(planted_trace(np.stack(list(heads.values()))[None], tokens=WORDS))
    assert [role.name for role in roles] == list(heads)
    assert len(roles) == len(heads)
    assert all(len(role.name) <= 16 for role in roles)
    first = roles.of(0, 0)
    assert (str(first), first.share, first.rows, first.texts) == ("previous token, 100%", 1.0, S - 1, 1)
    assert first.evidence == "100% on the previous token (chance 2.5%), 39 rows of 1 text"
    assert [role.is_named for role in roles][-5:] == [True, False, False, False, True]


def test_names_fit_a_thumbnail():
    names = [*NARROW_ROLES.values(), *(name for name, _ in WIDE_ROLES.values()), *UNKNOWN]
    assert max(map(len, names)) <= 16


def test_short_texts_name_no_head_until_there_are_enough_of_them():
    head = looking_at(-1, 3)[None, None]
    one = find_roles(planted_trace(head)).of(0, 0)
    assert one.name == "too little text"
    assert "3 rows" in one.evidence
    many = find_roles([planted_trace(head)] * 50).of(0, 0)
    assert (many.name, many.texts, many.rows) == ("previous token", 50, 100)
    even = find_roles([planted_trace(uniform(3))] * 50).of(0, 0)
    assert (even.name, even.share) == ("uniform", pytest.approx(1))


def test_a_role_needs_rows_of_its_own():
    words = ["again", *map(str, range(S - 2)), "again"]  # two rows have a copy
    weights = shares(copies(words).astype(float), 1.0)[None, None]
    stats = measure_heads(planted_trace(weights, tokens=words))
    assert (stats["duplicate"].item(), stats.rows["duplicate"].item()) == (1.0, 2)
    assert find_roles(stats).of(0, 0).name == "broad"
    assert find_roles(stats, fewest_rows=2).of(0, 0).name == "duplicate"


def test_luck_on_few_keys_is_not_a_role():
    # 1000 heads whose rows look at one of two keys by chance, on 12 texts of two tokens
    heads = np.eye(2)[RNG.integers(0, 2, (12, 1000, 2))]
    stats = measure_heads(planted_trace(heads))
    lifted = [(np.nan_to_num(stats.lift(name)) > 0.3).sum() for name in ("first", "same")]
    assert min(lifted) > 50  # by lift alone many would be named
    assert not any(role.is_named for role in find_roles(stats))


def test_rows_of_one_key_do_not_make_a_head_look_at_the_first_token():
    causal = find_roles([planted_trace(uniform(2, causal=True), mask="causal")] * 40).of(0, 0)
    assert (causal.name, causal.rows) == ("uniform", 40)
    single = find_roles([planted_trace(np.ones((1, 1, 1, 1)))] * 40).of(0, 0)
    assert (single.name, single.rows, str(single)) == ("too little text", 0, "too little text")


@pytest.mark.parametrize("causal", [False, True])
def test_a_model_with_random_weights_gets_no_role(causal):
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(64, 8, 128, batch_first=True)
    model = nn.TransformerEncoder(layer, 3, enable_nested_tensor=False).eval()
    for parameter in model.parameters():
        if parameter.dim() > 1:
            nn.init.xavier_uniform_(parameter)
    words = nn.Embedding(100, 64)(torch.randint(0, 100, (6, 40)))
    mask = nn.Transformer.generate_square_subsequent_mask(40) if causal else None
    with capture(model, tokens=[[str(n) for n in range(40)]] * 6, keep="all") as run, torch.no_grad():
        model(words, mask=mask, is_causal=causal)
    roles = find_roles(run.traces)
    assert len(roles) == 24
    assert {role.name for role in roles} <= {"uniform", "broad", "mixed"}


def test_lists_of_keys_judge_what_they_can_and_say_the_rest():
    heads = planted_heads()
    trace = planted_trace(np.stack(list(heads.values()))[None], tokens=WORDS, k=5)
    found = dict(zip(heads, (role.name for role in find_roles(trace)), strict=True))
    kept = {"first token", "separator", "punctuation", "special tokens", "uniform", "broad"}
    assert {name for name in heads if found[name] == name} == kept
    assert {found[name] for name in set(heads) - kept} <= {"not judged", "first token"}
    assert found["previous token"] == found["mixed"] == "not judged"
    assert any('keep="all"' in sentence for sentence in find_roles(trace).missing)


def test_mixed_says_so_where_some_roles_could_not_be_judged():
    weights = np.eye(S)[RNG.integers(0, S, S)][None, None]
    plain, labelled = (find_roles(planted_trace(weights, tokens=words)).of(0, 0) for words in (None, WORDS))
    assert (plain.name, labelled.name) == ("mixed", "mixed")
    assert plain.evidence.startswith("of what could be judged, no more than ")
    assert labelled.evidence.startswith("no more than ")


def test_roles_are_found_by_call_and_number_and_printed():
    trace = planted_trace(uniform(S, heads=2), looking_at(0, S)[None, None])
    roles = find_roles(trace)
    assert roles.of(trace.calls[1], 0) is roles.of(1, 0) is roles.of(-1, 0)
    assert (roles.of(1, 0).layer, roles.of(1, 0).head, roles.of(1, 0).name) == (1, 0, "same token")
    assert roles.counts() == {"uniform": 2, "same token": 1}
    table = roles.table()
    assert table[0] == ("layer", "head", "role", "share", "chance", "evidence")
    assert table[3][:5] == ("1", "0", "same token", "100%", "2.5%")
    assert {len(line) for line in table} == {6}
    with pytest.raises(OptionError, match="1 of head"):
        roles.of(1, 1)
    with pytest.raises(OptionError, match="2 of call"):
        roles.of(7, 0)
    with pytest.raises(OptionError, match="named=1"):
        find_roles(trace, named=1)


def test_the_limits_are_the_callers():
    weights = shares(np.tile(np.arange(S) == 0, (S, 1)) * 1.0, 0.2)[None, None]
    trace = planted_trace(weights)
    assert find_roles(trace).of(0, 0).name == "broad"
    assert find_roles(trace, named=0.15).of(0, 0).name == "first token"
    assert find_roles(trace, fewest_rows=S + 1).of(0, 0).name == "too little text"
