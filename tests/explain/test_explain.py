"""An explanation says what its parts found, of models of every shape, and says what it does not know."""

import base64
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from torch import nn

import headscape
from headscape.analysis.roles import find_roles
from headscape.draw.sheet.heads import LETTERS, table_of
from headscape.errors import LabelError, NoAttentionError, NotKeptError, OptionError
from headscape.explanation import explain as explaining
from headscape.explanation.content import by_layer, choose_rows, real_tokens, token_columns, token_shares
from headscape.probe.direct import direct
from headscape.probe.own_vector import own_vector
from headscape.trace.block import unpack
from headscape.trace.synthetic import example_trace


def drawn(model, seed=0, std=0.3):
    """Give a model weights large enough that every part matters, and return it in eval mode."""
    draw = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        nn.init.normal_(parameter, 0, std, generator=draw)
    return model.eval()


class Encoder(nn.Module):
    """Token ids to class scores, 0 is padding."""

    def __init__(self, classes=3):
        super().__init__()
        self.words = nn.Embedding(9, 12)
        layer = nn.TransformerEncoderLayer(12, 3, 20, batch_first=True, dropout=0.0, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.classify = nn.Linear(12, classes) if classes else nn.Identity()

    def forward(self, ids):
        padded = ids == 0
        states = self.encoder(self.words(ids), src_key_padding_mask=padded)
        if isinstance(self.classify, nn.Identity):
            return states
        kept = (~padded)[..., None]
        return self.classify((states * kept).sum(1) / kept.sum(1))


IDS = torch.tensor([[1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3], [8, 7, 6, 5, 4, 3, 2, 1, 0, 0, 0]])
TOKENS = [[f"w{i}" for i in row if i] for row in IDS.tolist()]
CLASSES = ("bad", "so-so", "good")


@pytest.fixture(scope="module")
def model():
    return drawn(Encoder())


@pytest.fixture(scope="module")
def page(model):
    return headscape.explain(model, IDS, tokens=TOKENS, texts=["up", "down"], classes=CLASSES)


def texts_in(figure, gid=None):
    found = figure.findobj(lambda artist: hasattr(artist, "get_text"))
    return [one.get_text() for one in found if gid is None or one.get_gid() == gid]


def artist(figure, gid):
    (found,) = figure.findobj(lambda one: one.get_gid() == gid)
    return found


def test_every_number_is_that_of_its_own_function(model, page):
    found = page.found
    alone = headscape.knock_out(model, IDS, heads="each")
    np.testing.assert_allclose(found.heads.change, alone.change, atol=1e-6)
    account = direct(model, IDS)
    np.testing.assert_allclose(found.direct.score, account.score, atol=1e-6)
    np.testing.assert_allclose(found.direct.heads(1), account.heads(1), atol=1e-6)
    judged = headscape.judge(None, model, IDS, curves=False)
    for name, rho in judged.spearman.items():
        np.testing.assert_allclose(found.judged.spearman[name], rho, atol=1e-3, err_msg=name)
    with headscape.capture(model, tokens=TOKENS, keep="all") as run:
        model(IDS)
    assert [role.name for role in found.roles] == [role.name for role in find_roles(run.trace)]


def test_shares_of_tokens_and_of_layers_both_add_up_to_the_score(page):
    account = page.found.direct
    for example in range(2):
        score = float(account.score[example])
        shares = by_layer(account, example)
        parts = shares.attention.sum() + np.nansum(shares.feed_forward) + shares.inputs + shares.offsets
        assert shares.is_exact
        assert parts == pytest.approx(score, abs=1e-4)
        tokens = token_shares(account, example)
        assert sum(tokens.values()) + shares.offsets == pytest.approx(score, abs=1e-4)
        assert all(tokens[0, token] == 0 for token in range(8, 11)) is (example == 1)


def test_a_token_adds_what_is_read_at_it_and_not_what_it_reads(page):
    account = page.found.direct
    shares = token_shares(account, 0)
    for token in range(11):
        read = sum(float(edges[0, :, query, token].sum()) for edges in account.edges for query in range(11))
        own = float(account.inputs[0][0, token])
        own += sum(float(part[0, token]) for part in account.feed_forward.values())
        assert shares[0, token] == pytest.approx(read + own, abs=1e-5)


def test_the_text_holds_the_numbers_of_the_parts(page):
    text = page.text()
    n = page.found.heads.ranked()[0]
    call, head = page.strongest(1)[0]
    (line,) = [one for one in text.splitlines() if one.startswith(f"layer {call} head {head} ")]
    assert f"{page.found.heads.change[n].mean():+.3f}" in line
    assert f"{np.abs(page.found.heads.change[n]).mean():.3f}" in line
    assert f"{page.found.direct.heads(call)[:, head].mean():+.3f}" in line
    name = page.found.judged.measures[0]
    rho, spread = page.found.judged.spearman[name].mean(), page.found.judged.spearman[name].std()
    assert f"{name:<22}{rho:>8.2f} ± {spread:.2f}" in text
    assert "example 1: up" in text
    assert "2 texts, 19 tokens" in text
    assert "Heads were removed one by one" in text
    best = page.found.trace.outputs.names(0)[0]
    assert f"({best} " in text


def test_the_caption_says_how_much_it_stands_on_and_by_what_means(page):
    caption = page.caption()
    call, head = page.strongest(1)[0]
    for said in (
        "6 heads in 2 layers, on 2 texts, 19 tokens",
        "the score (logit) of the model's best answer",
        "its output set to zero",
        f"layer {call} head {head} ",
        f"{page.found.direct.score[0]:.2f}; they add up",
        f"best: {page.found.judged.measures[0]} (",
    ):
        assert said in caption


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_figure_shows_these_very_numbers(page, theme):
    figure = page.figure(theme=theme)
    np.testing.assert_allclose(artist(figure, "heads").get_array(), table_of(page.changes()), rtol=1e-6)
    columns = token_columns(page.found, 0)
    for (title, _, values), axes in zip(columns, [a for a in figure.axes if a.get_title()], strict=True):
        assert axes.get_title() == title
        widths = [bar.get_width() for bar in axes.patches]
        np.testing.assert_allclose(widths, values, rtol=1e-5, atol=1e-7)
    judged = figure.axes[[a.get_xlabel()[:8] for a in figure.axes].index("Spearman")]
    assert [label.get_text() for label in judged.get_yticklabels()] == list(page.found.judged.measures)
    for name in page.found.judged.measures:
        dots = np.asarray(artist(figure, name).get_offsets())[:, 0]
        np.testing.assert_allclose(dots, page.found.judged.spearman[name])
    heights = [bar.get_height() for bar in bars_of(figure, "attention")]
    np.testing.assert_allclose(heights, by_layer(page.found.direct, 0).attention, rtol=1e-6)
    assert figure.get_size_inches().tolist() == [7.0, 9.2]


def test_every_head_has_the_letter_of_its_role_and_the_key_counts_them(page):
    roles = find_roles(example_trace(layers=2, heads=3, seed=3))
    names = [role.name for role in roles]
    assert len(set(names[:3])) > 1
    assert names[:3] != names[3:]
    figure = replace(page, found=replace(page.found, roles=roles)).figure()
    assert texts_in(figure, "role") == [LETTERS[name] for name in names]
    (key,) = texts_in(figure, "roles")
    for name, many in roles.counts().items():
        assert f"{LETTERS[name]} {name} {many}" in key


def bars_of(figure, gid):
    return figure.findobj(lambda one: one.get_gid() == gid and hasattr(one, "get_height"))


def _shown(text):
    return text.get_text() and text.get_visible()


@pytest.mark.parametrize("is_long", [False, True])
def test_no_words_of_the_figure_run_over_its_edge_or_over_each_other(page, model, monkeypatch, is_long):
    if is_long:
        ids = torch.randint(1, 9, (1, 40), generator=torch.Generator().manual_seed(5))
        labels = ["incomprehensibilities"[: 3 + n // 2] for n in range(40)]
        page = headscape.explain(model, ids, tokens=labels, texts=["a long text " * 20])
    figure, written = page.figure(), []
    draw = Text.draw
    monkeypatch.setattr(Text, "draw", lambda text, renderer: (written.append(text), draw(text, renderer))[1])
    FigureCanvasAgg(figure).draw()  # ticks outside the view are texts too, but not drawn
    boxes = [(text.get_text(), text.get_window_extent()) for text in written if _shown(text)]
    assert len(boxes) > 60
    paper = figure.bbox
    for n, (name, box) in enumerate(boxes):
        assert paper.x0 <= box.x0 <= box.x1 <= paper.x1, name
        assert paper.y0 <= box.y0 <= box.y1 <= paper.y1, name
        for other, against in boxes[:n]:
            assert not box.overlaps(against), (name, other)


def test_a_head_of_ones_own_choice_is_framed_and_its_bars_are_drawn(page):
    figure = page.figure(head=(1, 2))
    assert artist(figure, "strongest").get_xy() == (1.5, 0.5)
    assert any("layer 1, head 2" in text for text in texts_in(figure))
    bars = artist(figure, "bars-h0").get_segments()
    deaths = page.found.topology.layers[1].deaths[2]
    np.testing.assert_allclose([bar[1][0] for bar in bars], np.clip(1 - deaths, 1e-3, 1))
    with pytest.raises(OptionError, match="no call 2"):
        page.figure(head=(2, 0))


def test_a_class_can_be_explained_that_is_not_the_best_answer(model):
    found = headscape.explain(model, IDS, classes=CLASSES, target=1)
    np.testing.assert_allclose(found.found.heads.before, model(IDS)[:, 1].detach(), atol=1e-5)
    assert "'so-so'" in found.target
    assert any("best answer, not the target" in line for line in found.missing)


def test_a_model_that_answers_with_states_is_explained_by_its_similarity_to_itself():
    model = drawn(Encoder(classes=0))
    found = headscape.explain(model, IDS)
    with torch.no_grad():
        states = model(IDS)
    real = (IDS != 0)[..., None]
    lengths = ((states * real).sum(1) / real.sum(1)).norm(dim=-1)
    np.testing.assert_allclose(found.found.heads.before, lengths, rtol=1e-5)
    assert found.is_own
    assert "similarity to itself" in found.caption()
    with torch.no_grad():
        target = own_vector(model, IDS)
        copies = target(torch.cat([states, 2 * states]))
    np.testing.assert_allclose(copies, torch.cat([lengths, 2 * lengths]), rtol=1e-5)


class Decoder(nn.Module):
    """GPT-2's shape: causal, next-token scores."""

    def __init__(self):
        super().__init__()
        transformers = pytest.importorskip("transformers", reason="transformers is not installed")
        config = transformers.GPT2Config(
            vocab_size=11, n_positions=16, n_embd=12, n_layer=2, n_head=2, bos_token_id=0, eos_token_id=0
        )
        self.inner = transformers.GPT2LMHeadModel(config)

    def forward(self, ids):
        return self.inner(ids, use_cache=False).logits


def test_a_decoder_is_explained_by_its_next_token():
    model = drawn(Decoder())
    ids = torch.tensor([[1, 5, 2, 8, 3, 9, 4, 1, 5, 2, 8, 3]])
    found = headscape.explain(model, ids, tokens=[str(i) for i in ids[0].tolist()])
    with torch.no_grad():
        np.testing.assert_allclose(found.found.heads.before, model(ids)[0, -1].max()[None], rtol=1e-4)
    assert len(found.strongest(99)) == 4
    found.figure()


class Reader(nn.Module):
    """An encoder-decoder whose answer is a state."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Transformer(12, 2, 1, 2, 16, batch_first=True, dropout=0.0)

    def forward(self, source, target):
        return self.inner(source, target)


def test_cross_attention_has_rows_for_the_tokens_of_both_sides():
    model = drawn(Reader())
    draw = torch.Generator().manual_seed(3)
    source, target = torch.randn(1, 7, 12, generator=draw), torch.randn(1, 5, 12, generator=draw)
    found = headscape.explain(model, (source, target))
    assert {side for side, _ in real_tokens(found.found, 0)} == {0, 1}
    assert len(real_tokens(found.found, 0)) == 12
    labels = [t.get_text() for axes in found.figure().axes for t in axes.get_yticklabels()]
    assert labels.count("0") >= 2  # token 0 of either side
    assert "Roles of heads" in found.text()


def test_one_token_gives_sentences_and_no_numbers_that_mean_nothing(model):
    found = headscape.explain(model, torch.tensor([[3]]))
    assert {role.name for role in found.found.roles} == {"too little text"}
    assert any("only token" in line for line in found.missing)
    figure = found.figure()
    assert any("no bars" in text for text in texts_in(figure, "absent"))
    assert "nan" not in found.text().lower()


def test_a_model_without_attention_gives_a_sentence():
    with pytest.raises(NoAttentionError, match="attention"):
        headscape.explain(nn.Sequential(nn.Linear(4, 3)).eval(), torch.zeros(2, 4))


def test_what_a_measure_lacks_is_said_and_the_page_goes_on(model, monkeypatch):
    def none(*_, **__):
        raise NotKeptError("nothing was kept, on purpose.")

    monkeypatch.setattr(explaining, "find_routes", none)
    monkeypatch.setattr(explaining, "direct", none)
    found = headscape.explain(model, IDS)
    assert "routes: nothing was kept, on purpose." in found.missing
    assert "routes: nothing was kept, on purpose." in found.text()
    assert any("routes not known" in text for text in texts_in(found.figure()))
    assert "(b)" not in found.caption()


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"texts": ["one"]}, LabelError, "2 are needed"),
        ({"example": 2}, OptionError, "no example 2"),
        ({"by": "renormalise"}, OptionError, "'zero', 'mean'"),
        ({"exmple": 1}, OptionError, "Did you mean 'example'"),
        ({"target": 7}, OptionError, "class 7"),
    ],
)
def test_wrong_options_are_named(model, options, error, says):
    with pytest.raises(error, match=says):
        headscape.explain(model, IDS, **options)


def test_a_model_in_training_mode_is_refused():
    with pytest.raises(OptionError, match=r"model\.eval"):
        headscape.explain(Encoder().train(), IDS)


def test_of_too_many_tokens_the_weightiest_have_a_row_in_reading_order():
    known = [(0, token) for token in range(30)]
    values = np.zeros(30)
    values[[4, 9, 27]] = [0.1, -3, 1]
    rows = choose_rows(known, [("adds", "", values), ("none", "", None)], most=4)
    assert rows == [(0, 4), (0, 9), (0, 27)]
    assert choose_rows(known[:4], [("adds", "", values[:4])], most=4) == known[:4]


def test_the_page_and_a_live_knock_out_hold_the_same_numbers(page):
    request = {"options": {"heads": [(0, 1)], "by": "zero"}}
    live = page._ask(request)
    (n,) = [k for k, one in enumerate(page.found.heads.removals) if one.parts[0] == (0, 1)]
    np.testing.assert_allclose(live.change[0], page.found.heads.change[n], atol=1e-6)
    shown = page._shown()
    assert len(shown["knock_outs"]) == 2 * (6 + 11)
    assert shown["labels"] == ["up", "down"]


def test_a_script_that_shows_it_writes_the_page_with_roles_and_knock_outs(
    page, tmp_path, capsys, built_viewer
):
    page.show(path=tmp_path / "page.html")
    assert str(tmp_path / "page.html") in capsys.readouterr().out
    html = (tmp_path / "page.html").read_text(encoding="utf-8")
    packed = base64.b64decode(re.search(r'id="headscape-data">([^<]*)<', html)[1])
    meta = unpack(packed)[1]
    assert [frame["label"] for frame in meta["frames"]] == ["up", "down"]
    assert "best answer" in meta["note"]


def test_a_notebook_shows_the_figure_and_its_caption(page):
    shown = page._repr_html_()
    assert shown.startswith("<figure")
    assert "data:image/png;base64," in shown
    assert "6 heads in 2 layers" in shown
