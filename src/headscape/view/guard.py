"""Who may ask the local server: a browser on this machine that was handed the token, and nobody else.

A web page from anywhere can send requests to this machine, and can make its own name point here. So each
request must carry the token, must name this server as its host, and must not come from another site's page.
"""

import secrets
from collections.abc import Awaitable, Callable, Collection, MutableMapping
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

TOKEN_HEADER = b"x-headscape-token"
# Requests that a browser says it makes for the person ("none") or for our own page.
_OWN_SITES = {b"none", b"same-origin"}
# Our longest path has some forty letters.
_LONGEST_PATH = 200
_POLICY = (
    "default-src 'none'; script-src 'self'; connect-src 'self'; img-src data: blob:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = [
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"x-frame-options", b"DENY"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
]


class Guard:
    """Lets through what the person's own browser asks, and answers everything else itself.

    Decisions rest on the raw path and the raw headers: what a framework makes of them has been fooled before.

    Parameters
    ----------
    app : ASGI application
        Answers what is let through.
    token : str
        What a request must know.
    hosts : collection of str
        Host names that the server answers to, without port.
    port : int
        The server's port.
    """

    def __init__(self, app: App, *, token: str, hosts: Collection[str], port: int) -> None:
        self._app = app
        self._token = token.encode()
        self._hosts = {f"{host}:{port}".lower().encode() for host in hosts}
        if port == 80:
            self._hosts |= {host.lower().encode() for host in hosts}
        # Cookies do not know ports: two servers on this machine must not overwrite each other's.
        self._cookie = f"headscape-{port}"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one connection."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # the server has no WebSocket; closing before it is open is a refusal
            await receive()
            await send({"type": "websocket.close", "code": 1008})
            return
        refused = self._refuse(scope)
        if refused is not None:
            await _answer(send, *refused)
            return
        if self._is_token(_query_token(scope)):
            cookie = f"{self._cookie}={self._token.decode()}; HttpOnly; SameSite=Strict; Path=/"
            place = [(b"location", b"/"), (b"set-cookie", cookie.encode())]
            await _answer(send, 303, "The token is kept; go on without it in the address.", place)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", []), *_HEADERS]
            await send(message)

        await self._app(scope, receive, send_guarded)

    def _refuse(self, scope: Scope) -> tuple[int, str] | None:
        """Return status and reason if the request may not pass."""
        found: dict[bytes, list[bytes]] = {}
        for name, value in scope["headers"]:
            found.setdefault(name.lower(), []).append(value)
        hosts = found.get(b"host", [])
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            return 403, "This server answers only to its own name. Open the address that it printed."
        origins = found.get(b"origin", [])
        if origins and (len(origins) > 1 or origins[0].lower() != b"http://" + hosts[0].lower()):
            return 403, "Another site's page may not ask this server."
        if any(site not in _OWN_SITES for site in found.get(b"sec-fetch-site", [])):
            return 403, "Another site's page may not ask this server. Open the address by hand."
        if scope["method"] not in ("GET", "HEAD"):
            return 405, "This server can only be read."
        if len(scope.get("raw_path") or scope["path"]) > _LONGEST_PATH:
            return 404, "There is no such page."
        if b"range" in found:
            return 416, "Parts of a file are not served."
        if not self._knows_token(scope, found):
            return 401, "The token is missing or wrong. Open the address that `headscape serve` printed."
        return None

    def _knows_token(self, scope: Scope, found: dict[bytes, list[bytes]]) -> bool:
        given = [_query_token(scope), *found.get(TOKEN_HEADER, [])]
        for header in found.get(b"cookie", []):
            try:
                cookie = SimpleCookie(header.decode("latin-1")).get(self._cookie)
            except CookieError:
                continue
            given.append(cookie.value.encode("latin-1", "replace") if cookie else None)
        return any(self._is_token(one) for one in given)

    def _is_token(self, given: bytes | None) -> bool:
        return secrets.compare_digest(given or b"", self._token)


def _query_token(scope: Scope) -> bytes | None:
    query = scope.get("query_string", b"").decode("latin-1")
    try:
        values = parse_qs(query, max_num_fields=8).get("token", [])
    except ValueError:
        return None
    return values[0].encode("latin-1", "replace") if len(values) == 1 else None


async def _answer(
    send: Send, status: int, text: str, headers: list[tuple[bytes, bytes]] | None = None
) -> None:
    body = f"{text}\n".encode()
    kind = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await send(
        {
            "type": "http.response.start",
            "status": status,
            "headers": [*kind, *_HEADERS, *(headers or [])],
        }
    )
    await send({"type": "http.response.body", "body": body})
