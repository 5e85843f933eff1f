"""Folders and buckets of which it is known, object by object, what a scan must come to."""

import gzip
import os
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final

from tests.end_to_end.ring import Ring
from tests.torture.stormy_s3 import StormyS3

PREFIXES: Final = tuple(f"p{number:02}/" for number in range(8))
"""Each of them listed on its own is at least one chunk."""

_DEEP: Final = "/".join(letter * 240 for letter in "abcd")
"""Keys this long make chunks of about 64 objects: keys travel inside the command."""


@dataclass(frozen=True, slots=True)
class Truth:
    """What must become of an object that is read undisturbed, and how many hits of each detector it holds."""

    disposition: str = "scanned"
    reason: str | None = None
    findings: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Source:
    """A connector and its objects by key. `storm` is what may make them fail; None for a source nothing is done to."""

    name: str
    connector: str
    objects: Mapping[str, Truth]
    prefixes: tuple[str, ...] = ()
    bucket: str = ""
    storm: StormyS3 | None = None


Body = tuple[bytes, Truth]


def bodies(rng: Random) -> list[Body]:
    """Texts of all sizes, each with hits of its own number, and one of everything that is not simply read."""
    made: list[Body] = []
    for number in range(24):
        emails, cards, size = number % 12, number % 5, int(rng.choice([2e3, 2e4, 2e4, 1e5]))
        made.append((_text(emails, cards, size), Truth(findings=_counts(emails, cards))))
    whole = gzip.compress(_text(4, 3, 20_000))
    made.append((whole, Truth(findings=_counts(4, 3))))
    made.append((whole[: len(whole) // 2], Truth("failed", "parse_error")))
    made.append((b"", Truth("skipped", "empty")))
    made.append((b"\x7fELF" + bytes(range(256)) * 40, Truth("skipped", "binary")))
    return made


def large_body() -> Body:
    """More than is fetched whole."""
    return _text(60, 40, 3_000_000), Truth(findings=_counts(60, 40))


def _counts(emails: int, cards: int) -> Mapping[str, int]:
    return {name: count for name, count in (("pii.email", emails), ("payment.card", cards)) if count}


def _text(emails: int, cards: int, size: int) -> bytes:
    hits = [f"write to somebody.{number}@example.com today\n" for number in range(emails)]
    hits += ["the card 4111 1111 1111 1111 was charged\n"] * cards
    line = "nothing to see on this line of plain words, and nothing on the next one either\n"
    filler = line * (size // len(line) // (len(hits) + 1))
    return (filler + "".join(hit + filler for hit in hits)).encode()


class Sources:
    """Makes the sources of a storm: below a folder, on an S3 server, as connectors of a ring."""

    def __init__(self, ring: Ring, root: Path, client: Any, rng: Random) -> None:
        self._ring = ring
        self._root = root
        self._client = client
        self._rng = rng
        self._bodies = [*bodies(rng), large_body()]

    def folder(self, name: str, keys: list[str], *, prefixes: tuple[str, ...] = (), large: int = 0) -> Source:
        root, originals = self._root / name, self._root / "bodies"
        originals.mkdir(parents=True, exist_ok=True)
        truths = self._drawn(keys, large)
        for key, number in truths.items():
            original, path = originals / str(number), root / key
            path.parent.mkdir(parents=True, exist_ok=True)
            if not original.exists():
                original.write_bytes(self._bodies[number][0])
            os.link(original, path)
        objects = {key: self._bodies[number][1] for key, number in truths.items()}
        return Source(name, self._ring.connect_folder(root), objects, prefixes)

    def bucket(
        self,
        name: str,
        keys: list[str],
        proxy: StormyS3,
        *,
        stormy: bool,
        prefixes: tuple[str, ...] = (),
        large: int = 0,
    ) -> Source:
        # Of its own, for all tests of a process share the server.
        bucket = f"{name}-{uuid.uuid4().hex[:8]}"
        self._client.create_bucket(Bucket=bucket)
        numbers = self._drawn(keys, large)

        def put(key: str) -> None:
            self._client.put_object(Bucket=bucket, Key=key, Body=self._bodies[numbers[key]][0])

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(put, keys))
        objects = {key: self._bodies[number][1] for key, number in numbers.items()}
        connector = self._ring.connect_bucket(proxy.config(bucket))
        return Source(name, connector, objects, prefixes, bucket, proxy if stormy else None)

    def _drawn(self, keys: list[str], large: int) -> dict[str, int]:
        """The number of a body for each key; the first `large` of them get the large one."""
        last = len(self._bodies) - 1
        return {key: last if at < large else self._rng.randrange(last) for at, key in enumerate(keys)}


def flat(count: int) -> list[str]:
    return [f"{number:04}.dat" for number in range(count)]


def deep(count: int) -> list[str]:
    return [f"{_DEEP}/{key}" for key in flat(count)]


def wide(each: int) -> list[str]:
    return [f"{prefix}{key}" for prefix in PREFIXES for key in flat(each)]
