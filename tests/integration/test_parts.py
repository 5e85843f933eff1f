"""One object read in parts: together they find what a reading of the whole finds, each hit once, in its place."""

import csv
import gzip
import io
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from application.ports import ByteStream, Stopped
from domain.coverage import FailReason
from domain.detectors import detectors, select
from domain.errors import ObjectSkipped, ObjectUnreadable
from domain.finding import Finding
from domain.parts import PartFindings, merged, part_range
from infrastructure.detection.engine import HyperscanDetection, InspectedPart
from infrastructure.formats.limits import MIB, Limits
from infrastructure.formats.parquet import RowGroups
from infrastructure.formats.ranges import ObjectRanges, RangedFile

DETECTION = HyperscanDetection()
# Rules and limits with a short reach, so that the parts of a few kilobytes do not see all of one another.
SHORT = select(["pii.email", "payment.card", "network"])
NEAR = HyperscanDetection(SHORT, Limits(record_reach=300, block_bytes=700))
IMPATIENT = HyperscanDetection(SHORT, Limits(record_reach=300, block_bytes=700, cut_reach=40))
CARD = "4532015112830366"
EMAILS = ("jane.doe@firm.com", "bob@corp.io", "x_1@a-b.org")
PARTS = st.integers(1, 8)


class Object:
    """An object's bytes by range, and the ranges that were asked for."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.asked: list[range] = []

    @contextmanager
    def open_range(self, start: int, stop: int) -> Iterator[ByteStream]:
        assert 0 <= start < stop <= len(self.content)
        self.asked.append(range(start, stop))
        yield io.BytesIO(self.content[start:stop])


def inspect_part(
    content: bytes, name: str, part: int, parts: int, detection: HyperscanDetection = DETECTION
) -> InspectedPart:
    return detection.inspect_part(Object(content).open_range, name=name, size=len(content), part=part, parts=parts)


def in_parts(content: bytes, name: str, parts: int, detection: HyperscanDetection = DETECTION) -> tuple[Finding, ...]:
    inspected = [inspect_part(content, name, part, parts, detection) for part in range(parts)]
    assert sum(part.bytes_read for part in inspected) == len(content)
    return merged([PartFindings(part.findings, part.lines, part.records) for part in inspected])


def as_a_whole(content: bytes, name: str, detection: HyperscanDetection = DETECTION) -> tuple[Finding, ...]:
    return detection.inspect(io.BytesIO(content), name=name, size=len(content)).findings


WORDS = st.sampled_from(
    [*EMAILS, CARD, "8.8.4.4", "card", "version", "word", " ", ", ", "\n", "\r\n", "\n\n", r"\n", r"\u0040", '"', "{"]
)


@given(
    pieces=st.lists(WORDS, max_size=40),
    times=st.integers(1, 30),
    parts=PARTS,
    detection=st.sampled_from([NEAR, IMPATIENT, DETECTION]),
)
def test_text_in_parts_is_found_as_in_the_whole(pieces, times, parts, detection):
    content = (" ".join(pieces) * times).encode()
    assert in_parts(content, "a.log", parts, detection) == as_a_whole(content, "a.log", detection)


@given(parts=PARTS, before=st.integers(0, 80), end=st.sampled_from(["\n", "\r\n", ""]))
def test_a_value_right_at_a_cut_is_found_once(parts, before, end):
    line = f"{'x' * (before % 7)} {EMAILS[0]}{end}"
    content = ("y" * before + "\n" + line * 40).encode()
    (finding,) = (one for one in in_parts(content, "a.txt", parts, NEAR) if one.detector == "pii.email")
    assert (finding,) == as_a_whole(content, "a.txt", NEAR)
    assert finding.count == (1 if before % 7 == 0 and not end else 40) or not end


KEY = "-----BEGIN RSA PRIVATE KEY-----\n" + "MIIEpAIBAAKCAQEA7bq3\n" * 8 + "-----END RSA PRIVATE KEY-----\n"
MAIL = ("Dear all,\n" + KEY + f"and write to {EMAILS[0]}\n" + "so long\n" * 30) * 90


@pytest.mark.parametrize("parts", [2, 3, 7, 8])
def test_a_value_of_many_lines_counts_once_where_it_begins(parts):
    content = MAIL.encode()
    findings = in_parts(content, "a.txt", parts)
    assert findings == as_a_whole(content, "a.txt")
    assert {one.detector: one.count for one in findings} == {"secret.private-key": 90, "pii.email": 90}


JSON_VALUES = st.one_of(
    st.sampled_from([*EMAILS, f"pay {CARD}", "two\nlines", 'say "hi"', "€", "x" * 90]), st.integers(0, 9), st.none()
)
JSON_RECORDS = st.recursive(
    JSON_VALUES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "mail", "c"]), inner, max_size=3),
    max_leaves=8,
)


@given(
    records=st.lists(st.one_of(st.none(), st.dictionaries(st.sampled_from(["k", "l"]), JSON_RECORDS)), max_size=25),
    times=st.integers(1, 20),
    hidden=st.booleans(),
    parts=PARTS,
    detection=st.sampled_from([NEAR, IMPATIENT]),
)
def test_json_lines_in_parts_are_found_as_in_the_whole(records, times, hidden, parts, detection):
    lines = [json.dumps(record) if record is not None else "\r" for record in records]
    text = ("\n".join(lines) + "\n") * times
    content = (text.replace("bob@", "bob\\u0040") if hidden else text).encode()
    assert in_parts(content, "a.ndjson", parts, detection) == as_a_whole(content, "a.ndjson", detection)


CELLS = st.sampled_from(
    [*EMAILS, CARD, "", " ", "a,b", 'say "hi"', "two\nlines", 'card\n"a"\n\nb', f"mail\n{EMAILS[0]}\n", "word " * 9]
)


@st.composite
def tables(draw: st.DrawFn) -> bytes:
    """Well-formed tables (RFC 4180); every other row may be ragged. Lines inside of quotes are no records."""
    regular = draw(st.lists(st.lists(CELLS, min_size=4, max_size=4), min_size=1, max_size=15))
    ragged = draw(st.lists(st.lists(CELLS, max_size=6), max_size=len(regular)))
    rows = [row for pair in zip(regular, [*ragged, *([[]] * len(regular))], strict=False) for row in pair]
    written = io.StringIO(newline="")
    quoting = draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL]))
    writer = csv.writer(written, lineterminator=draw(st.sampled_from(["\n", "\r\n"])), quoting=quoting)
    if draw(st.booleans()):
        writer.writerow(["id", "name", "mail", "number"])
    writer.writerows([row for row in regular for _ in range(2)])
    for _ in range(draw(st.integers(1, 8))):
        writer.writerows(rows)
    return written.getvalue().encode().removesuffix(b"\n" if draw(st.booleans()) else b"")


@settings(max_examples=150)
@given(content=tables(), parts=PARTS, mark=st.sampled_from([b"", b"\xef\xbb\xbf"]))
def test_well_formed_tables_in_parts_are_found_as_in_the_whole(content, parts, mark):
    assert in_parts(mark + content, "a.csv", parts, NEAR) == as_a_whole(mark + content, "a.csv", NEAR)


def without_fields(findings: tuple[Finding, ...]) -> list[tuple]:
    """What does not depend on where records begin: each detector's count and the places of its hits."""
    by_detector: dict[str, list] = {}
    for one in findings:
        by_detector.setdefault(one.detector, []).append(one)
    return [
        (detector, sum(one.count for one in same), sorted(
            (o.byte_offset, o.length, o.line, o.column, o.masked) for one in same for o in one.occurrences))
        for detector, same in by_detector.items()
    ]  # fmt: skip


