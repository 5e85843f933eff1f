"""`Idempotency-Key`: the same key and body get the same answer, made once."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

import orjson

from api.answers import JSON, Answer, AnyRequest, dumps, metadata
from api.bodies import Body
from api.service_parts import caller_of, ports_of
from application.reading import Answer as KeptAnswer
from domain.errors import Fault, Invalid

_LONGEST: Final = 255

Make = Callable[[bytes], Awaitable[Answer]]
"""Does the work and answers. It gets 16 or more bytes to make ids from."""


Locate = Callable[[Mapping[str, Any]], str]
"""Where the thing is that an answer's `data` tells of."""


Unseal = Callable[[Mapping[str, Any]], Awaitable[str | None]]
"""The secret of what an answer's `data` tells of, where it is still known."""


async def made_once(
    request: AnyRequest,
    route: str,
    body: Body,
    make: Make,
    locate: Locate,
    *,
    secret: tuple[str, Unseal] | None = None,
) -> Answer:
    """The answer of `make`, or what was answered before under the same key, with this request's metadata.

    A `secret`, the name of a field of `data`, is not kept with the answer, but asked for when it is given again.

    Raises `Invalid` for a key that is none, KeyReused and KeyInProgress.
    """
    ports = ports_of(request)
    key = request.headers.get("idempotency-key")
    if key is None:
        return await make(ports.new_id())
    if not 1 <= len(key) <= _LONGEST or not (key.isascii() and key.isprintable()):
        raise Invalid([Fault("Idempotency-Key", f"must be 1 to {_LONGEST} printable ASCII characters")])
    canonical = orjson.dumps(body.value, option=orjson.OPT_SORT_KEYS)
    async with ports.idempotency.claim(caller_of(request).tenant, key, route, canonical) as claim:
        if claim.kept is not None:
            return await _again(request, claim.kept, locate, secret)
        answer = await make(claim.seed)
        claim.answer = KeptAnswer(answer.status, answer.body if secret is None else _without(answer.body, secret[0]))
        return answer


def _without(body: bytes, field: str) -> bytes:
    document = orjson.loads(body)
    return dumps({**document, "data": {**document["data"], field: None}})


async def _again(request: AnyRequest, kept: KeptAnswer, locate: Locate, secret: tuple[str, Unseal] | None) -> Answer:
    document = orjson.loads(kept.body)
    if secret is not None:
        field, unseal = secret
        document["data"][field] = await unseal(document["data"])
    headers = {
        "Cache-Control": "no-store",
        "Idempotent-Replayed": "true",
        "Location": locate(document["data"]),
    }
    body = dumps({**document, "metadata": metadata(request.scope)})
    return Answer(body=body, status=kept.status, headers=headers, media_type=JSON)
