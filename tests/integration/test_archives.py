"""What is packed in archives, compressed streams and columnar files is found where it stands, and nowhere twice."""

import bz2
import io
import lzma
import tarfile
import zipfile
from datetime import date, datetime

import fastavro
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from domain.coverage import FailReason, SkipReason
from domain.errors import ObjectSkipped, ObjectUnreadable
from domain.finding import Finding
from infrastructure.detection.engine import HyperscanDetection, Inspected
from infrastructure.formats import avro as avro_format
from infrastructure.formats import parquet as parquet_format
from infrastructure.formats.extracted import ColumnBatch
from infrastructure.formats.limits import Budget, Limits
from infrastructure.formats.streams import PeekableStream
from tests.integration.packing import CARD, CODECS, MAIL, TABLES, avro, tarred, zipped

DETECTION = HyperscanDetection()
TEXT = f"first\nwrite to {MAIL}\n".encode()


def inspect(content: bytes, name: str = "object") -> Inspected:
    return DETECTION.inspect(io.BytesIO(content), name=name, size=len(content))


def failure(content: bytes, name: str = "object") -> ObjectUnreadable | ObjectSkipped:
    with pytest.raises((ObjectSkipped, ObjectUnreadable)) as raised:
        inspect(content, name)
    return raised.value


def mails(findings: tuple[Finding, ...]) -> list[tuple[str | None, int | None, str | None]]:
    """Where e-mail addresses were found: inner path, line, field."""
    occurrences = [found for finding in findings if finding.detector == "pii.email" for found in finding.occurrences]
    return sorted(((found.inner_path, found.line, found.field) for found in occurrences), key=str)


@pytest.mark.parametrize("codec", CODECS)
def test_every_codec_is_read_through_one_member_after_the_other(codec):
    packed = CODECS[codec](TEXT) + CODECS[codec](TEXT)
    inspected = inspect(packed)
    assert mails(inspected.findings) == [(None, 2, None), (None, 4, None)]
    assert inspected.bytes_read == len(packed)


@pytest.mark.parametrize("codec", CODECS)
@pytest.mark.parametrize("damage", ["cut", "followed"])
def test_a_damaged_stream_is_a_parse_error_and_keeps_what_was_read(codec, damage):
    packed = CODECS[codec](TEXT * 9000)
    error = failure(packed[:-9] if damage == "cut" else packed + b"something else")
    assert error.reason == FailReason.PARSE_ERROR
    assert mails(error.findings)


def test_an_xz_dictionary_too_large_for_the_worker_meets_the_bounds():
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 29}]
    assert failure(lzma.compress(TEXT, filters=filters)).reason == FailReason.RESOURCE_LIMIT


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_a_value_in_a_zip_file_has_the_path_to_it(method):
    packed = zipped({"a/": b"", "a/b.txt": TEXT, "c.txt": b"nothing"}, method)
    assert mails(inspect(packed, "x.jar").findings) == [("a/b.txt", 2, None)]


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_value_in_a_tar_file_has_the_path_to_it(form):
    deep = "folder/" * 20 + "b.txt"
    packed = tarred({"a.txt": TEXT, deep: TEXT, "c.txt": b""}, form)
    assert mails(inspect(packed).findings) == sorted([("a.txt", 2, None), (deep, 2, None)])


