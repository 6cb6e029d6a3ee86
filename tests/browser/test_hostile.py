"""Names and tokens that mean no good, in every view: shown as text, nothing runs, nothing falls over."""

import csv
import json
from io import StringIO
from itertools import pairwise

import numpy as np
import pytest

from headscape.trace.call import AttentionCall
from headscape.trace.measure import Facts, gather_rows
from headscape.trace.sides import Side
from headscape.trace.synthetic import example_trace
from headscape.trace.trace import Trace
from headscape.view.page import Frame, write_page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

HOSTILE = (
    "</script><script>window.pwned=1</script>",
    "<img src=x onerror=window.pwned=1>",
    "<!--<script>",
    "]]><svg onload=window.pwned=1>",
    "javascript:window.pwned=1",
    "line\u2028separator\u2029",
    "\0\x1b[31m",
    "\u202egnirts\u202c",
    "\u2066isolate",
    "\u200b\ufeff",
    "👩‍👩‍👧‍👦",
    "e\u0301\u0302\u0303\u0304",
    "<0xE2>",
    "مرحبا بالعالم",
    "שלום",
    "a\ud800",
    "\udfff",
    "",
    "   ",
    "=cmd|'/C calc'!A0",
    "{{7*7}}${7*7}",
    '"quoted", and\r\nbroken',
    "__proto__",
    "constructor",
)
# Letters that reorder, hide or end what stands around them.
APPLY = "state => globalThis.headscapeViews[0].apply(state)"
UNSEEN = "\0\x1b\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u2028\u2029\n\r"
TEXTS = """() => {
  const texts = [];
  const walk = (node) => {
    for (const one of node.childNodes) {
      if (one.nodeType === 3) texts.push(one.data);
      for (const name of one.getAttributeNames?.() ?? []) texts.push(one.getAttribute(name));
      walk(one);
    }
  };
  walk(document.getElementById('headscape').shadowRoot);
  return JSON.stringify([document.title, ...texts]);
}"""


@pytest.fixture
def hostile_page(tmp_path):
    """Write a page all of whose names are hostile; return the path and the trace."""
    trace = example_trace(layers=2, tokens=HOSTILE)
    object.__setattr__(trace.outputs, "class_names", HOSTILE[:3])
    frames = [Frame(trace, n, label=HOSTILE[n], truth=HOSTILE[1]) for n in range(2)]
    return write_page(frames, tmp_path / "x.html", title=HOSTILE[0], note=HOSTILE[1]), trace


def check_nothing_ran(opened) -> None:
    assert opened.page.evaluate("() => typeof window.pwned") == "undefined"
    assert opened.page.locator("img, iframe, object, embed, svg:not(.topology > svg)").count() == 0
    assert opened.page.locator("script").count() <= 2
    opened.check_behaved()


def test_every_view_panel_and_tip_shows_names_as_text(open_page, hostile_page):
    path, _ = hostile_page
    opened = open_page(path)
    names = opened.page.get_by_role("group", name="view").get_by_role("button").all_inner_texts()
    assert len(names) >= 4
    for name in names:
        opened.page.get_by_role("group", name="view").get_by_role("button", name=name, exact=True).click()
        for token in range(len(HOSTILE)):
            opened.page.evaluate(
                APPLY, {"selection": {"kind": "token", "side": 0, "token": token, "plane": 0}}
            )
            shown = opened.page.locator(".panel h3").text_content()
            assert shown == (
                HOSTILE[token].encode("utf-16", "surrogatepass").decode("utf-16", "replace")
                or "(empty string)"
            )
        opened.page.evaluate(
            "() => globalThis.headscapeViews[0].apply({selection: {kind: 'answer', answer: 0}})"
        )
        opened.page.evaluate(APPLY, {"selection": None})
        box = opened.page.locator(".centre").bounding_box()
        for across in range(2, 9):
            opened.page.mouse.move(box["x"] + across * box["width"] / 10, box["y"] + box["height"] / 2)
        opened.page.wait_for_timeout(50)
        check_nothing_ran(opened)
    assert opened.page.title() == " ".join(HOSTILE[0].split())
    assert opened.page.locator("h1").inner_text() == HOSTILE[0]


def test_invisible_letters_are_made_visible_in_labels_and_reorder_nothing(open_page, hostile_page):
    path, _ = hostile_page
    opened = open_page(path)
    for word in opened.page.locator(".word bdi").all():
        assert not set(word.text_content()) & set(UNSEEN)
        assert word.text_content().strip() != ""
        assert word.evaluate("one => getComputedStyle(one).unicodeBidi") == "isolate"
    # A word of letters from right to left leaves its neighbours in their places.
    boxes = [word.bounding_box() for word in opened.page.locator(".word").all()]
    for a, b in pairwise(boxes):
        assert b["y"] > a["y"] + 5 or b["x"] >= a["x"] + a["width"] - 1
    described = json.loads(opened.page.evaluate(TEXTS))
    spoken = [text for text in described if "receives" in text]
    assert spoken
    for text in spoken:
        assert not set(text) & set("\u202a\u202b\u202d\u202e\u2028\u2029")
        assert text.count("\u2068") == text.count("\u2069")


