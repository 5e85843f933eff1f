"""Whose a stream of the log is: its first event says so."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec
import psycopg

KEPT: Final = 10_000

TENANT_OF_EVENT: Final = """(
    SELECT substring(convert_from(f.state, 'UTF8') FROM '"tenant":"([^"]*)"') FROM stored_events f
    WHERE f.originator_id = e.originator_id AND f.originator_version = 1)"""
"""The tenant of a row `e` of stored_events, as an expression of SQL."""


class _First(msgspec.Struct):
    tenant: str


class StreamTenants:
    """The tenants of streams, remembered for the last `KEPT` of them. Not for use from several threads at once."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def forget(self) -> None:
        """What was read may be no more: the database was restored."""
        self._known.clear()

    def of(self, cursor: psycopg.Cursor[Any], streams: Iterable[str]) -> Mapping[str, str]:
        """The tenant of each of `streams` that the log has. Raises psycopg.Error."""
        wanted = dict.fromkeys(streams)
        if missing := [stream for stream in wanted if stream not in self._known]:
            cursor.execute(
                "SELECT originator_id, state FROM stored_events"
                " WHERE originator_id = ANY (%s) AND originator_version = 1",
                (missing,),
            )
            for stream, state in cursor.fetchall():
                self._known[stream] = msgspec.json.decode(state, type=_First).tenant
        found = {stream: self._known[stream] for stream in wanted if stream in self._known}
        while len(self._known) > KEPT:
            del self._known[next(iter(self._known))]
        return found
