"""The keys of scans, as the event store reads and makes them."""

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from threading import Lock
from typing import Any, Final, TypeVar

from eventsourcing.persistence import StoredEvent

from domain.scan_events import Queued
from infrastructure.postgres.shredding import VEILED, new_key, unveiled, veiled

_KEPT: Final = 1_000

Stored = TypeVar("Stored", bound=StoredEvent)


class ScanKeys:
    """Keeps the keys of the scans that were written to last: their events need no look-up. Safe for several threads."""

    def __init__(self) -> None:
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._lock = Lock()

    def forget(self) -> None:
        """What was read may be of a log that is no more."""
        with self._lock:
            self._kept.clear()

    def veiled(self, cursor: Any, events: Sequence[StoredEvent]) -> Sequence[bytes]:
        """The states of events that are to be stored. A scan that begins with them gets its key, in the caller's
        transaction."""
        hidden = [event for event in events if event.topic in VEILED]
        if not hidden:
            return [event.state for event in events]
        begun = [str(event.originator_id) for event in hidden if event.topic == Queued.kind]
        if begun:
            # Of a log that an older copy took the place of, a scan may begin a second time.
            self.forget()
            cursor.execute(
                "INSERT INTO scan_keys (scan_id, key) SELECT * FROM unnest(%s::text[], %s::bytea[])"
                " ON CONFLICT DO NOTHING",
                (begun, [new_key() for _ in begun]),
            )
        keys = self._of(cursor, (str(event.originator_id) for event in hidden), keep=not begun)
        return [_veiled(event, keys) for event in events]

    def unveiled(self, cursor: Any, events: Sequence[Stored]) -> Sequence[Stored]:
        """Events as they were before they were stored."""
        streams = {str(event.originator_id) for event in events if event.topic in VEILED}
        keys = _read(cursor, streams) if streams else {}
        return [_unveiled(event, keys) for event in events]

    def _of(self, cursor: Any, streams: Iterable[str], *, keep: bool) -> Mapping[str, bytes]:
        wanted = set(streams)
        with self._lock:
            found = {stream: self._kept[stream] for stream in wanted if stream in self._kept}
        if missing := wanted - found.keys():
            found |= _read(cursor, missing)
        # A key that was made in this very transaction may yet come to nothing.
        if keep:
            self._keep(found)
        return found

    def _keep(self, keys: Mapping[str, bytes]) -> None:
        with self._lock:
            self._kept.update(keys)
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)


def _read(cursor: Any, streams: Iterable[str]) -> dict[str, bytes]:
    cursor.execute("SELECT scan_id, key FROM scan_keys WHERE scan_id = ANY (%s)", (list(streams),))
    return {row["scan_id"]: bytes(row["key"]) for row in cursor.fetchall()}


def _veiled(event: StoredEvent, keys: Mapping[str, bytes]) -> bytes:
    stream = str(event.originator_id)
    return veiled(event.topic, event.state, stream, keys.get(stream))


def _unveiled(event: Stored, keys: Mapping[str, bytes]) -> Stored:
    if event.topic not in VEILED:
        return event
    stream = str(event.originator_id)
    return replace(event, state=unveiled(event.topic, event.state, stream, keys.get(stream)))
