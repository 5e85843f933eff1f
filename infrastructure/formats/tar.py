"""tar: the files of an archive, one after another as they are stored. Nothing is ever written to disk."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from domain.coverage import FailReason
from domain.errors import ObjectUnreadable
from infrastructure.formats.extracted import Entry
from infrastructure.formats.inner_names import inner_name
from infrastructure.formats.limits import MIB, Budget
from infrastructure.formats.streams import PeekableStream

_BLOCK: Final = 512
_LARGEST_HEADER: Final = MIB
_EMPTY: Final = bytes(_BLOCK)
_NO_CONTENT: Final = frozenset(b"123456")  # links, devices, folders and FIFOs: whatever size they tell, nothing follows
_NOT_FILES: Final = frozenset(b"DV")  # GNU: the listing of a folder, the label of a volume
_LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL, _SPARSE = b"LKxgS"
_REGULAR: Final = frozenset(b"0\x00")
_CUT: Final = "the tar archive is corrupt or cut short"


def is_tar(head: bytes, name: str) -> bool:
    """By the magic of POSIX or a first block whose checksum is right; an archive of nothing by its name."""
    block = head[:_BLOCK]
    if block == _EMPTY:
        return name.endswith(".tar") and not head.strip(b"\0")
    return block[257:262] == b"ustar" or (len(block) == _BLOCK and block[0] != 0 and _checksum_is_right(block))


def read(content: PeekableStream, name: str, budget: Budget) -> Iterator[Entry]:  # noqa: ARG001 — a reader's signature
    """The regular files of a tar archive: ustar, pax, GNU, or of the seventh edition. See `extracted.Reader`.

    Of a sparse file, only what is stored is given, without its holes. Archives that were put one behind the other are
    read all. What follows the last one and is neither padding nor an archive is a parse_error.
    """
    members = _Members(content, budget)
    while (member := members.next()) is not None:
        yield Entry(inner_name(member.name), member)
        member.skip()


@dataclass(slots=True)
class _Member:
    """One file's stored bytes. `read` gives fewer only where the archive is cut."""

    name: bytes
    left: int
    padding: int
    content: PeekableStream

    def read(self, size: int, /) -> bytes:
        chunk = self.content.read(min(size, self.left)) if self.left else b""
        self.left -= len(chunk)
        return chunk

    def skip(self) -> None:
        """Go behind the file. Raises parse_error if the archive ends before."""
        while self.left:
            if not self.read(MIB):
                raise ObjectUnreadable(FailReason.PARSE_ERROR, _CUT)
        if self.padding and len(self.content.read_full(self.padding)) < self.padding:
            raise ObjectUnreadable(FailReason.PARSE_ERROR, _CUT)


