"""What the bytes of a mail's parts and headers stand for: transfer encodings, charsets, encoded words."""

import binascii
import codecs
import re
from typing import Final

from application.ports import ByteStream
from infrastructure.formats.names import decoded

_READ: Final = 64 * 1024
_ALPHABET: Final = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/="
_NOT_BASE64: Final = bytes(byte for byte in range(256) if byte not in _ALPHABET)
_PADDING: Final = re.compile(rb"=+")
_NO_CHARSETS: Final = frozenset(
    {"idna", "punycode", "unicode_escape", "raw_unicode_escape", "undefined", "mbcs", "oem"}
)
_CUT_ESCAPE: Final = re.compile(rb"=[0-9A-Fa-f\r]?\Z")
_ENCODED_WORD: Final = re.compile(r"=\?([^?\s]{1,64})\?([bBqQ])\?([^?\s]*)\?=")
_BEFORE_ANOTHER: Final = re.compile(rf"({_ENCODED_WORD.pattern})\s+(?={_ENCODED_WORD.pattern})")


class Base64Stream:
    """The content of base64; what is not of its alphabet is stepped over, and padding may stand anywhere."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._left = b""

    def read(self, size: int, /) -> bytes:  # noqa: ARG002 — a block's worth at a time
        while block := self._stream.read(_READ):
            content = self._decode(block.translate(None, _NOT_BASE64))
            if content:
                return content
        last, self._left = self._left, b""
        return _unpadded(last)

    def _decode(self, characters: bytes) -> bytes:
        *ended, open_end = _PADDING.split(self._left + characters)
        whole = len(open_end) - len(open_end) % 4
        self._left = open_end[whole:]
        return b"".join([*map(_unpadded, ended), _unpadded(open_end[:whole])])


def _from_base64(characters: bytes) -> bytes:
    return b"".join(map(_unpadded, _PADDING.split(characters.translate(None, _NOT_BASE64))))


def _unpadded(characters: bytes) -> bytes:
    if len(characters) % 4 == 1:
        characters = characters[:-1]
    return binascii.a2b_base64(characters + b"=" * (-len(characters) % 4))


class QuotedPrintableStream:
    """The content of quoted-printable, its soft line breaks gone."""

    def __init__(self, stream: ByteStream) -> None:
        self._stream = stream
        self._held = b""

    def read(self, size: int, /) -> bytes:
        while block := self._stream.read(size):
            text = self._held + block
            cut = _CUT_ESCAPE.search(text, max(len(text) - 2, 0))
            whole = len(text) if cut is None else cut.start()
            self._held = text[whole:]
            content = binascii.a2b_qp(text[:whole])
            if content:
                return content
        last, self._held = self._held, b""
        return last


class TranscodedStream:
    """Text of another charset as UTF-8; what does not decode becomes U+FFFD."""

    def __init__(self, stream: ByteStream, charset: codecs.CodecInfo) -> None:
        self._stream = stream
        self._decoder = charset.incrementaldecoder(errors="replace")
        self._ended = False

    def read(self, size: int, /) -> bytes:
        while not self._ended:
            block = self._stream.read(size)
            self._ended = not block
            text = self._decoder.decode(block, final=self._ended)
            if text:
                return text.encode("utf-8", "replace")
        return b""


def charset_named(name: str | None) -> codecs.CodecInfo | None:
    """The charset of that name; None if there is none, or if text can be read without decoding it."""
    if not name:
        return None
    try:
        charset = codecs.lookup(name)
    except (LookupError, ValueError):
        return None
    usable = charset._is_text_encoding and charset.name not in _NO_CHARSETS
    return charset if usable and charset.incrementaldecoder and charset.name not in {"utf-8", "ascii"} else None


def header_text(raw: bytes) -> str:
    """A header with its encoded words decoded (RFC 2047)."""
    text = decoded(raw)
    return _ENCODED_WORD.sub(_decoded_word, _BEFORE_ANOTHER.sub(r"\1", text)) if "=?" in text else text


def _decoded_word(word: re.Match[str]) -> str:
    content = word[3].encode("utf-8", "replace")
    raw = _from_base64(content) if word[2] in "bB" else binascii.a2b_qp(content, header=True)
    charset = charset_named(word[1].partition("*")[0])
    return decoded(raw) if charset is None else charset.decode(raw, "replace")[0]
