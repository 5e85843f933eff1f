"""A bucket behind a proxy that makes every read slow and remembers when it was asked for: waiting costs no CPU."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final
from urllib.parse import unquote, urlsplit

from infrastructure.s3_server import S3Server
from tests.fault_proxy import Delay, Fault, FaultProxy, Pass

PREFIXES: Final = [f"p{number:02}/" for number in range(24)]
"""Each of them listed on its own is one chunk."""

OBJECTS_A_PREFIX: Final = 10
READ_SECONDS: Final = 0.5
CHUNK_SECONDS: Final = 2 * READ_SECONDS
"""Eight objects are read at once."""

BODY: Final = b"write to somebody@example.com\n"
_BUCKET: Final = "slow"


class SlowBucket(FaultProxy):
    """`reads` are the moments, by `time.time()`, at which objects were asked for, and `begun` those at which the first
    of each prefix was. An object takes `read_seconds`."""

    def __init__(self, server: S3Server) -> None:
        parts = urlsplit(server.endpoint_url)
        super().__init__(parts.hostname or "", parts.port or 0)
        self._server = server
        self._remembering = threading.Lock()
        self.reads: list[float] = []
        self.begun: dict[str, float] = {}
        self.read_seconds = READ_SECONDS
        self.slow_listing: tuple[str, float] | None = None

    @property
    def config(self) -> dict[str, object]:
        return {
            "bucket": _BUCKET,
            "endpoint_url": f"http://127.0.0.1:{self.port}",
            "access_key_id": self._server.access_key_id,
            "secret_access_key": self._server.secret_access_key,
        }

    def next_fault(self, request: bytes) -> Fault:
        line = unquote(request.partition(b"\r\n")[0].decode("latin-1"))
        if "list-type=2" in line:
            prefix, seconds = self.slow_listing or ("nothing", 0)
            return Delay(seconds) if f"prefix={prefix}" in line else Pass()
        if not line.startswith("GET "):
            return Pass()
        with self._remembering:
            self.reads.append(time.time())
            self.begun.setdefault(line.split()[1].rpartition("/")[0].rpartition("/")[2], self.reads[-1])
        return Delay(self.read_seconds)

    def forget(self) -> None:
        """What was read so far."""
        with self._remembering:
            self.reads.clear()
            self.begun.clear()


@contextmanager
def open_slow_bucket(server: S3Server, client: Any) -> Iterator[SlowBucket]:
    client.create_bucket(Bucket=_BUCKET)
    keys = [f"{prefix}{number}.txt" for prefix in PREFIXES for number in range(OBJECTS_A_PREFIX)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda key: client.put_object(Bucket=_BUCKET, Key=key, Body=BODY), keys))
    with SlowBucket(server) as bucket:
        yield bucket
