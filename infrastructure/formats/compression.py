"""Compressed streams, read through: one class per codec, chosen by its magic bytes."""

from collections.abc import Callable
from typing import Final

import zstandard

from application.ports import ByteStream
from domain.coverage import FailReason
from domain.errors import ObjectUnreadable
from infrastructure.formats.compression_members import (
    Bzip2Stream,
    GzipStream,
    LzmaStream,
    XzStream,
    is_bzip2,
    is_lzma,
    is_xz,
)
from infrastructure.formats.limits import Budget, InflationGuard

_READ: Final = 64 * 1024
_ZSTD_SLICE: Final = 256
_ZSTD_MAGIC: Final = b"\x28\xb5\x2f\xfd"
_ZSTD_SKIPPABLE: Final = tuple(bytes((0x50 + n, 0x2A, 0x4D, 0x18)) for n in range(16))
_GZIP_MAGIC: Final = b"\x1f\x8b\x08"


def _corrupt() -> ObjectUnreadable:
    return ObjectUnreadable(FailReason.PARSE_ERROR, "the zstd data is corrupt or cut short")


class ZstdStream:
    """The content of a zstd file with one or more frames (RFC 8878); skippable frames are stepped over.

    Fed in slices of 256 bytes, which bounds what one step can inflate to 8 MiB. Raises as `GzipStream` does; a
    window above `zstd_window_bytes` is a resource_limit, too.
    """

    def __init__(self, stream: ByteStream, budget: Budget) -> None:
        self._stream = stream
        self._guard = InflationGuard(budget)
        self._codec = zstandard.ZstdDecompressor(max_window_size=budget.limits.zstd_window_bytes)
        self._frame = self._codec.decompressobj()
        self._fed = False
        self._input = memoryview(b"")
        self._content = b""

    def read(self, size: int, /) -> bytes:
        if not self._content:
            self._content = self._inflate()
        chunk, self._content = self._content[:size], self._content[size:]
        return chunk

    def _inflate(self) -> bytes:
        parts: list[bytes] = []
        total = 0
        while total < _READ:
            if not self._input and not self._refill():
                break
            part = self._step()
            if part:
                parts.append(part)
                total += len(part)
                self._guard.produced(len(part))
        return b"".join(parts)

    def _refill(self) -> bool:
        self._input = memoryview(self._stream.read(_READ))
        self._guard.consumed(len(self._input))
        if not self._input and self._fed:
            raise _corrupt()
        return bool(self._input)

    def _step(self) -> bytes:
        piece, self._input = self._input[:_ZSTD_SLICE], self._input[_ZSTD_SLICE:]
        try:
            content = self._frame.decompress(piece)
        except zstandard.ZstdError as error:
            if "memory" in str(error):
                raise ObjectUnreadable(FailReason.RESOURCE_LIMIT, "the zstd window is too large") from error
            raise _corrupt() from error
        self._fed = True
        if self._frame.eof:
            self._input = memoryview(self._frame.unused_data + bytes(self._input))
            self._frame = self._codec.decompressobj()
            self._fed = False
        return content


Decompression = Callable[[ByteStream, Budget], ByteStream]
_ZSTD_MAGICS: Final = (_ZSTD_MAGIC, *_ZSTD_SKIPPABLE)

DECOMPRESSIONS: Final[tuple[tuple[Callable[[bytes], bool], Decompression], ...]] = (
    (lambda head: head.startswith(_GZIP_MAGIC), GzipStream),
    (lambda head: head.startswith(_ZSTD_MAGICS), ZstdStream),
    (is_bzip2, Bzip2Stream),
    (is_xz, XzStream),
    (is_lzma, LzmaStream),
)
MAGIC_BYTES: Final = 16


def decompression_of(head: bytes) -> Decompression | None:
    """The codec that the first `MAGIC_BYTES` bytes announce."""
    for announces, decompression in DECOMPRESSIONS:
        if announces(head):
            return decompression
    return None
