"""Office documents: a value is found wherever it stands in one, once, and with its place."""

import io

import docx
import openpyxl
import pptx
import pytest
from openpyxl.comments import Comment

from domain.finding import Occurrence
from infrastructure.detection.engine import HyperscanDetection, Inspected
from infrastructure.formats.limits import Limits
from infrastructure.formats.sheet_xml import whole_number
from infrastructure.formats.sheets import letters
from tests.document_files import CONTENT_TYPES, open_document, word_document, workbook, zipped

DETECTION = HyperscanDetection()
CARD = "4111111111111111"


def inspect(content: bytes, name: str = "object", limits: Limits | None = None) -> Inspected:
    detection = HyperscanDetection(limits=limits) if limits else DETECTION
    return detection.inspect(io.BytesIO(content), name=name, size=len(content))


def occurrences(content: bytes, detector: str = "pii.email", name: str = "object") -> list[Occurrence]:
    found = [finding for finding in inspect(content, name).findings if finding.detector == detector]
    assert sum(finding.count for finding in found) == sum(len(finding.occurrences) for finding in found)
    return [one for finding in found for one in finding.occurrences]


def place(one: Occurrence) -> tuple[object, ...]:
    whole = (one.inner_path, one.page, one.sheet, one.cell, one.record_index, one.field)
    return tuple(part for part in whole if part is not None)


def saved(document: object) -> bytes:
    content = io.BytesIO()
    document.save(content)  # type: ignore[attr-defined]
    return content.getvalue()


def customers() -> bytes:
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Customers"
    sheet.append(["Report of May"])
    sheet.append(["name", "card", "mail"])
    for number in range(40):
        sheet.append([f"customer {number}", int(CARD) if number == 30 else number, "none"])
    sheet["C20"] = "write to bob@example.com"
    sheet["C20"].comment = Comment("or to carl@example.com", "Zoe")
    sheet["C21"] = '=HYPERLINK("mailto:dora@example.com","mail")'
    sheet.oddHeader.center.text = "for eve@example.com"
    book.create_sheet("Other")["AB7"] = "fay@example.com"
    book.properties.creator = "gus@example.com"
    return saved(book)


def test_values_in_a_workbook_are_found_once_each_with_their_sheet_and_cell():
    assert {place(one) for one in occurrences(customers())} == {
        ("docProps/core.xml", "dc:creator"),
        ("Customers",),
        ("Customers", "C20", "comment1"),
        ("Other", "AB7", 0, "column_28"),
        ("Customers", "C20", 17, "mail"),
        ("Customers", "C21", 18, "mail"),
    }
    assert len(occurrences(customers())) == 6
    assert [place(one) for one in occurrences(customers(), "payment.card")] == [("Customers", "B33", 30, "card")]


def test_a_workbook_is_recognised_by_its_content_or_else_by_its_name():
    late = zipped({"padding.bin": bytes(range(256)) * 1000, "[Content_Types].xml": CONTENT_TYPES}, 0)
    assert inspect(customers(), "report.bin").findings == inspect(customers(), "report.xlsx").findings
    assert inspect(late, "report.xlsx").remark


def test_every_kind_of_cell_is_read():
    rows = (
        '<row r="5"><c r="B5" t="inlineStr"><is><r><t>bob@</t></r><r><t>example.com</t></r></is></c>'
        '<c r="C5"><v>4.111111111111111E+15</v></c><c r="D5" t="str"><f>A1</f><v>carl@example.com</v></c></row>'
        '<row><c t="s"><v>1</v></c><c t="s"><v>7</v></c><c t="b"><v>1</v></c><c t="e"><v>#N/A</v></c></row>'
    )
    strings = "<sst><si><t>unused@example.com</t></si><si><r><t>dora@</t></r><r><t>example.com</t></r></si></sst>"
    content = workbook(rows, sharedStrings=strings)
    assert [place(one) for one in occurrences(content)] == [
        ("shared strings",),
        ("sheet1", "A6", 1, "column_1"),
        ("sheet1", "B5", 0, "column_2"),
        ("sheet1", "D5", 0, "column_4"),
    ]
    assert [one.cell for one in occurrences(content, "payment.card")] == ["C5"]


@pytest.mark.parametrize(
    ("stored", "read"),
    [
        ("4.111111111111111E+15", "4111111111111111"),
        ("4111111111111111.0", "4111111111111111"),
        ("4.5E15", "4500000000000000"),
        ("1.5", "1.5"),
        ("1.23E-7", "1.23E-7"),
        ("45123.25", "45123.25"),
        ("1E99999999999", "1E99999999999"),
        ("", ""),
    ],
)
def test_a_number_that_is_whole_is_read_as_its_digits(stored, read):
    assert whole_number(stored) == read


def test_columns_have_the_letters_that_a_spreadsheet_shows():
    assert [letters(column) for column in (0, 25, 26, 701, 702, 16383)] == ["A", "Z", "AA", "ZZ", "AAA", "XFD"]


def test_values_in_a_word_document_are_found_once_each_with_their_part():
    document = docx.Document()
    paragraph = document.add_paragraph("card 4111")
    for run in ("1111", "1111", "1111"):
        paragraph.add_run(run).bold = True
    document.add_table(1, 2).cell(0, 1).text = "bob@example.com"
    document.sections[0].header.paragraphs[0].text = "carl@example.com"
    document.sections[0].footer.paragraphs[0].text = "dora@example.com"
    document.add_comment(paragraph.runs, text="eve@example.com", author="X")
    document.core_properties.author = "fay@example.com"
    content = saved(document)
    assert [place(one) for one in occurrences(content)] == [
        ("document",), ("comments",), ("footer1",), ("header1",), ("docProps/core.xml", "dc:creator"),
    ]  # fmt: skip
    assert [(one.line, one.column) for one in occurrences(content, "payment.card")] == [(1, 6)]


