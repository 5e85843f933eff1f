"""Mails and mailboxes: headers, text in UTF-8, and what is attached, read as it streams by (RFC 5322, 2045 to 2049)."""

import mimetypes
import re
from collections.abc import Iterator
from email.message import Message
from typing import Final

from application.ports import ByteStream
from domain.coverage import FailReason, SkipReason
from domain.errors import ObjectSkipped, ObjectUnreadable
from infrastructure.formats.extracted import Entry, Extracted, Passage, Place, Unread
from infrastructure.formats.limits import MIB, Budget
from infrastructure.formats.mail_decoding import (
    Base64Stream,
    QuotedPrintableStream,
    TranscodedStream,
    charset_named,
    header_text,
)
from infrastructure.formats.mail_lines import MailLines, SectionStream
from infrastructure.formats.names import shown_name
from infrastructure.formats.streams import PeekableStream

_ENDINGS: Final = (".eml", ".mht", ".mhtml", ".mbox", ".mbx")
_HEAD: Final = 16 * 1024
_FIELD: Final = re.compile(rb"[A-Za-z][A-Za-z0-9_-]{0,60}[ \t]*:")
_FIELDS: Final = re.compile(rb"(?:^([A-Za-z][A-Za-z0-9_-]{0,60})[ \t]*:[^\n]*+\n(?:[ \t][^\n]*+\n)*+)", re.MULTILINE)
_OF_MAILS: Final = frozenset(
    b"from to cc subject date received message-id mime-version return-path delivered-to reply-to dkim-signature "
    b"content-type sender in-reply-to references x-mailer x-originating-ip".split()
)
_MAILBOX: Final = re.compile(rb"From [^\n]{3,200}\r?\n[A-Za-z][A-Za-z0-9_-]{0,60}[ \t]*:")
_FEWEST_FIELDS: Final = 3
_LONGEST_FIELD: Final = 8 * 1024
_STRUCTURE: Final = ("content-type", "content-disposition", "content-transfer-encoding")
_OF_PEOPLE: Final = frozenset({"from", "to", "cc", "bcc", "subject", "reply-to", "sender"})
_UUENCODED: Final = frozenset({"x-uuencode", "uuencode", "x-uue"})
_BOUNDARY: Final = re.compile(r"""(?i)\bboundary\s*=\s*(?:"[^"]{1,70}"|[^\s";]{1,70})""")
_PASSAGE: Final = MIB


def recognises(head: bytes, name: str) -> bool:
    """By three headers of mails among those at the beginning; with the name of a mail, any header will do."""
    if _MAILBOX.match(head):
        return True
    if not _FIELD.match(head):
        return False
    top = re.split(rb"\r?\n\r?\n", head[:_HEAD], maxsplit=1)[0]
    names = {field.lower() for field in _FIELDS.findall(top + b"\n")}
    return name.endswith(_ENDINGS) or len(names & _OF_MAILS) >= _FEWEST_FIELDS


def read(content: PeekableStream, _name: str, budget: Budget) -> Iterator[Extracted]:
    """The headers and texts of a mail; attachments and HTML as they are, once decoded. Those headers that people write
    have their names as field, all others are one text. In a mailbox `record_index` is the message's."""
    mailbox = content.peek(5) == b"From "
    lines = MailLines(content, mailbox=mailbox)
    if mailbox:
        lines.line()
    yield from _Mail(lines, budget, mailbox=mailbox).sections()