@pytest.mark.parametrize("form", [tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_a_tar_name_of_any_length_and_script_is_read(form):
    name = "földer/" * 60 + "b.txt"
    assert mails(inspect(tarred({name: TEXT}, form)).findings) == [(name, 2, None)]


def test_links_devices_and_folders_in_a_tar_file_are_no_content():
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE):
            member = tarfile.TarInfo(f"kind{kind.decode()}")
            member.type, member.linkname = kind, "/etc/passwd"
            archive.addfile(member)
        member = tarfile.TarInfo("a.txt")
        member.size = len(TEXT)
        archive.addfile(member, io.BytesIO(TEXT))
    assert mails(inspect(written.getvalue()).findings) == [("a.txt", 2, None)]


@pytest.mark.parametrize("cut", [700, 1024, 1500, 2048])
def test_a_tar_file_that_is_cut_is_a_parse_error_and_keeps_what_was_read(cut):
    error = failure(tarred({"a.txt": TEXT, "b.txt": TEXT}, tarfile.USTAR_FORMAT)[:cut])
    assert error.reason == FailReason.PARSE_ERROR
    assert mails(error.findings)[0] == ("a.txt", 2, None)


def test_an_entry_without_a_name_is_read_as_any_other():
    nameless = bytearray(zipped({"a": TEXT, "b": TEXT}))
    at = nameless.index(b"PK\x01\x02")
    nameless[at + 28] = 0
    del nameless[at + 46]
    end = nameless.rindex(b"PK\x05\x06")
    nameless[end + 12] -= 1
    assert mails(inspect(bytes(nameless)).findings) == [("(without a name)", 2, None), ("b", 2, None)]


def test_tar_files_put_one_behind_the_other_are_read_all():
    assert len(mails(inspect(tarred({"a.txt": TEXT}) + tarred({"b.txt": TEXT})).findings)) == 2


def test_archives_within_archives_are_read_four_levels_deep():
    packed = zipped({"b.tar": tarred({"c.zip": zipped({"d.txt": TEXT, "e.txt.bz2": bz2.compress(TEXT)})})})
    assert mails(inspect(packed, "a.zip").findings) == [
        ("b.tar!/c.zip!/d.txt", 2, None), ("b.tar!/c.zip!/e.txt.bz2", 2, None),
    ]  # fmt: skip


def test_what_is_packed_deeper_is_said_and_its_neighbours_are_read():
    deep = TEXT
    for level in range(4):
        deep = zipped({f"{level}.zip": deep})
    error = failure(zipped({"deep.zip": deep, "near.txt": TEXT}))
    assert error.reason == FailReason.RESOURCE_LIMIT
    assert mails(error.findings) == [("near.txt", 2, None)]


def test_an_encrypted_entry_is_said_and_its_neighbours_are_read():
    content = bytearray(zipped({"locked.txt": b"text", "open.txt": TEXT}))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    error = failure(bytes(content))
    assert error.reason == FailReason.ENCRYPTED
    assert "locked.txt" in error.detail
    assert mails(error.findings) == [("open.txt", 2, None)]


def test_an_entry_of_another_kind_is_said_and_its_neighbours_are_read():
    inspected = inspect(zipped({"a.png": b"\x89PNG\r\n\x1a\n" + bytes(50), "b.txt": TEXT}))
    assert mails(inspected.findings) == [("b.txt", 2, None)]
    assert "binary" in inspected.remark


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/passwd", "../../etc/passwd"),
        ("/etc/passwd", "/etc/passwd"),
        ("c:\\windows\\x", "c:\\windows\\x"),
        ("new\nline\x1b[2J", "new\\u000aline\\u001b[2J"),
        ("txt.\u202egpj", "txt.\\u202egpj"),
        ("zero\u200bwidth", "zero\\u200bwidth"),
        ("日本語.txt", "日本語.txt"),
    ],
)
@pytest.mark.parametrize("pack", [zipped, tarred])
def test_a_name_in_an_archive_is_only_shown_and_what_is_not_visible_is_escaped(pack, name, shown):
    ((path, _, _),) = mails(inspect(pack({name: TEXT})).findings)
    assert path == shown


@pytest.mark.parametrize("kind", TABLES)
def test_a_value_in_a_table_is_found_once_with_its_record_and_field(kind):
    findings = inspect(TABLES[kind]()).findings
    places = [
        (finding.detector, finding.count, found.record_index, found.field)
        for finding in findings for found in finding.occurrences
    ]  # fmt: skip
    assert ("pii.email", 1, 17, "mail") in places
    assert ("payment.card", 1, 17, "note") in places


@pytest.mark.parametrize("kind", TABLES)
def test_a_table_within_an_archive_has_path_record_and_field(kind):
    findings = inspect(tarred({f"t.{kind}": TABLES[kind]()})).findings
    assert mails(findings) == [(f"t.{kind}", None, "mail")]


@pytest.mark.parametrize("codec", ["null", "deflate", "bzip2", "xz"])
def test_every_codec_of_avro_is_read(codec):
    assert mails(inspect(avro(codec)).findings) == [(None, None, "mail")]


def columns_of(content: bytes, limits: Limits | None = None) -> list[ColumnBatch]:
    return list(avro_format.read(PeekableStream(io.BytesIO(content)), "", Budget(limits or Limits())))


def test_values_of_avro_are_told_by_their_path_whatever_their_type():
    inner = {"type": "record", "name": "R", "namespace": "n", "fields": [
        {"name": "x", "type": "string"}, {"name": "next", "type": ["null", "n.R"]},
    ]}  # fmt: skip
    schema = {"type": "record", "name": "U", "fields": [
        {"name": "list", "type": {"type": "array", "items": ["null", "string", "long"]}},
        {"name": "map", "type": {"type": "map", "values": "bytes"}},
        {"name": "enum", "type": {"type": "enum", "name": "E", "symbols": ["A", "B"]}},
        {"name": "fixed", "type": {"type": "fixed", "name": "F", "size": 4}},
        {"name": "chain", "type": inner},
        {"name": "again", "type": "F"},
        {"name": "whole", "type": "double"},
        {"name": "day", "type": {"type": "int", "logicalType": "date"}},
    ]}  # fmt: skip
    record = {
        "list": ["a", None, int(CARD)], "map": {"k": b"v"}, "enum": "B", "fixed": b"fixd",
        "chain": {"x": "outer", "next": {"x": "inner", "next": None}}, "again": b"agin", "whole": float(CARD), "day": 1,
    }  # fmt: skip
    written = io.BytesIO()
    fastavro.writer(written, schema, [record])
    assert {batch.column: batch.values.text.split() for batch in columns_of(written.getvalue())} == {
        "list": [b"a", CARD.encode()],
        "map.key": [b"k"],
        "map.value": [b"v"],
        "fixed": [b"fixd"],
        "chain.x": [b"outer", b"inner"],
        "again": [b"agin"],
        "whole": [CARD.encode()],
        "day": [b"1970-01-02"],
    }


