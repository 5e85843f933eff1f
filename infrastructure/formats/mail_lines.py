"""The lines of a mail, cut into sections by the boundaries of its parts (RFC 2046, 5.1)."""

from collections import deque
from typing import Final, NamedTuple

from application.ports import ByteStream
from domain.coverage import FailReason
from domain.errors import ObjectUnreadable
from infrastructure.formats.limits import MIB

_BLOCK: Final = 64 * 1024
_LONGEST_HEADER: Final = MIB
_DEEPEST: Final = 100
_NEXT_MESSAGE: Final = b"From "
_HEADER_START: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz")


class Cut(NamedTuple):
    """What ended a section: the boundary of this level, from 0, which closes it or begins its next part; level -1 is
    the next message of a mailbox."""

    level: int
    closing: bool


class MailLines:
    """Reads a mail section by section. `cut` is what ended the last one, None at the mail's end.

    A line longer than 64 KiB comes in pieces. With `mailbox`, `From ` behind a blank line begins a message.
    """

    def __init__(self, stream: ByteStream, *, mailbox: bool) -> None:
        self._stream = stream
        self._mailbox = mailbox
        self._lines: deque[bytes] = deque()
        self._rest = b""
        self._whole = True
        self._blank = True
        self._boundaries: list[bytes] = []
        self.cut: Cut | None = None

    def begin_multipart(self, boundary: bytes) -> None:
        """From here on, lines of this boundary cut. Raises `ObjectUnreadable(resource_limit)` more than 100 deep."""
        if len(self._boundaries) >= _DEEPEST:
            raise ObjectUnreadable(FailReason.RESOURCE_LIMIT, "has parts that are nested too deep")
        self._boundaries.append(b"--" + boundary)

    def leave(self, cut: Cut) -> None:
        """Go on behind this cut: what lies further inside has ended with it."""
        del self._boundaries[max(cut.level + (not cut.closing), 0) :]

    def headers(self) -> list[bytes]:
        """The fields of the headers that begin here, unfolded. What is no header ends them, as a blank line does."""
        fields: list[bytes] = []
        length = 0
        while (line := self._next()) is not None:
            text = line.rstrip(b"\r\n")
            if not text or self._cut_at(line) is not None or not _is_header(line, fields):
                if text:
                    self._lines.appendleft(line)
                break
            length += len(line)
            if length > _LONGEST_HEADER:
                raise ObjectUnreadable(FailReason.RESOURCE_LIMIT, "has headers that are too long")
            if line[:1] in b" \t":
                fields[-1] += b" " + text.strip()
            else:
                fields.append(text)
        return fields

    def line(self) -> bytes | None:
        """The next line of the section, or a piece of it; None at its end."""
        line = self._next()
        self.cut = None if line is None else self._cut_at(line)
        if line is None or self.cut is not None:
            self._blank = True
            return None
        self._blank = self._whole and not line.strip(b"\r\n")
        return line

    def _next(self) -> bytes | None:
        while not self._lines:
            block = self._stream.read(_BLOCK)
            if not block:
                last, self._rest = self._rest, b""
                return last or None
            *lines, self._rest = (self._rest + block).split(b"\n")
            self._lines.extend(line + b"\n" for line in lines)
            if len(self._rest) > _BLOCK:
                self._lines.append(self._rest)
                self._rest = b""
        return self._lines.popleft()

    def _cut_at(self, line: bytes) -> Cut | None:
        if line.startswith(b"--") and self._boundaries:
            text = line.rstrip()
            for level in range(len(self._boundaries) - 1, -1, -1):
                boundary = self._boundaries[level]
                if text == boundary or text == boundary + b"--":
                    return Cut(level, len(text) > len(boundary))
        if self._mailbox and self._blank and line.startswith(_NEXT_MESSAGE):
            return Cut(-1, closing=False)
        return None


def _is_header(line: bytes, before: list[bytes]) -> bool:
    if line[:1] in b" \t":
        return bool(before)
    name, colon, _ = line[:1000].partition(b":")
    return bool(colon) and line[0] in _HEADER_START and b" " not in name.rstrip()


class SectionStream:
    """The bytes of one section, without the newline that belongs to the boundary behind it."""

    def __init__(self, lines: MailLines) -> None:
        self._lines = lines
        self._held = b""
        self._ended = False

    def read(self, size: int, /) -> bytes:
        """`size` bytes or a few more: whole lines."""
        parts: list[bytes] = []
        length = 0
        while length < size and not self._ended:
            line = self._lines.line()
            if line is None:
                self._ended = True
                line = b""
                if self._lines.cut is not None:
                    self._held = self._held.removesuffix(b"\n").removesuffix(b"\r")
            parts.append(self._held)
            length += len(self._held)
            self._held = line
        return b"".join(parts)

    def drain(self) -> None:
        """Go to the section's end."""
        while not self._ended:
            self.read(_BLOCK)
