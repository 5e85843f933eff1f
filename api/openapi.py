"""OpenAPI 3.1, put together from the table of operations and the models themselves, so that no bound is lost."""

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import models_json_schema

from api.documents import Error, Problem
from api.errors import TITLES
from api.operation import Operation
from api.operations import OPERATIONS

_TEMPLATE: Final = "#/components/schemas/{model}"
_ERROR_MEDIA: Final = (("application/json", Error), ("application/problem+json", Problem))

Document = dict[str, Any]


def describe(config_schemas: Mapping[str, Mapping[str, Any]]) -> Document:
    """The whole document. `config_schemas` is the JSON Schema of a connector's config, by type."""
    names, components = _components()
    schemas = {**components, **_configs(components, config_schemas)}
    paths: Document = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation, names)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Scanledger",
            "version": version("scanledger"),
            "summary": "Scan orchestration that can prove what it looked at",
        },
        "servers": [{"url": "/"}],
        "tags": [
            {"name": name} for name in ("scans", "history", "audit", "connectors", "detectors", "webhooks", "service")
        ],
        "security": [{"apiKey": []}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "responses": {str(status): _error_response(status, names) for status in sorted(TITLES)},
            "securitySchemes": {
                "apiKey": {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "sl_<id>_<secret>",
                    "description": "An API key of your tenant.",
                }
            },
        },
    }


def _components() -> tuple[dict[Any, Document], Document]:
    """References by model, and the schemas they refer to."""
    answers = [o.answer for o in OPERATIONS if isinstance(o.answer, type) and issubclass(o.answer, BaseModel)]
    bodies = [o.body for o in OPERATIONS if o.body is not None]
    wanted = [(model, "serialization") for model in (*answers, Error, Problem)]
    wanted += [(model, "validation") for model in bodies]
    references, whole = models_json_schema(
        list(dict.fromkeys(wanted)),  # type: ignore[arg-type]  # the modes are literals
        ref_template=_TEMPLATE,
    )
    return {model: schema for (model, _), schema in references.items()}, whole["$defs"]


def _configs(components: Document, config_schemas: Mapping[str, Mapping[str, Any]]) -> Document:
    """The schemas of connectors' configs, put in where bodies have one."""
    names = {kind: f"{kind.capitalize()}Config" for kind in config_schemas}
    choice = {"anyOf": [{"$ref": _TEMPLATE.format(model=name)} for name in names.values()]}
    components["CreateConnector"]["properties"]["config"] = choice
    return {names[kind]: dict(schema) for kind, schema in config_schemas.items()}


def _operation(operation: Operation, names: Mapping[Any, Document]) -> Document:
    document: Document = {
        "operationId": operation.operation_id,
        "tags": [operation.tag],
        "summary": operation.summary,
        "parameters": _parameters(operation),
        "responses": _responses(operation, names),
    }
    told = [operation.description, f"Needs the scope `{operation.scope}`." if operation.scope else ""]
    if any(told):
        document["description"] = " ".join(filter(None, told))
    if operation.body is not None:
        content = {"application/json": {"schema": names[operation.body]}}
        document["requestBody"] = {"required": operation.body_required, "content": content}
    if operation.scope is None:
        document["security"] = []
    return document


def _parameters(operation: Operation) -> list[Document]:
    found = [_header("X-Request-ID", "Echoed; 1 to 128 printable ASCII characters.", 128)]
    names = [part[1:-1] for part in operation.path.split("/") if part.startswith("{")]
    found += [{"name": name, "in": "path", "required": True, "schema": {"type": "string"}} for name in names]
    if operation.idempotent:
        found.append(_header("Idempotency-Key", "The same key and body give the same answer, made once.", 255))
    if operation.conditional:
        found.append(_header("If-None-Match", "An ETag: 304 if it is still that.", None))
    if operation.query is not None:
        found.extend(_query_parameters(operation.query))
    return found


def _header(name: str, description: str, longest: int | None) -> Document:
    schema: Document = {"type": "string"} | ({} if longest is None else {"minLength": 1, "maxLength": longest})
    return {"name": name, "in": "header", "required": False, "description": description, "schema": schema}


def _query_parameters(model: type[BaseModel]) -> Sequence[Document]:
    # References are inlined: a parameter's schema stands where it is used.
    whole = model.model_json_schema()
    parameters = []
    for name, schema in whole["properties"].items():
        told = dict(schema)
        description = told.pop("description", "")
        told.pop("title", None)
        parameters.append(
            {
                "name": name,
                "in": "query",
                "required": False,
                "description": description,
                "schema": _without_null(_inlined(told, whole.get("$defs", {}))),
            }
        )
    return parameters


def _inlined(schema: Any, definitions: Mapping[str, Any]) -> Any:
    match schema:
        case {"$ref": str(reference)}:
            return _inlined(definitions[reference.rpartition("/")[2]], definitions)
        case dict():
            return {key: _inlined(value, definitions) for key, value in schema.items()}
        case list():
            return [_inlined(value, definitions) for value in schema]
        case _:
            return schema


def _without_null(schema: Document) -> Document:
    """A query string has no null: what may be left out is the other alternative."""
    rest = {key: value for key, value in schema.items() if key != "anyOf" and (key, value) != ("default", None)}
    given = [entry for entry in schema.get("anyOf", []) if entry != {"type": "null"}]
    return {**rest, **given[0]} if given else rest


def _responses(operation: Operation, names: Mapping[Any, Document]) -> Document:
    always = {500}
    if operation.scope is not None:
        always |= {401, 429, 503} | ({403} if operation.scope else set())
    responses: Document = {str(operation.success): _success(operation, names)}
    if operation.also is not None:
        responses[str(operation.also)] = _success(operation, names)
    if operation.conditional:
        responses["304"] = {"description": "Unchanged since the ETag of If-None-Match."}
    for status in sorted({*operation.errors, *always}):
        responses[str(status)] = {"$ref": f"#/components/responses/{status}"}
    return responses


def _success(operation: Operation, names: Mapping[Any, Document]) -> Document:
    schema = names.get(operation.answer) or TypeAdapter(operation.answer).json_schema()
    headers: Document = {"X-Request-ID": {"schema": {"type": "string"}}}
    if operation.conditional:
        headers["ETag"] = {"schema": {"type": "string"}}
    if operation.success == 201:
        headers["Location"] = {"schema": {"type": "string"}}
    for name, told in operation.headers.items():
        headers[name] = {"description": told, "schema": {"type": "string"}}
    content = {
        media: {"schema": schema if media == "application/json" else {"type": "string"}}
        for media in operation.media_types
    }
    return {"description": operation.summary, "headers": headers, "content": content}


def _error_response(status: int, names: Mapping[Any, Document]) -> Document:
    content = {media: {"schema": names[model]} for media, model in _ERROR_MEDIA}
    response: Document = {"description": TITLES[status], "content": content}
    if status in {429, 503}:
        response["headers"] = {"Retry-After": {"schema": {"type": "integer"}}}
    return response
