"""The recording of a batch as operators see it: a span for each scan in it, and figures."""

import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from application.messages import AnyReport
from application.process_figures import ProcessFigures
from application.tracing import TRACEPARENT, Tracing
from infrastructure.wiring import Message

Delivered = Sequence[tuple[Message, AnyReport]]


class BatchObservation:
    """Of one recorder."""

    def __init__(self, tracing: Tracing, figures: ProcessFigures) -> None:
        self._tracing = tracing
        self.figures = figures

    @contextmanager
    def batch(self, delivered: Delivered) -> Iterator[None]:
        """A span for each scan below the first of its reports in the batch, linked to the others."""
        for message, _ in delivered:
            self.figures.add("recorder_deliveries", "again" if message.metadata.num_delivered > 1 else "first")
        began = time.monotonic()
        with ExitStack() as spans:
            if self._tracing.on:
                for scan, contexts in _by_scan(delivered).items():
                    first, *others = contexts
                    attributes: dict[str, str | int] = {"scanledger.scan": scan, "scanledger.reports": len(contexts)}
                    spans.enter_context(
                        self._tracing.span("record batch", first, kind="consumer", links=others, attributes=attributes)
                    )
            yield
        self.figures.add("recorder_batches")
        self.figures.add("recorder_batch_seconds", by=time.monotonic() - began)


def _by_scan(delivered: Delivered) -> dict[str, list[str]]:
    """The trace contexts of the reports that have one, by scan, in order."""
    contexts: dict[str, list[str]] = {}
    for message, report in delivered:
        context = (message.headers or {}).get(TRACEPARENT)
        if context:
            contexts.setdefault(report.scan, []).append(context)
    return contexts
