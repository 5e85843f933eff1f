"""The AsyncAPI document is in order, and it is the events."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from api.asyncapi import describe_events
from application.event_schemas import KINDS
from application.history import LoggedEvent, event_line
from application.publishing import Owned, headers_of
from infrastructure.messaging.streams import event_subject
from infrastructure.postgres.event_codec import Event, encode
from tests.domain.samples import FIRST_SAMPLES, SAMPLES, SECOND_SAMPLES

ROOT = Path(__file__).parents[2]
STORED = ROOT / "tests" / "domain" / "events"
KEPT = ROOT / "docs" / "asyncapi.json"

DOCUMENT = json.loads(json.dumps(describe_events()))


def logged(kind: str, state: bytes) -> LoggedEvent:
    return LoggedEvent("scan-1" if kind.startswith("scan.") else "conn-1", 1, 1, kind, state)


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator({**schema, "components": DOCUMENT["components"]}, format_checker=FormatChecker())


def payload_validator(kind: str) -> Draft202012Validator:
    message = DOCUMENT["components"]["messages"][kind]
    return validator({"$ref": message["payload"]["$ref"]})


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        for value in part.values():
            yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


def test_the_document_in_docs_is_that_of_the_code() -> None:
    """Write it anew with: python -m api.asyncapi > docs/asyncapi.json"""
    assert json.loads(KEPT.read_text("utf-8")) == DOCUMENT


def test_every_kind_has_a_channel_and_an_operation_and_its_schema_version() -> None:
    assert set(DOCUMENT["channels"]) == {*KINDS, "subscribe", "subscribed"}
    assert set(DOCUMENT["operations"]) == {*(f"send.{kind}" for kind in KINDS), "subscribe"}
    for kind, event in KINDS.items():
        assert DOCUMENT["components"]["messages"][kind]["x-schema-version"] == event.schema
        address = DOCUMENT["channels"][kind]["address"]
        assert address.format(tenant="acme", stream="scan-1") == event_subject("acme", "scan-1", kind)


def test_every_reference_leads_somewhere() -> None:
    found = set(references(DOCUMENT))
    assert len(found) > len(KINDS)
    for reference in found:
        part = DOCUMENT
        for name in reference.removeprefix("#/").split("/"):
            part = part[name]


def test_every_schema_is_a_json_schema() -> None:
    for schema in DOCUMENT["components"]["schemas"].values():
        Draft202012Validator.check_schema(schema)


@pytest.mark.parametrize("event", [*SAMPLES, *FIRST_SAMPLES, *SECOND_SAMPLES], ids=lambda event: event.kind)
def test_every_example_is_valid(event: Event) -> None:
    owned = Owned(logged(event.kind, encode(event)), "acme")
    payload_validator(event.kind).validate(json.loads(event_line(owned.event)))
    validator(DOCUMENT["components"]["messageTraits"]["cloudEvent"]["headers"]).validate(headers_of(owned, 1))


@pytest.mark.parametrize("path", sorted(STORED.glob("*.json")), ids=lambda path: path.stem)
def test_whatever_was_stored_once_is_valid_as_it_is_shown(path: Path) -> None:
    kind = ".".join(path.stem.split(".")[:2])
    payload_validator(kind).validate(json.loads(event_line(logged(kind, path.read_bytes()))))


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_what_is_no_event_of_the_kind_is_not_valid(kind: str) -> None:
    """A schema that anything satisfied would say nothing."""
    right = json.loads(event_line(logged(kind, (STORED / f"{kind}.json").read_bytes())))
    validator = payload_validator(kind)
    for wrong in (
        {**right, "kind": "scan.other"},
        {**right, "schema": KINDS[kind].schema + 1},
        {**right, "version": 0},
        {**right, "actor": "nobody"},
        {**right, "occurred_at": 5},
        {**right, "data": []},
        {name: value for name, value in right.items() if name != "position"},
    ):
        assert not validator.is_valid(wrong)
    for name in DOCUMENT["components"]["schemas"][kind]["properties"]["data"]["required"]:
        data = {field: value for field, value in right["data"].items() if field != name}
        assert not validator.is_valid({**right, "data": data})
