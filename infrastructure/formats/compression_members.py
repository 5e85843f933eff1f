"""gzip, bzip2, xz and lzma streams, read through in bounded steps."""

import bz2
import lzma
import re
import zlib
from abc import ABC, abstractmethod
from typing import Final, Protocol

from application.ports import ByteStream
from domain.coverage import FailReason
from domain.errors import ObjectUnreadable
from infrastructure.formats.limits import MIB, Budget, InflationGuard

_READ: Final = 64 * 1024
_STEP: Final = MIB
_BZIP2_BEGINNING: Final = re.compile(rb"BZh[1-9](?:1AY&SY|\x17rE8P\x90)", re.DOTALL)
_XZ_MAGIC: Final = b"\xfd7zXZ\x00"
_LZMA_PROPERTIES: Final = b"\x5d\x00\x00"
_LZMA_SIZE_UNKNOWN: Final = 2**64 - 1
_LZMA_LARGEST: Final = 2**38
_LZMA_HEADER: Final = 13


class _Member(Protocol):
    """What `bz2.BZ2Decompressor`, `lzma.LZMADecompressor` and `_GzipMember` have in common."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class _GzipMember:
    """A member of a gzip file. What is left of the input is kept, as the decompressors of bz2 and lzma do."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=31)
        self.needs_input = True

    @property
    def eof(self) -> bool:
        return self._member.eof

    @property
    def unused_data(self) -> bytes:
        return self._member.unused_data

    def decompress(self, data: bytes, max_length: int = -1) -> bytes:
        content = self._member.decompress(self._member.unconsumed_tail + data, max_length)
        # More may come out without more going in, but for less than was asked for.
        self.needs_input = not self._member.unconsumed_tail and len(content) < max_length
        return content


class _MemberStream(ABC):
    """The content of one member after another; zero padding behind a member is ignored.

    No step gives more than 1 MiB. Raises `ObjectUnreadable`: parse_error when it is corrupt, cut short or followed by
    something else, resource_limit past the bounds.
    """

    _codec = ""

    def __init__(self, stream: ByteStream, budget: Budget) -> None:
        self._stream = stream
        self._budget = budget
        self._guard = InflationGuard(budget)
        self._member = self._new_member()
        self._input = b""
        self._between_members = False

    @abstractmethod
    def _new_member(self) -> _Member:
        """A decompressor for the next member."""

    def read(self, size: int, /) -> bytes:
        while True:
            if self._between_members and not self._next_member():
                return b""
            if self._member.needs_input and not self._input and not self._refill():
                raise self._corrupt()
            content = self._inflate(min(size, _STEP))
            if content:
                self._guard.produced(len(content))
                return content

    def _refill(self) -> bool:
        self._budget.check_time()
        self._input = self._stream.read(_READ)
        self._guard.consumed(len(self._input))
        return bool(self._input)

    def _next_member(self) -> bool:
        """Step over padding to the next member. False at the end of the file."""
        while not self._input:
            if not self._refill():
                return False
            self._input = self._input.lstrip(b"\0")
        self._member = self._new_member()
        self._between_members = False
        return True

    def _inflate(self, size: int) -> bytes:
        piece, self._input = self._input, b""
        try:
            content = self._member.decompress(piece, size)
        except MemoryError as error:
            raise self._too_much_memory() from error
        except (OSError, EOFError, ValueError, zlib.error, lzma.LZMAError) as error:
            # There is no error class of its own for it.
            raise self._too_much_memory() if "limit" in str(error) else self._corrupt() from error
        if self._member.eof:
            self._input = self._member.unused_data.lstrip(b"\0")
            self._between_members = True
        return content

    def _corrupt(self) -> ObjectUnreadable:
        return ObjectUnreadable(FailReason.PARSE_ERROR, f"the {self._codec} data is corrupt or cut short")

    def _too_much_memory(self) -> ObjectUnreadable:
        return ObjectUnreadable(FailReason.RESOURCE_LIMIT, f"the {self._codec} data needs too much memory")


class GzipStream(_MemberStream):
    """The content of a gzip file (RFC 1952). See `_MemberStream` for what is guaranteed."""

    _codec = "gzip"

    def _new_member(self) -> _Member:
        return _GzipMember()


class Bzip2Stream(_MemberStream):
    """The content of a bzip2 file. See `_MemberStream` for what is guaranteed."""

    _codec = "bzip2"

    def _new_member(self) -> _Member:
        return bz2.BZ2Decompressor()


class XzStream(_MemberStream):
    """The content of an xz file. A dictionary above `zstd_window_bytes` is a resource_limit, too."""

    _codec = "xz"

    def _new_member(self) -> _Member:
        return lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=self._budget.limits.zstd_window_bytes + MIB)


class LzmaStream(_MemberStream):
    """The content of a file of the older lzma format. As `XzStream`."""

    _codec = "lzma"

    def _new_member(self) -> _Member:
        return lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=self._budget.limits.zstd_window_bytes + MIB)


def is_bzip2(head: bytes) -> bool:
    """By the magic number of the file and of its first block, or of the end of an empty file."""
    return _BZIP2_BEGINNING.match(head) is not None


def is_xz(head: bytes) -> bool:
    return head.startswith(_XZ_MAGIC)


def is_lzma(head: bytes) -> bool:
    """The format has no magic number: its usual properties, a usual dictionary size and a credible length must do."""
    if len(head) < _LZMA_HEADER or not head.startswith(_LZMA_PROPERTIES):
        return False
    dictionary, length = int.from_bytes(head[1:5], "little"), int.from_bytes(head[5:13], "little")
    highest = 1 << max(dictionary.bit_length() - 1, 0)
    usual = dictionary in {highest, highest + highest // 2, 2**32 - 1}
    return usual and (length < _LZMA_LARGEST or length == _LZMA_SIZE_UNKNOWN)
