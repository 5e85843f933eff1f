"""Connections that wait for an answer no longer than they should, because a frozen server never says that it is.

What runs out of time closes its connection, without asking the server: a statement that was sent may still be carried
out there, but a transaction whose COMMIT had not been sent never becomes one.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, ClassVar, Final, TypeVar

import psycopg
from psycopg.abc import PQGen

PATIENCE: Final = 4.0
"""Seconds that any single statement of a request may take."""

LONG_PATIENCE: Final = 30.0
"""Seconds that any single statement of the coordinator may take. Its work is done again, so this is for a connection
that has fallen silent, and must be more than a slow server ever takes."""

Result = TypeVar("Result")

_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


@contextmanager
def until(deadline: float) -> Iterator[None]:
    """Everything that is asked of bounded connections here must be answered by `deadline`, a time.monotonic()."""
    earlier = _deadline.get()
    token = _deadline.set(deadline if earlier is None else min(earlier, deadline))
    try:
        yield
    finally:
        _deadline.reset(token)


def remaining(patience: float = PATIENCE) -> float:
    """Seconds that a statement may take now; 0 or less when the time is up."""
    deadline = _deadline.get()
    return patience if deadline is None else min(patience, deadline - time.monotonic())


class BoundedConnection(psycopg.Connection[Any]):
    """Raises OperationalError, and is closed, when the time is up."""

    patience: ClassVar[float] = PATIENCE

    def wait(self, gen: PQGen[Result], interval: float = 0.1, timeout: float | None = None) -> Result:
        left = _left(self, self.patience)
        began = time.monotonic()
        try:
            return super().wait(gen, interval, left if timeout is None else min(left, timeout))
        except psycopg.Error as error:
            _close_if_late(self, began + left, error)
            raise


class PatientConnection(BoundedConnection):
    """Likewise, for the coordinator."""

    patience = LONG_PATIENCE


class BoundedAsyncConnection(psycopg.AsyncConnection[Any]):
    """Likewise on the event loop."""

    async def wait(self, gen: PQGen[Result], interval: float = 0.1, timeout: float | None = None) -> Result:
        left = _left(self, PATIENCE)
        began = time.monotonic()
        try:
            return await super().wait(gen, interval, left if timeout is None else min(left, timeout))
        except psycopg.Error as error:
            _close_if_late(self, began + left, error)
            raise


def _left(connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any], patience: float) -> float:
    left = remaining(patience)
    if left <= 0:
        # Before anything is sent: no COMMIT leaves after the deadline.
        connection.pgconn.finish()
        raise psycopg.OperationalError("the time for this request is up")
    return left


def _close_if_late(
    connection: psycopg.Connection[Any] | psycopg.AsyncConnection[Any], deadline: float, error: psycopg.Error
) -> None:
    if time.monotonic() >= deadline:
        connection.pgconn.finish()
        raise psycopg.OperationalError("the server did not answer in time") from error
