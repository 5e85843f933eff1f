"""What a scanner's work looks like to operators: its span, the ids in what is logged meanwhile, and its figures."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import structlog

from application.messages import Command, ListUnit
from application.process_figures import ProcessFigures
from application.tracing import TRACEPARENT, Span, Tracing
from infrastructure.wiring import Message
from workers.losses import Loss
from workers.sums import Sums

log = structlog.get_logger(__name__)


class Seen:
    """One piece of work under way."""

    def __init__(self, span: Span) -> None:
        self._span = span
        self.outcome = "called_off"
        self.sums = Sums()

    def ended(self, completed: bool, sums: Sums) -> None:
        """It came to its end, or was called off, and to these sums."""
        self.outcome = "done" if completed else "called_off"
        self.sums = sums

    def lost(self, loss: Loss) -> None:
        self.outcome = "lost"
        self._span.fail(loss.reason.value)


class Observation:
    """Of one scanner process."""

    def __init__(self, tracing: Tracing, figures: ProcessFigures) -> None:
        self._tracing = tracing
        self._figures = figures

    def taken(self, message: Message) -> None:
        """A command arrived."""
        self._figures.add("scanner_commands", "again" if message.metadata.num_delivered > 1 else "first")

    def reported(self) -> None:
        self._figures.add("scanner_reports_sent")

    @contextmanager
    def work(self, command: Command, message: Message, worker: str) -> Iterator[Seen]:
        """The span of a command's work, below that of whoever sent it."""
        listing = isinstance(command, ListUnit)
        ids = _ids(command)
        parent = (message.headers or {}).get(TRACEPARENT)
        named = {f"scanledger.{name}": value for name, value in {**ids, "worker": worker}.items()}
        began = time.monotonic()
        with (
            structlog.contextvars.bound_contextvars(**ids),
            self._tracing.span(
                "list unit" if listing else "scan chunk", parent, kind="consumer", attributes=named
            ) as span,
        ):
            seen = Seen(span)
            try:
                yield seen
            except Exception:
                seen.outcome = "lost"
                raise
            finally:
                span.set({"scanledger.outcome": seen.outcome, **_counts(seen.sums, listing)})
                log.debug("scanner.work_ended", outcome=seen.outcome)
                self._figures.add("scanner_listings" if listing else "scanner_chunks", seen.outcome)
                if not listing:
                    self._figures.add("scanner_chunk_seconds", by=time.monotonic() - began)
                    self._figures.add("scanner_objects", by=seen.sums.objects)
                    self._figures.add("scanner_read_bytes", by=seen.sums.bytes)


def _ids(command: Command) -> dict[str, str | int]:
    place = {"unit": command.unit} if isinstance(command, ListUnit) else {"chunk": command.chunk}
    return {"scan": command.scan, **place, "attempt": command.attempt}


def _counts(sums: Sums, listing: bool) -> Mapping[str, int]:
    if listing:
        return {"scanledger.batches": sums.batches}
    return {
        "scanledger.objects": sums.objects,
        "scanledger.failed": sums.failed,
        "scanledger.bytes": sums.bytes,
        "scanledger.findings": sums.findings,
    }
