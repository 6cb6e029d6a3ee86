"""The table of edges in a real browser: its rows are the trace's numbers, by mouse, by keys and as CSV."""

import csv
import time
from io import StringIO

import numpy as np
import pytest

from headscape.trace.synthetic import example_trace
from headscape.view.page import Frame, write_page

pytestmark = [pytest.mark.browser, pytest.mark.slow]

# Time in which a table of many rows is sorted and drawn on a busy machine of two cores.
PATIENCE_S = 3.0
ROUNDING = 6e-4
PIECES = ("<s>", "▁The", "▁fl", "ight", '▁"late",', "=1+1", "@you", "-", "\r\n", "▁مرحبا")


@pytest.fixture
def trace():
    return example_trace(layers=2, heads=2, tokens=PIECES)


@pytest.fixture
def table(open_page, trace, tmp_path):
    """Open the page's table with all edges, each direction by itself."""
    opened = open_page(write_page([Frame(trace, 0)], tmp_path / "x.html", title="a/b: <c>"))
    opened.page.evaluate(
        "() => globalThis.headscapeViews[0].apply({view: 'table', direction: 'forward', slider: 1})"
    )
    opened.page.get_by_role("grid").wait_for()
    return opened


def read_rows(opened) -> list[list[str]]:
    rows = opened.page.locator(".table tbody tr")
    return [rows.nth(n).locator("td").all_inner_texts() for n in range(rows.count())]


def saved_csv(opened) -> tuple[str, list[dict[str, str]]]:
    with opened.page.expect_download() as wanted:
        opened.page.get_by_role("button", name="CSV", exact=True).click()
    text = wanted.value.path().read_bytes().decode()
    return wanted.value.suggested_filename, list(csv.DictReader(StringIO(text, newline=""), strict=True))


def check_record(record: dict[str, str], trace) -> None:
    """Assert that a row of the CSV is what the trace says of its edge, to the last digit."""
    call = trace.calls[int(record["layer"])]
    head, q, k = (int(record[name]) for name in ("head", "query_position", "key_position"))
    weight = call.weights()[head, q, k]
    assert record["path"] == call.site
    assert np.float32(record["weight"]) == weight
    assert np.float32(record["lift"]) == np.float32(float(weight) * int(call.visible()[head, q]))
    assert float(record["contribution"]) == pytest.approx(float(call.contribution()[head, q, k]), rel=1e-6)
    if record["kind"] == "attention" and q != k:
        assert np.float32(record["reverse"]) == call.weights()[head, k, q]
    for place, name in ((q, "query"), (k, "key")):
        token = trace.tokens()[place]
        assert record[name] == (f"'{token}" if token[:1] in "=+-@\t\r" else token)


def test_the_csv_is_the_trace(table, trace):
    name, records = saved_csv(table)
    assert name.endswith(".csv")
    assert not set(name) & set('<>:/\\|?*" ')
    assert len(records) == table.state()["total"] == 2 * 2 * 2 * len(PIECES) ** 2
    for record in records:
        check_record(record, trace)
    table.check_behaved()


def test_the_rows_are_the_first_of_the_csv_in_every_order(table):
    for column in ("layer", "from", "weight", "lift", "kind"):
        for _ in range(2):
            table.page.get_by_role("columnheader", name=column).get_by_role("button").click()
            _, records = saved_csv(table)
            rows = read_rows(table)
            assert 10 < len(rows) < 60
            for row, record in zip(rows, records, strict=False):
                assert row[:2] == [record["layer"], record["head"]]
                assert row[2].endswith(f"#{record['query_position']}")
                assert float(row[4]) == pytest.approx(float(record["weight"]), rel=ROUNDING)
        header = table.page.get_by_role("columnheader", name=column)
        assert header.get_attribute("aria-sort") in ("ascending", "descending")
    assert table.page.locator("th[aria-sort]").count() == 1


def test_a_search_leaves_what_it_names_and_says_how_many(table):
    search = table.page.get_by_role("searchbox", name="filter the edges")
    search.fill("L1 H0 flight")
    assert read_rows(table) == []
    assert "0 found in 800 of 800 edges" in table.page.locator(".tools").inner_text()
    search.fill("L1 H0 value #3")
    _, records = saved_csv(table)
    assert len(records) == 2 * len(PIECES) - 1
    assert {(r["layer"], r["head"], r["kind"]) for r in records} == {("1", "0", "value")}
    assert all("3" in (r["query_position"], r["key_position"]) for r in records)
    search.press("Escape")
    assert search.input_value() == ""
    assert len(read_rows(table)) > 10


