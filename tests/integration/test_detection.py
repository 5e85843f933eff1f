"""Detection on real bytes: what is found, where, how surely, and that no way of reading changes it."""

import csv
import io
import json
from contextlib import suppress
from dataclasses import replace
from time import process_time

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from application.ports import Stopped
from domain.detectors import detectors, select
from domain.errors import ObjectSkipped, ObjectUnreadable
from domain.finding import MAX_OCCURRENCES, Finding
from infrastructure.detection.engine import HyperscanDetection, Inspected
from infrastructure.detection.phone import phone
from infrastructure.detection.precedence import definite
from infrastructure.formats.limits import Limits

DETECTION = HyperscanDetection()
CARD = "4532015112830366"
EMAILS = ("jane.doe@firm.com", "bob@corp.io", "x_1@a-b.org")


class Trickle:
    """A stream whose reads give as many bytes as it is told, over and over."""

    def __init__(self, content: bytes, sizes: list[int]) -> None:
        self._content = memoryview(content)
        self._sizes = sizes or [len(content) or 1]
        self._turn = 0

    def read(self, size: int, /) -> bytes:
        self._turn += 1
        take = min(size, self._sizes[self._turn % len(self._sizes)])
        piece, self._content = self._content[:take], self._content[take:]
        return bytes(piece)


def inspect(content: bytes, name: str = "notes.txt", detection: HyperscanDetection = DETECTION) -> Inspected:
    return detection.inspect(io.BytesIO(content), name=name, size=len(content))


def found(content: bytes, name: str = "notes.txt") -> dict[tuple[str, str | None], Finding]:
    return {(finding.detector, finding.column): finding for finding in inspect(content, name).findings}


def test_nothing_is_found_in_plain_words():
    assert inspect(b"a log line 2024-05-06 12:34:56,789 INFO [worker-3] done in 12 ms\n" * 50).findings == ()


def test_a_hit_is_placed_by_byte_line_and_column():
    content = f"first\n\nwrite to {EMAILS[0]} and\n".encode()
    (occurrence,) = found(content)["pii.email", None].occurrences
    assert content[occurrence.byte_offset :][: occurrence.length] == EMAILS[0].encode()
    assert (occurrence.line, occurrence.column) == (3, 10)
    assert "jane" not in occurrence.masked


def test_all_hits_are_counted_and_the_first_fifteen_kept():
    content = b"".join(b"user%04d@firm.com\n" % number for number in range(1000))
    finding = found(content)["pii.email", None]
    assert finding.count == 1000
    assert [occurrence.line for occurrence in finding.occurrences] == list(range(1, MAX_OCCURRENCES + 1))


def test_context_raises_confidence():
    plain = found(f"value {CARD}".encode())["payment.card", None]
    known = found(f"credit card {CARD}".encode())["payment.card", None]
    assert 0 < plain.confidence < known.confidence <= 1


def test_doubtful_values_are_kept_with_low_confidence():
    hits = found(b"078-05-1120 then 4111111111111111 then 127.0.0.1 then AKIAIOSFODNN7EXAMPLE")
    assert {finding.confidence < 0.5 for finding in hits.values()} == {True}
    assert len(hits) == 4


def test_values_that_touch_are_found_one_by_one():
    assert found(f"{EMAILS[0]},{EMAILS[1]};{EMAILS[2]}".encode())["pii.email", None].count == 3


def test_table_hits_are_grouped_by_column_with_record_and_field():
    content = f'id,mail,note\r\n1,{EMAILS[0]},"two\nlines, ""{EMAILS[1]}"""\r\n2,"{EMAILS[2]}",\r\n'.encode()
    hits = found(content, "people.csv")
    mail, note = hits["pii.email", "mail"], hits["pii.email", "note"]
    assert [(o.record_index, o.field, o.line) for o in mail.occurrences] == [(0, "mail", 2), (1, "mail", 4)]
    assert [(o.record_index, o.field, o.line) for o in note.occurrences] == [(0, "note", 3)]


def test_a_table_without_a_header_numbers_its_columns():
    content = "".join(f"{n};{EMAILS[n % 3]};{CARD}\n" for n in range(6)).encode()
    hits = found(content, "export.csv")
    assert hits["pii.email", "column_2"].count == 6
    assert [o.record_index for o in hits["payment.card", "column_3"].occurrences] == [0, 1, 2, 3, 4, 5]


