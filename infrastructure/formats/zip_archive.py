"""zip, and what is one by another name (jar, war, whl, epub): the files in it. Nothing is ever written by its name."""

import zipfile
from collections.abc import Iterator
from typing import Final

from domain.errors import ObjectSkipped, ObjectUnreadable
from infrastructure.formats.extracted import Entry, Unread
from infrastructure.formats.inner_names import inner_name
from infrastructure.formats.limits import Budget, BudgetSpent
from infrastructure.formats.spool import spooled
from infrastructure.formats.streams import PeekableStream
from infrastructure.formats.zip_members import members, open_member

_BEGINNINGS: Final = (b"PK\x03\x04", b"PK\x05\x06", b"PK\x07\x08", b"PK00PK\x03\x04")
_NAMES: Final = (".zip", ".jar", ".war", ".ear", ".aar", ".apk", ".whl", ".pyz", ".epub", ".kmz", ".nupkg", ".vsix")
_UTF8_FLAG: Final = 0x800


def is_zip(head: bytes, name: str) -> bool:
    """By its beginning; a file behind something else, as in an executable jar, by its name and its first entry."""
    return head.startswith(_BEGINNINGS) or (name.endswith(_NAMES) and _BEGINNINGS[0] in head)


def read(content: PeekableStream, name: str, budget: Budget) -> Iterator[Entry | Unread]:  # noqa: ARG001 — a reader's signature
    """The files that a zip file lists. What is encrypted or compressed by an unknown method is `Unread`; the others
    are read all the same. Reads the stream to its end into a temporary file first. See `extracted.Reader`.
    """
    with spooled(content, budget) as file:
        for member in members(file, budget):
            if member.orig_filename.endswith("/") and not member.file_size:
                budget.entry()
                continue
            shown = inner_name(_name_of(member))
            try:
                stream = open_member(file, member, budget)
            except BudgetSpent:
                raise
            except (ObjectUnreadable, ObjectSkipped) as error:
                budget.entry()
                yield Unread(shown, error)
            else:
                yield Entry(shown, stream)


def _name_of(member: zipfile.ZipInfo) -> str | bytes:
    """The name as it is stored: `filename` ends at the first NUL. Without a flag it is often UTF-8 all the same."""
    name = member.orig_filename
    if member.flag_bits & _UTF8_FLAG:
        return name
    try:
        return name.encode("cp437").decode()
    except UnicodeError:
        return name
