"""What an object is, is told by its bytes; containers are read through, and what cannot be read says why."""

import gzip
import io
import random
import subprocess
import sys
import zipfile
import zlib

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.coverage import FailReason, SkipReason
from domain.errors import ObjectSkipped, ObjectUnreadable
from infrastructure.detection.engine import HyperscanDetection, Inspected
from infrastructure.formats.compression import ZstdStream
from infrastructure.formats.compression_members import GzipStream
from infrastructure.formats.limits import Budget, Limits

DETECTION = HyperscanDetection()
NOISE = random.Random(7).randbytes(3000)
TEXT = b"".join(b"line %d from user%d@firm.com\n" % (number, number) for number in range(5000))
PLAIN = DETECTION.inspect(io.BytesIO(TEXT), name="a.txt", size=len(TEXT)).findings


def inspect(content: bytes, name: str = "object", limits: Limits | None = None) -> Inspected:
    detection = HyperscanDetection(limits=limits) if limits else DETECTION
    return detection.inspect(io.BytesIO(content), name=name, size=len(content))


def refusal(content: bytes, name: str = "object", limits: Limits | None = None) -> SkipReason | FailReason:
    with pytest.raises((ObjectSkipped, ObjectUnreadable)) as raised:
        inspect(content, name, limits)
    return raised.value.reason


def framed_zstd(content: bytes) -> bytes:
    half = len(content) // 2
    skippable = b"\x50\x2a\x4d\x18\x04\x00\x00\x00meta"
    return zstandard.compress(content[:half]) + skippable + zstandard.compress(content[half:])


@pytest.mark.parametrize(
    "packed",
    [
        gzip.compress(TEXT),
        gzip.compress(TEXT[:1000]) + gzip.compress(TEXT[1000:]) + bytes(600),
        zstandard.compress(TEXT),
        framed_zstd(TEXT),
        gzip.compress(zstandard.compress(TEXT)),
    ],
    ids=["gzip", "gzip of two members, padded", "zstd", "zstd of two frames", "zstd in gzip"],
)
def test_compressed_text_is_read_through_whatever_its_name(packed):
    inspected = inspect(packed, "object.bin")
    assert inspected.findings == PLAIN
    assert inspected.bytes_read == len(packed)


@pytest.mark.parametrize("name", ["table.csv", "table.csv.gz", "TABLE.CSV.GZ"])
def test_a_compressed_table_is_one_whether_or_not_its_name_tells_of_the_compression(name):
    (finding,) = inspect(gzip.compress(b"id,email\n1,bob@firm.com\n"), name).findings
    assert finding.column == "email"


@settings(max_examples=40, deadline=None)
@given(
    content=st.binary(max_size=4000).map(lambda piece: piece * 40), size=st.integers(1, 9000), cut=st.integers(1, 99)
)
def test_decompression_gives_back_every_byte_however_it_is_read(content, size, cut):
    class Trickle(io.BytesIO):
        def read(self, amount: int = -1, /) -> bytes:
            return super().read(min(amount, cut))

    for stream in (
        GzipStream(Trickle(gzip.compress(content)), Budget(Limits())),
        ZstdStream(Trickle(framed_zstd(content)), Budget(Limits())),
    ):
        pieces = list(iter(lambda stream=stream: stream.read(size), b""))
        assert b"".join(pieces) == content
        assert max(map(len, pieces), default=0) <= size


