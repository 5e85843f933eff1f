"""Who is calling, whether they may, and how often."""

from api.answers import AnyRequest, header
from api.errors import Refused
from api.service_parts import parts_of
from application.reading import Caller


class Requires:
    """Goes before a handler: a valid key with one of `scopes` (of none: any key), and a free token in its bucket."""

    def __init__(self, *scopes: str) -> None:
        self.scopes = scopes

    async def __call__(self, request: AnyRequest) -> None:
        parts = parts_of(request)
        caller = await parts.ports.keys.verify(bearer_token(request))
        if caller is None:
            raise unauthenticated("This API key is not valid: it is unknown or was revoked.")
        if wait := parts.limiter.wait(caller.key_id, caller.tier.requests_per_minute):
            raise _too_many(caller, wait)
        if self.scopes and not any(caller.may(scope) for scope in self.scopes):
            message = f"This needs an API key with the scope {' or '.join(self.scopes)}."
            raise Refused(403, "FORBIDDEN", message, {"required_scope": self.scopes[0]})
        request.scope["auth"] = caller


def bearer_token(request: AnyRequest) -> str:
    """The key of the Authorization header. Raises `Refused` 401."""
    scheme, _, token = (header(request.scope, b"authorization") or "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise unauthenticated("Send an API key: Authorization: Bearer sl_…")
    return token.strip()


def unauthenticated(message: str) -> Refused:
    return Refused(401, "UNAUTHENTICATED", message, headers={"WWW-Authenticate": 'Bearer realm="scanledger"'})


def _too_many(caller: Caller, wait: float) -> Refused:
    limit = caller.tier.requests_per_minute
    return Refused(
        429,
        "RATE_LIMITED",
        f"The tier {caller.tier.name!r} allows {limit} requests a minute; wait as Retry-After says.",
        {"limit": limit, "tier": caller.tier.name},
        {"Retry-After": str(max(1, round(wait + 0.5)))},
    )