def test_the_csv_and_the_clipboard_hold_the_tokens_and_no_formula(open_page, hostile_page):
    path, trace = hostile_page
    opened = open_page(path)
    opened.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    opened.page.evaluate(
        "() => globalThis.headscapeViews[0].apply({view: 'table', direction: 'forward', slider: 1})"
    )
    with opened.page.expect_download() as wanted:
        opened.page.get_by_role("button", name="CSV", exact=True).click()
    name = wanted.value.suggested_filename
    assert not set(name) & set('<>:/\\|?*"\0 ')
    text = wanted.value.path().read_bytes().decode("utf-8")
    rows = list(csv.DictReader(StringIO(text, newline=""), strict=True))
    assert len(rows) == opened.state()["shown"]
    for row in rows:
        for side in ("query", "key"):
            token = trace.tokens()[int(row[f"{side}_position"])]
            said = token.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            assert row[side] == (
                f"'{said}" if said[:1] in ("=", "+", "-", "@", "\t", "\r") and said else said
            )
            assert not row[side].startswith(("=", "+", "-", "@"))
    opened.page.get_by_role("button", name="Copy", exact=True).click()
    opened.page.locator(".unseen[aria-live]", has_text="copied").wait_for(state="attached")
    copied = opened.page.evaluate("() => navigator.clipboard.readText()")
    assert copied.replace("\r\n", "\n").replace("\0", "") == text.replace("\r\n", "\n").replace("\0", "")


@pytest.mark.parametrize("title", ["../../x", "CON", "<b>x</b>", "a\0b", "", "\u202e", "x" * 5000])
def test_a_title_is_text_and_a_safe_file_name(open_page, tmp_path, title):
    opened = open_page(write_page(example_trace(layers=1), tmp_path / "x.html", title=title))
    assert opened.page.locator("h1 *").count() == 0
    opened.page.evaluate(APPLY, {"view": "table"})
    with opened.page.expect_download() as wanted:
        opened.page.get_by_role("button", name="CSV", exact=True).click()
    name = wanted.value.suggested_filename
    stem = name.removesuffix(".csv")
    assert name.endswith(".csv")
    assert stem.upper() not in {"CON", "NUL", "AUX", "PRN"}
    assert len(name) < 100
    assert name.isascii()
    assert not name.startswith((".", "-"))
    assert not set(name) & set('<>:/\\|?*"\0 ')


def test_one_token_of_a_megabyte_is_cut_and_said_so(open_page, tmp_path):
    tokens = ("a", "x" * 1_000_000, "b")
    path = write_page(example_trace(layers=1, tokens=tokens), tmp_path / "x.html")
    assert path.stat().st_size < 1_000_000
    opened = open_page(path)
    assert "1,000,000 characters" in opened.page.locator(".panel").inner_text()
    opened.page.evaluate(
        "() => globalThis.headscapeViews[0].apply({selection: {kind: 'token', side: 0, token: 1, plane: 0}})"
    )
    assert len(opened.page.locator(".panel").inner_text()) < 3000
    assert len(opened.page.locator(".word").nth(1).text_content()) < 20
    opened.page.evaluate("() => globalThis.headscapeViews[0].apply({view: 'table', slider: 1})")
    assert max(len(cell) for cell in opened.page.locator(".table td").all_inner_texts()) < 40
    opened.page.get_by_role("searchbox", name="filter the edges").fill("xxx")
    assert opened.page.locator(".table tbody tr").count() > 0
    opened.check_behaved()


def long_trace(length: int, queries: int = 8) -> Trace:
    """Make a trace of a long text whose last tokens attend to all of it, as with a cache."""
    weights = np.random.default_rng(0).dirichlet(np.ones(length), (1, 1, queries)).astype(np.float32)
    visible = np.full((1, 1, queries), length, np.int32)
    none = np.zeros((1, length), bool)
    norms, flow = np.ones((1, 1, length), np.float32), np.ones((1, 4, queries), np.float32)
    shape = (1, 1, queries, length)
    rows = gather_rows([(0, weights, visible)], shape, 4, Facts(none[:, :queries], none, norms, flow))
    call = AttentionCall("attn", "attn", 0, "self", "sdpa", 0, 0, 0, shape, rows, 0.0)
    words = tuple(f"w{n}" for n in range(length))
    return Trace((call,), (Side("tokens", length, 2, (words,)),), None, (), "Long", None)


def test_a_hundred_thousand_tokens_open_or_are_refused_with_a_sentence(open_page, tmp_path):
    opened = open_page(write_page(long_trace(100_000), tmp_path / "x.html"))
    fault = opened.page.locator("[role=alert]:visible")
    if fault.count():
        assert "at most" in fault.inner_text()
    else:
        assert opened.page.locator(".word").count() <= 800
        assert "find the rest" in opened.page.locator(".strip").inner_text()
        opened.page.evaluate(APPLY, {"view": "table"})
        opened.page.get_by_role("searchbox", name="filter the edges").fill("w99999")
        assert opened.page.locator(".table tbody tr").count() > 0
    opened.check_behaved()


NO_WEBGL = """
const real = HTMLCanvasElement.prototype.getContext;
HTMLCanvasElement.prototype.getContext = function (kind, ...rest) {
  return kind.startsWith("webgl") ? null : real.call(this, kind, ...rest);
};
"""


def test_without_webgl_a_message_leads_to_the_table(chromium, tmp_path):
    path = write_page(example_trace(layers=2), tmp_path / "x.html")
    context = chromium.new_context(offline=True, viewport={"width": 1280, "height": 800})
    page = context.new_page()
    errors = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.add_init_script(NO_WEBGL)
    page.goto(path.as_uri())
    page.locator("#headscape[data-ready=true]").wait_for()
    fault = page.get_by_role("alert").filter(visible=True)
    assert "WebGL" in fault.inner_text()
    fault.get_by_role("button", name="Show the table").click()
    assert page.locator(".table tbody tr").count() > 5
    page.locator(".table tbody td").nth(4).click()
    assert "weight, query → key" in page.locator(".panel").inner_text()
    page.get_by_role("button", name="3D", exact=True).click()
    assert "WebGL" in page.get_by_role("alert").filter(visible=True).inner_text()
    assert errors == []
    context.close()