def checked_zstd(content: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(content)


@pytest.mark.parametrize("pack", [gzip.compress, checked_zstd])
@pytest.mark.parametrize("damage", ["cut", "flipped", "followed by something else", "only a beginning"])
def test_a_damaged_container_is_a_parse_error(pack, damage):
    packed = pack(NOISE + TEXT)
    damaged = {
        "cut": packed[:-3],
        "flipped": packed[:2000] + bytes(255 - byte for byte in packed[2000:2100]) + packed[2100:],
        "followed by something else": packed + b"something else",
        "only a beginning": packed[:6],
    }[damage]
    assert refusal(damaged) == FailReason.PARSE_ERROR


def test_a_bomb_meets_the_bounds():
    zeros = b"0" * 3_000_000
    tight = Limits(inflation_ratio=50, ratio_applies_above=1_000_000)
    assert refusal(gzip.compress(zeros), limits=tight) == FailReason.RESOURCE_LIMIT
    assert refusal(zstandard.compress(zeros), limits=tight) == FailReason.RESOURCE_LIMIT
    assert refusal(gzip.compress(TEXT), limits=Limits(inflated_bytes=50_000)) == FailReason.RESOURCE_LIMIT


def test_a_container_nested_too_deep_meets_the_bounds():
    packed = TEXT
    for _ in range(5):
        packed = gzip.compress(packed)
    assert refusal(packed) == FailReason.RESOURCE_LIMIT


def test_a_zstd_window_too_large_for_the_worker_meets_the_bounds():
    parameters = zstandard.ZstdCompressionParameters(window_log=27)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    packed = compressor.compress(TEXT) + compressor.flush()
    assert refusal(packed, limits=Limits(zstd_window_bytes=1 << 20)) == FailReason.RESOURCE_LIMIT


def encrypted_zip() -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        archive.writestr("a.txt", "text")
    content = bytearray(written.getvalue())
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"-----BEGIN PGP MESSAGE-----\n\nhQEMA0\n", "a.txt"),
        (bytes.fromhex("85010c03") + NOISE, "a.csv.gpg"),
        (bytes.fromhex("c3040903") + NOISE, "a.pgp"),
        (b"Salted__" + NOISE, "dump.sql.enc"),
        (b"age-encryption.org/v1\n-> X25519 abc\n", "a.age"),
        (b"$ANSIBLE_VAULT;1.1;AES256\n6162\n", "vars.yml"),
        (b"PARE" + NOISE, "a.parquet"),
        (encrypted_zip(), "a.zip"),
    ],
)
def test_what_is_encrypted_is_said_to_be(content, name):
    assert refusal(content, name) == FailReason.ENCRYPTED


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"\x89PNG\r\n\x1a\n" + bytes(100), SkipReason.BINARY),
        (b"\xff\xd8\xff\xe0" + bytes(100), SkipReason.BINARY),
        (b"\x7fELF\x02\x01\x01" + bytes(100), SkipReason.BINARY),
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", SkipReason.BINARY),
        (b"\x00\x00\x00\x20ftypisom" + bytes(100), SkipReason.BINARY),
        (bytes(range(256)) * 20, SkipReason.BINARY),
        (zlib.compress(TEXT), SkipReason.BINARY),
        (b"SQLite format 3\x00" + bytes(100), SkipReason.UNSUPPORTED_FORMAT),
        (b"\x04\x22\x4d\x18" + NOISE, SkipReason.UNSUPPORTED_FORMAT),
        (b"{\\rtf1\\ansi hello}", SkipReason.UNSUPPORTED_FORMAT),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), SkipReason.UNSUPPORTED_FORMAT),
    ],
)
def test_what_is_not_read_is_skipped_with_its_reason(content, reason):
    assert refusal(content, "object.txt") == reason


@pytest.mark.parametrize(
    "content",
    [
        b"PK\x03\x04\x14\x00\x00\x00" + bytes(100),
        b"Obj\x01\x04\x16avro.schema",
        b"ORC" + NOISE,
        b"ARROW1\x00\x00" + NOISE,
        b"BZh91AY&SY\x00\x01",
        b"\xfd7zXZ\x00\x00",
        bytes(257) + b"ustar\x0000" + bytes(600),
        gzip.compress(bytes(257) + b"ustar\x0000" + bytes(600), mtime=0),
    ],
)
def test_what_only_begins_like_a_format_is_a_parse_error(content):
    assert refusal(content, "object.txt") == FailReason.PARSE_ERROR


@pytest.mark.parametrize("word", ["PARENT", "ORCHID", "ID3NTITY", "RIFFLE", "BZhang", "PAR1S"])
def test_text_that_starts_like_a_signature_is_text(word):
    assert inspect(f"{word} wrote to bob@corp.io\n".encode()).findings[0].count == 1


