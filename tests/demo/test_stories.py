"""The small Llama: files, tokenizer and numbers against a plain NumPy account of the same model."""

import os
import struct

import numpy as np
import pytest
import torch
from tests.demo.made_up_llama import SHAPE, made_up, write_files

from headscape.demo.llama import Llama, LlamaShape, continue_text, draw_token
from headscape.demo.pieces import BEGIN, END, load_pieces
from headscape.demo.stories import PIECES_NAME, WEIGHTS_NAME, load_checkpoint, load_stories
from headscape.errors import FileError, FormatError
from headscape.intercept.run import capture


def numpy_scores(tensors, ids, shape=SHAPE):
    """Work out the scores in float64, one token, one head and one pair of numbers at a time."""
    w = {name: tensor.astype(np.float64) for name, tensor in tensors.items()}
    size, group = shape.head_width, shape.heads // shape.key_heads

    def norm(x, gain):
        return x / np.sqrt((x * x).mean(-1, keepdims=True) + 1e-5) * gain

    def turned(vector, place):
        out = vector.copy()
        for i in range(0, size, 2):
            angle = place * 10000 ** (-i / size)
            turn = np.exp(1j * angle) * (vector[i] + 1j * vector[i + 1])
            out[i], out[i + 1] = turn.real, turn.imag
        return out

    x = w["emb"][ids]
    weights = np.zeros((shape.layers, shape.heads, len(ids), len(ids)))
    for n in range(shape.layers):
        h = norm(x, w["norm1"][n])
        q, k, v = (h @ w[name][n].T for name in "qkv")
        mixed = np.zeros_like(x)
        for head in range(shape.heads):
            mine = slice(head * size, head * size + size)
            shared = slice(head // group * size, head // group * size + size)
            for row in range(len(ids)):
                query = turned(q[row, mine], row)
                dots = np.array([query @ turned(k[col, shared], col) for col in range(row + 1)])
                share = np.exp(dots / np.sqrt(size))
                share /= share.sum()
                weights[n, head, row, : row + 1] = share
                mixed[row, mine] = share @ v[: row + 1, shared]
        x = x + mixed @ w["o"][n].T
        h = norm(x, w["norm2"][n])
        gate = h @ w["gate"][n].T
        x = x + (gate / (1 + np.exp(-gate)) * (h @ w["up"][n].T)) @ w["down"][n].T
    return norm(x, w["norm"]) @ w.get("head", w["emb"]).T, weights


IDS = [BEGIN, 264, 261, 260, 7, 262, 265]


@pytest.mark.parametrize("tied", [True, False])
def test_scores_and_attention_are_those_of_a_plain_account(tmp_path, tied):
    tensors = made_up(tied=tied)
    model = load_stories(write_files(tmp_path, tensors, tied=tied)).model
    with capture(model) as run, torch.no_grad():
        scores = model(torch.tensor([IDS]))[0]
    wanted, weights = numpy_scores(tensors, IDS)
    np.testing.assert_allclose(scores, wanted, atol=2e-4 * np.abs(wanted).max())
    for call in run.trace.calls:
        assert call.has_values
        np.testing.assert_allclose(call.weights(), weights[call.layer], atol=2e-5)


def test_padding_behind_a_text_changes_nothing_and_is_seen_as_padding(tmp_path):
    model = load_stories(write_files(tmp_path, made_up())).model
    ids = torch.tensor([IDS, [*IDS[:4], 0, 0, 0]])
    with capture(model) as run, torch.no_grad():
        both = model(ids, lengths=torch.tensor([7, 4]))
        alone = model(torch.tensor([IDS[:4]]))
    torch.testing.assert_close(both[1, :4], alone[0], rtol=1e-5, atol=1e-5)
    padded = run.traces[0].padded(1).tolist()
    assert padded == [False] * 4 + [True] * 3
    assert not run.traces[0].padded(0).any()
    assert run.traces[0].outputs.class_ids[1].tolist() == alone[0, -1].topk(5).indices.tolist()


def test_a_cache_gives_the_text_that_reading_all_again_gives(tmp_path):
    model = load_stories(write_files(tmp_path, made_up())).model
    slow = list(IDS)
    with torch.no_grad():
        for _ in range(6):
            slow.append(int(model(torch.tensor([slow]))[0, -1].argmax()))
    assert continue_text(model, IDS, 6) == slow
    cache = []
    with torch.no_grad():
        parts = [model(torch.tensor([IDS[a:b]]), cache=cache) for a, b in ((0, 3), (3, 6), (6, 7))]
        whole = model(torch.tensor([IDS]))
    torch.testing.assert_close(torch.cat(parts, 1), whole, rtol=1e-5, atol=1e-5)


def test_a_text_ends_at_the_models_longest_and_before_a_stop(tmp_path):
    model = load_stories(write_files(tmp_path, made_up())).model
    whole = continue_text(model, IDS, 1000)
    assert len(whole) == SHAPE.longest
    stop = whole[len(IDS) + 2]
    assert continue_text(model, IDS, 9, stop=frozenset([stop])) == whole[: whole.index(stop, len(IDS))]


def test_a_seed_draws_the_same_text_and_leaves_the_users_generator_alone(tmp_path):
    model = load_stories(write_files(tmp_path, made_up())).model
    before = torch.get_rng_state()
    first, again, other = (continue_text(model, IDS, 12, top_p=1.0, seed=seed) for seed in (1, 1, 2))
    assert first == again != other
    assert torch.equal(torch.get_rng_state(), before)


def test_only_the_likeliest_that_hold_top_p_are_drawn():
    scores = torch.tensor([0.1, 0.6, 0.05, 0.25]).log()
    generator = torch.Generator().manual_seed(0)
    assert {draw_token(scores, 0.7, generator) for _ in range(200)} == {1, 3}
    assert {draw_token(scores, 0.5, generator) for _ in range(50)} == {1}
    assert {draw_token(scores, 1.0, generator) for _ in range(500)} == {0, 1, 2, 3}


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("", [BEGIN]),
        # the pair with the higher score is merged first: "ab" (-4) before " a" (-5), then " ab"
        ("ab", [BEGIN, 264]),
        ("aab", [BEGIN, 263, 262]),
        ("é", [BEGIN, 259, 265]),
        ("€", [BEGIN, 259, 3 + 0xE2, 3 + 0x82, 3 + 0xAC]),
        ("\n", [BEGIN, 259, 3 + 0x0A]),
    ],
)
def test_text_becomes_pieces_by_score_and_bytes_where_there_is_no_piece(tmp_path, text, ids):
    pieces = load_stories(write_files(tmp_path, made_up())).pieces
    assert pieces.encode(text) == ids
    assert pieces.decode(ids) == text


