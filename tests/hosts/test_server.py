"""The local server answers the person's own browser and nobody else (matrix rows 42 to 49)."""

import gzip
import re
import socket
import subprocess
import time

import psutil
import pytest
from tests.hosts.serving import COMMAND, PATIENCE_S, serve

from headscape.errors import FileError, OptionError
from headscape.trace.block import unpack
from headscape.trace.synthetic import example_trace
from headscape.view.serve import choose_hosts, listen
from headscape.view.server import find_files


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("traces")
    example_trace(layers=4).save(place / "a.headscape")
    example_trace(decoder=True, seed=1).save(place / "<b>.headscape")
    (place / "secret.txt").write_text("secret")
    return place


@pytest.fixture(scope="session")
def server(folder):
    found = serve(folder, "--port", "0")
    yield found
    found.stop()


def test_the_page_lists_the_files_by_number_and_escapes_their_names(server):
    status, head, body = server.ask("/")
    assert status == 200
    assert re.findall(r'href="([^"]+)"', body.decode())[1:] == ["/view/0", "/view/1"]
    assert b"&lt;b&gt;.headscape" in body
    assert b"<b>" not in body
    assert "content-security-policy: default-src 'none'; script-src 'self'; connect-src 'self'" in head


def test_head_and_calls_together_hold_what_the_whole_scene_holds(server, folder):
    from headscape.trace.file import load
    from headscape.view.scene import scene_block

    whole, meta = unpack(scene_block(load(folder / "a.headscape")))
    arrays, found = unpack(gzip.decompress(server.ask("/data/1/0")[2]))
    assert [call["site"] for call in found["calls"]] == [call["site"] for call in meta["calls"]]
    assert found["sides"] == meta["sides"]
    assert found["outputs"] == meta["outputs"]
    assert all(arrays[f"weight.{n}"].size == 0 for n in range(4))
    for n in range(4):
        part, said = unpack(gzip.decompress(server.ask(f"/data/1/0/{n}")[2]))
        assert said["calls"] == [meta["calls"][n]]
        for name in ("weight", "visible", "entropy", "flow", "value_norm"):
            assert (part[f"{name}.0"] == whole[f"{name}.{n}"]).all(), name


def test_row_42_without_the_right_token_nothing_is_told(server):
    for path in ("/", "/view/0", "/data/0", "/data/0/0", "/data/0/0/0", "/viewer.js", "/nothing"):
        for token in (None, "", "wrong", server.token[:-1], server.token + "a"):
            status, head, body = server.ask(path, token=token)
            assert status == 401, (path, token)
            assert b"headscape serve" in body
            assert "set-cookie" not in head
    assert server.ask("/data/0")[0] == 200


def test_row_42_the_token_of_the_address_becomes_a_cookie_and_leaves_the_address(server):
    status, head, _ = server.ask(f"/?token={server.token}", token=None)
    assert status == 303
    assert "location: /\r\n" in head + "\r\n"
    assert f"headscape-{server.port}={server.token.lower()}; httponly; samesite=strict; path=/" in head
    cookie = f"Cookie: other=1; headscape-{server.port}={server.token}"
    assert server.ask("/data/0", cookie, token=None)[0] == 200
    assert server.ask("/data/0", cookie[:-1], token=None)[0] == 401
    assert server.ask(f"/?token={server.token}&token=x", token=None)[0] == 401


def test_a_token_never_redirects_to_another_host(server):
    assert "location: /\r\n" in server.ask(f"//evil.example/?token={server.token}", token=None)[1] + "\r\n"


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:{port}.evil", "127.0.0.1:1", "a b", ""],
)
def test_row_43_another_name_in_the_host_header_is_refused(server, host):
    status, _, body = server.ask("/", host=host.format(port=server.port) or " ")
    assert status in (400, 403)
    assert b"a.headscape" not in body


def test_row_43_two_host_headers_or_none_are_refused(server):
    port, token = server.port, server.token
    for lines in (
        f"Host: 127.0.0.1:{port}\r\nHost: 127.0.0.1:{port}\r\n",
        f"Host: evil.example\r\nHost: 127.0.0.1:{port}\r\n",
        "",
    ):
        answer = server.send(
            f"GET / HTTP/1.1\r\n{lines}X-Headscape-Token: {token}\r\nConnection: close\r\n\r\n".encode()
        )
        assert answer.split(b" ")[1] in (b"400", b"403"), lines


def test_localhost_is_a_name_of_this_machine(server):
    assert server.ask("/", host=f"LOCALHOST:{server.port}")[0] == 200


@pytest.mark.parametrize(
    "header",
    [
        "Origin: http://evil.example",
        "Origin: null",
        "Origin: http://127.0.0.1:{port}.evil",
        "Origin: http://127.0.0.1:{port}/",
        "Origin: https://127.0.0.1:{port}",
        "Origin: http://localhost:{port}",
        "Origin: http://127.0.0.1:{port}\r\nOrigin: http://evil.example",
        "Sec-Fetch-Site: cross-site",
        "Sec-Fetch-Site: same-site",
    ],
)
def test_row_44_what_another_site_asks_is_refused_even_with_the_token(server, header):
    assert server.ask("/data/0", header.format(port=server.port))[0] == 403


def test_row_44_our_own_page_may_ask(server):
    own = f"Origin: http://127.0.0.1:{server.port}"
    assert server.ask("/data/0", own, "Sec-Fetch-Site: same-origin")[0] == 200


def test_row_44_a_websocket_is_refused(server):
    status, _, _ = server.ask(
        "/", "Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Origin: http://evil.example",
    )  # fmt: skip
    assert status == 403


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND"])
def test_row_45_the_server_can_only_be_read(server, folder, method):
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert server.ask("/data/0", "Content-Type: text/plain", "Content-Length: 0", method=method)[0] == 405
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