def test_a_text_box_that_is_stored_in_two_forms_counts_once():
    def box(text: str) -> str:
        return f"<w:txbxContent><w:p><w:r><w:t>{text}</w:t></w:r></w:p></w:txbxContent>"

    def both(first: str, second: str) -> bytes:
        forms = f"<mc:Choice>{box(first)}</mc:Choice><mc:Fallback>{box(second)}</mc:Fallback>"
        alternate = f'<mc:AlternateContent xmlns:mc="m">{forms}</mc:AlternateContent>'
        return word_document(f"<w:p><w:r><w:t>4111 1111 </w:t>{alternate}<w:t>1111 1111</w:t></w:r></w:p>")

    assert len(occurrences(both("bob@example.com", "bob@example.com"))) == 1
    assert len(occurrences(both("bob@example.com", "carl@example.com"))) == 2
    assert len(occurrences(both("bob@example.com", "none"), "payment.card")) == 1


def test_field_codes_links_and_the_words_of_pictures_are_read():
    body = (
        '<w:p><w:r><w:instrText> HYPERLINK "mailto:bob@</w:instrText></w:r>'
        "<w:r><w:instrText>x.example.com</w:instrText></w:r></w:p>"
        '<w:p><w:r><w:drawing><wp:docPr xmlns:wp="p" id="1" descr="carl@example.com"/></w:drawing></w:r></w:p>'
        "<w:p><w:del><w:r><w:delText>dora@example.com</w:delText></w:r></w:del></w:p>"
    )
    assert [one.field for one in occurrences(word_document(body))] == ["document", "document"]


def test_values_in_a_presentation_are_found_with_the_number_of_the_slide_that_is_shown():
    show = pptx.Presentation()
    for number in range(3):
        slide = show.slides.add_slide(show.slide_layouts[1])
        slide.shapes.title.text = f"Slide {number}"
    slide.shapes.placeholders[1].text_frame.text = "bob@example.com"
    slide.notes_slide.notes_text_frame.text = "carl@example.com"
    slide.shapes.add_table(1, 1, 0, 0, 9, 9).table.cell(0, 0).text = "dora@example.com"
    ids = show.slides._sldIdLst
    ids.insert(0, ids[2])
    found = occurrences(saved(show))
    assert [place(one) for one in found] == [(1,), (1,), (1, "notesSlide")]


def test_values_in_open_documents_are_found_with_their_places():
    text = "<office:text><text:p>4111 <text:span>11</text:span>11<text:s/>1111 1111</text:p><text:h>bob@example.com"
    assert [one.line for one in occurrences(open_document("text", f"{text}</text:h></office:text>"))] == [2]
    assert len(occurrences(open_document("text", f"{text}</text:h></office:text>"), "payment.card")) == 1
    page = "<draw:page><text:p>{}</text:p></draw:page>"
    pages = page.format("nothing") + page.format("bob@example.com")
    show = open_document("presentation", f"<office:presentation>{pages}</office:presentation>")
    assert [place(one) for one in occurrences(show)] == [(2,)]


def test_a_spreadsheet_of_open_document_is_read_by_its_columns():
    def cell(text: str, attributes: str = "") -> str:
        return f"<table:table-cell {attributes}><text:p>{text}</text:p></table:table-cell>"

    head = f"<table:table-row>{cell('name')}{cell('card')}</table:table-row>"
    gap = '<table:table-row table:number-rows-repeated="10"><table:table-cell/></table:table-row>'
    number = 'office:value-type="float" office:value="4111111111111111"'
    skipped = '<table:table-cell table:number-columns-repeated="3"/>'
    note = f"<office:annotation>{cell('bob@example.com')}</office:annotation>".replace("table-cell", "span")
    note = f"<table:table-cell>{note}</table:table-cell>"
    row = f"<table:table-row>{cell('A')}{cell('4.11E+15', number)}{skipped}{note}</table:table-row>"
    sheet = f'<office:spreadsheet><table:table table:name="May">{head}{gap}{row}</table:table></office:spreadsheet>'
    content = open_document("spreadsheet", sheet)
    assert [place(one) for one in occurrences(content, "payment.card")] == [("May", "B12", 0, "card")]
    assert [place(one) for one in occurrences(content)] == [("May", "F12")]


def test_what_is_packed_in_a_document_and_is_no_text_of_it_is_read_as_a_file():
    parts = {"[Content_Types].xml": CONTENT_TYPES, "word/document.xml": "<w:document xmlns:w='w'/>"}
    inner = workbook('<row><c t="str"><v>bob@example.com</v></c></row>')
    content = zipped({**parts, "word/embeddings/book.xlsx": inner, "customXml/item1.xml": "<a>carl@example.com</a>"})
    assert [one.inner_path for one in occurrences(content)] == ["customXml/item1.xml", "word/embeddings/book.xlsx"]


def test_of_two_parts_with_one_name_both_are_looked_at():
    parts = {"word/document.xml": "<w:p>bob@example.com</w:p>", "word/DOCUMENT.xml": "<p><t>carl@example.com</t></p>"}
    found = occurrences(zipped({"[Content_Types].xml": CONTENT_TYPES, **parts}))
    assert [(one.inner_path, one.field) for one in found] == [(None, "document"), ("word/document.xml", "w:p")]