def test_labels_show_spaces_lines_and_lone_bytes(tmp_path):
    pieces = load_stories(write_files(tmp_path, made_up())).pieces
    shown = [pieces.label(n) for n in (0, BEGIN, END, 264, 261, 3 + 0x0A, 3 + 0xE2, 3 + 0x2E, 3, 259)]
    assert shown == ["[UNK]", "[BEGIN]", "[END]", "ab", "##b", "↵", "<E2>", ".", "<00>", "␣"]
    assert pieces.decode([BEGIN, 3 + 0xE2]) == "\ufffd"


def test_in_a_text_only_what_goes_on_with_a_word_is_marked(tmp_path):
    pieces = load_stories(write_files(tmp_path, made_up())).pieces
    quote, a, b, space, ab = 3 + ord('"'), 260, 261, 259, 264
    assert pieces.labels([BEGIN, ab, b, quote, a, b, space, b]) == [
        *("[BEGIN]", "ab", "##b", '"', "a", "##b", "␣", "b")
    ]


def test_text_that_cannot_be_encoded_is_refused(tmp_path):
    pieces = load_stories(write_files(tmp_path, made_up())).pieces
    with pytest.raises(FormatError, match="half of a character"):
        pieces.encode("\ud800")
    with pytest.raises(FormatError, match="20,001 characters"):
        pieces.encode("a" * 20_001)


def header(**changed):
    fields = {"width": 16, "hidden": 24, "layers": 2, "heads": 4, "key_heads": 2, "vocabulary": 270}
    return struct.pack("<7i", *({**fields, "longest": 32} | changed).values())


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "has 0 bytes"),
        (header(), "has 28 bytes, but a checkpoint with its header"),
        (header(width=0x616B3432), "its header gives width = 1634415666"),
        (header(layers=-1), "layers = -1"),
        (header(layers=2**31 - 1), "layers = 2147483647"),
        (header(key_heads=5), "key heads = 5"),
        (header(key_heads=3), "cannot be shared by 4 heads over 3"),
        (header(width=20), "cannot be shared"),
        (header(vocabulary=0), "vocabulary = 0"),
        (header(longest=0), "context = 0"),
        (header(hidden=2**26, layers=128, width=2**26), "bytes, but a checkpoint with its header"),
    ],
)
def test_a_bad_checkpoint_is_refused_before_anything_is_made_of_it(tmp_path, content, says):
    path = tmp_path / "bad.bin"
    path.write_bytes(content)
    with pytest.raises(FormatError, match=says):
        load_checkpoint(path)


