"""A bucket of very many small objects, filled in seconds, and the ways to list it that need no service."""

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from infrastructure.connectors.endpoints import Reach
from infrastructure.connectors.s3 import S3Source
from infrastructure.connectors.settings import S3Config, S3Credentials
from infrastructure.s3_server import S3Server

BUCKET = "many-objects"
FOLDER = 1_000
"""So many objects share a folder and, with it, their content."""

Listing = Callable[[], int]
"""Lists the bucket once; gives the number of objects."""

_STORED = Path("objects", "000000000000", BUCKET, ".ministack-keys")
"""Where the S3 server keeps objects by their encoded keys. Read at its start in key order, which it lists faster."""


def key_of(number: int) -> str:
    """`data/0000/0000000.txt` and so on, in key order."""
    return f"data/{number // FOLDER:04}/{number:07}.txt"


@contextmanager
def bucket_of(count: int) -> Iterator[S3Server]:
    """A server of the bucket BUCKET with `count` objects of a few bytes, made without a request for each.

    Links in the folder that the server starts from: about a hundredth of the time that PUTs take.
    """
    with tempfile.TemporaryDirectory(prefix="scanledger-bench-") as path:
        _fill(Path(path, _STORED), count)
        with S3Server(Path(path)) as server:
            yield server


def bare_list(server: S3Server) -> Listing:
    """boto3's paginator and nothing else."""
    pages = server.client().get_paginator("list_objects_v2")
    return lambda: sum(len(page["Contents"]) for page in pages.paginate(Bucket=BUCKET))


@contextmanager
def open_bucket(server: S3Server) -> Iterator[S3Source]:
    """The bucket as the service opens it."""
    config = S3Config(bucket=BUCKET, endpoint_url=server.endpoint_url, region=server.region)
    keys = S3Credentials.model_validate(
        {"access_key_id": server.access_key_id, "secret_access_key": server.secret_access_key}
    )
    with closing(S3Source(config, keys, reach=Reach(native=True))) as source:
        yield source


@contextmanager
def source_list(server: S3Server) -> Iterator[Listing]:
    """The service's own source and nothing else."""
    with open_bucket(server) as source:
        yield lambda: sum(map(len, source.list_pages("")))


@dataclass(slots=True)
class Rates:
    """Of each round: objects a second, and CPU microseconds an object."""

    objects: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


def in_turns(ways: Mapping[str, Callable[[], tuple[float, float]]], count: int, rounds: int) -> dict[str, Rates]:
    """The rates of ways to go through `count` objects, one after the other in each round.

    Each gives its seconds and its CPU seconds.
    """
    rates = {name: Rates() for name in ways}
    for _ in range(rounds):
        for name, way in ways.items():
            seconds, cpu_seconds = way()
            rates[name].objects.append(count / seconds)
            rates[name].cpu.append(cpu_seconds / count * 1e6)
    return rates


def timed(listing: Listing, count: int) -> tuple[float, float]:
    """Seconds and CPU seconds of one listing in this process. Raises RuntimeError if it lost or repeated any."""
    cpu, begin = time.process_time(), time.perf_counter()
    found = listing()
    seconds, spent = time.perf_counter() - begin, time.process_time() - cpu
    if found != count:
        raise RuntimeError(f"{found} of {count} objects listed")
    return seconds, spent


def _fill(folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    first = folder
    for number in range(count):
        path = folder / quote(key_of(number), safe="").replace(".", "%2E")
        if number % FOLDER == 0:
            first = path
            first.write_text(f"{number}\n")
        else:
            os.link(first, path)
