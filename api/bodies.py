"""Reading a request strictly: bodies and query strings become models, or every fault at once."""

import json
import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NoReturn, TypeVar
from urllib.parse import unquote_to_bytes

from litestar import Request
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from api.errors import Refused
from domain.errors import Fault, Invalid

MAX_BODY_BYTES: Final = 1024 * 1024
MAX_DEPTH: Final = 32

_MOST_DIGITS: Final = 1_000
_MOST_FAULTS: Final = 100
"""Faults of this kind that one answer tells: a body of nothing else would have some hundred thousand."""

Path = tuple[str | int, ...]

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


@dataclass(frozen=True, slots=True)
class Body:
    """A body as plain Python values, with null in place of what no field may hold: those are its `faults`."""

    value: Any
    faults: Sequence[Fault] = ()


async def read_json(request: AnyRequest, *, required: bool = True) -> Body:
    """The request's body as JSON; `{}` for no body where none is `required`.

    Raises `Refused` 413 or 415, and `Invalid` for what is not JSON at all: broken syntax or UTF-8. Faults of single
    fields come with the body: NaN, a number too large, a name twice in an object, NUL or a lone surrogate in a
    string, more than 32 levels.
    """
    _refuse_large(request)
    body = await request.body()
    if not body and not required:
        return Body({})
    _require_json(request)
    return parse_json(body)


def _refuse_large(request: AnyRequest) -> None:
    length = request.headers.get("content-length", "0")
    if length.isdecimal() and int(length) > MAX_BODY_BYTES:
        raise Refused(413, "PAYLOAD_TOO_LARGE", "The body is larger than the 1 MiB that a request may have.")


def _require_json(request: AnyRequest) -> None:
    media_type, _, parameters = request.headers.get("content-type", "").lower().partition(";")
    charset = parameters.replace(" ", "").replace('"', "")
    coding = request.headers.get("content-encoding", "identity").strip().lower()
    if coding not in {"", "identity"}:
        message = "The body must not be compressed; send it without Content-Encoding."
        raise Refused(415, "UNSUPPORTED_MEDIA_TYPE", message, headers={"Accept-Encoding": "identity"})
    if media_type.strip() != "application/json" or charset not in {"", "charset=utf-8", "charset=utf8"}:
        message = "The body must be JSON in UTF-8, sent with the header Content-Type: application/json."
        raise Refused(415, "UNSUPPORTED_MEDIA_TYPE", message, headers={"Accept-Post": "application/json"})


def parse_json(body: bytes) -> Body:
    """`body` as plain Python values. Raises `Invalid` as `read_json` says."""
    if not body.strip():
        _not_json("is empty; send a JSON object")
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        _not_json(f"is not UTF-8 (byte {error.start})")
    try:
        value = json.loads(text, object_pairs_hook=_object, parse_constant=_constant, parse_int=_whole)
    except RecursionError:
        _not_json(f"is nested deeper than {MAX_DEPTH} levels")
    except json.JSONDecodeError as error:
        _not_json(f"is not valid JSON: {error.msg} at line {error.lineno}, column {error.colno}")
    faults: list[Fault] = []
    return Body(_checked(value, (), faults), faults[:_MOST_FAULTS])


def _not_json(message: str) -> NoReturn:
    raise Invalid([Fault("body", message)])


@dataclass(frozen=True, slots=True)
class _Unusable:
    """Stands for a number that is none."""

    why: str


class _Repeating(dict[str, Any]):
    """An object in which these names were given more than once."""

    names: Collection[str] = ()


def _object(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    repeating = _Repeating(members)
    repeating.names = [name for name, times in Counter(name for name, _ in pairs).items() if times > 1]
    return repeating


def _constant(name: str) -> _Unusable:
    return _Unusable(f"is not valid JSON: {name} is no JSON number")


def _whole(digits: str) -> int | _Unusable:
    if len(digits) > _MOST_DIGITS:
        return _Unusable("is a number that is too large, of too many digits")
    return int(digits)


def _checked(value: Any, path: Path, faults: list[Fault]) -> Any:
    """`value` with null for whatever a database cannot hold or is too deep, which is added to `faults`."""
    wrong = _wrong(value, len(path) + 1)
    if wrong is not None:
        faults.append(Fault(_path(path) or "body", wrong))
        return None
    match value:
        case list():
            return [_checked(item, (*path, place), faults) for place, item in enumerate(value)]
        case dict():
            return _members(value, path, faults)
        case _:
            return value


def _wrong(value: Any, depth: int) -> str | None:
    match value:
        case _Unusable():
            return value.why
        case str():
            return _wrong_text(value)
        case int() if not -(2**63) <= value < 2**63:
            return "is a number that is too large"
        case float() if not math.isfinite(value):
            return "is a number that is too large"
        case list() | dict() if depth > MAX_DEPTH:
            return f"is nested deeper than {MAX_DEPTH} levels"
        case _:
            return None


def _members(value: dict[str, Any], path: Path, faults: list[Fault]) -> dict[str, Any]:
    if isinstance(value, _Repeating):
        faults.extend(Fault(_path((*path, name)), "is given twice in one object") for name in value.names)
    good: dict[str, Any] = {}
    for name, item in value.items():
        if (wrong := _wrong_text(name)) is None:
            good[name] = _checked(item, (*path, name), faults)
        else:
            faults.append(Fault(_path((*path, name)), f"{wrong}, in its name"))
    return good


def _wrong_text(text: str) -> str | None:
    if "\0" in text:
        return "has a NUL character"
    if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
        return "has half of a surrogate pair"
    return None


def _shown(name: str) -> str:
    return name.replace("\0", "\ufffd").encode("utf-8", "replace").decode()[:100]


def validated(model: type[Model], body: Body, context: Mapping[str, Any] | None = None) -> Model:
    """`body` as `model`. Raises `Invalid` with every fault, each with its path: `options.file_types[0]`.

    `context` is what validators of fields are told. A model may have `further_faults(value)`, for what its fields alone
    cannot tell.
    """
    if not isinstance(body.value, dict):
        raise Invalid(body.faults or [Fault("body", "must be a JSON object")])
    further = getattr(model, "further_faults", None)
    others: list[Fault] = [] if further is None else list(further(body.value))
    try:
        found = model.model_validate(body.value, context=dict(context or {}))
    except ValidationError as error:
        others = [*faults_of(error), *others]
    if faults := with_others(body.faults, others):
        raise Invalid(faults)
    return found


def with_others(first: Sequence[Fault], others: Iterable[Fault]) -> list[Fault]:
    """All faults, without the others at or below the first ones' places, which only follow from those."""
    places = [fault.field for fault in first]
    below = tuple(f"{place}{mark}" for place in places for mark in ".[")
    return [*first, *(fault for fault in others if fault.field not in places and not fault.field.startswith(below))]


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
        case "too_short" | "too_long" as kind:
            least = kind == "too_short"
            bound = detail["ctx"]["min_length" if least else "max_length"]
            return f"must have at {'least' if least else 'most'} {bound} item{'' if bound == 1 else 's'}"
        case kind if kind in _MUST_BE:
            return f"must be {_MUST_BE[kind]}"
        case _:
            text = detail["msg"]
            return text[:1].lower() + text[1:]


def query(model: type[Model], request: AnyRequest) -> Model:
    """The query string as `model`: single values, and lists from repeated or comma-separated ones.

    Raises `Invalid`: unknown names, one given twice, text that is no UTF-8.
    """
    given, faults = _parsed(request.scope["query_string"], model)
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