@given(
    lines=st.lists(
        st.sampled_from([f'1,"{EMAILS[0]}",2', '3,"open', f'{CARD},5" pipe,"', "a,b,c", '"""', "", f'x",{EMAILS[1]},"'])
    ).filter(lambda lines: len(lines) < 14),
    parts=PARTS,
    detection=st.sampled_from([NEAR, IMPATIENT]),
)
def test_in_a_malformed_table_every_hit_is_found_once_in_its_place(lines, parts, detection):
    content = "\n".join(["id,mail,note", *lines]).encode()
    whole = as_a_whole(content, "a.csv", detection)
    assert without_fields(in_parts(content, "a.csv", parts, detection)) == without_fields(whole)


def test_a_quoted_field_that_holds_a_table_costs_no_more_than_the_fields_around_it():
    inner = "\n".join(f"{number},{EMAILS[0]},x" for number in range(60))
    rows = [f"{number},{EMAILS[1]},plain" for number in range(60)]
    content = "\n".join(["id,mail,note", *rows, f'0,-,"{inner}"', *rows, ""]).encode()
    whole = as_a_whole(content, "a.csv")
    cut_in_quotes = in_parts(content, "a.csv", 2)
    assert cut_in_quotes != whole
    assert sum(one.count for one in cut_in_quotes) == sum(one.count for one in whole) == 180
    placed = {o.byte_offset for one in cut_in_quotes for o in one.occurrences}
    assert {o.byte_offset for one in whole for o in one.occurrences} <= placed


