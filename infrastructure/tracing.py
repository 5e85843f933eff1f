"""Spans by the OpenTelemetry SDK, sent by OTLP over HTTP. Loaded by processes that are to trace, and by no others.

The SDK heeds the standard variables (`OTEL_TRACES_SAMPLER`, `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_BSP_…`,
`OTEL_RESOURCE_ATTRIBUTES`, `OTEL_SERVICE_NAME`, `OTEL_SDK_DISABLED`); where the spans go is a setting of ours.
"""

import os
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Final

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import Link, SpanKind, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from application.tracing import TRACEPARENT, Kind, Open, Span

_KINDS: Final[Mapping[Kind, SpanKind]] = {
    "internal": SpanKind.INTERNAL,
    "server": SpanKind.SERVER,
    "producer": SpanKind.PRODUCER,
    "consumer": SpanKind.CONSUMER,
}
_CLOSE_SECONDS: Final = 1.0

_propagator: Final = TraceContextTextMapPropagator()


class _Span:
    def __init__(self, span: trace.Span) -> None:
        self._span = span

    def name(self, name: str) -> None:
        self._span.update_name(name)

    def set(self, attributes: Mapping[str, str | int]) -> None:
        self._span.set_attributes(attributes)

    def fail(self, reason: str) -> None:
        self._span.set_status(StatusCode.ERROR, reason)


class OtlpTracing:
    """`Tracing` that sends to a collector, in batches, from a thread of its own; while it is away, spans are lost."""

    on = True

    def __init__(self, endpoint: str, role: str) -> None:
        self._provider = TracerProvider(resource=_resource(role), shutdown_on_exit=False)
        exporter = OTLPSpanExporter(f"{endpoint.rstrip('/')}/v1/traces")
        self._provider.add_span_processor(BatchSpanProcessor(exporter))
        self._tracer = self._provider.get_tracer("scanledger")

    @contextmanager
    def span(
        self,
        name: str,
        parent: str | None,
        *,
        kind: Kind = "internal",
        links: Sequence[str] = (),
        attributes: Mapping[str, str | int] = {},
    ) -> Iterator[Span]:
        span = self._tracer.start_span(
            name,
            _context(parent),
            kind=_KINDS[kind],
            attributes=attributes,
            links=[Link(trace.get_current_span(_context(link)).get_span_context()) for link in links],
        )
        try:
            with Open(_traceparent(span.get_span_context())):
                yield _Span(span)
        except Exception as error:
            # Its type alone: what an error says may name an object.
            span.set_status(StatusCode.ERROR, type(error).__name__)
            raise
        finally:
            span.end()

    def close(self) -> None:
        # A collector that is away is tried again for half a minute, which nobody who ends a process waits for.
        closing = threading.Thread(target=self._provider.shutdown, daemon=True)
        closing.start()
        closing.join(_CLOSE_SECONDS)


def _context(traceparent: str | None) -> Context:
    return _propagator.extract({TRACEPARENT: traceparent} if traceparent else {}, context=Context())


def _traceparent(context: trace.SpanContext) -> str:
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def _resource(role: str) -> Resource:
    named = "OTEL_SERVICE_NAME" in os.environ or "service.name=" in os.environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    own = {"service.namespace": "scanledger", "scanledger.role": role}
    return Resource.create(own if named else {**own, "service.name": f"scanledger-{role}"})
