"""Inventory entries as compressed columns: about 60 bytes an object."""

from collections.abc import Sequence
from typing import Final

import msgspec
import zstandard

from domain.coverage import SkipReason
from domain.inventory import Known, Ruleset

ENTRIES_A_PAGE: Final = 1_000

_LEVEL: Final = 1
_MAX_BYTES: Final = 64 * 1024 * 1024


class _Source(msgspec.Struct, array_like=True, frozen=True):
    """A scan that entries come from, and what it looked for."""

    scan: str
    digest: str
    detectors: tuple[str, ...]


class _Columns(msgspec.Struct, array_like=True):
    keys: list[str]
    sizes: list[int]
    etags: list[str]
    skips: list[str | None]
    sources: list[_Source]
    source_of: list[int]


_decoder: Final = msgspec.msgpack.Decoder(_Columns)


def encode(entries: Sequence[Known]) -> bytes:
    sources: dict[_Source, int] = {}
    source_of = [
        sources.setdefault(_Source(e.scan, e.ruleset.digest, e.ruleset.detectors), len(sources)) for e in entries
    ]
    columns = _Columns(
        keys=[e.key for e in entries],
        sizes=[e.size for e in entries],
        etags=[e.etag for e in entries],
        skips=[e.skipped.value if e.skipped else None for e in entries],
        sources=list(sources),
        source_of=source_of,
    )
    return zstandard.ZstdCompressor(level=_LEVEL).compress(msgspec.msgpack.encode(columns))


def decode(data: bytes) -> list[Known]:
    """What `encode` was given."""
    columns = _decoder.decode(zstandard.decompress(data, max_output_size=_MAX_BYTES))
    sources = [(source.scan, Ruleset(source.digest, source.detectors)) for source in columns.sources]
    return [
        Known(key, size, etag, *sources[source], skipped=SkipReason(skip) if skip else None)
        for key, size, etag, skip, source in zip(
            columns.keys, columns.sizes, columns.etags, columns.skips, columns.source_of, strict=True
        )
    ]


def key_bytes(key: str) -> bytes:
    """A key as it is stored for sorting."""
    return key.encode("utf-8", "surrogatepass")
