"""An operation of the API, as OpenAPI tells it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import BaseModel


@dataclass(frozen=True, slots=True)
class Operation:
    """`answer` is the whole body of a success; `scope` None means that no key is needed, "" that any will do.
    `also` is another status of a success, where there is one; `headers` are those of a success, with what
    they tell."""

    method: str
    path: str
    operation_id: str
    tag: str
    summary: str
    answer: Any
    description: str = ""
    scope: str | None = ""
    query: type[BaseModel] | None = None
    body: type[BaseModel] | None = None
    body_required: bool = True
    success: int = 200
    also: int | None = None
    errors: Sequence[int] = ()
    idempotent: bool = False
    conditional: bool = False
    media_types: Sequence[str] = ("application/json",)
    headers: Mapping[str, str] = field(default_factory=dict)
