"""PDF: text is found with its page, also in notes, forms, and what is attached; hostile files end in time."""

import contextlib
import io
import zlib

import fpdf
import pypdf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.coverage import FailReason, SkipReason
from domain.errors import ObjectSkipped, ObjectUnreadable
from domain.finding import Occurrence
from infrastructure.detection.engine import HyperscanDetection, Inspected
from infrastructure.formats.limits import MIB, Limits
from tests.document_files import pdf, pdf_stream

DETECTION = HyperscanDetection()
CATALOG = b"<</Type/Catalog/Pages 2 0 R>>"
PAGES = b"<</Type/Pages/Count 1/Kids[3 0 R]>>"
FONT = b"/Font<</F<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>>>"
PAGE = b"<</Type/Page/Parent 2 0 R/Contents 4 0 R/Resources<<%s>>%s>>"


def inspect(content: bytes, name: str = "object", limits: Limits | None = None) -> Inspected:
    detection = HyperscanDetection(limits=limits) if limits else DETECTION
    return detection.inspect(io.BytesIO(content), name=name, size=len(content))


def occurrences(content: bytes, detector: str = "pii.email") -> list[Occurrence]:
    return [one for finding in inspect(content).findings if finding.detector == detector for one in finding.occurrences]


def failure(content: bytes, limits: Limits | None = None) -> ObjectUnreadable:
    with pytest.raises(ObjectUnreadable) as raised:
        inspect(content, limits=limits)
    return raised.value


def place(one: Occurrence) -> tuple[object, ...]:
    return tuple(part for part in (one.inner_path, one.page, one.field) if part is not None)


def written() -> bytes:
    document = fpdf.FPDF()
    document.set_font("helvetica")
    document.set_author("bob@example.com")
    for text in ("nothing", "card 4111 1111 1111 1111\nof carl@example.com", "nothing"):
        document.add_page()
        document.multi_cell(0, text=text)
    document.text_annotation(10, 10, "dora@example.com")
    document.cell(text="link", link="mailto:eve@example.com")
    return bytes(document.output())


def rewritten(change: str, *arguments: object, **options: object) -> bytes:
    writer = pypdf.PdfWriter(clone_from=io.BytesIO(written()))
    getattr(writer, change)(*arguments, **options)
    content = io.BytesIO()
    writer.write(content)
    return content.getvalue()


def test_values_in_a_pdf_are_found_once_each_with_their_page():
    found = [("Author",), (2,), (3, "annotations"), (3, "annotations")]
    assert [place(one) for one in occurrences(written())] == found
    assert [(one.page, one.line) for one in occurrences(written(), "payment.card")] == [(2, 1)]


def test_files_attached_to_a_pdf_are_read():
    content = rewritten("add_attachment", "a.csv", b"name,mail\nA,fay@example.com\n")
    assert ("a.csv", "mail") in [place(one) for one in occurrences(content)]


def test_the_fields_of_a_form_are_read():
    widget = b"<</Type/Annot/Subtype/Widget/Parent 6 0 R/V(bob@example.com)>>"
    field = b"<</FT/Tx/T(mail)/V(carl@example.com)/Kids[5 0 R]>>"
    page = PAGE % (FONT, b"/Annots[5 0 R]")
    content = pdf(CATALOG, PAGES, page, pdf_stream(b""), widget, field)
    assert [place(one) for one in occurrences(content)] == [(1, "annotations")] * 2


@pytest.mark.parametrize("algorithm", ["AES-256", "AES-128", "RC4-128"])
def test_a_pdf_is_encrypted_only_if_it_takes_a_password_to_open_it(algorithm):
    assert failure(rewritten("encrypt", "user", "owner", algorithm=algorithm)).reason is FailReason.ENCRYPTED
    assert len(occurrences(rewritten("encrypt", "", "owner", algorithm=algorithm))) == 4


def test_pages_that_are_pictures_are_said_to_be():
    picture = pdf_stream(
        bytes(3), b"/Type/XObject/Subtype/Image/Width 1/Height 1/ColorSpace/DeviceRGB/BitsPerComponent 8"
    )
    page = PAGE % (b"/XObject<</I 5 0 R>>", b"")
    scanned = pdf(CATALOG, PAGES, page, pdf_stream(b"/I Do"), picture)
    with pytest.raises(ObjectSkipped) as raised:
        inspect(scanned)
    assert raised.value.reason is SkipReason.BINARY
    both = PAGES.replace(b"3 0 R", b"3 0 R 6 0 R")
    text = PAGE.replace(b"4 0 R", b"7 0 R") % (FONT, b"")
    words = pdf_stream(b"BT /F 9 Tf (words) Tj ET")
    assert "page 1: a picture" in inspect(pdf(CATALOG, both, page, pdf_stream(b"/I Do"), picture, text, words)).remark