def test_a_field_longer_than_the_look_for_a_boundary_is_cut_at_a_line():
    content = ("id,mail\n" + f'1,"{EMAILS[0]}\n' + "text\n" * 200 + f'"\n2,{EMAILS[1]}\n').encode()
    parts = [inspect_part(content, "a.csv", part, 4, IMPATIENT) for part in range(4)]
    assert [bool(part.bytes_read) for part in parts] == [True] * 4
    assert without_fields(in_parts(content, "a.csv", 4, IMPATIENT)) == without_fields(
        as_a_whole(content, "a.csv", IMPATIENT)
    )


def parquet_bytes(table: pa.Table, **options) -> bytes:
    written = io.BytesIO()
    pq.write_table(table, written, **options)
    return written.getvalue()


@settings(max_examples=40)
@given(
    mails=st.lists(st.sampled_from([*EMAILS, None, "", "none", CARD]), min_size=1, max_size=120),
    group=st.integers(1, 40),
    parts=PARTS,
    packed=st.sampled_from(["none", "zstd"]),
)
def test_parquet_in_parts_is_found_as_in_the_whole(mails, group, parts, packed):
    numbers = pa.array([int(CARD) if mail == CARD else row for row, mail in enumerate(mails)], pa.int64())
    table = pa.table({"n": numbers, "mail": pa.array(mails, pa.string()), "tags": [[mail] * 2 for mail in mails]})
    content = parquet_bytes(table, row_group_size=group, compression=packed)
    assert in_parts(content, "a.parquet", parts) == as_a_whole(content, "a.parquet")
    inspected = [inspect_part(content, "a.parquet", part, parts) for part in range(parts)]
    assert sum(part.records for part in inspected) == len(mails)


@dataclass(frozen=True)
class Stored:
    """Row groups by the offsets of their pages: a footer that no writer here would write."""

    offsets: tuple[int, ...]
    num_columns: int = 1
    has_dictionary_page: bool = False

    @property
    def num_row_groups(self) -> int:
        return len(self.offsets)

    @property
    def data_page_offset(self) -> int:
        return self.offsets[0]

    def row_group(self, index: int) -> "Stored":
        return replace(self, offsets=self.offsets[index : index + 1])

    def column(self, _index: int) -> "Stored":
        return self


@given(offsets=st.lists(st.integers(-10, 130), max_size=12), parts=PARTS)
def test_every_row_group_is_in_one_part_and_in_its_order_wherever_it_is_stored(offsets, parts):
    groups = [RowGroups(size=100, part=part, parts=parts).of(Stored(tuple(offsets))) for part in range(parts)]
    assert [index for part in groups for index in part] == list(range(len(offsets)))


LARGE = parquet_bytes(
    pa.table({"pad": [bytes([65 + n % 26]) * 90_000 for n in range(200)], "mail": [EMAILS[n % 3] for n in range(200)]}),
    row_group_size=20,
    compression="none",
    use_dictionary=False,
)


def test_a_part_of_a_parquet_file_fetches_its_own_row_groups_and_the_footer():
    kept = Object(LARGE)
    inspected = DETECTION.inspect_part(kept.open_range, name="a.parquet", size=len(LARGE), part=1, parts=10)
    assert inspected.records == 20
    assert sum(map(len, kept.asked)) < len(LARGE) // 10 + 3 * MIB


def test_a_corrupt_footer_is_a_parse_error_in_every_part():
    for part in range(3):
        with pytest.raises(ObjectUnreadable) as raised:
            inspect_part(LARGE[:-100], "a.parquet", part, 3)
        assert raised.value.reason == FailReason.PARSE_ERROR


@pytest.mark.parametrize("fault", [ObjectUnreadable(FailReason.NETWORK, "gone"), ConnectionResetError(), Stopped()])
def test_a_fault_while_a_row_group_is_read_is_told_as_it_is(fault):
    class Cut(Object):
        @contextmanager
        def open_range(self, start: int, stop: int) -> Iterator[ByteStream]:
            if self.asked and start < len(LARGE) - MIB:
                raise fault
            with super().open_range(start, stop) as stream:
                yield stream

    with pytest.raises(type(fault)) as raised:
        DETECTION.inspect_part(Cut(LARGE).open_range, name="a.parquet", size=len(LARGE), part=1, parts=3)
    assert raised.value is fault