class _Mail:
    """Walks through the sections of a mail, or of all mails of a mailbox."""

    def __init__(self, lines: MailLines, budget: Budget, *, mailbox: bool) -> None:
        self._lines = lines
        self._budget = budget
        self._message = 0 if mailbox else None
        self._part = 0

    def sections(self) -> Iterator[Extracted]:
        yield from self._section()
        while (cut := self._lines.cut) is not None:
            self._lines.leave(cut)
            if cut.level < 0:
                self._message, self._part = (self._message or 0) + 1, 0
            if cut.closing:
                yield from self._text(SectionStream(self._lines))
            else:
                yield from self._section()

    def _section(self) -> Iterator[Extracted]:
        """One section: its headers, and its content or what stands before its first part."""
        structure = Message()
        others: list[str] = []
        for field in self._lines.headers():
            self._budget.produced(len(field))
            name, text = _header(field)
            if name.lower() in _STRUCTURE:
                structure[name] = text[:_LONGEST_FIELD]
            if name.lower() in _OF_PEOPLE:
                yield Passage(f"{name}: {text}".encode("utf-8", "replace"), self._place(shown_name(name)))
            else:
                # A boundary is chosen at random, often of digits, and may well look like a card's number.
                others.append(f"{name}: {_BOUNDARY.sub('boundary', text) if name.lower() in _STRUCTURE else text}")
        if others:
            yield Passage("\n".join(others).encode("utf-8", "replace"), self._place("headers"))
        section = SectionStream(self._lines)
        yield from self._content(structure, section)
        section.drain()

    def _content(self, structure: Message, section: SectionStream) -> Iterator[Extracted]:
        kind = structure.get_content_type()
        boundary = structure.get_boundary() if kind.startswith("multipart/") else None
        if boundary:
            self._lines.begin_multipart(boundary.encode("utf-8", "replace").rstrip())
            yield from self._text(section)
            return
        self._part += 1
        encoding = str(structure.get("content-transfer-encoding", "")).lower()
        stream = _decoding(encoding, section)
        if stream is None:
            yield Unread(self._name_of(structure), ObjectSkipped(SkipReason.UNSUPPORTED_FORMAT, "uuencoded"))
        elif kind.endswith("pkcs7-mime") and structure.get_param("smime-type") != "signed-data":
            yield Unread(self._name_of(structure), ObjectUnreadable(FailReason.ENCRYPTED, "encrypted (S/MIME)"))
        else:
            charset = charset_named(structure.get_content_charset()) if kind.startswith("text/") else None
            text = stream if charset is None else TranscodedStream(stream, charset)
            if kind == "text/plain" and not _is_attached(structure):
                yield from self._text(text)
            else:
                yield Entry(self._name_of(structure), text)

    def _text(self, stream: ByteStream) -> Iterator[Passage]:
        """The text of a section, in passages of about 1 MiB that end with a line."""
        held = b""
        while block := stream.read(_PASSAGE):
            self._budget.produced(len(block))
            held += block
            end = held.rfind(b"\n") + 1 or len(held)
            if len(held) >= _PASSAGE:
                yield Passage(held[:end], self._place("body"))
                held = held[end:]
        if held.strip():
            yield Passage(held, self._place("body"))

    def _place(self, field: str) -> Place:
        return Place(record_index=self._message, field=field)

    def _name_of(self, structure: Message) -> str:
        name = structure.get_filename() or _unnamed(structure.get_content_type(), self._part)
        return name if self._message is None else f"{self._message}/{name}"


def _header(field: bytes) -> tuple[str, str]:
    """The name and the text of a header."""
    name, _, value = field.partition(b":")
    return name.strip().decode("latin-1"), header_text(value).strip()


def _unnamed(kind: str, part: int) -> str:
    known = {"text/html": "body.html", "message/rfc822": f"message-{part}.eml"}
    return known.get(kind) or f"part-{part}{mimetypes.guess_extension(kind) or ''}"


def _is_attached(structure: Message) -> bool:
    return structure.get_content_disposition() == "attachment" or structure.get_filename() is not None


def _decoding(encoding: str, section: SectionStream) -> ByteStream | None:
    if encoding == "base64":
        return Base64Stream(section)
    if encoding == "quoted-printable":
        return QuotedPrintableStream(section)
    return None if encoding in _UUENCODED else section
