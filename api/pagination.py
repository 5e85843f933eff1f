"""Cursors: opaque, tamper-evident, and good only for the tenant, address and filters they were made for."""

import base64
import binascii
import hashlib
import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import orjson

from domain.errors import Fault, Invalid

_MAC_BYTES: Final = 16
_LONGEST: Final = 8_192


@dataclass(frozen=True, slots=True)
class Cursors:
    """Makes and reads cursors for one list: `context` is whatever a cursor must not be carried over from."""

    key: bytes
    context: bytes

    def make(self, place: Sequence[Any]) -> str:
        payload = orjson.dumps(list(place))
        return base64.urlsafe_b64encode(self._mac(payload) + payload).rstrip(b"=").decode()

    def read(self, cursor: str | None) -> list[Any] | None:
        """The place a cursor stands for; None for no cursor. Raises `Invalid` for one that was not made here."""
        if cursor is None:
            return None
        try:
            raw = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raw = b""
        mac, payload = raw[:_MAC_BYTES], raw[_MAC_BYTES:]
        if len(cursor) > _LONGEST or not hmac.compare_digest(mac, self._mac(payload)):
            message = "is not a cursor of this list with these filters; take next_cursor from the page before"
            raise Invalid([Fault("cursor", message)])
        place: list[Any] = orjson.loads(payload)
        return place

    def _mac(self, payload: bytes) -> bytes:
        return hmac.digest(self.key, self.context + b"\0" + payload, hashlib.sha256)[:_MAC_BYTES]


def cursors(key: bytes, tenant: str, path: str, filters: Any) -> Cursors:
    """The cursors of the list at `path`, as `tenant` sees it through `filters`."""
    return Cursors(key, orjson.dumps([tenant, path, filters], default=str))
