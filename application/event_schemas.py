"""The JSON Schemas of events, derived from the events themselves: of what is stored, and of what the world is shown."""

from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from inspect import cleandoc
from typing import Any, Final

import msgspec

from domain.connector import CONNECTOR_EVENTS, ConnectorEvent
from domain.scan_events import SCAN_EVENTS, ScanEvent

Schema = dict[str, Any]

KINDS: Final[Mapping[str, type[ScanEvent | ConnectorEvent]]] = {
    event.kind: event for event in (*SCAN_EVENTS, *CONNECTOR_EVENTS)
}

_ENVELOPE: Final = ("at", "actor")
_TEMPLATE: Final = "#/components/schemas/{name}"
_TOLD_APART: Final = {"title", "description"}

_MOMENT: Final[Schema] = {"type": "string", "format": "date-time"}
_ACTOR: Final[Schema] = {
    "type": "string",
    "description": "Who: an API key (`key:…`), a worker (`worker:…`), or the system and why (`system:…`).",
    "pattern": "^(key|worker|system):",
}


def _of_any_type(what: type) -> Schema:
    if what is object:
        return {"description": "Any value."}
    raise NotImplementedError(what)


def components() -> Mapping[str, Schema]:
    """The schemas of every kind's stored fields, by the name of its class, and of all that they refer to."""
    _, found = msgspec.json.schema_components(KINDS.values(), schema_hook=_of_any_type, ref_template=_TEMPLATE)
    dated = {event.__name__: _dated(event, found[event.__name__]) for event in KINDS.values()}
    return {name: _cleaned(schema) for name, schema in {**found, **dated}.items()}


def _dated(event: type, schema: Schema) -> Schema:
    """Moments told apart from other texts."""
    moments = {field.name: _MOMENT for field in fields(event) if field.type is datetime}
    return {**schema, "properties": {**schema["properties"], **moments}}


def _cleaned(schema: Schema) -> Schema:
    """Docstrings bear the indentation of their source."""
    return {**schema, "description": cleandoc(schema["description"])} if "description" in schema else schema


def document_schema(kind: str, stored: Schema) -> Schema:
    """The schema of `application.history.event_line` for a kind, by that of its stored fields.

    It holds for events of every earlier schema as well: what a later one added is not required.
    """
    event = KINDS[kind]
    data = {**stored, "properties": _without_envelope(stored["properties"])}
    data["required"] = [name for name in stored["required"] if name not in _ENVELOPE]
    of_scan, text, null = kind.startswith("scan."), {"type": "string"}, {"type": "null"}
    properties: Schema = {
        "event_id": {**text, "description": "`<stream>:<version>`: the same event always has the same."},
        "scan_id": text if of_scan else null,
        "connector_id": null if of_scan else text,
        "version": {"type": "integer", "minimum": 1, "description": "Its place in the stream, without gaps."},
        "position": {"type": "integer", "minimum": 1, "description": "Its place in the log; it may have gaps."},
        "kind": {"const": kind},
        "schema": {"type": "integer", "minimum": 1, "maximum": event.schema},
        "occurred_at": _MOMENT,
        "actor": _ACTOR,
        "data": {key: value for key, value in data.items() if key not in _TOLD_APART},
    }
    return {
        "type": "object",
        "title": kind,
        "description": stored.get("description", ""),
        "properties": properties,
        "required": list(properties),
    }


def _without_envelope(properties: Mapping[str, Schema]) -> Schema:
    return {name: schema for name, schema in properties.items() if name not in _ENVELOPE}


def shape(event: type) -> Schema:
    """What is stored of an event class, whole and without words: what must not change under one schema number."""
    whole = msgspec.json.schema(event, schema_hook=_of_any_type)
    whole["$defs"][event.__name__] = _dated(event, whole["$defs"][event.__name__])
    told: Schema = _wordless(msgspec.json.decode(msgspec.json.encode(whole)))
    return told


def _wordless(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_wordless(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    return {key: _wordless_part(key, value) for key, value in schema.items() if key not in _TOLD_APART}


def _wordless_part(key: str, value: Any) -> Any:
    # What stands below these are names of ours.
    if key in {"properties", "$defs"}:
        return {name: _wordless(part) for name, part in value.items()}
    return _wordless(value)
