"""What characters the bytes stand for. Text is scanned as UTF-8 or any superset of ASCII; what is neither, which are
UTF-16, UTF-32 and EBCDIC, is transcoded."""

import codecs
import string
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from application.ports import ByteStream

Width = Callable[[bytes, int, int], int]
"""How many bytes of the object the scanned bytes `[start:stop]` stand for."""

UTF8_BOM: Final = codecs.BOM_UTF8
_CONTINUATION: Final = bytes(range(0x80, 0xC0))
_NOT_FOUR_BYTE_LEAD: Final = bytes(byte for byte in range(256) if not 0xF0 <= byte <= 0xF4)
_TEXT_CONTROLS: Final = b"\t\n\v\f\r\x1b\b"
_NOT_CONTROLS: Final = bytes(byte for byte in range(256) if byte >= 0x20 or byte in _TEXT_CONTROLS)
_SEPARATORS: Final = b"\x01\x02\x03\x1c\x1d\x1e\x1f"
_MARKS: Final = (
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_EBCDIC_WORDS: Final = (string.ascii_letters + string.digits).encode("cp037")
_EBCDIC_NEW_LINE: Final = 0x15
_EBCDIC_TEXT: Final = _EBCDIC_WORDS + (string.punctuation + " \n\r\t\x85").encode("cp037")
# Code page 037, whose letters, digits and blanks all others share.
_EBCDIC_AS_LATIN1: Final = bytes(
    ord("\n") if byte == _EBCDIC_NEW_LINE else ord(bytes((byte,)).decode("cp037")) for byte in range(256)
)
_RETURNS_AS_NEW_LINES: Final = bytes.maketrans(b"\r", b"\n")


@dataclass(frozen=True, slots=True)
class Transcoding:
    """How to read a text that is no superset of ASCII, and what the widths of what is read stand for."""

    stream: Callable[[ByteStream], ByteStream]
    width: Width


def transcoding_of(head: bytes) -> Transcoding | None:
    """By byte-order mark, by where NULs stand, or, for EBCDIC, by how often which bytes do; lines that end in carriage
    returns alone are given newlines. None for other texts."""
    encoding = _unicode_of(head)
    if encoding is not None:
        width = utf32_width if encoding.startswith("utf-32") else utf16_width
        return Transcoding(lambda stream: UnicodeStream(stream, encoding), width)
    if is_ebcdic(head):
        return Transcoding(lambda stream: TranslatedStream(stream, _EBCDIC_AS_LATIN1), same_width)
    if b"\r" in head and b"\n" not in head:
        return Transcoding(lambda stream: TranslatedStream(stream, _RETURNS_AS_NEW_LINES), same_width)
    return None


def _unicode_of(head: bytes) -> str | None:
    """UTF-16 or UTF-32 by byte-order mark, or by NULs: (nearly) all at one of two bytes, or at two or more of four."""
    for mark, encoding in _MARKS:
        if head.startswith(mark):
            return encoding
    nuls = [head[phase::4].count(0) for phase in range(4)]
    if len(head) < 8 or not any(nuls):
        return _utf16_of(nuls, head)
    few = len(head) // 200
    if min(nuls[2:]) * 4 >= len(head) - 4 * few - 4 and nuls[0] <= few:
        return "utf-32-le"
    if min(nuls[:2]) * 4 >= len(head) - 4 * few - 4 and nuls[3] <= few:
        return "utf-32-be"
    return _utf16_of(nuls, head)


def _utf16_of(nuls: list[int], head: bytes) -> str | None:
    even, odd = nuls[0] + nuls[2], nuls[1] + nuls[3]
    if len(head) >= 4 and max(even, odd) * 5 >= len(head) and min(even, odd) * 50 <= max(even, odd):
        return "utf-16-le" if odd > even else "utf-16-be"
    return None


def is_ebcdic(head: bytes) -> bool:
    """Whether it is text of a mainframe: nearly all of its bytes are what letters, digits and signs are there, half of
    them above ASCII, and hardly one is a blank of ASCII's. No other encoding comes near."""
    if len(head) < 16 or head.count(b" ") * 100 > len(head):
        return False
    others = len(head.translate(None, _EBCDIC_TEXT))
    return others * 12 <= len(head) and len(head.translate(None, _EBCDIC_WORDS)) * 2 <= len(head)


def has_controls(data: bytes) -> bool:
    """Whether it holds a control character that text does not use."""
    return bool(data.translate(None, _NOT_CONTROLS))


def looks_binary(head: bytes) -> bool:
    """Whether more than 1 byte in 512 is NUL, or more than 3 % are control characters that text does not use. Those
    that separate fields in some tables count as text."""
    controls = len(head.translate(None, _NOT_CONTROLS + _SEPARATORS))
    return head.count(0) * 512 > len(head) or controls * 33 > len(head)


class UnicodeStream:
    """UTF-16 or UTF-32 as UTF-8. What is not valid becomes U+FFFD, one for each unit of two or four bytes, so that
    widths stay exact."""

    def __init__(self, stream: ByteStream, encoding: str) -> None:
        self._stream = stream
        self._decoder = codecs.getincrementaldecoder(encoding)(errors="replace")
        self._ended = False

    def read(self, size: int, /) -> bytes:
        while not self._ended:
            raw = self._stream.read(size)
            self._ended = not raw
            text = self._decoder.decode(raw, final=self._ended)
            if text:
                return text.encode()
        return b""


class TranslatedStream:
    """A text, byte for byte by a table."""

    def __init__(self, stream: ByteStream, table: bytes) -> None:
        self._stream = stream
        self._table = table

    def read(self, size: int, /) -> bytes:
        return self._stream.read(size).translate(self._table)


def same_width(_data: bytes, start: int, stop: int) -> int:
    return stop - start


def utf16_width(data: bytes, start: int, stop: int) -> int:
    """Two bytes for each UTF-16 code unit: one a character, two above U+FFFF. Right for any cut of valid UTF-8."""
    part = data[start:stop]
    characters = len(part.translate(None, _CONTINUATION))
    return 2 * (characters + len(part.translate(None, _NOT_FOUR_BYTE_LEAD)))


def utf32_width(data: bytes, start: int, stop: int) -> int:
    """Four bytes for each character. Right for any cut of valid UTF-8."""
    return 4 * len(data[start:stop].translate(None, _CONTINUATION))
