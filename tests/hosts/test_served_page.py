"""The page of `headscape serve` in Chromium: drawn layer by layer, asking its own server alone."""

import pytest
from tests.hosts.serving import serve

from headscape.trace.synthetic import example_trace

pytestmark = [pytest.mark.slow, pytest.mark.browser]

LAYERS = 9


@pytest.fixture
def served(built_viewer, tmp_path):
    example_trace(layers=LAYERS, heads=4).save(tmp_path / "a.headscape")
    example_trace(seed=1, decoder=True).save(tmp_path / "b <img src=x onerror=alert(1)>.headscape")
    found = serve(tmp_path, "--port", "0")
    yield found
    found.stop()


def told(host) -> str:
    """Return the line that says what is on the screen."""
    return host.page.locator(".status .counts").inner_text()


def slow_down(host, calls: list[str], held: dict) -> None:
    """Let calls through only while ``held`` says so; remember which were asked for."""

    def pass_on(route):
        calls.append(route.request.url.rsplit("/", 1)[1])
        if len(calls) > held["most"]:
            held["routes"].append(route)
        else:
            route.continue_()

    host.page.route("**/data/0/0/*", pass_on)


def test_layers_arrive_nearest_first_and_are_drawn_as_they_come(served, open_address):
    host = open_address(served.address)
    assert host.page.url == f"http://127.0.0.1:{served.port}/"
    calls, held = [], {"most": 3, "routes": []}
    slow_down(host, calls, held)
    host.page.get_by_role("link", name="a.headscape").click()
    said = f"3 of {LAYERS} layers loaded"
    first = host.wait_for_state(
        lambda state: said in told(host) and state["total"] > 0, "three layers, drawn"
    )
    assert calls[:3] == ["0", "1", "2"]
    held["most"] = LAYERS
    for route in held["routes"]:
        route.continue_()
    host.wait_for_state(lambda state: "layers loaded" not in told(host), "all layers")
    host.wait_for_state(lambda state: state["total"] > first["total"], "all layers, drawn")
    assert sorted(map(int, calls)) == list(range(LAYERS))
    assert host.complaints == []
    assert {url.split("/")[2] for url in host.requests if not url.startswith("data:")} == {
        f"127.0.0.1:{served.port}"
    }


def test_the_served_picture_is_the_offline_page_s(served, open_address, tmp_path):
    page = example_trace(layers=LAYERS, heads=4).to_html(tmp_path / "offline.html")
    offline = open_address(page.as_uri())
    wanted = offline.wait_for_state(lambda state: True, "the offline page")
    host = open_address(served.address)
    host.page.goto(f"{served.address.split('?')[0]}view/0", wait_until="commit")
    host.wait_for_state(lambda state: state["total"] == wanted["total"], "all edges")
    seen = host.states()[0]
    for name in ("shown", "total", "mass", "view", "threshold"):
        assert seen[name] == wanted[name], name


def test_another_example_and_a_selection_work_while_layers_arrive(served, open_address):
    host = open_address(served.address)
    host.page.goto(f"{served.address.split('?')[0]}view/0", wait_until="commit")
    host.wait_for_state(lambda state: True, "a picture")
    host.page.locator("nav.frames button").nth(1).click()
    host.wait_for_state(lambda state: state["frame"] == 1 and "layers loaded" not in told(host), "example 2")
    host.click_token(0, 0, 3)
    host.wait_for_state(lambda state: (state["selection"] or {}).get("kind") == "token", "a token selected")
    assert host.complaints == []


def test_a_server_that_went_away_is_said_in_the_page(served, open_address):
    host = open_address(served.address)
    calls, held = [], {"most": 2, "routes": []}
    slow_down(host, calls, held)
    host.page.goto(f"{served.address.split('?')[0]}view/0", wait_until="commit")
    host.wait_for_state(lambda state: f"2 of {LAYERS} layers loaded" in told(host), "two layers")
    served.stop()
    for route in held["routes"]:
        route.continue_()
    host.wait_for_state(lambda state: "The server does not answer" in told(host), "what went wrong")


def test_a_page_without_the_cookie_shows_nothing(served, open_address):
    host = open_address(served.address.split("?")[0])
    assert "token is missing" in host.page.locator("body").inner_text()


def test_another_site_s_page_can_neither_frame_nor_read_nor_run_it(served, open_address, tmp_path):
    outside = tmp_path / "outside.html"
    outside.write_text(
        f'<iframe src="{served.address}"></iframe><script src="{served.address.split("?")[0]}viewer.js">'
        "</script><script>globalThis.ran = typeof headscape; fetch('"
        f"{served.address}').then((a) => a.text()).then((t) => (globalThis.read = t)).catch(() => "
        "(globalThis.read = 'refused'));</script>"
    )
    host = open_address(served.address)  # the cookie is there
    host.page.wait_for_selector("a")
    host.page.goto(outside.as_uri(), wait_until="commit")
    assert host.wait_for(lambda: host.page.evaluate("() => globalThis.read"), "an answer") == "refused"
    assert host.page.evaluate("() => globalThis.ran") == "undefined"
    assert all("headscape" not in frame.content() for frame in host.page.frames[1:])
