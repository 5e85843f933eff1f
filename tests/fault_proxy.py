"""A TCP proxy that fails on script, for any protocol in which a client asks and a server answers.

An *exchange* begins with the first bytes of a client after the connection opened or after the server last spoke.
Each exchange takes the next fault of the script; when the script is empty, bytes pass unharmed.
"""

import contextlib
import selectors
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

BLOCK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Pass:
    """Let one exchange through."""


@dataclass(frozen=True, slots=True)
class Cut:
    """Close the connection after `after` bytes of the answer; with `reset` by RST instead of FIN."""

    after: int
    reset: bool = False


@dataclass(frozen=True, slots=True)
class Stall:
    """Pass `after` bytes of the answer, then nothing more, with the connection left open."""

    after: int = 0


@dataclass(frozen=True, slots=True)
class HalfClose:
    """End the answer after `after` bytes of it, and go on listening to the client until it closes."""

    after: int


@dataclass(frozen=True, slots=True)
class Delay:
    """Hold the request back for so many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Drip:
    """Pass the answer at this many bytes a second."""

    bytes_per_second: int


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer with these bytes in the server's place and close."""

    data: bytes


Fault = Pass | Cut | Stall | HalfClose | Delay | Drip | Answer


def http_error(status: int, code: str) -> Answer:
    """An error as S3 would send it."""
    body = f"<Error><Code>{code}</Code><Message>scripted</Message></Error>".encode()
    head = f"HTTP/1.1 {status} {code}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    return Answer(head.encode() + body)


class FaultProxy:
    """Forwards `127.0.0.1:port` to `host:upstream_port`, as a context manager."""

    def __init__(self, host: str, upstream_port: int) -> None:
        self._upstream = (host, upstream_port)
        self._script: deque[Fault] = deque()
        self._lock = threading.Lock()
        self._closing = threading.Event()
        self._threads: list[threading.Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.1)
        self.port: int = self._listener.getsockname()[1]
        self.exchanges = 0
        self.asked: deque[bytes] = deque(maxlen=100)

    def __enter__(self) -> Self:
        self._spawn(self._accept)
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.set()
        for thread in self._threads:
            thread.join()
        self._listener.close()

    def script(self, *faults: Fault) -> None:
        """Replace what is left of the script."""
        with self._lock:
            self._script = deque(faults)
            self.exchanges = 0

    def next_fault(self, request: bytes) -> Fault:
        """The fault for the exchange that `request` begins, which is kept in `asked`."""
        with self._lock:
            self.asked.append(request)
            self.exchanges += 1
            return self._script.popleft() if self._script else Pass()

    def _spawn(self, target: Callable[..., None], *arguments: object) -> None:
        thread = threading.Thread(target=target, args=arguments, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while not self._closing.is_set():
            with contextlib.suppress(TimeoutError):
                client, _ = self._listener.accept()
                self._spawn(self._serve, client)

    def _serve(self, client: socket.socket) -> None:
        with client, contextlib.suppress(OSError), socket.create_connection(self._upstream) as server:
            _Relay(self, client, server, self._closing).run()


class _Relay:
    """One connection. Ends when either side does, or a fault ends it."""

    def __init__(
        self, proxy: FaultProxy, client: socket.socket, server: socket.socket, closing: threading.Event
    ) -> None:
        self._proxy = proxy
        self._client = client
        self._server = server
        self._closing = closing
        self._fault: Fault = Pass()
        self._asking = False
        self._passed = 0

    def run(self) -> None:
        with selectors.DefaultSelector() as ready:
            ready.register(self._client, selectors.EVENT_READ, self._from_client)
            ready.register(self._server, selectors.EVENT_READ, self._from_server)
            while not self._closing.is_set():
                for key, _ in ready.select(timeout=0.1):
                    if not key.data():
                        return

    def _from_client(self) -> bool:
        data = self._client.recv(BLOCK)
        if data and not self._asking:
            self._asking, self._passed, self._fault = True, 0, self._proxy.next_fault(data)
            match self._fault:
                case Answer(data=answer):
                    self._client.sendall(answer)
                    return False
                case Delay(seconds=seconds):
                    self._closing.wait(seconds)
        self._server.sendall(data)
        return bool(data)

    def _from_server(self) -> bool:
        data = self._server.recv(BLOCK)
        self._asking = False
        match self._fault:
            case Cut(after=after, reset=reset) if self._passed + len(data) >= after:
                self._client.sendall(data[: after - self._passed])
                if reset:
                    self._client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                return False
            case HalfClose(after=after) if self._passed + len(data) >= after:
                self._client.sendall(data[: after - self._passed])
                self._client.shutdown(socket.SHUT_WR)
                self._fault = Stall()
                return True
            case Stall(after=after):
                data, alive = data[: max(0, after - self._passed)], bool(data)
                if data:
                    self._client.sendall(data)
                self._passed += len(data)
                return alive
            case Drip(bytes_per_second=rate):
                return self._drip(data, rate)
        self._client.sendall(data)
        self._passed += len(data)
        return bool(data)

    def _drip(self, data: bytes, rate: int) -> bool:
        step = max(1, rate // 20)
        for at in range(0, len(data), step):
            self._client.sendall(data[at : at + step])
            if self._closing.wait(step / rate):
                return False
        return bool(data)