def test_an_empty_object_holds_nothing():
    assert inspect(b"").findings == ()
    assert inspect(gzip.compress(b"")).findings == ()


def table_bytes(table: pa.Table, **options) -> bytes:
    written = io.BytesIO()
    pq.write_table(table, written, **options)
    return written.getvalue()


PEOPLE = pa.table(
    {
        "id": pa.array(range(3000), pa.int32()),
        "mail": [f"user{number}@firm.com" if number % 3 else None for number in range(3000)],
        "same": ["bob@corp.io"] * 3000,
        "card": pa.array([4532015112830366] * 2 + [7] * 2998, pa.int64()),
        "deep": [{"tags": ["x", f"u{number}@a.org"][: number % 3]} for number in range(3000)],
        "fixed": pa.array([b"f@firm.com", b"0123456789"] + [None] * 2998, pa.binary(10)),
        "pair": pa.array([["p@q.org", "q@q.org"]] + [None] * 2999, pa.list_(pa.string(), 2)),
        "attributes": pa.array([[("k", "v@k.org")]] + [[]] * 2999, pa.map_(pa.string(), pa.string())),
    }
)


@pytest.mark.parametrize("row_group_size", [100, 3000])
@pytest.mark.parametrize("compression", ["snappy", "zstd"])
def test_parquet_hits_are_counted_by_column_and_placed_by_record(row_group_size, compression):
    content = table_bytes(PEOPLE, row_group_size=row_group_size, compression=compression)
    inspected = inspect(content)
    hits = {(finding.detector, finding.column): finding for finding in inspected.findings}
    assert {place: finding.count for place, finding in hits.items()} == {
        ("pii.email", "mail"): 2000,
        ("pii.email", "same"): 3000,
        ("pii.email", "deep.tags"): 1000,
        ("pii.email", "attributes.value"): 1,
        ("pii.email", "fixed"): 1,
        ("pii.email", "pair"): 2,
        ("payment.card", "card"): 2,
    }
    first = hits["pii.email", "mail"].occurrences[0]
    assert (first.record_index, first.field, first.byte_offset, first.line) == (1, "mail", None, None)
    assert [o.record_index for o in hits["pii.email", "deep.tags"].occurrences[:2]] == [2, 5]
    assert inspected.bytes_read == len(content)


def test_the_batch_size_does_not_change_parquet_findings():
    content = table_bytes(PEOPLE, row_group_size=900)
    assert inspect(content, limits=Limits(parquet_batch_bytes=500)).findings == inspect(content).findings


def test_parquet_findings_are_the_same_whether_values_are_read_with_a_dictionary_or_as_they_are():
    mails = [f"user{number}@firm.com" for number in range(9000)]
    table = pa.table(
        {
            "varied": [None if number % 7 == 5 else mail for number, mail in enumerate(mails)],
            "first varied": mails[:300] + ["bob@corp.io"] * 8700,
            "hardly any": [None] * 8999 + ["bob@corp.io"],
            "other": [f"word{number}" if number % 9 else mail for number, mail in enumerate(mails)],
        }
    )
    as_they_are, with_a_dictionary = (inspect(table_bytes(table, row_group_size=rows)) for rows in (9000, 500))
    counts = {finding.column: finding.count for finding in as_they_are.findings}
    assert counts == {"varied": 7715, "first varied": 9000, "hardly any": 1, "other": 1000}
    assert as_they_are.findings == with_a_dictionary.findings


@pytest.mark.parametrize("damage", ["cut", "flipped", "only a beginning"])
def test_damaged_parquet_is_a_parse_error(damage):
    content = table_bytes(PEOPLE, compression="snappy")
    damaged = {
        "cut": content[:-100],
        "flipped": content[:4] + bytes(255 - byte for byte in content[4:40]) + content[40:],
        "only a beginning": content[:50],
    }[damage]
    assert refusal(damaged) == FailReason.PARSE_ERROR


