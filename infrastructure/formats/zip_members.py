"""The members of a zip file: listed within bounds, and each read through a guarded, checked stream."""

import bz2
import struct
import zipfile
import zlib
from collections.abc import Sequence
from typing import IO, Final, Protocol

from application.ports import ByteStream
from domain.coverage import FailReason, SkipReason
from domain.errors import ObjectSkipped, ObjectUnreadable
from infrastructure.formats.compression import ZstdStream
from infrastructure.formats.limits import MIB, Budget, BudgetSpent, InflationGuard

_READ: Final = 64 * 1024
_ENCRYPTED_FLAG: Final = 0x01
_STORED, _DEFLATED, _BZIP2, _ZSTD = 0, 8, 12, 93
_METHODS: Final = {6: "implode", 9: "Deflate64", 14: "LZMA", 95: "xz", 98: "PPMd"}
_END: Final = struct.Struct("<4s4H2LH")
_END_MAGIC: Final = b"PK\x05\x06"
_END64: Final = struct.Struct("<4sQ2H2L4Q")
_END64_MAGIC: Final = b"PK\x06\x06"
_LOCATOR_BYTES: Final = 20
_MOST_COMMENT: Final = 1 << 16
_DIRECTORY_MAGIC: Final = b"PK\x01\x02"
_LOCAL: Final = struct.Struct("<4s5H3L2H")
_LOCAL_MAGIC: Final = b"PK\x03\x04"
_LYING: Final = (
    zipfile.BadZipFile, NotImplementedError, UnicodeError, ValueError, OverflowError, EOFError, OSError, struct.error,
)  # fmt: skip


def members(file: IO[bytes], budget: Budget) -> Sequence[zipfile.ZipInfo]:
    """What the directory of a zip file lists, folders too, in its order. `budget.entry()` is left to who reads them.

    Raises `ObjectUnreadable(parse_error)` if there is no directory, and `BudgetSpent` if it lists more than `entries`,
    or members that share bytes: so do zip bombs, and nothing else does.
    """
    _check_directory(file, budget)
    try:
        with zipfile.ZipFile(file) as archive:
            listed, directory = archive.infolist(), archive.start_dir
    except _LYING as error:
        raise corrupt() from error
    free = 0
    for member in sorted(listed, key=lambda member: member.header_offset):
        if member.header_offset < free:
            raise BudgetSpent("is a zip file whose entries overlap")
        free = member.header_offset + _LOCAL.size + max(member.compress_size, 0)
    if free > directory:
        raise corrupt()
    return listed


def open_member(file: IO[bytes], member: zipfile.ZipInfo, budget: Budget) -> ByteStream:
    """The content of one member, checked against its size and checksum at its end. Streams of several members may be
    read by turns.

    Raises `ObjectUnreadable` (encrypted, parse_error) and `ObjectSkipped(unsupported_format)`; so do its reads, and
    `BudgetSpent`.
    """
    if member.flag_bits & _ENCRYPTED_FLAG:
        raise ObjectUnreadable(FailReason.ENCRYPTED, "encrypted (zip)")
    packed = _Packed(file, _content_offset(file, member), member.compress_size)
    if member.compress_type == _STORED:
        return _Checked(_Guarded(packed, budget), member)
    if member.compress_type == _DEFLATED:
        return _Checked(_Inflated(packed, _Deflate(), budget), member)
    if member.compress_type == _BZIP2:
        return _Checked(_Inflated(packed, bz2.BZ2Decompressor(), budget), member)
    if member.compress_type == _ZSTD:
        return _Checked(ZstdStream(packed, budget), member)
    method = _METHODS.get(member.compress_type, f"method {member.compress_type}")
    raise ObjectSkipped(SkipReason.UNSUPPORTED_FORMAT, f"zip compressed by {method}")


def corrupt() -> ObjectUnreadable:
    return ObjectUnreadable(FailReason.PARSE_ERROR, "the zip file is corrupt or cut short")


