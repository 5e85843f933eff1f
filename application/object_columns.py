"""Objects as compressed columns: how listings travel, how the manifest stores them, how chunk commands carry them.

Zstandard over a MessagePack array of columns: about 50 bytes an object for ordinary keys, against 200 as rows.
"""

import base64
import threading
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, NamedTuple

import msgspec
import zstandard

from domain.coverage import SkipReason
from domain.manifest import ObjectInfo

_LEVEL: Final = 1
_MAX_BYTES: Final = 64 * 1024 * 1024
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class _Columns(msgspec.Struct, array_like=True):
    keys: list[str]
    sizes: list[int]
    etags: list[str]
    modified: list[float | None]
    classes: list[str]
    skips: list[str | None] = []
    scans: list[str] = []
    scanned_by: list[int | None] = []


class Block(NamedTuple):
    """Objects; and in a manifest page why each is skipped, and by which earlier scan an `unchanged` one was scanned.

    `scanned_by` holds "" for the others, and is empty when there are none.
    """

    objects: list[ObjectInfo]
    skips: list[SkipReason | None]
    scanned_by: list[str]


_decoder = msgspec.msgpack.Decoder(_Columns)
_of_thread = threading.local()


def encode(
    objects: Sequence[ObjectInfo], skips: Sequence[SkipReason | None] = (), scanned_by: Sequence[str] = ()
) -> bytes:
    """`objects` and, in a manifest page, the rest of a `Block`. Raises ValueError if the lengths differ."""
    if any(column and len(column) != len(objects) for column in (skips, scanned_by)):
        raise ValueError(f"{len(skips)} dispositions and {len(scanned_by)} earlier scans for {len(objects)} objects")
    scans = sorted(set(scanned_by) - {""})
    columns = _Columns(
        keys=[entry.key for entry in objects],
        sizes=[entry.size for entry in objects],
        etags=[entry.etag for entry in objects],
        modified=[entry.last_modified.timestamp() if entry.last_modified else None for entry in objects],
        classes=[entry.storage_class for entry in objects],
        skips=[reason.value if reason else None for reason in skips],
        scans=scans,
        scanned_by=[scans.index(scan) if scan else None for scan in scanned_by],
    )
    return _compressor().compress(msgspec.msgpack.encode(columns))


def _compressor() -> zstandard.ZstdCompressor:
    """This thread's own: it is not safe to share, and costs more to make than to use on a small block."""
    found: zstandard.ZstdCompressor | None = getattr(_of_thread, "compressor", None)
    if found is None:
        found = _of_thread.compressor = zstandard.ZstdCompressor(level=_LEVEL)
    return found


def decode(data: bytes) -> Block:
    """What `encode` was given. Raises ValueError for anything else."""
    try:
        columns = _decoder.decode(_decompressed(data))
        objects = _objects(columns)
        scanned_by = ["" if place is None else columns.scans[place] for place in columns.scanned_by]
    except (zstandard.ZstdError, msgspec.MsgspecError, OverflowError, IndexError) as error:
        raise ValueError(f"not a block of objects: {error}") from error
    if any(column and len(column) != len(objects) for column in (columns.skips, columns.scanned_by)):
        raise ValueError(f"{len(columns.skips)} dispositions for {len(objects)} objects")
    return Block(objects, [SkipReason(reason) if reason else None for reason in columns.skips], scanned_by)


def _decompressed(data: bytes) -> bytes:
    # A frame that states its size is taken at its word by `decompress`, whatever the limit.
    if zstandard.frame_content_size(data) > _MAX_BYTES:
        raise ValueError(f"a block of objects of more than {_MAX_BYTES} bytes")
    return zstandard.decompress(data, max_output_size=_MAX_BYTES)


def _objects(columns: _Columns) -> list[ObjectInfo]:
    return [
        ObjectInfo(key, size, etag, None if modified is None else _moment(modified), storage_class)
        for key, size, etag, modified, storage_class in zip(
            columns.keys, columns.sizes, columns.etags, columns.modified, columns.classes, strict=True
        )
    ]


def to_text(objects: Sequence[ObjectInfo]) -> str:
    """`encode`, as it stands in a JSON message."""
    return base64.b64encode(encode(objects)).decode("ascii")


def from_text(text: str) -> list[ObjectInfo]:
    """What `to_text` was given. Raises ValueError for anything else."""
    return decode(base64.b64decode(text, validate=True)).objects


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
