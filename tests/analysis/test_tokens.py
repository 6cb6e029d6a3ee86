"""Kinds of tokens by their labels."""

from headscape.analysis.tokens import marked, numbered, token_kinds


def test_names_of_special_tokens_follow_the_rule_and_bytes_and_stand_ins_do_not():
    special = [
        "[CLS]",
        "[SEP]",
        "[PAD]",
        "<s>",
        "</s>",
        "<pad>",
        "<bos>",
        "<|endoftext|>",
        "[BEGIN]",
        "<extra_id_0>",
    ]
    words = [
        "[MASK]",
        "[UNK]",
        "<unk>",
        "<mask>",
        "<0x0A>",
        "<E2>",
        "[",
        "<",
        "cls",
        "[1]",
        "",
        "<|",
        "[sic]",
    ]
    kinds = token_kinds([*special, *words])
    assert kinds.special.tolist() == [True] * len(special) + [False] * len(words)
    assert [label for label, is_one in zip(special, kinds.separator, strict=False) if is_one] == [
        "[SEP]", "</s>", "<|endoftext|>",
    ]  # fmt: skip


def test_punctuation_is_found_behind_the_tokenizers_signs():
    for labels in (
        ["the", "##ir", ".", "##,", "[SEP]"],
        ["\u0120the", "\u0120.", "?!", "\u0120a-b", "<s>"],
        ["\u2581the", "\u2581.", "…", "\u2581$", "<s>"],
    ):
        assert token_kinds(labels).punctuation.sum() == 2, labels
    assert token_kinds(["", " ", "$", "+", "a."]).punctuation.sum() == 0


def test_words_are_marked_with_and_without_the_tokenizers_signs():
    assert marked(["\u0120not", "not", "\u0120nothing"], {"not"}).tolist() == [True, True, False]
    assert marked([".", ",", ";"], [".", ","]).tolist() == [True, True, False]


def test_equal_labels_get_equal_numbers():
    assert numbered(["a", "b", "a", "c", "b"]).tolist() == [0, 1, 0, 2, 1]
