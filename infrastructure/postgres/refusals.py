"""What PostgreSQL refuses, as errors that say what to do."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from domain.errors import Permanent, ServiceUnavailable


class DatabaseRefused(Permanent):
    """The database answers, but not to this: its schema or the login's rights forbid it."""


@contextmanager
def refusals_told() -> Iterator[None]:
    """Raises ServiceUnavailable when the database is away, and DatabaseRefused when it does not do what it is told."""
    try:
        yield
    except psycopg.OperationalError as error:
        raise ServiceUnavailable("The database does not answer.") from error
    except psycopg.errors.UndefinedTable as error:
        raise DatabaseRefused("The database has no schema yet: run `scanledger migrate`.") from error
    except psycopg.errors.InsufficientPrivilege as error:
        told = error.diag.message_primary or "permission denied"
        raise DatabaseRefused(f"The database's login lacks a right: {told}.") from error
