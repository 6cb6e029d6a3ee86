"""Starting the local server: where it listens, whom it answers, and the address that opens it."""

import contextlib
import ipaddress
import os
import secrets
import socket
from collections.abc import Callable, Sequence

from headscape.errors import FileError, MissingExtraError, OptionError
from headscape.view.guard import Guard
from headscape.view.server import find_files, make_app

try:
    import uvicorn
except ImportError:
    raise MissingExtraError(
        "uvicorn is not installed; the local server needs it. Run: pip install 'headscape[serve]'. Without "
        "it, `headscape view FILE` writes an offline page."
    ) from None

LOOPBACK = "127.0.0.1"
DEFAULT_PORT = 8770
# Ports that are tried, one after the other, where the first is in use.
_PORTS_TRIED = 20


def serve(
    path: str | os.PathLike[str],
    *,
    host: str = LOOPBACK,
    port: int = DEFAULT_PORT,
    is_exposed: bool = False,
    allowed_hosts: Sequence[str] = (),
    announce: Callable[[str], object] = lambda address: None,
) -> None:
    """Serve saved traces as a page, until interrupted.

    Nothing but this machine can reach the server, unless that is asked for twice; and nobody can read from
    it without the token in the address. Traces are read, never changed.

    Parameters
    ----------
    path : path
        A trace that ``trace.save()`` wrote, or a folder of them.
    host : str
        Address to listen on.
    port : int
        The first port to try; where it is in use, the next ones follow. 0: any.
    is_exposed : bool
        Must be set for a host that other machines can reach.
    allowed_hosts : sequence of str
        Names by which other machines call this one; needed to listen on all addresses.
    announce : callable
        Gets the address with its token, once the server listens.

    Raises
    ------
    OptionError
        The host can be reached from other machines and ``is_exposed`` is not set.
    FileError
        Nothing to serve, or no port is free.
    MissingExtraError
        starlette or uvicorn is not installed (raised when this module is imported).
    """
    files = find_files(path)
    hosts = choose_hosts(host, is_exposed=is_exposed, allowed_hosts=allowed_hosts)
    listener = listen(host, port)
    try:
        bound = listener.getsockname()[1]
        token = secrets.token_urlsafe(32)
        app = Guard(make_app(files), token=token, hosts=hosts, port=bound)
        # No access log: it would hold the token. No proxy headers: nobody may tell us who asks.
        config = uvicorn.Config(
            app, log_level="warning", access_log=False, proxy_headers=False, server_header=False,
            lifespan="off", ws="none", timeout_keep_alive=5, timeout_graceful_shutdown=1,
        )  # fmt: skip
        announce(f"http://{hosts[0]}:{bound}/?token={token}")
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listener])
    finally:
        listener.close()


def choose_hosts(host: str, *, is_exposed: bool, allowed_hosts: Sequence[str] = ()) -> list[str]:
    """Return the names that the server answers to, the one to open first.

    Raises
    ------
    OptionError
        Other machines could reach the server and nobody asked for that.
    """
    local = ["127.0.0.1", "localhost", "[::1]"]
    try:
        address = ipaddress.ip_address(host)
        is_loopback, is_any = address.is_loopback, address.is_unspecified
    except ValueError:
        is_loopback, is_any = host == "localhost", False
    if is_loopback:
        own = f"[{host}]" if ":" in host else host
        return [own, *(name for name in local if name != own), *allowed_hosts]
    if not is_exposed:
        raise OptionError(
            f"host {host} can be reached from other machines, and whoever has the address reads the traces, "
            "their texts included. Leave --host away and forward the port (ssh -L), or add --expose."
        )
    if is_any and not allowed_hosts:
        raise OptionError(
            f"host {host} stands for every address of this machine; say by which name it will be called, as "
            "in --allowed-host mymachine.example."
        )
    return [*allowed_hosts, *([] if is_any else [f"[{host}]" if ":" in host else host]), *local]


def listen(host: str, port: int) -> socket.socket:
    """Return a socket that listens on the port, or on the next free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for tried in range(port, port + (_PORTS_TRIED if port else 1)):
        listener = socket.socket(family, socket.SOCK_STREAM)
        if os.name != "nt":
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, tried))
            listener.listen(128)
        except (OSError, OverflowError) as error:
            listener.close()
            reason = str(error)
            continue
        return listener
    raise FileError(
        f"the server cannot listen on {host}, port {port} to {port + _PORTS_TRIED - 1}: {reason}. "
        "Name another with --port."
    )
