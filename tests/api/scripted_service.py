"""A small HTTP server that speaks the API's envelope from a script: answers the real service cannot be made to give."""

import json
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs, urlsplit


@dataclass(frozen=True)
class Asked:
    """One request as it came: its body parsed, header names in lower case, query values as lists."""

    method: str
    path: str
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: Any


@dataclass(frozen=True)
class Answer:
    """`missing`: bytes that are announced and never come, for the connection is closed before."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    missing: int = 0

    @classmethod
    def data(cls, data: Any, *, status: int = 200, more: str | None = None, **headers: str) -> Self:
        """The success envelope; `more` is the next page's cursor."""
        pagination = {"limit": 20, "next_cursor": more, "has_more": more is not None}
        body = {"status": "success", "data": data, "metadata": {}} | (
            {"pagination": pagination} if isinstance(data, list) else {}
        )
        return cls(
            status, json.dumps(body).encode(), {name.replace("_", "-"): value for name, value in headers.items()}
        )

    @classmethod
    def error(
        cls, status: int, code: str, message: str, fields: Mapping[str, str] | None = None, **headers: str
    ) -> Self:
        details = {"fields": [{"field": name, "message": fault} for name, fault in (fields or {}).items()]}
        error = {"code": code, "message": message, "details": details if fields else {}}
        body = json.dumps({"status": "error", "error": error, "metadata": {}}).encode()
        return cls(status, body, {name.replace("_", "-"): value for name, value in headers.items()})


Script = Callable[[Asked], Answer]


@dataclass
class ScriptedService:
    """Answers `METHOD /path` (below /api/v1) as scripted, 404 otherwise, and remembers what it was asked."""

    url: str
    scripts: dict[str, Script] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)

    def on(self, route: str, answer: Answer | Script) -> None:
        self.scripts[route] = answer if callable(answer) else lambda _: answer

    def on_each(self, route: str, *answers: Answer) -> None:
        """One answer after the other; the last one stays."""
        left = list(answers)
        self.scripts[route] = lambda _: left.pop(0) if len(left) > 1 else left[0]

    def requests(self, route: str) -> list[Asked]:
        return [asked for asked in self.asked if f"{asked.method} {asked.path}" == route]

    def answer(self, asked: Asked) -> Answer:
        self.asked.append(asked)
        script = self.scripts.get(f"{asked.method} {asked.path}")
        return script(asked) if script else Answer.error(404, "NOT_FOUND", f"Nothing is scripted for {asked.path}.")


@contextmanager
def scripted_service() -> Iterator[ScriptedService]:
    """A service on a free port of the loopback interface."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _respond(self) -> None:
            parts = urlsplit(self.path)
            length = int(self.headers.get("Content-Length") or 0)
            body = json.loads(self.rfile.read(length)) if length else None
            headers = {name.lower(): value for name, value in self.headers.items()}
            path = parts.path.removeprefix("/api/v1")
            answer = service.answer(Asked(self.command, path, parse_qs(parts.query), headers, body))
            self.send_response(answer.status)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            if answer.status not in {204, 304}:
                self.send_header("Content-Length", str(len(answer.body) + answer.missing))
            self.end_headers()
            if answer.status not in {204, 304}:
                self.wfile.write(answer.body)
            self.close_connection = self.close_connection or answer.missing > 0

        do_GET = do_POST = do_PATCH = do_DELETE = _respond  # noqa: N815 — http.server names them so

        def log_message(self, *_: object) -> None:
            """Nothing: the test's output is not the place."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    service = ScriptedService(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield service
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
