"""S3 behind a proxy that is slow, and fails in one way for a while when told to. It remembers what it did to whom."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Final
from urllib.parse import parse_qs, unquote, urlsplit

from domain.coverage import FailReason
from infrastructure.s3_server import S3Server
from tests.fault_proxy import Cut, Delay, Fault, FaultProxy, HalfClose, http_error

SHARE_FAILED: Final = 0.6
"""So many of the requests fail while a mood lasts."""

_MOST_BYTES: Final = 6_000
EXPIRED: Final = "expired credentials"

MOODS: Final[Mapping[str, Callable[[Random], Fault]]] = {
    "503": lambda _: http_error(503, "SlowDown"),
    "500": lambda _: http_error(500, "InternalError"),
    EXPIRED: lambda _: http_error(400, "ExpiredToken"),
    "truncated body": lambda rng: Cut(rng.randrange(_MOST_BYTES)),
    "reset connection": lambda rng: Cut(rng.randrange(_MOST_BYTES), reset=True),
    "half-closed connection": lambda rng: HalfClose(rng.randrange(_MOST_BYTES)),
    "delay": lambda rng: Delay(rng.uniform(0.5, 3.0)),
}


@dataclass(frozen=True, slots=True)
class Failed:
    """A request that was made to fail. `key` is None for a listing, whose prefix is `prefix`."""

    at: float
    bucket: str
    key: str | None
    prefix: str
    mood: str


class StormyS3(FaultProxy):
    """`failed` are the requests made to fail, oldest first. `lag` is the most seconds that every read takes longer."""

    def __init__(self, server: S3Server, rng: Random, *, lag: float) -> None:
        parts = urlsplit(server.endpoint_url)
        super().__init__(parts.hostname or "", parts.port or 0)
        self._server = server
        self._rng = rng
        self._lag = lag
        self._drawing = threading.Lock()
        self.mood: str | None = None
        self.failed: list[Failed] = []

    def config(self, bucket: str) -> dict[str, object]:
        """The settings of a connector that reaches `bucket` through this proxy."""
        return {
            "bucket": bucket,
            "endpoint_url": f"http://127.0.0.1:{self.port}",
            "access_key_id": self._server.access_key_id,
            "secret_access_key": self._server.secret_access_key,
        }

    def next_fault(self, request: bytes) -> Fault:
        with self._drawing:
            mood = self.mood
            if mood is None or self._rng.random() > SHARE_FAILED:
                return Delay(self._rng.uniform(0, self._lag))
            self.failed.append(_asked(request, mood))
            return MOODS[mood](self._rng)

    def explains(self, reason: str, bucket: str, key: str, since: float, until: float) -> bool:
        """Whether an object may have failed for this reason, by what was done to requests in that time.

        A time-out may come from waiting for what was done to others: a provider that says SlowDown is left alone.
        """
        done = [one for one in self.failed if one.bucket == bucket and since <= one.at <= until]
        own = [one for one in done if one.key == key]
        match reason:
            case FailReason.ACCESS_DENIED:
                return any(one.mood == EXPIRED for one in own)
            case FailReason.NETWORK:
                return any(one.mood != EXPIRED for one in own)
            case FailReason.TIMEOUT:
                return bool(done)
            case _:
                return False

    def explains_listing(self, bucket: str, prefix: str, since: float, until: float) -> bool:
        """Whether a listing of that prefix was made to fail in that time."""
        return any(
            one.key is None and one.bucket == bucket and one.prefix == prefix and since <= one.at <= until
            for one in self.failed
        )


def _asked(request: bytes, mood: str) -> Failed:
    target = request.split(b" ", 2)[1].decode("latin-1")
    parts = urlsplit(target)
    bucket, _, key = unquote(parts.path).lstrip("/").partition("/")
    prefix = parse_qs(parts.query).get("prefix", [""])[0]
    listing = "list-type" in parts.query
    return Failed(time.time(), bucket, None if listing else key, prefix, mood)