def test_a_stray_quote_does_not_lose_the_columns_of_the_rest():
    rows = ['1,5" pipe,none', *(f"{n},plain,{EMAILS[n % 3]}" for n in range(2, 5000))]
    hits = found(("id,item,mail\n" + "\n".join(rows) + "\n").encode(), "stock.csv")
    assert hits["pii.email", "mail"].count == 4998
    assert hits["pii.email", "mail"].occurrences[0].record_index == 1


def test_json_lines_give_record_and_path():
    lines = [{"id": 1}, {"user": {"mails": ["-", EMAILS[0]]}}, {"user": {"mails": [EMAILS[1]]}}]
    hits = found("".join(json.dumps(line) + "\n" for line in lines).encode(), "events.ndjson")
    finding = hits["pii.email", "$.user.mails[*]"]
    assert [(o.record_index, o.json_path) for o in finding.occurrences] == [
        (1, "$.user.mails[1]"),
        (2, "$.user.mails[0]"),
    ]


def test_a_json_document_gives_paths():
    document = json.dumps({"a": [{"b": "{,]"}, {"b": EMAILS[0]}], "c d": {"card": int(CARD)}}, indent=1)
    hits = found(document.encode(), "config.json")
    assert hits["pii.email", "$.a[*].b"].occurrences[0].json_path == "$.a[1].b"
    assert hits["payment.card", "$.c d.card"].count == 1


def test_a_path_stays_right_through_a_string_full_of_hits_and_escapes():
    text = "".join(f'\\ {EMAILS[n % 3]} " {{[,]}} ' for n in range(40))
    hits = found(json.dumps({"a": text, EMAILS[1] + " " + EMAILS[2]: 1, "b": {"c": EMAILS[0]}}).encode(), "x.json")
    assert {column: finding.count for (_, column), finding in hits.items()} == {"$.a": 40, "$": 2, "$.b.c": 1}


def test_a_member_name_that_is_a_value_is_masked_in_its_path():
    hits = found(json.dumps({EMAILS[0]: {"card": CARD}}).encode(), "by_mail.json")
    assert ("pii.email", "$") in hits
    assert not any("jane" in repr(finding) for finding in hits.values())


def test_values_hidden_by_json_escapes_are_found_where_they_stand():
    content = rb'{"m":"jane\u002edoe\u0040firm.com","n":"bob@corp.io","o":"\"\\\u0078_1@a-b.org"}'
    hits = found(content, "x.json")
    (hidden,) = hits["pii.email", "$.m"].occurrences
    assert content[hidden.byte_offset :][: hidden.length] == rb"jane\u002edoe\u0040firm.com"
    assert hidden.masked == "****.***@****.com"
    assert [hits["pii.email", path].count for path in ("$.m", "$.n", "$.o")] == [1, 1, 1]


def test_a_value_that_stands_right_behind_a_plain_backslash_is_found():
    key = "rk_test_" + "51Hq8sKLm3nPqRsTuVwXyZ0a"
    content = rf"CORP\f@firm.com and D:\tel: 030 901820 and D:\{key} and C:\new\nancy@firm.com".encode()
    counts = {finding.detector: finding.count for finding in inspect(content).findings}
    assert counts == {"pii.email": 2, "pii.phone": 1, "secret.stripe-key": 1}


@pytest.mark.parametrize(
    ("content", "name"),
    [
        (b"x" + b"\\" * 2_000_000, "a.txt"),
        (b'{"a":"' + rb"\u0041" * 200_000 + b'"}', "a.json"),
        (b'{"a":"' + rb"\"\u0041" * 100_000, "a.json"),
        (b'"' + b"\n" * 2_000_000, "a.csv"),
        (b'id,mail\n"x,' + b"1,jane.doe\n" * 200_000, "a.csv"),
        (rb"\f@x.com \nbob@corp.io " * 20_000, "a.log"),
    ],
    ids=["backslashes", "escapes", "escaped quotes", "blank lines in quotes", "open quote", "hits behind backslashes"],
)
def test_hostile_text_takes_no_more_than_linear_time(content, name):
    started = process_time()
    inspect(content, name)
    assert process_time() - started < 8


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("marked", [True, False])
def test_utf16_text_is_placed_in_the_object_s_own_bytes(encoding, marked):
    text = f"\U0001f600 köpfe\nline with {EMAILS[0]} in it\n" + "plain text here\n" * 20
    content = (("\ufeff" if marked else "") + text).encode(encoding)
    (occurrence,) = found(content)["pii.email", None].occurrences
    assert content[occurrence.byte_offset :][: occurrence.length].decode(encoding) == EMAILS[0]
    assert (occurrence.line, occurrence.column) == (2, 21)


