"""Documents for tests: by the writers that people use, and by hand where those would not write what is needed."""

import io
import zipfile
from collections.abc import Mapping

CONTENT_TYPES = '<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"/>'
_SHEET = "http://schemas.openxmlformats.org/spreadsheetml/2006/main"
_WORD = "http://schemas.openxmlformats.org/wordprocessingml/2006/main"
_RELATIONS = "http://schemas.openxmlformats.org/officeDocument/2006/relationships"
_ODF = "urn:oasis:names:tc:opendocument:xmlns"


def zipped(parts: Mapping[str, str | bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip file of these parts, in this order."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", method) as archive:
        for name, part in parts.items():
            archive.writestr(name, part, zipfile.ZIP_STORED if name == "mimetype" else method)
    return content.getvalue()


def workbook(rows: str, *, before: str = "", after: str = "", **parts: str | bytes) -> bytes:
    """A workbook of one sheet with these rows, by hand; `parts` by their names below `xl/`, without `.xml`."""
    sheet = f'{before}<worksheet xmlns="{_SHEET}"><sheetData>{rows}</sheetData>{after}</worksheet>'
    named = {f"xl/{name}.xml": part for name, part in parts.items()}
    return zipped({"[Content_Types].xml": CONTENT_TYPES, "xl/worksheets/sheet1.xml": sheet, **named})


def word_document(body: str, *, before: str = "") -> bytes:
    """A Word document with this body, by hand."""
    document = f'{before}<w:document xmlns:w="{_WORD}"><w:body>{body}</w:body></w:document>'
    return zipped({"[Content_Types].xml": CONTENT_TYPES, "word/document.xml": document})


def open_document(kind: str, body: str, **parts: str) -> bytes:
    """An OpenDocument file of this kind (`text`, `spreadsheet`, `presentation`) by hand."""
    spaces = " ".join(f'xmlns:{name}="{_ODF}:{name}:1.0"' for name in ("office", "table", "text", "draw"))
    content = f"<office:document-content {spaces}><office:body>{body}</office:body></office:document-content>"
    named = {f"META-INF/{name}.xml": part for name, part in parts.items()}
    return zipped({"mimetype": f"application/vnd.oasis.opendocument.{kind}", "content.xml": content, **named})


def pdf(*objects: bytes, trailer: bytes = b"/Root 1 0 R") -> bytes:
    """A PDF of these objects, numbered from 1, by hand."""
    content, offsets = b"%PDF-1.7\n", []
    for number, item in enumerate(objects, 1):
        offsets.append(len(content))
        content += b"%d 0 obj\n%s\nendobj\n" % (number, item)
    table = b"".join(b"%010d 00000 n \n" % offset for offset in offsets)
    head = b"xref\n0 %d\n0000000000 65535 f \n%s" % (len(objects) + 1, table)
    end = b"trailer\n<</Size %d %s>>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, trailer, len(content))
    return content + head + end


def pdf_stream(data: bytes, entries: bytes = b"") -> bytes:
    """A stream object for `pdf`."""
    return b"<</Length %d %s>>\nstream\n%s\nendstream" % (len(data), entries, data)
