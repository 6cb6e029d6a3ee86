"""A `headscape serve` that runs, asked as browsers and others would."""

import re
import socket
import subprocess
import sys
from dataclasses import dataclass

PATIENCE_S = 60
COMMAND = [sys.executable, "-c", "from headscape.cli.main import main; main()"]


@dataclass
class Server:
    """A server that runs, and what it printed."""

    port: int
    token: str
    process: subprocess.Popen
    printed: str

    @property
    def address(self) -> str:
        """The address that opens the page."""
        return f"http://127.0.0.1:{self.port}/?token={self.token}"

    def stop(self) -> None:
        """End the server."""
        if self.process.poll() is None:
            self.process.terminate()
        self.process.wait(PATIENCE_S)
        self.process.stdout.close()

    def send(self, request: bytes, read: int = 10_000_000) -> bytes:
        """Send bytes as they are; return what comes back before the server hangs up."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=PATIENCE_S) as line:
            line.sendall(request)
            answer = b""
            while len(answer) < read and (part := line.recv(65536)):
                answer += part
        return answer

    def ask(self, path: str, *headers: str, method: str = "GET", host: str | None = None, token="right"):
        """Ask as a browser would; return status, headers as one text, and body."""
        lines = [
            f"{method} {path} HTTP/1.1",
            f"Host: {host or f'127.0.0.1:{self.port}'}",
            "Connection: close",
        ]
        if token is not None:
            lines.append(f"X-Headscape-Token: {self.token if token == 'right' else token}")
        answer = self.send("\r\n".join([*lines, *headers, "", ""]).encode("latin-1"))
        head, _, body = answer.partition(b"\r\n\r\n")
        return int(head.split(b" ")[1]), head.decode("latin-1").lower(), body


def serve(path, *options: str) -> Server:
    command = [*COMMAND, "serve", str(path), "--no-open", *options]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, encoding="utf-8"
    )
    printed = ""
    for line in process.stdout:
        printed += line
        found = re.search(r"http://[^:]+:(\d+)/\?token=(\S+)", line)
        if found:
            return Server(int(found[1]), found[2], process, printed)
    raise AssertionError(f"the server did not start: {printed}")
