"""Reading a request strictly: bodies and query strings become models, or every fault at once."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NoReturn, TypeVar
from urllib.parse import unquote_to_bytes

from litestar import Request
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from api.errors import Refused
from domain.errors import Fault, Invalid

MAX_BODY_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 32

_MUST_BE: Final = {
    "int_type": "a whole number",
    "float_type": "a number",
    "string_type": "a string",
    "bool_type": "true or false",
    "list_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
}

Model = TypeVar("Model", bound=BaseModel)
AnyRequest = Request[Any, Any, Any]


async def read_json(request: AnyRequest, *, required: bool = True) -> Any:
    """The request's body as JSON; `{}` for no body where none is `required`.

    Raises `Refused` 413 or 415, and `Invalid` for what is not JSON: broken syntax or UTF-8, NaN, a name twice in an
    object, NUL or a lone surrogate in a string, more than 32 levels.
    """
    _refuse_large(request)
    body = await request.body()
    if not body and not required:
        return {}
    _require_json(request)
    return parse_json(body)


def _refuse_large(request: AnyRequest) -> None:
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length) > MAX_BODY_BYTES:
        raise Refused(413, "PAYLOAD_TOO_LARGE", "The body is larger than the 1 MiB that a request may have.")


def _require_json(request: AnyRequest) -> None:
    media_type, _, parameters = request.headers.get("content-type", "").lower().partition(";")
    charset = parameters.replace(" ", "").replace('"', "")
    if media_type.strip() != "application/json" or charset not in {"", "charset=utf-8", "charset=utf8"}:
        message = "The body must be JSON in UTF-8, sent with the header Content-Type: application/json."
        raise Refused(415, "UNSUPPORTED_MEDIA_TYPE", message, headers={"Accept-Post": "application/json"})


def parse_json(body: bytes) -> Any:
    """`body` as plain Python values. Raises `Invalid` as `read_json` says."""
    if not body.strip():
        _not_json("is empty; send a JSON object")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        _not_json(f"is not UTF-8 (byte {error.start})")
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_constant)
        return _checked(value, depth=1)
    except RecursionError:
        _not_json(f"is nested deeper than {MAX_DEPTH} levels")
    except json.JSONDecodeError as error:
        _not_json(f"is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}")
    except ValueError as error:
        # The only other one: an integer of more digits than Python converts.
        raise Invalid([Fault("body", "has a number with too many digits")]) from error


def _not_json(message: str) -> NoReturn:
    raise Invalid([Fault("body", message)])


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]  # remembers
        raise Invalid([Fault(_shown(twice), "is given twice in one object")])
    return members


def _constant(name: str) -> NoReturn:
    _not_json(f"is not valid JSON: {name} is no JSON number")


def _checked(value: Any, depth: int) -> Any:
    """`value`, if a database can hold its strings and it is not too deep."""
    if depth > MAX_DEPTH:
        _not_json(f"is nested deeper than {MAX_DEPTH} levels")
    match value:
        case str():
            _check_text(value)
        case int() if not -(2**63) <= value < 2**63:
            _not_json("has a number that is too large")
        case float() if not math.isfinite(value):
            _not_json("has a number that is too large")
        case list():
            for item in value:
                _checked(item, depth + 1)
        case dict():
            for name, item in value.items():
                _check_text(name)
                _checked(item, depth + 1)
    return value


def _check_text(text: str) -> None:
    if "\0" in text:
        _not_json("has a NUL character in a string")
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        _not_json("has half of a surrogate pair in a string")


def _shown(name: str) -> str:
    return name.encode("utf-8", "replace").decode()[:100]


def validated(model: type[Model], value: Any) -> Model:
    """`value` as `model`. Raises `Invalid` with every fault, each with its dotted path."""
    if not isinstance(value, dict):
        raise Invalid([Fault("body", "must be a JSON object")])
    try:
        return model.model_validate(value)
    except ValidationError as error:
        raise Invalid(list(faults_of(error))) from None


def faults_of(error: ValidationError, under: str = "") -> Iterator[Fault]:
    for detail in error.errors(include_url=False, include_input=False):
        yield Fault(_path([under, *detail["loc"]] if under else detail["loc"]), _message(detail))


def _path(parts: Iterable[str | int]) -> str:
    path = ""
    for part in parts:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return _shown(path)


def _message(detail: ErrorDetails) -> str:
    match detail["type"]:
        case "missing":
            return "is required"
        case "extra_forbidden":
            return "is not a known field; remove it"
        case "value_error" | "assertion_error":
            return str(detail["ctx"]["error"])
        case kind if kind in _MUST_BE:
            return f"must be {_MUST_BE[kind]}"
        case _:
            text = detail["msg"]
            return text[:1].lower() + text[1:]


def query(model: type[Model], request: AnyRequest) -> Model:
    """The query string as `model`: single values, and lists from repeated or comma-separated ones.

    Raises `Invalid`: unknown names, one given twice, text that is no UTF-8.
    """
    raw: bytes = request.scope["query_string"]
    if not raw:
        return model()
    given, faults = _parsed(raw, model)
    try:
        found = model.model_validate(given)
    except ValidationError as error:
        faults.extend(faults_of(error))
    if faults:
        raise Invalid([_as_parameter(fault, model) for fault in faults])
    return found


def _parsed(raw: bytes, model: type[BaseModel]) -> tuple[dict[str, Any], list[Fault]]:
    given: dict[str, Any] = {}
    faults: list[Fault] = []
    for pair in raw.split(b"&"):
        if not pair:
            continue
        name, value = (_unquoted(part) for part in (pair.partition(b"=")[0], pair.partition(b"=")[2]))
        if name is None or value is None or "\0" in name + value:
            faults.append(Fault(name or "", "must be UTF-8 without NUL"))
        elif name in _lists(model):
            given.setdefault(name, []).extend(value.split(","))
        elif name in given:
            faults.append(Fault(name, "is given twice; give it once"))
        else:
            given[name] = value
    return given, faults


def _unquoted(part: bytes) -> str | None:
    try:
        return unquote_to_bytes(part.replace(b"+", b" ")).decode("utf-8")
    except UnicodeDecodeError:
        return None


def _lists(model: type[BaseModel]) -> frozenset[str]:
    names = (name for name, field in model.model_fields.items() if "list" in str(field.annotation))
    return frozenset(names)


def _as_parameter(fault: Fault, model: type[BaseModel]) -> Fault:
    fault = Fault(fault.field.partition("[")[0], fault.message)
    if fault.message == "is not a known field; remove it":
        known: Mapping[str, Any] = model.model_fields
        names = ", ".join(known) or "none"
        return Fault(fault.field, f"is not a parameter of this address; the parameters are: {names}")
    return fault
