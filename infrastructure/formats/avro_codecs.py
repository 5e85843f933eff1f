"""How the blocks of Avro files are compressed. Each block is unpacked as a whole, up to `document_bytes`."""

import bz2
import lzma
import zlib
from collections.abc import Callable
from typing import Final

import zstandard

from domain.coverage import SkipReason
from domain.errors import ObjectSkipped
from infrastructure.formats.avro_leaves import corrupt
from infrastructure.formats.limits import MIB, BudgetSpent, Limits

Unpack = Callable[[bytes, Limits], bytes]
"""Raises `ObjectUnreadable(parse_error)` and `BudgetSpent`."""

_CHECKSUM: Final = 4


def codec_named(name: bytes) -> Unpack:
    """The codec that a file's header names. Raises `ObjectSkipped(unsupported_format)`."""
    codec = _CODECS.get(name)
    if codec is None:
        raise ObjectSkipped(SkipReason.UNSUPPORTED_FORMAT, "Avro compressed by a codec that is not read")
    return codec


def _too_large() -> BudgetSpent:
    return BudgetSpent("the Avro file has blocks that are too large")


def _null(packed: bytes, _limits: Limits) -> bytes:
    return packed


def _deflate(packed: bytes, limits: Limits) -> bytes:
    inflate = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        return _finished(inflate.decompress(packed, limits.document_bytes + 1), limits, ended=inflate.eof)
    except zlib.error as error:
        raise corrupt() from error


def _bzip2(packed: bytes, limits: Limits) -> bytes:
    member = bz2.BZ2Decompressor()
    try:
        return _finished(member.decompress(packed, limits.document_bytes + 1), limits, ended=member.eof)
    except (OSError, ValueError, EOFError) as error:
        raise corrupt() from error


def _xz(packed: bytes, limits: Limits) -> bytes:
    try:
        member = lzma.LZMADecompressor(lzma.FORMAT_AUTO, memlimit=limits.zstd_window_bytes + MIB)
        return _finished(member.decompress(packed, limits.document_bytes + 1), limits, ended=member.eof)
    except (lzma.LZMAError, ValueError, EOFError) as error:
        raise _too_large() if "limit" in str(error) else corrupt() from error


def _zstandard(packed: bytes, limits: Limits) -> bytes:
    codec = zstandard.ZstdDecompressor(max_window_size=limits.zstd_window_bytes)
    parts: list[bytes] = []
    total = 0
    try:
        with codec.stream_reader(packed, read_across_frames=True) as reader:
            while part := reader.read(min(MIB, limits.document_bytes + 1 - total)):
                parts.append(part)
                total += len(part)
    except zstandard.ZstdError as error:
        raise _too_large() if "memory" in str(error) else corrupt() from error
    return _finished(b"".join(parts), limits, ended=True)


def _snappy(packed: bytes, limits: Limits) -> bytes:
    """Snappy's raw format, whose beginning tells its length, and a checksum."""
    import pyarrow as pa  # noqa: PLC0415 — 60 MB that only this codec needs

    size, shift = 0, 0
    for byte in packed[:5]:
        size |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            break
    if size > limits.document_bytes:
        raise _too_large()
    try:
        content = bytes(pa.decompress(packed[:-_CHECKSUM], size, "snappy", asbytes=True))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise corrupt() from error
    if zlib.crc32(content).to_bytes(4, "big") != packed[-_CHECKSUM:]:
        raise corrupt()
    return content


def _finished(content: bytes, limits: Limits, *, ended: bool) -> bytes:
    if len(content) > limits.document_bytes:
        raise _too_large()
    if not ended:
        raise corrupt()
    return content


_CODECS: Final[dict[bytes, Unpack]] = {
    b"null": _null,
    b"deflate": _deflate,
    b"bzip2": _bzip2,
    b"xz": _xz,
    b"zstandard": _zstandard,
    b"snappy": _snappy,
}
