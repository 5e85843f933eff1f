"""Calls traced across the processes of the ring: spans, as the code that opens them knows them.

What a span is open around carries its W3C trace context: messages that are published meanwhile take it along as the
header `traceparent`, and log entries its trace id. Attributes hold ids and counts, never a name or content of objects.
"""

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from contextvars import ContextVar
from typing import Final, Literal, Protocol

TRACEPARENT: Final = "traceparent"

Kind = Literal["internal", "server", "producer", "consumer"]

_current: ContextVar[str | None] = ContextVar(TRACEPARENT, default=None)


def current() -> str | None:
    """The trace context of the innermost span that is open here."""
    return _current.get()


class Open:
    """For as long as the context lasts, `traceparent` is the current one."""

    def __init__(self, traceparent: str) -> None:
        self._traceparent = traceparent

    def __enter__(self) -> None:
        self._token = _current.set(self._traceparent)

    def __exit__(self, *_: object) -> None:
        _current.reset(self._token)


class Span(Protocol):
    def name(self, name: str) -> None: ...

    def set(self, attributes: Mapping[str, str | int]) -> None: ...

    def fail(self, reason: str) -> None:
        """What the span is about came to nothing."""


class Tracing(Protocol):
    """Opens spans. `on` is false where none is kept, so that nobody gathers what it would say."""

    on: bool

    def span(
        self,
        name: str,
        parent: str | None,
        *,
        kind: Kind = "internal",
        links: Sequence[str] = (),
        attributes: Mapping[str, str | int] = {},
    ) -> AbstractContextManager[Span]:
        """A span below the trace context `parent` (None or a malformed one: a trace of its own)."""

    def close(self) -> None:
        """Send what was not sent yet, within a second."""


class _NoSpan:
    def name(self, name: str) -> None:
        """Kept nowhere."""

    def set(self, attributes: Mapping[str, str | int]) -> None:
        """Kept nowhere."""

    def fail(self, reason: str) -> None:
        """Kept nowhere."""


class Untraced:
    """`Tracing` that is off."""

    on = False
    _span: Final[AbstractContextManager[Span]] = nullcontext(_NoSpan())

    def span(
        self,
        name: str,  # noqa: ARG002 — the port's
        parent: str | None,  # noqa: ARG002 — likewise
        *,
        kind: Kind = "internal",  # noqa: ARG002 — likewise
        links: Sequence[str] = (),  # noqa: ARG002 — likewise
        attributes: Mapping[str, str | int] = {},  # noqa: ARG002 — likewise
    ) -> AbstractContextManager[Span]:
        return self._span

    def close(self) -> None:
        """Nothing was kept."""


class ScanTraces(Protocol):
    """The trace context that each scan was started in. Methods raise ServiceUnavailable."""

    def begin(self, scan_id: str, traceparent: str) -> None:
        """The first one told of a scan stays."""

    def of(self, scan_id: str) -> str | None: ...

    def end(self, scan_id: str) -> None:
        """The scan has ended, and nothing more will be told of it."""
