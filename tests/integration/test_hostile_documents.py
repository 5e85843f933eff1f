"""Documents made to harm their reader: each ends soon, with its reason, and what can be read of it is."""

import contextlib
import io
import struct
import zipfile
import zlib
from collections.abc import Callable

import openpyxl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.coverage import FailReason, SkipReason
from domain.errors import ObjectSkipped, ObjectUnreadable
from infrastructure.detection.engine import HyperscanDetection, Inspected
from infrastructure.formats.limits import MIB, Budget, BudgetSpent, Limits
from infrastructure.formats.zip_members import members, open_member
from tests.document_files import CONTENT_TYPES, open_document, word_document, workbook, zipped

DETECTION = HyperscanDetection()
ROW = '<row><c t="str"><v>{}</v></c></row>'
LAUGHS = '<!DOCTYPE a [<!ENTITY a "ha">' + "".join(
    f'<!ENTITY {name} "{f"&{before};" * 10}">' for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


def inspect(content: bytes, name: str = "object", limits: Limits | None = None) -> Inspected:
    detection = HyperscanDetection(limits=limits) if limits else DETECTION
    return detection.inspect(io.BytesIO(content), name=name, size=len(content))


def failure(content: bytes, limits: Limits | None = None) -> ObjectUnreadable:
    with pytest.raises(ObjectUnreadable) as raised:
        inspect(content, limits=limits)
    return raised.value


def bomb(part: str, head: bytes, block: bytes, times: int) -> bytes:
    """A document whose part inflates to `head` and `times` blocks, packed without inflating it here."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    packed = deflate.compress(head) + deflate.flush(zlib.Z_FULL_FLUSH)
    packed += (deflate.compress(block) + deflate.flush(zlib.Z_FULL_FLUSH)) * times + b"\x03\x00"
    size = min(len(head) + len(block) * times, 0xFFFF_FFFE)
    stored = zipped({"[Content_Types].xml": CONTENT_TYPES, part: packed}, zipfile.ZIP_STORED)
    content = bytearray(stored)
    local, listed = stored.rfind(b"PK\x03\x04"), stored.rfind(b"PK\x01\x02")
    struct.pack_into("<H", content, local + 8, 8)
    struct.pack_into("<H", content, listed + 10, 8)
    struct.pack_into("<L", content, local + 22, size)
    struct.pack_into("<L", content, listed + 24, size)
    return bytes(content)


@pytest.mark.parametrize(
    ("part", "head", "block"),
    [
        ("xl/worksheets/sheet1.xml", b"<worksheet><sheetData>", b" "),
        ("xl/sharedStrings.xml", b"<sst>", b"<si/>"),
        ("word/document.xml", b"<w><p><t>", b"words "),
        ("word/document.xml", b"<w>", b"<a>"),
        ("word/document.xml", b'<w a="', b"value"),
        ("ppt/slides/slide1.xml", b"<p>", b"<t>words</t><p/>"),
        ("customXml/item1.xml", b"<a>", b" "),
    ],
)
def test_parts_that_inflate_to_ten_gigabytes_are_refused(part, head, block):
    times = MIB // len(block)
    limits = Limits(ratio_applies_above=MIB, inflation_ratio=25)
    assert failure(bomb(part, head, block * times, 10_240), limits).reason is FailReason.RESOURCE_LIMIT


@pytest.mark.parametrize(
    "hostile",
    [
        workbook(ROW.format("&i;"), before=LAUGHS + "]>"),
        word_document("<w:p>&i;</w:p>", before=LAUGHS + "]>"),
        word_document("<w:p>&x;</w:p>", before='<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>'),
        word_document("<w:p/>", before='<!DOCTYPE a SYSTEM "http://127.0.0.1:9/a.dtd">'),
        workbook("", sharedStrings=LAUGHS + "]><sst><si><t>&i;</t></si></sst>"),
        zipped({"[Content_Types].xml": CONTENT_TYPES, "ppt/slides/slide1.xml": LAUGHS + "]><p>&i;</p>"}),
    ],
)
def test_parts_with_a_document_type_are_not_read(hostile):
    error = failure(hostile)
    assert error.reason is FailReason.PARSE_ERROR
    assert "document type" in error.detail


def test_a_part_that_cannot_be_read_leaves_the_others():
    content = workbook(ROW.format("bob@example.com"), sharedStrings="<sst><si>")
    error = failure(content)
    assert (error.reason, error.detail.split(":")[0]) == (FailReason.PARSE_ERROR, "xl/sharedStrings.xml")
    assert error.findings[0].occurrences[0].cell == "A1"


def test_a_row_of_more_cells_than_a_sheet_can_have_is_read():
    cells = "<c><v>1</v></c>" * 20_000
    inspected = inspect(workbook(f'<row>{cells}<c t="str"><v>bob@example.com</v></c></row>'))
    assert inspected.findings[0].column == "column_16385"


@pytest.mark.parametrize(
    "rows",
    [
        '<row r="x"><c r="??" t="s"><v>-1</v></c><c r="A99999999999"><v>1E999999999</v></c></row>',
        '<row r="99999999999999999999"><c r="ZZZZZ1" t="str"><v>bob@example.com</v></c></row>',
        '<row><row><c><c t="inlineStr"><v>1</v></c></c></row></row><c/><v>9</v>',
        '<row r="0"><c t="s"><v>' + "9" * 5000 + "</v></c></row>",
        f'<row><c t="str"><v>{"x" * 9_000_000}</v></c></row>',
        f"<row>{'<c>' * 3000}{'</c>' * 3000}</row>",
        "".join(f"<c{number}/>" for number in range(30_000)),
    ],
)
def test_sheets_that_no_spreadsheet_writes_never_fail_but_as_foreseen(rows):
    with contextlib.suppress(ObjectSkipped, ObjectUnreadable):
        inspect(workbook(rows))


def test_zip_entries_that_share_bytes_are_refused():
    content = zipped({"[Content_Types].xml": CONTENT_TYPES, "xl/a.xml": b"A" * 100, "xl/b.xml": b"B" * 100}, 0)
    first = content.index(b"PK\x03\x04", 4)
    listed = bytearray(content)
    struct.pack_into("<L", listed, content.rfind(b"PK\x01\x02") + 42, first)
    assert failure(bytes(listed)).reason is FailReason.RESOURCE_LIMIT


def test_a_zip_file_lists_no_more_entries_than_is_allowed():
    content = zipped({"[Content_Types].xml": CONTENT_TYPES} | {f"xl/{number}.xml": "<a/>" for number in range(300)})
    assert inspect(content).findings == ()
    assert failure(content, Limits(entries=200)).reason is FailReason.RESOURCE_LIMIT


def test_parts_that_are_encrypted_or_packed_unusually_are_said():
    content = bytearray(word_document("<w:p/>"))
    for magic, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        content[content.rfind(magic) + flags] |= 1
    assert failure(bytes(content)).reason is FailReason.ENCRYPTED
    packed = zipped({"[Content_Types].xml": CONTENT_TYPES, "word/document.xml": b"x" * 900}, zipfile.ZIP_LZMA)
    assert "unsupported_format; word/document.xml: zip compressed by LZMA" in inspect(packed).remark


def test_a_binary_workbook_is_said_to_be_none_that_is_read():
    content = zipped({"[Content_Types].xml": CONTENT_TYPES, "xl/workbook.bin": b"\x83\x01"})
    with pytest.raises(ObjectSkipped) as raised:
        inspect(content)
    assert raised.value.reason is SkipReason.UNSUPPORTED_FORMAT


def test_an_open_document_with_a_password_is_encrypted():
    manifest = '<manifest:manifest xmlns:manifest="m"><manifest:encryption-data/></manifest:manifest>'
    assert failure(open_document("text", "<office:text/>", manifest=manifest)).reason is FailReason.ENCRYPTED


@settings(max_examples=40)
@given(
    parts=st.dictionaries(st.text("abc/", min_size=1, max_size=8), st.binary(max_size=5000), min_size=1, max_size=5),
    method=st.sampled_from([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2]),
    before=st.binary(max_size=100),
    size=st.integers(1, 9000),
)
def test_the_members_of_a_zip_file_are_what_was_put_in_by_turns(parts, method, before, size):
    file, budget = io.BytesIO(before + zipped(parts, method)), Budget(Limits())
    listed = members(file, budget)
    streams = {member.filename: open_member(file, member, budget) for member in listed}
    contents = dict.fromkeys(streams, b"")
    while streams:
        for name, stream in list(streams.items()):
            piece = stream.read(size)
            contents[name] += piece
            if not piece:
                del streams[name]
    assert contents == parts


def test_a_member_whose_content_is_not_what_was_listed_is_corrupt():
    content = bytearray(zipped({"a": b"A" * 100}, zipfile.ZIP_STORED))
    content[40] ^= 1
    file, budget = io.BytesIO(bytes(content)), Budget(Limits())
    stream = open_member(file, members(file, budget)[0], budget)
    assert len(stream.read(100)) == 100
    with pytest.raises(ObjectUnreadable) as raised:
        stream.read(1)
    assert raised.value.reason is FailReason.PARSE_ERROR


def test_what_members_give_is_counted_against_the_budget():
    file, budget = io.BytesIO(zipped({"a": b"A" * 4000}, zipfile.ZIP_STORED)), Budget(Limits(inflated_bytes=3000))
    stream = open_member(file, members(file, budget)[0], budget)
    with pytest.raises(BudgetSpent):
        stream.read(3500)


def spreadsheet() -> bytes:
    book = openpyxl.Workbook()
    for number in range(30):
        book.active.append([number, f"customer {number}", "bob@example.com", 1.5])
    content = io.BytesIO()
    book.save(content)
    return content.getvalue()


SOUND = {
    "workbook": spreadsheet(),
    "workbook by hand": workbook(ROW.format("bob@example.com"), sharedStrings="<sst><si><t>a</t></si></sst>"),
    "Word document": word_document("<w:p><w:r><w:t>bob@example.com</w:t></w:r></w:p>" * 20),
    "OpenDocument": open_document("text", "<office:text><text:p>bob@example.com</text:p></office:text>"),
}


@pytest.mark.parametrize("name", SOUND)
def test_a_document_that_is_cut_short_is_not_taken_for_a_whole_one(name):
    content = SOUND[name]
    assert inspect(content).findings
    for length in range(40, len(content), max(len(content) // 60, 1)):
        assert failure(content[:length]).reason is FailReason.PARSE_ERROR


def damaged(content: bytes, flips: list[tuple[float, int]]) -> bytes:
    changed = bytearray(content)
    for at, byte in flips:
        changed[int(at * (len(changed) - 1))] = byte
    return bytes(changed)


def repacked(content: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """The document with each of its parts changed."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return zipped({name: change(archive.read(name)) for name in archive.namelist()})


@settings(max_examples=30)
@given(name=st.sampled_from(sorted(SOUND)), flips=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=6))
def test_a_damaged_document_never_fails_but_as_foreseen(name, flips):
    with contextlib.suppress(ObjectSkipped, ObjectUnreadable):
        inspect(damaged(SOUND[name], flips))
    with contextlib.suppress(ObjectSkipped, ObjectUnreadable):
        inspect(repacked(SOUND[name], lambda part: damaged(part, flips) if part else part))