def test_a_page_that_cannot_be_read_leaves_the_others():
    words = pdf_stream(b"BT /F 9 Tf (bob@example.com) Tj ET")
    broken = pdf_stream(b"not deflated at all", b"/Filter/NoSuchFilter")
    pages = PAGES.replace(b"3 0 R", b"3 0 R 5 0 R")
    content = pdf(CATALOG, pages, PAGE % (FONT, b""), broken, PAGE.replace(b"4 0 R", b"6 0 R") % (FONT, b""), words)
    error = failure(content)
    assert error.detail.startswith("page 1: ")
    assert [finding.occurrences[0].page for finding in error.findings] == [2]


def test_page_trees_with_loops_end():
    loop = b"<</Type/Pages/Count 1/Kids[2 0 R]>>"
    assert failure(pdf(CATALOG, b"<</Type/Pages/Count 1/Kids[3 0 R]>>", loop)).reason is FailReason.PARSE_ERROR
    assert failure(pdf(CATALOG, loop)).reason is FailReason.PARSE_ERROR


def test_forms_that_draw_themselves_and_each_other_end():
    resources = b"/Type/XObject/Subtype/Form/Resources<<%s/XObject<</X %d 0 R>>>>"
    forms = [pdf_stream(b"/X Do " * 9 + b"BT /F 9 Tf (a) Tj ET", resources % (FONT, at)) for at in (6, 7, 7)]
    page = PAGE % (FONT + b"/XObject<</X 5 0 R>>", b"")
    text = pdf_stream(b"/X Do BT /F 9 Tf (bob@example.com) Tj ET")
    assert len(occurrences(pdf(CATALOG, PAGES, page, text, *forms))) == 1


def test_a_part_of_a_page_that_cannot_be_read_is_said():
    form = pdf_stream(b"x", b"/Subtype/Form/Filter/NoSuchFilter/Resources<<%s>>" % FONT)
    page = PAGE % (FONT + b"/XObject<</X 5 0 R>>", b"")
    error = failure(pdf(CATALOG, PAGES, page, pdf_stream(b"/X Do BT /F 9 Tf (bob@example.com) Tj ET"), form))
    assert error.reason is FailReason.PARSE_ERROR
    assert error.findings[0].count == 1


def test_a_page_that_inflates_without_end_is_refused():
    bomb = pdf_stream(zlib.compress(b"0 g " * (24 * MIB), 1), b"/Filter/FlateDecode")
    assert failure(pdf(CATALOG, PAGES, PAGE % (FONT, b""), bomb)).reason is FailReason.RESOURCE_LIMIT


def test_no_more_pages_are_read_than_is_allowed():
    kids = b" ".join(b"%d 0 R" % (number + 3) for number in range(200))
    pages = b"<</Type/Pages/Count 200/Kids[%s]>>" % kids
    content = pdf(CATALOG, pages, *[b"<</Type/Page/Parent 2 0 R>>"] * 200)
    assert inspect(content).findings == ()
    assert failure(content, Limits(entries=150)).reason is FailReason.RESOURCE_LIMIT


def test_object_streams_that_hold_each_other_end():
    stream = pdf_stream(b"1 0 <</Type/Catalog>>", b"/Type/ObjStm/N 1/First 4/Extends 1 0 R")
    with contextlib.suppress(ObjectSkipped, ObjectUnreadable):
        inspect(pdf(stream, stream, trailer=b"/Root 1 0 R/Prev 9"))


def test_a_pdf_that_is_cut_short_is_not_taken_for_a_whole_one():
    content = written()
    for length in range(9, len(content) - 8, 97):
        assert failure(content[:length]).reason is FailReason.PARSE_ERROR


@settings(max_examples=60)
@given(cut=st.floats(0, 1), flips=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), max_size=6))
def test_a_pdf_that_is_cut_or_damaged_never_fails_but_as_foreseen(cut, flips):
    content = bytearray(written())
    for at, byte in flips:
        content[int(at * (len(content) - 1))] = byte
    with contextlib.suppress(ObjectSkipped, ObjectUnreadable):
        inspect(bytes(content[: int(cut * len(content))]), "a.pdf")
