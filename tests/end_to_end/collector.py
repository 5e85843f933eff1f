"""An OTLP/HTTP collector: it keeps the spans that are sent to it."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest


@dataclass(frozen=True)
class CollectedSpan:
    name: str
    service: str
    trace: str
    span: str
    parent: str
    start: int
    end: int
    attributes: Mapping[str, object]
    links: tuple[str, ...]


@dataclass
class Collector:
    url: str = ""
    bodies: list[bytes] = field(default_factory=list)
    posted: list[bytes] = field(default_factory=list)
    """What was sent to any other path."""

    @property
    def spans(self) -> list[CollectedSpan]:
        found = []
        for body in [*self.bodies]:
            for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
                service = _attributes(resource.resource.attributes)["service.name"]
                found += [_span(span, str(service)) for scope in resource.scope_spans for span in scope.spans]
        return found


def _span(span: Any, service: str) -> CollectedSpan:
    return CollectedSpan(
        span.name,
        service,
        span.trace_id.hex(),
        span.span_id.hex(),
        span.parent_span_id.hex(),
        span.start_time_unix_nano,
        span.end_time_unix_nano,
        _attributes(span.attributes),
        tuple(link.span_id.hex() for link in span.links),
    )


def _attributes(pairs: Any) -> dict[str, object]:
    return {pair.key: getattr(pair.value, pair.value.WhichOneof("value")) for pair in pairs}


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector on a free port of the loopback."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if self.path == "/v1/traces":
                collector.bodies.append(body)
            else:
                collector.posted.append(body)
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    collector.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