@pytest.mark.parametrize(
    "path",
    [
        "/../secret.txt", "/data/../../secret.txt", "/%2e%2e/secret.txt", "/data/%2e%2e%2fsecret.txt",
        "//etc/passwd", "/data//etc/passwd", "/data/0/../../secret.txt", "/data/0%00", "/%00", "/secret.txt",
        "/data/secret.txt", "/data/-1", "/data/2", "/data/0/2", "/data/0/0/99", "/data/0/0/0/0", "/view/7",
        "/data/" + "9" * 100, "/data/" + "9" * 5000, "/" + "a" * 60_000, "/static/viewer.js", "/docs",
    ],
)  # fmt: skip
def test_row_46_no_path_reaches_anything_but_the_numbered_files(server, path):
    status, _, body = server.ask(path)
    assert status in (400, 404)
    assert b"secret" not in body.replace(b"secret.txt", b"")
    assert b"root:" not in body


def test_row_46_ranges_are_refused_at_once(server):
    parts = ",".join(f"{n}-{n}" for n in range(10_000))
    begun = time.monotonic()
    assert server.ask("/data/0/0/0", f"Range: bytes={parts}")[0] in (400, 416, 431)
    assert server.ask("/data/0/0/0", "Range: bytes=0-1")[0] == 416
    assert time.monotonic() - begun < 5


def test_row_47_no_page_may_be_framed_and_no_type_guessed(server):
    for path, token in [
        ("/", "right"),
        ("/view/0", "right"),
        ("/data/0", "right"),
        ("/", None),
        ("/x", "right"),
    ]:
        head = server.ask(path, token=token)[1]
        assert "frame-ancestors 'none'" in head, path
        assert "x-content-type-options: nosniff" in head
        assert "x-frame-options: deny" in head
        assert "cache-control: no-store" in head
        assert "server:" not in head


def test_row_48_a_host_that_others_can_reach_must_be_asked_for_twice(folder, capsys):
    with pytest.raises(OptionError, match=r"other machines.*--expose"):
        choose_hosts("0.0.0.0", is_exposed=False)
    with pytest.raises(OptionError, match="other machines"):
        choose_hosts("192.168.1.5", is_exposed=False)
    with pytest.raises(OptionError, match="--allowed-host"):
        choose_hosts("0.0.0.0", is_exposed=True)
    assert choose_hosts("192.168.1.5", is_exposed=True)[0] == "192.168.1.5"
    assert choose_hosts("0.0.0.0", is_exposed=True, allowed_hosts=["lab.example"])[0] == "lab.example"


def test_row_48_on_the_command_line_too_and_the_token_stays(folder):
    command = [*COMMAND, "serve", str(folder), "--host", "0.0.0.0", "--no-open"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert done.returncode == 1
    assert "--expose" in done.stderr
    exposed = serve(folder, "--host", "0.0.0.0", "--expose", "--allowed-host", "lab.example", "--port", "0")
    try:
        assert "Warning" in exposed.printed
        assert exposed.ask("/", host=f"lab.example:{exposed.port}", token=None)[0] == 401
        assert exposed.ask("/", host=f"lab.example:{exposed.port}")[0] == 200
        assert exposed.ask("/", host=f"other.example:{exposed.port}")[0] == 403
    finally:
        exposed.stop()


def test_row_49_a_port_in_use_is_passed_over_and_two_servers_keep_apart(server, folder):
    second = serve(folder / "a.headscape", "--port", str(server.port))
    try:
        assert server.port < second.port <= server.port + 20
        assert second.ask("/", token=server.token)[0] == 401
        assert server.ask("/data/0")[0] == second.ask("/data/0")[0] == 200
    finally:
        second.stop()


def test_row_49_where_no_port_is_free_that_is_said():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 65535))
        taken.listen()
        with pytest.raises(FileError, match="--port"):
            listen("127.0.0.1", 65535)


def test_row_49_a_viewer_that_hangs_up_leaves_nothing_behind(server):
    own = f"Host: 127.0.0.1:{server.port}\r\nX-Headscape-Token: {server.token}"
    request = f"GET /viewer.js HTTP/1.1\r\n{own}\r\n\r\n"
    process = psutil.Process(server.process.pid)
    for _ in range(60):
        server.send(request.encode(), read=1)
    for _ in range(100):
        left = [c for c in process.net_connections() if c.status != psutil.CONN_LISTEN]
        if not left:
            break
        time.sleep(0.1)
    assert left == []
    assert server.ask("/data/0")[0] == 200


def test_a_folder_gives_its_traces_and_no_links(tmp_path):
    with pytest.raises(FileError, match=r"holds no \.headscape file"):
        find_files(tmp_path)
    with pytest.raises(FileError, match="no file or folder"):
        find_files(tmp_path / "absent")
    example_trace().save(tmp_path / "a.headscape")
    (tmp_path / "b.headscape").symlink_to(tmp_path / "a.headscape")
    (tmp_path / "c.headscape").mkdir()
    assert find_files(tmp_path) == [tmp_path / "a.headscape"]


def test_a_file_that_is_no_trace_is_said_and_the_others_go_on(tmp_path):
    example_trace().save(tmp_path / "a.headscape")
    (tmp_path / "b.headscape").write_bytes(b"\x80\x04pickle")
    found = serve(tmp_path, "--port", "0")
    try:
        status, _, body = found.ask("/data/1")
        assert status == 500
        assert b"not a headscape trace" in body
        assert found.ask("/data/0")[0] == 200
    finally:
        found.stop()
