"""The spans of a scan that its orchestrator opens: one for each command it sends, and one for the scan's end."""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import structlog

from application.ports import Recorded
from application.tracing import ScanTraces, Tracing
from domain.errors import ServiceUnavailable
from domain.scan_events import ENDINGS

_KEPT: Final = 1_000

log = structlog.get_logger(__name__)


class ScanSpans:
    """Nothing is asked or kept where tracing is off."""

    def __init__(self, tracing: Tracing, traces: ScanTraces) -> None:
        self._tracing = tracing
        self._traces = traces
        self._parents: OrderedDict[str, str | None] = OrderedDict()

    @asynccontextmanager
    async def command(self, what: str, scan: str, **ids: int) -> AsyncIterator[None]:
        """The span of sending a command, below that of the request which started the scan."""
        if not self._tracing.on:
            yield
            return
        attributes: dict[str, str | int] = {"scanledger.scan": scan}
        attributes.update({f"scanledger.{name}": value for name, value in ids.items()})
        with self._tracing.span(what, await self._parent(scan), kind="producer", attributes=attributes):
            yield

    async def note(self, record: Recorded) -> None:
        """An event of the log: the end of a scan has a span."""
        if not (self._tracing.on and isinstance(record.event, ENDINGS)):
            return
        attributes: dict[str, str | int] = {
            "scanledger.scan": record.stream,
            "scanledger.end": record.event.kind.removeprefix("scan."),
            "scanledger.version": record.version,
        }
        with self._tracing.span("scan end", await self._parent(record.stream), attributes=attributes):
            self._parents.pop(record.stream, None)
        try:
            await asyncio.to_thread(self._traces.end, record.stream)
        except ServiceUnavailable:
            log.info("orchestrator.trace_kept", scan=record.stream)

    async def _parent(self, scan: str) -> str | None:
        if scan not in self._parents:
            try:
                self._parents[scan] = await asyncio.to_thread(self._traces.of, scan)
            except ServiceUnavailable:
                # A trace with a gap is better than a scan that waits.
                return None
            while len(self._parents) > _KEPT:
                self._parents.popitem(last=False)
        return self._parents[scan]