class _Members:
    """Goes from header to header. Headers that only describe the next one are bounded and taken in."""

    def __init__(self, content: PeekableStream, budget: Budget) -> None:
        self._content = content
        self._budget = budget
        self._global: dict[bytes, bytes] = {}
        self._next: dict[bytes, bytes] = {}

    def next(self) -> _Member | None:
        while (header := self._header()) is not None:
            self._budget.check_time()
            kind, size = header[156], _number(header[124:136])
            if kind in (_LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL):
                self._budget.entry()
                self._describe(kind, self._whole(size))
                continue
            told, self._next = {**self._global, **self._next}, {}
            if kind in _NO_CONTENT:
                self._budget.entry()
                continue
            member = self._member(header, kind, size, told)
            if kind in _NOT_FILES or (kind in _REGULAR and member.name.endswith(b"/")):
                self._budget.entry()
                member.skip()
                continue
            return member
        return None

    def _member(self, header: bytes, kind: int, size: int, told: dict[bytes, bytes]) -> _Member:
        if b"size" in told:
            size = _decimal(told[b"size"])
        name = told.get(b"GNU.sparse.name") or told.get(b"path") or _name_of(header)
        if kind == _SPARSE:
            self._step_over_sparse_map(extended=header[482] != 0)
        member = _Member(name, size, -size % _BLOCK, self._content)
        if told.get(b"GNU.sparse.major") == b"1":
            _step_over_pax_sparse_map(member, self._budget)
        return member

    def _header(self) -> bytes | None:
        """The next header; None at the end of the archive or archives, which is a block of zeros."""
        ended = False
        while (block := self._content.read_full(_BLOCK)) == _EMPTY:
            ended = True
            self._budget.check_time()
        if ended and not block.strip(b"\0"):
            return None
        if len(block) < _BLOCK or not _checksum_is_right(block):
            raise ObjectUnreadable(FailReason.PARSE_ERROR, _CUT)
        return block

    def _whole(self, size: int) -> bytes:
        if size > _LARGEST_HEADER:
            raise ObjectUnreadable(FailReason.RESOURCE_LIMIT, "the tar archive has names that are too long")
        padded = size + -size % _BLOCK
        text = self._content.read_full(padded)
        if len(text) < padded:
            raise ObjectUnreadable(FailReason.PARSE_ERROR, _CUT)
        return text[:size]

    def _describe(self, kind: int, text: bytes) -> None:
        if kind == _LONG_NAME:
            self._next[b"path"] = text.partition(b"\0")[0]
        elif kind == _PAX:
            self._next.update(_pax_records(text))
        elif kind == _PAX_GLOBAL:
            self._global.update(_pax_records(text))

    def _step_over_sparse_map(self, *, extended: bool) -> None:
        while extended:
            self._budget.check_time()
            block = self._content.read_full(_BLOCK)
            if len(block) < _BLOCK:
                raise ObjectUnreadable(FailReason.PARSE_ERROR, _CUT)
            extended = block[504] != 0


def _step_over_pax_sparse_map(member: _Member, budget: Budget) -> None:
    """The map at the beginning of the file's bytes: how many pieces, and two numbers for each, one a line."""
    lines, wanted, number = 0, 1, b""
    while lines < wanted and member.left >= _BLOCK:
        budget.check_time()
        block = member.content.read_full(_BLOCK)
        member.left -= len(block)
        if len(block) < _BLOCK:
            raise ObjectUnreadable(FailReason.PARSE_ERROR, _CUT)
        if lines == 0:
            number += block.partition(b"\n")[0]
            pieces = _decimal(number)
            wanted = 1 + 2 * pieces if b"\n" in block else wanted
        lines += block.count(b"\n")


def _name_of(header: bytes) -> bytes:
    name = header[:100].partition(b"\0")[0]
    prefix = header[345:500].partition(b"\0")[0] if header[257:263] == b"ustar\0" else b""
    return prefix + b"/" + name if prefix else name


def _pax_records(text: bytes) -> Iterator[tuple[bytes, bytes]]:
    """`length key=value\\n` each; reading ends at the first that is none."""
    while text:
        length, _, _ = text.partition(b" ")
        if not (length.isdigit() and len(length) < 10 and len(length) + 1 < int(length) <= len(text)):
            return
        record, text = text[len(length) + 1 : int(length)], text[int(length) :]
        key, _, value = record.partition(b"=")
        yield key, value.removesuffix(b"\n")


def _checksum_is_right(block: bytes) -> bool:
    told = block[148:156].strip(b" \0")
    if not told or told.strip(b"01234567"):
        return False
    rest = block[:148] + b" " * 8 + block[156:]
    unsigned = sum(rest)
    signed = unsigned - 256 * sum(byte > 127 for byte in rest)
    return int(told, 8) in (unsigned, signed)


def _number(field: bytes) -> int:
    """Octal digits, or, for what is larger, binary behind a mark. Raises parse_error."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    digits = field.strip(b" \0")
    if digits.strip(b"01234567"):
        raise ObjectUnreadable(FailReason.PARSE_ERROR, _CUT)
    return int(digits or b"0", 8)


def _decimal(digits: bytes) -> int:
    if not digits.isdigit() or len(digits) > 19:
        raise ObjectUnreadable(FailReason.PARSE_ERROR, _CUT)
    return int(digits)