def test_keys_reach_every_row_and_select_it(table):
    grid = table.page.get_by_role("grid")
    assert grid.get_attribute("aria-rowcount") == "801"
    grid.focus()
    for key, row in (("ArrowDown", 1), ("PageDown", None), ("End", 799), ("ArrowUp", 798)):
        grid.press(key)
        active = table.page.locator(f"#{grid.get_attribute('aria-activedescendant')}")
        index = int(active.locator("xpath=..").get_attribute("aria-rowindex"))
        assert index == row + 2 if row is not None else index > 12
        assert active.is_visible()
    _, records = saved_csv(table)
    grid.focus()
    grid.press("Enter")
    state = table.wait_for(lambda s: s["selection"] is not None, "an edge is selected")
    edge = state["selection"]["edge"]
    wanted = records[798]
    assert [edge["query"], edge["key"]] == [int(wanted["query_position"]), int(wanted["key_position"])]
    assert table.page.locator("tr[aria-selected=true]").count() == 1
    assert (
        table.page.evaluate("() => document.activeElement.shadowRoot.activeElement.getAttribute('role')")
        == "grid"
    )
    for _ in range(2):
        grid.press("ArrowRight")
    grid.press("Enter")
    state = table.wait_for(lambda s: s["selection"]["kind"] == "token", "a token is selected")
    assert state["selection"]["token"] == int(wanted["query_position"])
    table.check_behaved()


def test_a_click_on_a_token_selects_it_and_elsewhere_the_edge(table):
    table.page.locator(".table tbody tr").nth(2).locator("td").nth(4).click()
    state = table.wait_for(lambda s: s["selection"] is not None, "an edge is selected")
    assert state["selection"]["kind"] == "edge"
    table.page.locator(".table tbody tr").nth(2).locator("td bdi").first.click()
    table.wait_for(lambda s: s["selection"]["kind"] == "token", "a token is selected")


def test_a_pair_of_passes_lists_the_biggest_movers_first(open_page, tmp_path):
    traces = [example_trace(layers=2, heads=2, seed=seed) for seed in (0, 1)]
    path = write_page([Frame(trace, 0, label=str(n)) for n, trace in enumerate(traces)], tmp_path / "x.html")
    opened = open_page(path)
    opened.page.evaluate(
        "() => globalThis.headscapeViews[0].apply({view: 'table', frame: 1, against: 0, slider: 1})"
    )
    opened.page.get_by_role("columnheader", name="before").wait_for()
    _, records = saved_csv(opened)
    sizes = [abs(float(record["change"])) for record in records]
    assert sizes == sorted(sizes, reverse=True)
    for record in records:
        place = tuple(int(record[name]) for name in ("head", "query_position", "key_position"))
        for name, trace in zip(("before", "after"), traces, strict=True):
            assert np.float32(record[name]) == trace.calls[int(record["layer"])].weights()[place]
    opened.check_behaved()


def test_a_table_of_very_many_rows_is_quick_and_reaches_the_last(open_page, tmp_path):
    trace = example_trace(layers=4, heads=4, tokens=[f"w{n}" for n in range(96)])
    opened = open_page(write_page([Frame(trace, 0)], tmp_path / "x.html"))
    opened.page.evaluate(
        "() => globalThis.headscapeViews[0].apply({view: 'table', direction: 'forward', slider: 1})"
    )
    grid = opened.page.get_by_role("grid")
    rows = int(grid.get_attribute("aria-rowcount")) - 1
    assert rows == opened.state()["total"] > 250_000
    start = time.perf_counter()
    opened.page.get_by_role("columnheader", name="weight").get_by_role("button").click()
    opened.page.get_by_role("searchbox", name="filter the edges").fill("w1")
    opened.page.get_by_role("searchbox", name="filter the edges").fill("")
    grid.press("End")
    assert time.perf_counter() - start < PATIENCE_S
    assert opened.page.locator(".table tbody tr").count() < 60
    assert opened.page.locator(f"tr[aria-rowindex='{rows + 1}']").is_visible()
    opened.page.mouse.move(600, 400)
    before = opened.page.locator(".table tbody tr").first.get_attribute("aria-rowindex")
    opened.page.mouse.wheel(0, -2000)
    opened.page.wait_for_timeout(200)
    assert int(opened.page.locator(".table tbody tr").first.get_attribute("aria-rowindex")) < int(before)