def test_a_checkpoint_that_is_cut_off_longer_or_damaged_is_refused(tmp_path):
    path = write_files(tmp_path, made_up()) / WEIGHTS_NAME
    whole = path.read_bytes()
    for other in (whole[:-1], whole + b"\0"):
        path.write_bytes(other)
        with pytest.raises(FormatError, match="cut off"):
            load_checkpoint(path)
    path.write_bytes(whole[:1000] + struct.pack("<f", float("nan")) + whole[1004:])
    with pytest.raises(FormatError, match="not finite"):
        load_checkpoint(path)


def test_a_tokenizer_of_another_model_is_refused(tmp_path):
    path = write_files(tmp_path, made_up()) / PIECES_NAME
    whole = path.read_bytes()
    for other in (whole[:-1], whole + b"\0", whole[:4], b"", whole[:8] + struct.pack("<i", -5) + whole[12:]):
        path.write_bytes(other)
        with pytest.raises(FormatError, match="no tokenizer of 270 tokens"):
            load_pieces(path, 270)
    path.write_bytes(whole)
    with pytest.raises(FormatError, match="no tokenizer of 271"):
        load_pieces(path, 271)


def test_missing_files_are_named(tmp_path):
    with pytest.raises(FileError, match=rf"weights cannot be read from .*{WEIGHTS_NAME}: No such file"):
        load_stories(tmp_path)
    write_files(tmp_path, made_up())
    (tmp_path / PIECES_NAME).unlink()
    with pytest.raises(FileError, match=rf"tokenizer cannot be read from .*{PIECES_NAME}: No such file"):
        load_stories(tmp_path / WEIGHTS_NAME)


REAL = pytest.mark.skipif("HEADSCAPE_STORIES" not in os.environ, reason="HEADSCAPE_STORIES names no folder")


@REAL
def test_the_real_models_attention_is_that_of_transformers_with_the_same_weights():
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    stories = load_stories(os.environ["HEADSCAPE_STORIES"])
    ours, shape = stories.model, stories.model.shape
    config = transformers.LlamaConfig(
        vocab_size=shape.vocabulary, hidden_size=shape.width, intermediate_size=shape.hidden,
        num_hidden_layers=shape.layers, num_attention_heads=shape.heads, num_key_value_heads=shape.key_heads,
        rms_norm_eps=1e-5, tie_word_embeddings=True, attn_implementation="eager",
    )  # fmt: skip
    theirs = transformers.LlamaForCausalLM(config).eval()
    theirs.load_state_dict(dict(as_transformers(ours)))
    ids = torch.tensor([continue_text(ours, [BEGIN], 100)])
    with capture(ours, keep="all") as run, torch.no_grad():
        scores = ours(ids)
        wanted = theirs(ids, output_attentions=True)
    torch.testing.assert_close(scores, wanted.logits, rtol=0, atol=2e-4)
    for call, weights in zip(run.trace.calls, wanted.attentions, strict=True):
        np.testing.assert_allclose(call.weights(), weights[0], atol=2e-5)


def as_transformers(model):
    """Return the weights under the other library's names; it turns halves, so pairs are put apart."""
    parts = {
        "attention_norm": "input_layernorm",
        "feed_forward_norm": "post_attention_layernorm",
        "attention.queries": "self_attn.q_proj",
        "attention.keys": "self_attn.k_proj",
        "attention.values": "self_attn.v_proj",
        "attention.out": "self_attn.o_proj",
        "feed_forward.gate": "mlp.gate_proj",
        "feed_forward.up": "mlp.up_proj",
        "feed_forward.down": "mlp.down_proj",
    }
    yield "model.embed_tokens.weight", model.embedding.weight
    yield "lm_head.weight", model.embedding.weight
    yield "model.norm.weight", model.norm.weight
    for number, layer in enumerate(model.layers):
        for name, other in parts.items():
            weight = layer.get_submodule(name).weight
            if other in ("self_attn.q_proj", "self_attn.k_proj"):
                pairs = weight.view(-1, model.shape.head_width // 2, 2, model.shape.width)
                weight = pairs.transpose(1, 2).reshape(weight.shape)
            yield f"model.layers.{number}.{other}.weight", weight


@REAL
def test_the_real_model_tells_its_published_story():
    stories = load_stories(os.environ["HEADSCAPE_STORIES"])
    text = stories.pieces.decode(continue_text(stories.model, [BEGIN], 40))
    assert text.startswith(
        "Once upon a time, there was a little girl named Lily. She loved to play outside in the park."
    )


def test_the_model_has_as_many_numbers_as_its_file():
    shape = LlamaShape(64, 172, 5, 8, 4, 512, 512)
    assert sum(p.numel() for p in Llama(shape).parameters()) == 260_032