def test_a_parquet_value_is_never_joined_with_its_neighbour():
    table = pa.table({"part": ["jane.doe", "@firm.com", "4532-0151-1283", "-0366"]})
    assert inspect(table_bytes(table)).findings == ()


MEMORY_PROBE = """
import gc, resource, sys
from infrastructure.detection.engine import HyperscanDetection
class Generated:
    def __init__(self, left): self.left = left
    def read(self, size, /):
        take = min(size, self.left, len(PIECE)); self.left -= take
        return PIECE[:take]
PIECE = (b"2024-05-06 line of a log, with nothing in it\\n" * 1500)[:65500] + b"bob@corp.io\\n"
detection = HyperscanDetection()
detection.inspect(Generated(1 << 20), name="a.log", size=0)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
inspected = detection.inspect(Generated(int(sys.argv[1])), name=sys.argv[2], size=0)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, inspected.bytes_read)
"""


@pytest.mark.parametrize("name", ["a.log", "a.csv", "a.json", "a.ndjson"])
def test_memory_does_not_grow_with_the_object(name):
    length = 64 * 1024 * 1024
    probe = subprocess.run(
        [sys.executable, "-c", MEMORY_PROBE, str(length), name], capture_output=True, text=True, check=True
    )
    grown_kib, read = map(int, probe.stdout.split())
    assert read == length
    assert grown_kib < 32 * 1024


TOKEN = "ghp_" + "w4WfRjxVpYh2vQnT7uBzKc9sLdEa6G1Ro5Xm"
IBAN = "GB82 WEST 1234 5698 7654 32"
CARD = 4532015112830366


def everything_shown(inspected: Inspected) -> str:
    return repr(inspected.findings)


@pytest.mark.parametrize(
    "value",
    [TOKEN, IBAN, "AKIA" + "IOSFODNNQEXAMPLE", "457-55-5462", "eyJhbGciOiJIUzI1NiJ9.e30.x", "glpat-xA3bC_dE5fG-hI7jK"],
)
def test_a_value_in_the_place_of_a_name_is_never_shown(value):
    table = pa.table({value: ["bob@firm.com"], "rest": pa.array([{value: "al@firm.com"}])})
    file = io.BytesIO()
    pq.write_table(table, file)
    for content, name in [
        (f"name,{value}\nfoo,bob@firm.com\n".encode(), "header.csv"),
        (f"{value},note\nfoo,bob@firm.com\n".encode(), "first.csv"),
        (f'{{"people": {{"{value}": {{"email": "bob@firm.com"}}}}}}'.encode(), "keys.json"),
        (f'{{"{value}": "bob@firm.com"}}\n'.encode() * 3, "keys.ndjson"),
        (file.getvalue(), "columns.parquet"),
    ]:
        inspected = inspect(content, name)
        assert any(finding.detector == "pii.email" for finding in inspected.findings), name
        assert value not in everything_shown(inspected), name


@pytest.mark.parametrize("name", ["address_line_2", "customer_reference_number", "q1_2023", "E-Mail (privat)"])
def test_an_ordinary_name_is_shown(name):
    inspected = inspect(f"id,{name}\n1,bob@firm.com\n".encode(), "a.csv")
    assert [finding.column for finding in inspected.findings] == [name]


VALUES = {
    "payment.card": str(CARD),
    "pii.us-ssn": "457-55-5462",
    "payment.iban": "GB82WEST12345698765432",
    "secret.github-token": TOKEN,
    "pii.email": "bob@firm.com",
    "network.ip-address": "8.8.4.4",
    "pii.phone": "+14155552671",
}


@pytest.mark.parametrize("detector", VALUES)
@pytest.mark.parametrize("escape", [r"\n", r"\t", r"\r", r"\b", r"\u000a", r"\u00e9", r"\\n"])
@pytest.mark.parametrize("shape", ['{"a": "text%s%s more"}', '{"a": "x%s%s"}\n{"a": "y"}\n', 'INFO {"a":"x%s%s"}\n'])
def test_a_value_behind_an_escape_is_found_where_it_stands(detector, escape, shape):
    text = shape % (escape, VALUES[detector])
    (finding,) = (one for one in inspect(text.encode()).findings if one.detector == detector)
    (occurrence,) = finding.occurrences
    assert occurrence.byte_offset == text.index(VALUES[detector])
    assert occurrence.length == len(VALUES[detector])