TEXT = "".join(f"line {number} {EMAILS[number % 3]}\n" for number in range(400))


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (gzip.compress(TEXT.encode()), "a.csv"),
        (("\ufeff" + TEXT).encode("utf-16-le"), "a.txt"),
        (json.dumps([{"mail": EMAILS[0]}] * 300, indent=1).encode(), "a.log"),
        (json.dumps({"mail": EMAILS}, indent=1).encode(), "a.txt"),
        (gzip.compress(parquet_bytes(pa.table({"mail": EMAILS}))), "a.parquet"),
    ],
    ids=["gzip", "utf-16", "json array", "json object", "parquet in gzip"],
)
def test_what_cannot_be_split_is_read_whole_by_the_first_part(content, name):
    first, *others = (inspect_part(content, name, part, 4) for part in range(4))
    assert first.findings == as_a_whole(content, name) != ()
    assert first.bytes_read == len(content)
    assert others == [InspectedPart()] * 3


@pytest.mark.parametrize(
    "content",
    [b"\x89PNG\r\n\x1a\n" + bytes(100), bytes(range(256)) * 20, b"%PDF-1.7\n", b"Salted__" + bytes(99), b"\0" * 200],
)
def test_what_is_not_read_says_so_in_the_first_part_alone(content):
    with pytest.raises((ObjectSkipped, ObjectUnreadable)) as raised:
        inspect_part(content, "a.csv", 0, 3)
    with pytest.raises(type(raised.value)) as whole:
        as_a_whole(content, "a.csv")
    assert raised.value.reason == whole.value.reason
    assert [inspect_part(content, "a.csv", part, 3) for part in (1, 2)] == [InspectedPart()] * 2


@pytest.mark.parametrize("name", ["a.txt", "a.csv", "a.ndjson"])
@pytest.mark.parametrize("content", [b"", b"x", f"{CARD} {EMAILS[0]} {'x ' * 9000}".encode()])
def test_a_single_line_is_the_first_part_s(name, content):
    first, *others = (inspect_part(content, name, part, 5) for part in range(5))
    assert first.findings == as_a_whole(content, name)
    assert first.bytes_read == len(content)
    assert others == [InspectedPart()] * 4


def test_a_missing_cut_leaves_its_bytes_to_the_part_before():
    content = (TEXT + "x" * 2 * len(TEXT) + "\n" + TEXT).encode()
    sizes = [inspect_part(content, "a.txt", part, 4, IMPATIENT).bytes_read for part in range(4)]
    assert sizes[1] > len(TEXT)
    assert sizes[2] == 0
    assert in_parts(content, "a.txt", 4, IMPATIENT) == as_a_whole(content, "a.txt", IMPATIENT)


def test_a_part_says_how_many_lines_and_records_it_has():
    content = ("id,mail\n" + f'1,"{EMAILS[0]}\n{EMAILS[1]}"\n\n2,x' * 1 + "\n" + "3,y\n" * 97 + "4,z").encode()
    whole = inspect_part(content, "a.csv", 0, 1)
    assert (whole.lines, whole.records) == (103, 100)
    parts = [inspect_part(content, "a.csv", part, 3) for part in range(3)]
    assert (sum(part.lines for part in parts), sum(part.records for part in parts)) == (103, 100)


def test_the_header_stays_with_what_stands_above_it():
    content = ("\n" * 60 + "id,mail\n" + f"1,{EMAILS[0]}\n" * 9).encode()
    parts = [inspect_part(content, "a.csv", part, 8) for part in range(8)]
    assert min(part.records for part in parts) == 0
    assert sum(part.records for part in parts) == 9
    assert in_parts(content, "a.csv", 8) == as_a_whole(content, "a.csv")


def test_reading_a_part_stops_soon_after_it_is_called_off():
    reads = iter(range(100))
    content = TEXT.encode() * 300
    kept = Object(content)
    with pytest.raises(Stopped):
        DETECTION.inspect_part(
            kept.open_range, name="a.txt", size=len(content), part=1, parts=2, stopped=lambda: next(reads) >= 3
        )
    assert next(reads) == 4