def test_latin_1_text_is_read():
    assert found("Müller, Größe: jane.doe@firm.com".encode("latin-1"))["pii.email", None].count == 1


def test_a_line_far_longer_than_a_block_hides_nothing():
    small = HyperscanDetection(limits=Limits(block_bytes=5000, record_reach=512))
    content = b"x" * 70_000 + b" bob@corp.io " + b"y" * 70_000 + b" jane@firm.com"
    (finding,) = inspect(content, detection=small).findings
    assert [o.column for o in finding.occurrences] == [70_002, 140_015]


TABLE = "".join(
    f'{n},"{EMAILS[n % 3]}","a ""b"" {chr(10) if n % 7 == 0 else ""}c",{CARD if n % 5 == 0 else n},{" " * (n % 40)}\n'
    for n in range(900)
)
JSON_LINES = "".join(
    orjson.dumps({"id": n, "m": {"to": [EMAILS[n % 3]] * (n % 4)}, "t": "x" * (n % 97)})
    .decode()
    .replace("bob@", "bob\\u0040")
    + "\n"
    for n in range(700)
)
SAMPLES = {
    "people.csv": ("id,mail,note,number,pad\n" + TABLE).encode(),
    "events.ndjson": JSON_LINES.encode(),
    "one.json": b"[" + JSON_LINES.strip().replace("\n", ",").encode() + b"]",
    "app.log": ("\n".join(text for d in detectors() for text in (*d.matches, *d.near_misses))).encode(),
    "paths.log": "".join(
        rf'C:\tmp\{mail} \f@x.com {{"a":"x\n{mail}\t{CARD}\u000a{mail} \tel: 030 90{n:04}"}}' + "\n" * (n % 2)
        for n in range(300)
        for mail in EMAILS
    ).encode(),
    "long.json": (
        '{"a":"' + "".join(f"{'z ' * (n % 90)}{EMAILS[n % 3]} \n".replace("@", "\\u0040") for n in range(300)) + '"}'
    ).encode(),
    "wide.txt": ("\ufeff" + TABLE.replace("c", "\U0001f600")).encode("utf-16-le"),
}
TIGHT = Limits(record_reach=512)
EXPECTED = {
    name: inspect(content, name, HyperscanDetection(limits=TIGHT)).findings for name, content in SAMPLES.items()
}


def test_the_samples_hold_something_to_lose():
    assert all(sum(finding.count for finding in findings) > 200 for findings in EXPECTED.values())


@settings(max_examples=15, deadline=None)
@given(
    name=st.sampled_from(sorted(SAMPLES)),
    block=st.integers(300, 60_000),
    sizes=st.lists(st.integers(1, 5000), max_size=6),
)
def test_neither_the_block_size_nor_the_split_of_reads_changes_a_finding(name, block, sizes):
    detection = HyperscanDetection(limits=replace(TIGHT, block_bytes=block))
    stream = Trickle(SAMPLES[name], sizes)
    inspected = detection.inspect(stream, name=name, size=len(SAMPLES[name]))
    assert inspected.findings == EXPECTED[name]
    assert inspected.bytes_read == len(SAMPLES[name])


def test_what_yields_gives_way_to_a_hit_that_began_in_an_earlier_block():
    wide, inside, behind = (0, 40, 0, 0.9, b""), (20, 30, 1, 0.8, b""), (40, 50, 1, 0.8, b"")
    covered: dict[int, int] = {}
    assert definite([wide, inside], 1, {1}, covered) == [wide]
    assert definite([inside, behind], 2, {1}, covered, earlier=[wide]) == [behind]
    after = (30, 50, 2, 0.8, b"")
    assert definite([after], 1, {1, 2}, {}, earlier=[inside]) == [after]
    assert definite([after], 1, {1, 2}, {}, earlier=[(20, 35, 1, 0.8, b"")]) == []


def fields_of(text: str) -> list[list[str]]:
    return list(csv.reader(io.StringIO(text, newline="")))


