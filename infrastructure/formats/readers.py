"""The formats that are no plain text, in the order in which they are tried. A new one is a reader and an entry here."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from infrastructure.formats import (
    arrow_ipc,
    avro,
    docx,
    eml,
    opendocument,
    orc,
    parquet,
    pdf,
    pptx,
    tar,
    xlsx,
    zip_archive,
)
from infrastructure.formats.extracted import Reader
from infrastructure.formats.signatures import has_signature


@dataclass(frozen=True, slots=True)
class Format:
    """One format. `recognises` gets an object's first 64 KiB and its lower-case name: content counts before the name.

    A `container` has no text of its own: what it yields is read as objects are.
    """

    name: str
    recognises: Callable[[bytes, str], bool]
    read: Reader
    container: bool = False


def _starts(magic: bytes) -> Callable[[bytes, str], bool]:
    return lambda head, _name: has_signature(head, magic)


FORMATS: Final[tuple[Format, ...]] = (
    Format("Parquet", _starts(parquet.MAGIC), parquet.read),
    Format("Avro", avro.is_avro, avro.read),
    Format("ORC", orc.is_orc, orc.read),
    Format("Arrow", arrow_ipc.is_arrow, arrow_ipc.read),
    Format("Word document", docx.recognises, docx.read),
    Format("Excel workbook", xlsx.recognises, xlsx.read),
    Format("PowerPoint presentation", pptx.recognises, pptx.read),
    Format("OpenDocument", opendocument.recognises, opendocument.read),
    Format("PDF", pdf.recognises, pdf.read),
    Format("mail", eml.recognises, eml.read),
    # Formats that are zip files, too, come before it.
    Format("zip", zip_archive.is_zip, zip_archive.read, container=True),
    Format("tar", tar.is_tar, tar.read, container=True),
)


def format_of(head: bytes, name: str) -> Format | None:
    """The format that has a reader of its own; None for what is text, or not to be read at all."""
    return next((one for one in FORMATS if one.recognises(head, name.lower())), None)
