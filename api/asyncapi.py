"""AsyncAPI 3: every event that subscribers get on NATS, put together from the events themselves."""

import json
import sys
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any, Final

import msgspec

from application.event_schemas import KINDS, components, document_schema
from application.subscribing import CONSUMERS_A_TENANT, Subscribe, Subscribed
from infrastructure import wiring

Document = dict[str, Any]

_TEMPLATE: Final = "#/components/schemas/{name}"
_DESCRIPTION: Final = """\
Events are kept in the JetStream stream EVENTS, in the order of the log, each once. A subscriber asks for a durable \
consumer on `scan.subscribe.{tenant}` and pulls from it. Each message is a CloudEvent 1.0 in the binary mode: its \
attributes are headers, its body the event as it was recorded, whose `schema` tells its shape; ignore what you do not \
know.
"""

_HEADERS: Final[Mapping[str, str]] = {
    "ce-specversion": "1.0",
    "ce-id": "`<scan or connector>:<version>`; unique in one generation.",
    "ce-source": "`/tenants/<tenant>`.",
    "ce-type": "`scanledger.<kind>`.",
    "ce-subject": "The scan or the connector.",
    "ce-time": "When it happened, RFC 3339.",
    "ce-generation": "From 1. It rises when the service's database came back from a backup that lacks events of an"
    " earlier generation: those after the point where this one begins anew did not come to pass.",
    "content-type": "application/json",
    "Nats-Msg-Id": "`<generation>/<position>`.",
}
_REFERENCE: Final = "Where the API has the event, when it is too large for a message; the body is empty then."


def describe_events() -> Document:
    """The whole document."""
    schemas = dict(components())
    (_, _), of_requests = msgspec.json.schema_components([Subscribe, Subscribed], ref_template=_TEMPLATE)
    stored = {kind: schemas.pop(event.__name__) for kind, event in KINDS.items()}
    documents = {kind: document_schema(kind, schema) for kind, schema in stored.items()}
    return {
        "asyncapi": "3.0.0",
        "info": {"title": "Scanledger events", "version": version("scanledger"), "description": _DESCRIPTION},
        "defaultContentType": "application/json",
        "servers": {
            "nats": {
                "host": "{host}",
                "protocol": "nats",
                "description": "The installation's NATS; of the embedded one, `scanledger subscriber-login` tells.",
                "variables": {"host": {"default": "127.0.0.1:4222"}},
                "security": [{"$ref": "#/components/securitySchemes/login"}],
            }
        },
        "channels": {**{kind: _channel(kind) for kind in KINDS}, **_request_channels()},
        "operations": {**{f"send.{kind}": _send(kind) for kind in KINDS}, "subscribe": _subscribe_operation()},
        "components": {
            "schemas": {**schemas, **of_requests, **documents},
            "messages": {**{kind: _message(kind) for kind in KINDS}, **_request_messages()},
            "messageTraits": {"cloudEvent": {"headers": _headers()}},
            "parameters": _parameters(),
            "securitySchemes": {"login": {"type": "userPassword", "description": "A tenant's `subscriber-<tenant>`."}},
        },
    }


def _headers() -> Document:
    properties = {name: {"type": "string", "description": told} for name, told in _HEADERS.items()}
    properties["ce-specversion"] = {"type": "string", "const": "1.0"}
    properties["ce-dataref"] = {"type": "string", "description": _REFERENCE}
    return {"type": "object", "properties": properties, "required": list(_HEADERS)}


def _parameters() -> Document:
    return {
        "tenant": {"description": "The tenant: a-z, 0-9 and -. A login reaches its own only."},
        "stream": {"description": "The scan (`scan-…`) or the connector (`conn-…`)."},
    }


def _channel(kind: str) -> Document:
    names = ("tenant", "stream")
    return {
        "address": wiring.EVENT_ADDRESS.replace("{kind}", kind),
        "messages": {kind: {"$ref": f"#/components/messages/{kind}"}},
        "parameters": {name: {"$ref": f"#/components/parameters/{name}"} for name in names},
        "bindings": {"nats": {}},
    }


def _send(kind: str) -> Document:
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{kind}"},
        "messages": [{"$ref": f"#/channels/{kind}/messages/{kind}"}],
    }


def _message(kind: str) -> Document:
    return {
        "name": f"scanledger.{kind}",
        "title": kind,
        "summary": f"Of schema {KINDS[kind].schema}.",
        "contentType": "application/json",
        "traits": [{"$ref": "#/components/messageTraits/cloudEvent"}],
        "payload": {"$ref": f"#/components/schemas/{kind}"},
        "x-schema-version": KINDS[kind].schema,
    }


def _request_channels() -> Document:
    return {
        "subscribe": {
            "address": wiring.subscribe_subject("{tenant}"),
            "description": f"Core NATS, request and reply. A tenant has {CONSUMERS_A_TENANT} consumers:"
            f" `<tenant>_1` to `<tenant>_{CONSUMERS_A_TENANT}`.",
            "messages": {"Subscribe": {"$ref": "#/components/messages/Subscribe"}},
            "parameters": {"tenant": {"$ref": "#/components/parameters/tenant"}},
        },
        "subscribed": {"address": None, "messages": {"Subscribed": {"$ref": "#/components/messages/Subscribed"}}},
    }


def _subscribe_operation() -> Document:
    return {
        "action": "receive",
        "channel": {"$ref": "#/channels/subscribe"},
        "messages": [{"$ref": "#/channels/subscribe/messages/Subscribe"}],
        "reply": {
            "address": {"location": "$message.header#/reply", "description": "The reply subject of the request."},
            "messages": [{"$ref": "#/channels/subscribed/messages/Subscribed"}],
            "channel": {"$ref": "#/channels/subscribed"},
        },
    }


def _request_messages() -> Document:
    return {name: {"name": name, "payload": {"$ref": f"#/components/schemas/{name}"}} for name in _REQUESTS}


_REQUESTS: Final = ("Subscribe", "Subscribed")


if __name__ == "__main__":
    sys.stdout.write(json.dumps(describe_events(), indent=1, ensure_ascii=False) + "\n")