@settings(max_examples=60, deadline=None)
@given(
    rows=st.lists(
        st.lists(st.sampled_from([*EMAILS, "", "a,b", 'say "hi"', "two\nlines", "plain"]), min_size=3, max_size=3),
        min_size=1,
        max_size=12,
    )
)
def test_columns_and_records_agree_with_a_csv_parser(rows):
    written = io.StringIO(newline="")
    csv.writer(written, lineterminator="\n").writerows([["id", "name", "mail"], *rows])
    expected = {
        (record, f"{('id', 'name', 'mail')[index]}")
        for record, row in enumerate(fields_of(written.getvalue())[1:])
        for index, cell in enumerate(row)
        if cell in EMAILS
    }
    findings = inspect(written.getvalue().encode(), "rows.csv").findings
    placed = {(o.record_index, o.field) for finding in findings for o in finding.occurrences}
    assert sum(finding.count for finding in findings) == len(expected)
    if all(finding.count <= MAX_OCCURRENCES for finding in findings):
        assert placed == expected


def leaves(value, path="$"):
    if isinstance(value, dict):
        for key, item in value.items():
            yield from leaves(item, f"{path}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from leaves(item, f"{path}[{index}]")
    elif value in EMAILS:
        yield path


JSON = st.recursive(
    st.one_of(st.sampled_from(EMAILS), st.text(max_size=5), st.integers(0, 99), st.none(), st.booleans()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["a", "b", "c"]), inner, max_size=3),
    max_leaves=12,
)


@settings(max_examples=60, deadline=None)
@given(document=st.dictionaries(st.sampled_from(["k", "l"]), JSON, min_size=1), indent=st.sampled_from([None, 1]))
def test_json_paths_agree_with_a_json_parser(document, indent):
    findings = inspect(json.dumps(document, indent=indent).encode(), "d.json").findings
    placed = sorted(o.json_path for finding in findings for o in finding.occurrences)
    assert placed == sorted(leaves(document))


@settings(max_examples=150, deadline=None)
@given(
    content=st.one_of(
        st.binary(max_size=2000),
        st.lists(st.sampled_from([b'"', b"\n", b"{", b"[", b"\\", b",", b"a@b.co", b"\\u0040", b"\xff", b"\0"])).map(
            b"".join
        ),
    ),
    name=st.sampled_from(["a.csv", "a.json", "a.ndjson", "a.txt", "a.gz", "a.parquet", "a"]),
    lead=st.sampled_from([b"", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b"PAR1", b"\xff\xfe", b"{"]),
)
def test_no_content_raises_anything_but_what_the_port_allows(content, name, lead):
    with suppress(ObjectUnreadable, ObjectSkipped):
        assert inspect(lead + content, name).bytes_read == len(lead + content)


def test_an_error_of_the_stream_passes_through():
    class Broken:
        def read(self, size: int, /) -> bytes:
            raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        DETECTION.inspect(Broken(), name="a.txt", size=10)


def test_reading_stops_soon_after_it_is_called_off():
    blocks = iter(range(100))

    class Endless:
        reads = 0

        def read(self, size: int, /) -> bytes:
            self.reads += 1
            return b"line of text\n" * 1000

    stream = Endless()
    with pytest.raises(Stopped):
        DETECTION.inspect(stream, name="a.txt", size=0, stopped=lambda: next(blocks) >= 20)
    assert 0 < stream.reads <= 20  # asked before each read, and no read once it is told


def test_the_digest_names_the_ruleset():
    assert DETECTION.digest == HyperscanDetection().digest
    assert len(DETECTION.digest) == 64
    assert HyperscanDetection(select(["payment"])).digest != DETECTION.digest
    assert HyperscanDetection(limits=Limits(record_reach=1)).digest != DETECTION.digest


def test_only_the_chosen_detectors_run():
    chosen = HyperscanDetection(select(["payment"]))
    findings = inspect(f"{EMAILS[0]} {CARD}".encode(), detection=chosen).findings
    assert [finding.detector for finding in findings] == ["payment.card"]


@pytest.mark.parametrize(
    ("number", "worth"),
    [
        (b"+49 (0)30 901820", 1.0),
        (b"+14155552671", 1.0),
        (b"+1 555 555 5555", 0.0),
        (b"+1 911 555 2671", 0.6),
        (b"+1 415 555 0123", 0.6),
        (b"+1 415 555 5555", 0.3),
        (b"+1 500 555 0006", 0.3),
        (b"+1 800 736 5001", 0.6),
        (b"+99912345678", 0.0),
        (b"030 901820", 0.7),
        (b"00 49 30 901820", 1.0),
        (b"(415)555-2671 x123", 1.0),
    ],
)
def test_phone_numbers_are_judged_by_their_country_s_plan(number, worth):
    assert phone(number) == worth
