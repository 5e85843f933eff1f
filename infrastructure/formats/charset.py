"""What characters the bytes stand for. Text is scanned as UTF-8 or any superset of ASCII; UTF-16 is transcoded."""

import codecs
from collections.abc import Callable
from typing import Final

from application.ports import ByteStream

Width = Callable[[bytes, int, int], int]
"""How many bytes of the object the scanned bytes `[start:stop]` stand for."""

UTF8_BOM: Final = codecs.BOM_UTF8
_CONTINUATION: Final = bytes(range(0x80, 0xC0))
_NOT_FOUR_BYTE_LEAD: Final = bytes(byte for byte in range(256) if not 0xF0 <= byte <= 0xF4)
_TEXT_CONTROLS: Final = b"\t\n\v\f\r\x1b\b"
_NOT_CONTROLS: Final = bytes(byte for byte in range(256) if byte >= 0x20 or byte in _TEXT_CONTROLS)


def utf16_of(head: bytes) -> str | None:
    """`utf-16-le` or `utf-16-be` by byte-order mark, or by NULs that stand (nearly) all at one parity."""
    if head.startswith(codecs.BOM_UTF16_LE):
        return "utf-16-le"
    if head.startswith(codecs.BOM_UTF16_BE):
        return "utf-16-be"
    even, odd = head[0::2].count(0), head[1::2].count(0)
    if len(head) >= 4 and max(even, odd) * 5 >= len(head) and min(even, odd) * 50 <= max(even, odd):
        return "utf-16-le" if odd > even else "utf-16-be"
    return None


def has_controls(data: bytes) -> bool:
    """Whether it holds a control character that text does not use."""
    return bool(data.translate(None, _NOT_CONTROLS))


def looks_binary(head: bytes) -> bool:
    """Whether more than 1 byte in 512 is NUL, or more than 3 % are control characters that text does not use."""
    controls = len(head.translate(None, _NOT_CONTROLS))
    return head.count(0) * 512 > len(head) or controls * 33 > len(head)


class Utf16Stream:
    """UTF-16 as UTF-8. What is no valid UTF-16 becomes U+FFFD, two bytes each, so that widths stay exact."""

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


def same_width(_data: bytes, start: int, stop: int) -> int:
    return stop - start


def utf16_width(data: bytes, start: int, stop: int) -> int:
    """Two bytes for each UTF-16 code unit: one a character, two above U+FFFF. Right for any cut of valid UTF-8."""
    part = data[start:stop]
    characters = len(part.translate(None, _CONTINUATION))
    return 2 * (characters + len(part.translate(None, _NOT_FOUR_BYTE_LEAD)))
