"""A receiver of webhooks: a real HTTP or HTTPS server that answers as scripted, and remembers what it was sent."""

import ssl
import threading
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import msgspec
from standardwebhooks import Webhook as Verifier


@dataclass(frozen=True)
class Reply:
    """An answer. It waits for `gate`, if there is one, before it is given."""

    status: int = 204
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""
    gate: threading.Event | None = None


@dataclass(frozen=True)
class Received:
    """One request: header names in lower case."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    @property
    def message_id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> Any:
        return msgspec.json.decode(self.body)

    def verified_by(self, secret: str) -> Any:
        """The event, if the library of Standard Webhooks takes it as signed with that secret."""
        return Verifier(secret).verify(self.body, dict(self.headers))


@dataclass
class Receiver:
    """Gives the next reply of the script, and 204 when there is none."""

    scheme: str
    port: int
    received: list[Received] = field(default_factory=list)
    script: deque[Reply] = field(default_factory=deque)
    otherwise: Reply = field(default_factory=Reply)

    def url(self, host: str = "127.0.0.1") -> str:
        return f"{self.scheme}://{host}:{self.port}/hook?token=t"

    def answer(self, *statuses: int, **headers: str) -> None:
        """What the next requests get."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.script.extend(Reply(status, named) for status in statuses)

    @property
    def ids(self) -> Sequence[str]:
        return [received.message_id for received in self.received]

    def take(self, received: Received) -> Reply:
        reply = self.script.popleft() if self.script else self.otherwise
        self.received.append(received)
        if reply.gate is not None:
            reply.gate.wait(30)
        return reply


@contextmanager
def receiving(tls: ssl.SSLContext | None = None) -> Iterator[Receiver]:
    """A receiver on a free port of the loopback interface."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            headers = {name.lower(): value for name, value in self.headers.items()}
            reply = receiver.take(Received(self.path, headers, self.rfile.read(length)))
            self.send_response(reply.status)
            for name, value in reply.headers.items():
                self.send_header(name, value)
            if reply.status not in {204, 304}:
                self.send_header("Content-Length", str(len(reply.body)))
            self.end_headers()
            try:
                self.wfile.write(reply.body)
            except OSError:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            """Nothing: the test's output is not the place."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *_: object) -> None:
            """A client that hangs up is no fault of the test."""

    server = Server(("127.0.0.1", 0), Handler)
    if tls is not None:
        server.socket = tls.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    receiver = Receiver("http" if tls is None else "https", server.server_port)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield receiver
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