def test_an_escaped_character_of_a_value_in_a_very_long_string_hides_nothing():
    text = '{"a": "' + "zzz " * 3000 + "user.x\\u0040firm.com" + " zzz" * 3000 + " al\\u0040firm.com" + '"}'
    (finding,) = inspect(text.encode(), "a.json").findings
    assert (finding.detector, finding.count) == ("pii.email", 2)


@pytest.mark.parametrize(
    ("text", "field", "records"),
    [
        ("{,name,email}0,Bob,bob@firm.com}1,Al,al@firm.com}", "email", [0, 1]),
        ("{id,email,2023,2024}1,bob@firm.com,3,4}", "email", [0]),
        ('{"Customer\'s name","E-mail?",id}Bob,bob@firm.com,1}', "E-mail?", [0]),
        ('{"Last, First",email}"Bob, B",bob@firm.com}"X, ""q"" Y",al@firm.com}', "email", [0, 1]),
        ("{id;E-Mail (privat);Straße & Nr.}1;bob@firm.com;Weg 3}", "E-Mail (privat)", [0]),
        ('{id,item,email}1,5" pipe,a@firm.com}2,6" pipe,b@firm.com}3,7" pipe,c@firm.com}', "email", [0, 1, 2]),
        ("}{name,email}}Bob,bob@firm.com}}}Al,al@firm.com}", "email", [0, 1]),
        ('{name,email}"two}lines, x",bob@firm.com}Al,al@firm.com}', "email", [0, 1]),
        ('\ufeff"Name, first",email}"Bob, B",bob@firm.com}', "email", [0]),
        ('\ufeff"Name,}first",email}"Bob, B",bob@firm.com}', "email", [0]),
        ("{name,email}   }Bob,bob@firm.com}", "email", [1]),
        ('{name,email}   }"two}lines",bob@firm.com}', "email", [1]),
        ("{Bob Smith,London}Al Jones,Paris}bob@firm.com,Rome}", "column_1", [2]),
        ("{sep=;}id;email}1;bob@firm.com}2;al@firm.com}", "email", [0, 1]),
    ],
)
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_table_says_record_and_field_as_a_reader_of_csv_would(text, field, records, end):
    inspected = inspect(text.replace("{", "").replace("}", end).encode(), "table.csv")
    (finding,) = inspected.findings
    assert finding.column == field
    assert [occurrence.record_index for occurrence in finding.occurrences] == records


@pytest.mark.parametrize(
    "numbers",
    [
        pa.array([1, CARD, None], pa.decimal128(38, 0)),
        pa.array([1.5, float(CARD), None]),
        pa.array([float("nan"), float(CARD), float("inf")]),
        pa.array([1, CARD, None], pa.int64()),
    ],
    ids=["decimal", "double", "double with nan", "int64"],
)
def test_card_numbers_in_number_columns_of_parquet_are_found(numbers):
    file = io.BytesIO()
    pq.write_table(pa.table({"amount": numbers}), file)
    (finding,) = inspect(file.getvalue(), "a.parquet").findings
    assert (finding.detector, finding.column) == ("payment.card", "amount")
    assert [occurrence.record_index for occurrence in finding.occurrences] == [1]


@pytest.mark.parametrize("rows_between", range(48_000, 68_000, 2_000))
def test_a_hit_far_behind_the_last_one_has_the_column_and_record_of_its_own(rows_between):
    hit, plain = "7,bob@firm.com,plain\n", "123,none,plain text\n"
    content = f"id,email,note\n{hit}{plain * rows_between}{hit}{plain * 60_000}".encode()
    (finding,) = inspect(content, "sparse.csv").findings
    assert (finding.column, finding.count) == ("email", 2)
    assert [occurrence.record_index for occurrence in finding.occurrences] == [0, rows_between + 1]
