import pytest
from hypothesis import given
from hypothesis import strategies as st

from headscape.draw.words import EMPTY, MISSING, clean_text, has_letter


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("crew", "crew"),
        ("", EMPTY),
        ("\u200b\u202e", EMPTY),
        ("  ", "\u2423\u2423"),
        (" the", "the"),
        ("a\nb", "a\\nb"),
        ("\0", MISSING),
        ("\ud800x", MISSING + "x"),
        ("\u202eevil", "evil"),
        ("e" + "\u0301" * 50, "e\u0301\u0301"),
        ("abcdefghijklmnopq", "abcdefghijklmno\u2026"),
        ("abcdefghijklmnop", "abcdefghijklmnop"),
        ("$x$", "$x$"),
    ],
)
def test_matches_what_a_reader_should_see(text, shown):
    assert clean_text(text) == shown


def test_a_megabyte_is_cut_without_being_read():
    assert clean_text("ab" * 500_000, most=5) == "abab\u2026"
    assert clean_text("\u200b" * 1_000_000 + "x") == EMPTY


@given(st.text(alphabet=st.characters(), max_size=400), st.integers(2, 40))
def test_any_text_is_drawable_and_short(text, most):
    shown = clean_text(text, most=most)
    assert shown
    assert shown == EMPTY or len([c for c in shown if c not in "\u0300"]) <= 3 * most
    assert all(has_letter(letter) for letter in shown)
    shown.encode("utf-8")
