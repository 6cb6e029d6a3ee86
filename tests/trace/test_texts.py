"""Pieces of every common tokenizer read as a person writes them, and what is no such piece stays."""

import pytest

from headscape.trace.texts import piece_style, readable


def read(*pieces, is_text=True):
    return readable(pieces, piece_style(pieces), is_text=is_text)


@pytest.mark.parametrize(
    ("pieces", "texts"),
    [
        (["The", "Ġflight", "Ġunb", "earable", "."], ["The", "flight", "unb", "·earable", "."]),
        (["▁The", "▁fl", "ight", ",", "▁late"], ["The", "fl", "·ight", ",", "late"]),
        (
            ["[CLS]", "the", "fly", "##fly", "##ing", "[SEP]"],
            ["[CLS]", "the", "fly", "·fly", "·ing", "[SEP]"],
        ),
        (["the</w>", "fl", "ight</w>", "!</w>"], ["the", "fl", "·ight", "!"]),
        (["it", "'s", "Ġ(", "ok", ")"], ["it", "'s", "(", "ok", ")"]),
        (["Ġif", "ĊĊ", "ĠĠĠ", "Ġx", "Ċ"], ["if", "\n\n", "   ", "x", "\n"]),
        (["<s>", "▁a", "<0x0A>", "<0x41>", "<0xE2>", "▁"], ["<s>", "a", "\n", "A", "<E2>", " "]),
        (["Ġcaf", "Ã©", "Ġâ", "ĤÂ"], ["caf", "·é", "<E2>", "<82><C2>"]),
        (["ĠæĪĳ", "åĸľæ¬¢"], ["我", "喜欢"]),
        (["▁a\ud800", "▁b"], ["a\ud800", "b"]),
        (["<|endoftext|>", "Hello", "Ġ<", "b", ">"], ["<|endoftext|>", "Hello", "<", "b", ">"]),
    ],
)
def test_pieces_read_as_they_are_written(pieces, texts):
    assert read(*pieces) == texts


@pytest.mark.parametrize(
    "labels",
    [
        ["the", "flight", "was", "##"],
        ["Ġorġ", "is", "Maltese"],
        ["a", "#1", "C++", "<b>", ""],
        ["0", "1", "2"],
        ["\ud800", "\u202e", "\0"],
    ],
)
def test_labels_without_marks_stay(labels):
    assert read(*labels) == labels


def test_an_answer_without_its_space_goes_on_with_the_text():
    assert read("Ġflight", "flight", ".", "<|endoftext|>", is_text=False) == [
        "flight",
        "·flight",
        ".",
        "<|endoftext|>",
    ]


def test_a_word_and_the_piece_of_a_word_that_is_spelt_alike_differ():
    assert len(set(read("fly", "##fly", "butter", "##fly")[:2])) == 2
    assert len(set(read("Ġfly", "Ġbutter", "fly"))) == 3
