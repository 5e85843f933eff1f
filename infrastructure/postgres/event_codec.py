"""Events as plain JSON under their kind, with the version of their shape. The one place that upcasts old shapes."""

from collections.abc import Callable
from typing import Any, Final

import msgspec

from domain.connector import CONNECTOR_EVENTS, ConnectorEvent
from domain.scan_events import SCAN_EVENTS, ScanEvent

Event = ScanEvent | ConnectorEvent

CLASSES: Final[dict[str, type[Event]]] = {cls.kind: cls for cls in (*SCAN_EVENTS, *CONNECTOR_EVENTS)}

Upcast = Callable[[dict[str, Any]], dict[str, Any]]


def _only_more_fields(data: dict[str, Any]) -> dict[str, Any]:
    """The next schema has more fields, and their defaults say what was meant without them."""
    return data


UPCASTS: Final[dict[tuple[str, int], Upcast]] = {
    ("scan.queued", 1): _only_more_fields,
    ("scan.queued", 2): _only_more_fields,
    ("scan.objects-listed", 1): _only_more_fields,
    ("scan.chunk-completed", 1): _only_more_fields,
    ("scan.chunk-completed", 2): _only_more_fields,
    ("scan.chunk-failed", 1): _only_more_fields,
}
"""What turns the data of (kind, schema) into that of the next schema."""

_encoder: Final = msgspec.json.Encoder()
_decoders: Final = {kind: msgspec.json.Decoder(cls) for kind, cls in CLASSES.items()}
_prefixes: Final = {kind: b'{"schema":%d,' % cls.schema for kind, cls in CLASSES.items()}


def encode(event: Event) -> bytes:
    """The event's JSON: `schema` first, then its fields in the order they are declared."""
    return _prefixes[event.kind] + _encoder.encode(event)[1:]


def decode(kind: str, state: bytes) -> Event:
    """What `encode` was given, of this or any earlier schema. Raises ValueError for what is not an event."""
    if kind not in CLASSES:
        raise ValueError(f"unknown kind of event {kind!r}: this installation is older than the log")
    if not state.startswith(_prefixes[kind]):
        state = _upcast(kind, state)
    event: Event = _decoders[kind].decode(state)
    return event


def _upcast(kind: str, state: bytes) -> bytes:
    data = msgspec.json.decode(state, type=dict[str, Any])
    if "schema" not in data:
        raise ValueError(f"{kind} without a schema is no event")
    while data["schema"] < CLASSES[kind].schema:
        schema = data["schema"]
        data = {**UPCASTS[kind, schema](data), "schema": schema + 1}
    if data["schema"] > CLASSES[kind].schema:
        raise ValueError(f"{kind} of schema {data['schema']}: this installation is older than the log")
    return msgspec.json.encode(data)