SAMPLES = {
    "app.log": ("\n".join(text for d in detectors() for text in (*d.matches, *d.near_misses))).encode(),
    "paths.log": "".join(
        rf'C:\tmp\{mail} \f@x.com {{"a":"x\n{mail}\t{CARD}\u000a{mail} \tel: 030 90{n:04}"}}' + "\n" * (n % 2)
        for n in range(900)
        for mail in EMAILS
    ).encode(),
    "people.csv": (
        "id,mail,note,number,pad\n"
        + "".join(
            f'{n},"{EMAILS[n % 3]}","a ""b"" {chr(10) * (n % 7 == 0)}c",{CARD if n % 5 == 0 else n},{" " * (n % 40)}\n'
            for n in range(3000)
        )
    ).encode(),
}


@cache
def all_rules(block: int) -> HyperscanDetection:
    return HyperscanDetection(limits=Limits(record_reach=512, block_bytes=block))


@cache
def found_in_the_whole(name: str, block: int) -> Sequence[Finding]:
    return as_a_whole(SAMPLES[name], name, all_rules(block))


@pytest.mark.parametrize("name", SAMPLES)
@settings(max_examples=3)
@given(parts=st.integers(2, 8), block=st.sampled_from([30_011, 61_440, 89_999]))
@example(parts=8, block=MIB)
def test_all_rules_find_in_parts_what_they_find_in_the_whole(name, parts, block):
    detection, whole = all_rules(block), found_in_the_whole(name, block)
    assert sum(one.count for one in whole) > 1000
    assert in_parts(SAMPLES[name], name, parts, detection) == whole


def test_a_part_reads_little_more_than_its_own_bytes():
    content = TEXT.encode() * 400
    kept = Object(content)
    DETECTION.inspect_part(kept.open_range, name="a.txt", size=len(content), part=3, parts=8)
    assert sum(map(len, kept.asked)) < len(part_range(len(content), 3, 8)) + 512 * 1024


MEMORY_PROBE = """
import io, resource
from contextlib import contextmanager
from infrastructure.detection.engine import HyperscanDetection
LINE = b"2024-05-06 line of a log, with nothing in it\\n"
class Generated:
    def __init__(self, left): self.left = left
    def read(self, size, /):
        take = min(size, self.left, len(PIECE)); self.left -= take
        return PIECE[:take]
PIECE = (LINE * 1500)[:65500] + b"bob@corp.io\\n"
@contextmanager
def open_range(start, stop):
    yield Generated(stop - start)
detection = HyperscanDetection()
detection.inspect_part(open_range, name="a.log", size=1 << 20, part=0, parts=1)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
inspected = detection.inspect_part(open_range, name="a.log", size=200 << 20, part=1, parts=2)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, inspected.bytes_read)
"""


def test_memory_does_not_grow_with_the_part():
    probe = subprocess.run([sys.executable, "-c", MEMORY_PROBE], capture_output=True, text=True, check=True)
    grown_kib, read = map(int, probe.stdout.split())
    assert read > 99 * MIB
    assert grown_kib < 32 * 1024


def test_the_digest_tells_how_far_boundaries_are_looked_for():
    assert replace(Limits(), cut_reach=1) != Limits()
    assert HyperscanDetection(limits=Limits(cut_reach=1)).digest != DETECTION.digest


def test_small_reads_of_a_parquet_file_share_a_request():
    wide = pa.table({f"c{number}": [f"{row} {EMAILS[0]}" for row in range(100)] for number in range(200)})
    kept = Object(parquet_bytes(wide))
    inspected = DETECTION.inspect_part(kept.open_range, name="a.parquet", size=len(kept.content), part=0, parts=2)
    assert len(inspected.findings) == 200
    assert len(kept.asked) < 8


@settings(max_examples=100)
@given(size=st.integers(0, 5 * MIB), data=st.data())
def test_a_file_of_ranges_reads_as_a_file_does(size, data):
    content = bytes(range(251)) * (size // 251)
    whole, file = io.BytesIO(content), RangedFile(ObjectRanges(Object(content).open_range, len(content), lambda: False))
    for _ in range(6):
        offset = data.draw(st.integers(0, size + 10))
        assert file.seek(offset) == whole.seek(offset) == file.tell()
        for _ in range(2):
            amount = data.draw(st.integers(-1, 2 * MIB))
            assert file.read(amount) == whole.read(amount)
    assert file.seek(-3, io.SEEK_END) == max(len(content) - 3, 0)
