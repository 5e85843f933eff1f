"""Avro object container files (specification 1.11): the text of every record, by column, in bounded batches."""

import json
from collections.abc import Iterator
from typing import Any, Final

from domain.errors import ObjectUnreadable
from infrastructure.formats.avro_codecs import Unpack, codec_named
from infrastructure.formats.avro_leaves import corrupt, too_deep, varint
from infrastructure.formats.avro_schema import Records
from infrastructure.formats.extracted import ColumnBatch
from infrastructure.formats.limits import MIB, Budget, BudgetSpent, InflationGuard
from infrastructure.formats.streams import PeekableStream

_MAGIC: Final = b"Obj\x01"
_SYNC: Final = 16
_LARGEST_HEADER: Final = 16 * MIB
_LONGEST_VARINT: Final = 10
_BATCH_BYTES: Final = 4 * MIB


def is_avro(head: bytes, _name: str) -> bool:
    return head.startswith(_MAGIC)


def read(content: PeekableStream, name: str, budget: Budget) -> Iterator[ColumnBatch]:  # noqa: ARG001 — a reader's signature
    """The text of every record, nested values by their path. See `extracted.Reader`. Reads block by block; a block
    beyond `document_bytes`, packed or unpacked, is a resource_limit."""
    metadata = _metadata(content, budget)
    unpack = codec_named(metadata.get(b"avro.codec", b"null"))
    records = Records(_schema(metadata))
    try:
        for count, data in _blocks(content, unpack, budget):
            yield from _block(records, count, data, budget)
    except ObjectUnreadable:
        yield from records.batches()
        raise
    yield from records.batches()


def _block(records: Records, count: int, data: bytes, budget: Budget) -> Iterator[ColumnBatch]:
    position = 0
    for _ in range(count if records.takes_bytes else 0):
        position = records.read(data, position)
        if records.pending > _BATCH_BYTES:
            yield from records.batches()
            budget.check_time()
    if position != len(data):
        raise corrupt()


def _blocks(content: PeekableStream, unpack: Unpack, budget: Budget) -> Iterator[tuple[int, bytes]]:
    """How many records each block tells to have, and its bytes."""
    guard = InflationGuard(budget)
    sync = _whole(content, _SYNC)
    while content.peek(1):
        count, size = _varint(content), _varint(content)
        if count < 0 or size < 0:
            raise corrupt()
        if size > budget.limits.document_bytes:
            raise BudgetSpent("the Avro file has blocks that are too large")
        packed = _whole(content, size)
        if _whole(content, _SYNC) != sync:
            raise corrupt()
        guard.consumed(size)
        data = unpack(packed, budget.limits)
        guard.produced(len(data))
        yield count, data


def _metadata(content: PeekableStream, budget: Budget) -> dict[bytes, bytes]:
    """The file's header: a map of bytes."""
    if _whole(content, len(_MAGIC)) != _MAGIC:
        raise corrupt()
    metadata: dict[bytes, bytes] = {}
    held = 0
    while (count := _varint(content)) != 0:
        if count < 0:
            count = -count
            _varint(content)
        for _ in range(count):
            budget.check_time()
            key, value = _counted(content), _counted(content)
            held += len(key) + len(value) + 1
            if held > _LARGEST_HEADER:
                raise BudgetSpent("the Avro file has a larger header than allowed")
            metadata[key] = value
    return metadata


def _schema(metadata: dict[bytes, bytes]) -> Any:
    try:
        return json.loads(metadata[b"avro.schema"])
    except (KeyError, ValueError) as error:
        raise corrupt() from error
    except RecursionError as error:
        raise too_deep() from error


def _counted(content: PeekableStream) -> bytes:
    size = _varint(content)
    if size < 0:
        raise corrupt()
    if size > _LARGEST_HEADER:
        raise BudgetSpent("the Avro file has a larger header than allowed")
    return _whole(content, size)


def _whole(content: PeekableStream, size: int) -> bytes:
    data = content.read_full(size)
    if len(data) < size:
        raise corrupt()
    return data


def _varint(content: PeekableStream) -> int:
    try:
        number, length = varint(content.peek(_LONGEST_VARINT), 0)
    except IndexError:
        raise corrupt() from None
    content.read_full(length)
    return number
