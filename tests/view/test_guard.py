"""The guard alone, without the web server before it, which refuses some of this too."""

import asyncio

import pytest

from headscape.view.guard import Guard

TOKEN, PORT = "t" * 43, 8770
OWN = [(b"host", b"127.0.0.1:8770"), (b"x-headscape-token", TOKEN.encode())]


def ask(headers, *, kind="http", method="GET", path="/", query=b"") -> list[dict]:
    """Return what the guard sends; the application behind it says 200."""

    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"inside"})

    sent = []

    async def send(message):
        sent.append(message)

    async def receive():
        return {"type": f"{kind}.connect"}

    scope = {"type": kind, "method": method, "path": path, "query_string": query, "headers": headers}
    guard = Guard(app, token=TOKEN, hosts=["127.0.0.1", "localhost"], port=PORT)
    asyncio.run(guard(scope, receive, send))
    return sent


def test_its_own_browser_comes_in():
    sent = ask(OWN)
    assert sent[0]["status"] == 200
    assert dict(sent[0]["headers"])[b"x-content-type-options"] == b"nosniff"


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ([*OWN, OWN[0]], 403),
        ([OWN[0], (b"host", b"evil.example"), OWN[1]], 403),
        ([(b"Host", b"evil.example"), OWN[1]], 403),
        ([OWN[1]], 403),
        ([*OWN, (b"origin", b"null")], 403),
        ([*OWN, (b"origin", b"http://127.0.0.1:8770"), (b"origin", b"http://127.0.0.1:8770")], 403),
        ([*OWN, (b"origin", b"http://127.0.0.1:8770.evil")], 403),
        ([*OWN, (b"sec-fetch-site", b"none"), (b"sec-fetch-site", b"cross-site")], 403),
        ([*OWN, (b"range", b"bytes=0-1")], 416),
        ([OWN[0], (b"x-headscape-token", "é".encode())], 401),
        ([OWN[0], (b"cookie", b"headscape-8771=" + TOKEN.encode())], 401),
        ([OWN[0], (b"cookie", b'headscape-8770="\\777; a=\xff')], 401),
        ([OWN[0], (b"cookie", b"headscape-8770=" + TOKEN.encode())], 200),
    ],
)
def test_the_raw_headers_decide(headers, status):
    assert ask(headers)[0]["status"] == status


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "get"])
def test_nothing_but_reading_comes_in(method):
    assert ask(OWN, method=method)[0]["status"] == 405


def test_a_websocket_is_closed_before_it_is_open_even_with_the_token():
    assert [message["type"] for message in ask(OWN, kind="websocket")] == ["websocket.close"]


def test_a_query_with_a_million_fields_knows_no_token():
    assert ask([OWN[0]], query=b"a=1&" * 100_000)[0]["status"] == 401