def test_what_an_avro_file_holds_before_it_is_cut_is_found():
    error = failure(avro("null", block=100)[:-20])
    assert error.reason == FailReason.PARSE_ERROR
    assert mails(error.findings) == [(None, None, "mail")]


def test_numbers_and_days_of_columnar_files_are_text_and_small_numbers_are_not():
    columns = {
        "ssn": pa.array([123456789, None], pa.int32()),
        "small": pa.array([1, 2], pa.int32()),
        "born": pa.array([date(1980, 12, 31), None]),
        "midnight": pa.array([datetime(1980, 12, 31), None]),  # noqa: DTZ001 — a column without a zone
        "moment": pa.array([datetime(1980, 12, 31, 1), None]),  # noqa: DTZ001 — as above
        "decimal": pa.array([int(CARD), None], pa.decimal128(20, 0)),
    }
    written = io.BytesIO()
    pq.write_table(pa.table(columns), written)
    batches = parquet_format.read(PeekableStream(io.BytesIO(written.getvalue())), "", Budget(Limits()))
    assert {batch.column: batch.values.text.decode().split() for batch in batches} == {
        "ssn": ["123456789"], "born": ["1980-12-31"], "midnight": ["1980-12-31"], "decimal": [CARD],
    }  # fmt: skip


@pytest.mark.parametrize(
    "encoding",
    ["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32", "utf-32-le", "cp037", "cp500", "cp1252", "latin-1",
     "shift_jis", "gb18030", "euc_kr", "koi8_r"],
)  # fmt: skip
def test_a_value_is_found_at_its_bytes_in_every_encoding(encoding):
    text = f"first line of a text\nwrite to {MAIL} soon, it says, or never again\n"
    content = text.encode(encoding)
    (finding,) = (found for found in inspect(content, "a.txt").findings if found.detector == "pii.email")
    (place,) = finding.occurrences
    assert content[place.byte_offset :][: place.length].decode(encoding.removesuffix("-sig")) == MAIL
    assert place.line == 2


@pytest.mark.parametrize("delimiter", [",", ";", "|", "\t", "^", "~", "\x01", "\x1f"])
@pytest.mark.parametrize("quote", ["", '"', "'"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_every_dialect_of_a_table_gives_record_and_field(delimiter, quote, end):
    rows = [["id", "note", "mail"], *([str(n), f"a{delimiter}b" if quote else "ab", MAIL] for n in range(5))]
    lines = [delimiter.join(f"{quote}{cell}{quote}" for cell in row) for row in rows]
    (finding,) = (
        found for found in inspect(end.join(lines).encode(), "a.csv").findings if found.detector == "pii.email"
    )
    assert [(o.record_index, o.field, o.line) for o in finding.occurrences] == [(n, "mail", n + 2) for n in range(5)]


@pytest.mark.parametrize("above", ["# made by a program, on a day\n# of May\n", "Report for May\n\n", ""])
def test_comments_and_titles_above_a_table_are_no_records(above):
    content = f'{above}id,note,mail\n1,"say \\"so\\", now","{MAIL}"\n2,"C",{MAIL}\n'
    (finding,) = (found for found in inspect(content.encode(), "a.csv").findings if found.detector == "pii.email")
    assert [(o.record_index, o.field) for o in finding.occurrences] == [(0, "mail"), (1, "mail")]


def test_the_reasons_of_what_is_not_read_are_told_apart():
    assert failure(zipped({"a.db": b"SQLite format 3\x00" + bytes(99)})).reason == SkipReason.UNSUPPORTED_FORMAT
    assert failure(zipped({"a.png": b"\x89PNG\r\n\x1a\n" + bytes(99)})).reason == SkipReason.BINARY


def test_a_name_within_mail_or_office_files_is_shown_without_what_is_invisible():
    mail = (
        b'MIME-Version: 1.0\nContent-Type: multipart/mixed; boundary="b"\n\n--b\n'
        b"Content-Type: text/plain\nContent-Disposition: attachment; filename*=utf-8''a%E2%80%AEtxt.b%1B.txt\n\n"
        b"write to bob@corp.io\n--b--\n"
    )
    inspected = HyperscanDetection().inspect(io.BytesIO(mail), name="m.eml", size=len(mail))
    places = [place.inner_path for finding in inspected.findings for place in finding.occurrences]
    assert places == ["a\\u202etxt.b\\u001b.txt"]