def _check_directory(file: IO[bytes], budget: Budget) -> None:
    """See how much the directory lists before it is held in memory."""
    size = file.seek(0, 2)
    tail_start = max(size - _END.size - _MOST_COMMENT, 0)
    file.seek(tail_start)
    tail = file.read()
    end = len(tail) - _END.size
    if end < 0 or tail[end : end + 4] != _END_MAGIC or tail[-2:] != b"\0\0":
        end = tail.rfind(_END_MAGIC)
    if end < 0 or len(tail) - end < _END.size:
        raise corrupt()
    listed = _END.unpack_from(tail, end)[5]
    stop = tail_start + end
    at64 = max(stop - _LOCATOR_BYTES - _END64.size, 0)
    file.seek(at64)
    record = file.read(_END64.size)
    if record.startswith(_END64_MAGIC):
        listed = max(_END64.unpack(record)[8], listed if listed != 0xFFFF_FFFF else 0)
        stop = at64
    if listed > budget.limits.document_bytes:
        raise BudgetSpent("has a larger directory than allowed")
    file.seek(max(stop - listed, 0))
    if file.read(listed).count(_DIRECTORY_MAGIC) > budget.limits.entries:
        raise BudgetSpent(f"has more than {budget.limits.entries:,} entries")


def _content_offset(file: IO[bytes], member: zipfile.ZipInfo) -> int:
    """Where the bytes of a member begin: behind its local header, whose length the directory does not tell."""
    file.seek(member.header_offset)
    raw = file.read(_LOCAL.size)
    if len(raw) < _LOCAL.size or not raw.startswith(_LOCAL_MAGIC):
        raise corrupt()
    *_, name_bytes, extra_bytes = _LOCAL.unpack(raw)
    return int(member.header_offset + _LOCAL.size + name_bytes + extra_bytes)


class _Packed:
    """The bytes of one member as they are stored. Shares its file: seeks before each read."""

    def __init__(self, file: IO[bytes], start: int, size: int) -> None:
        self._file = file
        self._position = start
        self._left = size

    def read(self, size: int, /) -> bytes:
        if self._left <= 0:
            return b""
        self._file.seek(self._position)
        content = self._file.read(min(size, self._left))
        if not content:
            raise corrupt()
        self._position += len(content)
        self._left -= len(content)
        return content


class _Guarded:
    """A stored member: what goes in comes out."""

    def __init__(self, packed: ByteStream, budget: Budget) -> None:
        self._packed = packed
        self._budget = budget

    def read(self, size: int, /) -> bytes:
        content = self._packed.read(size)
        self._budget.produced(len(content))
        return content


class _Decompressor(Protocol):
    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    def decompress(self, data: bytes, /, max_length: int) -> bytes: ...


class _Deflate:
    """zlib's raw inflation with the interface of the other decompressors."""

    def __init__(self) -> None:
        self._inflate = zlib.decompressobj(-zlib.MAX_WBITS)
        self._full = False

    @property
    def eof(self) -> bool:
        return self._inflate.eof

    @property
    def needs_input(self) -> bool:
        return not self._inflate.unconsumed_tail and not self._full

    def decompress(self, data: bytes, /, max_length: int) -> bytes:
        content = self._inflate.decompress(self._inflate.unconsumed_tail + data, max_length)
        # A full answer may leave more behind it, even where all the input is taken.
        self._full = len(content) == max_length
        return content


class _Inflated:
    """A compressed member, decompressed in bounded steps."""

    def __init__(self, packed: ByteStream, decompressor: _Decompressor, budget: Budget) -> None:
        self._packed = packed
        self._decompressor = decompressor
        self._guard = InflationGuard(budget)

    def read(self, size: int, /) -> bytes:
        while not self._decompressor.eof:
            content = self._step(min(size, MIB))
            if content:
                self._guard.produced(len(content))
                return content
        return b""

    def _step(self, size: int) -> bytes:
        raw = self._packed.read(_READ) if self._decompressor.needs_input else b""
        self._guard.consumed(len(raw))
        if self._decompressor.needs_input and not raw:
            raise corrupt()
        try:
            return self._decompressor.decompress(raw, max_length=size)
        except (zlib.error, OSError, ValueError, EOFError) as error:
            raise corrupt() from error


class _Checked:
    """The content of a member; its end raises `ObjectUnreadable(parse_error)` if it is not what the directory says."""

    def __init__(self, content: ByteStream, member: zipfile.ZipInfo) -> None:
        self._content = content
        self._size = member.file_size
        self._checksum = member.CRC
        self._seen = 0
        self._sum = 0

    def read(self, size: int, /) -> bytes:
        content = self._content.read(size)
        self._seen += len(content)
        self._sum = zlib.crc32(content, self._sum)
        if not content and size > 0 and (self._seen != self._size or self._sum != self._checksum):
            raise corrupt()
        return content
