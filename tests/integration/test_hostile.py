"""Input that is made to cost more than it is worth ends with the right disposition, in bounded time and memory."""

import bz2
import io
import lzma
import subprocess
import sys
from collections.abc import Callable
from time import process_time

import pytest
import zstandard

from application.ports import ByteStream
from domain.coverage import FailReason, SkipReason
from domain.errors import ObjectSkipped, ObjectUnreadable
from infrastructure.detection.engine import HyperscanDetection
from infrastructure.formats.limits import Limits
from tests.integration import hostile
from tests.integration.hostile import MIB, Generated, avro_file, gzip_of, lying_parquet, varint
from tests.integration.packing import MAIL, tarred, zipped

SCANNED = "scanned"
DETECTION = HyperscanDetection()
TIGHT = HyperscanDetection(limits=Limits(entries=300, processor_seconds=0, bytes_a_second=4 * MIB))
SMALL = HyperscanDetection(limits=Limits(inflation_ratio=50, ratio_applies_above=4 * MIB))
NEXT = f"write to {MAIL}\n".encode()
ONE_FIELD = {"type": "record", "name": "R", "fields": [{"name": "a", "type": "string"}]}
NOTHING_IN_IT = {"type": "record", "name": "R", "fields": [{"name": "a", "type": "null"}]}
NULLS = {"type": "record", "name": "R", "fields": [{"name": "a", "type": {"type": "array", "items": "null"}}]}
NUMBERS = {"type": "record", "name": "R", "fields": [{"name": "a", "type": {"type": "array", "items": "int"}}]}
LINKED = {"type": "record", "name": "R", "fields": [{"name": "a", "type": ["null", "R"]}]}
ENDLESS = {"type": "record", "name": "R", "fields": [{"name": "a", "type": "R"}]}


def nested_json_schema(levels: int) -> object:
    schema: object = "string"
    for _ in range(levels):
        schema = {"type": "array", "items": schema}
    return schema


def disposition(stream: ByteStream, name: str, detection: HyperscanDetection = DETECTION) -> str:
    try:
        detection.inspect(stream, name=name, size=0)
    except (ObjectSkipped, ObjectUnreadable) as error:
        return error.reason
    return SCANNED


HOSTILE: dict[str, tuple[Callable[[], bytes], str, HyperscanDetection]] = {
    "zeros in gzip": (lambda: gzip_of(bytes(MIB), 8 * MIB), SkipReason.BINARY, SMALL),
    "one letter in gzip": (lambda: gzip_of(b"a" * MIB, 16 * MIB), FailReason.RESOURCE_LIMIT, SMALL),
    "one letter in bzip2": (lambda: bz2.compress(b"a" * 8 * MIB), FailReason.RESOURCE_LIMIT, SMALL),
    "one letter in xz": (lambda: lzma.compress(b"a" * 8 * MIB, preset=0), FailReason.RESOURCE_LIMIT, SMALL),
    "one letter in zstd": (lambda: zstandard.compress(b"a" * 8 * MIB), FailReason.RESOURCE_LIMIT, SMALL),
    "a flat zip bomb": (lambda: zipped({"a": b"a" * 16 * MIB}), FailReason.RESOURCE_LIMIT, SMALL),
    "a zip bomb of overlapping entries": (hostile.overlapping_zip, FailReason.RESOURCE_LIMIT, DETECTION),
    "a zip bomb of archives": (lambda: hostile.nested_zip(3, 8, b"-" * 50_000), FailReason.RESOURCE_LIMIT, TIGHT),
    "archives six levels deep": (lambda: hostile.nested_zip(6, 1, b"a"), FailReason.RESOURCE_LIMIT, DETECTION),
    "a zip of more entries than allowed": (lambda: hostile.many_entries(320), FailReason.RESOURCE_LIMIT, TIGHT),
    "a zip whose entry is larger than told": (hostile.lying_zip, FailReason.PARSE_ERROR, DETECTION),
    "a tar of more entries than allowed": (
        lambda: tarred({str(number): b"" for number in range(320)}), FailReason.RESOURCE_LIMIT, TIGHT,
    ),
    "a tar bomb in gzip in zip": (
        lambda: zipped({"a.tgz": gzip_of(tarred({"a": b"a" * 8 * MIB}), 9 * MIB)}), FailReason.RESOURCE_LIMIT, SMALL,
    ),
    "a tar name of a gigabyte": (
        lambda: _tar_header(b"L", 1 << 30) + bytes(1024), FailReason.RESOURCE_LIMIT, DETECTION,
    ),
    "a tar file of an exabyte": (lambda: _tar_header(b"0", 1 << 60) + bytes(1024), FailReason.PARSE_ERROR, DETECTION),
    "entities of entities in XML": (hostile.billion_laughs, SCANNED, DETECTION),
    "an external entity in XML": (hostile.external_entity, SCANNED, DETECTION),
    "a million brackets of JSON": (lambda: b"[" * MIB, SCANNED, DETECTION),
    "a million objects in objects of JSON": (lambda: b'{"a":' * (MIB // 5), SCANNED, DETECTION),
    "Avro of endless nulls": (lambda: avro_file(NULLS, [(1, varint(1 << 60) + varint(0))]), SCANNED, DETECTION),
    "Avro of endless empty records": (lambda: avro_file(NOTHING_IN_IT, [(1 << 60, b"")]), SCANNED, DETECTION),
    "Avro of doubling types": (lambda: avro_file(hostile.doubling_schema(40), []), FailReason.RESOURCE_LIMIT, TIGHT),
    "Avro that tells more records than it has": (
        lambda: avro_file(ONE_FIELD, [(1 << 40, varint(1) + b"a")]), FailReason.PARSE_ERROR, DETECTION,
    ),
    "Avro that tells more items than it has": (
        lambda: avro_file(NUMBERS, [(1, varint(1 << 40) + b"\2")]), FailReason.PARSE_ERROR, DETECTION,
    ),
    "Avro of a million items in a record": (
        lambda: avro_file(NUMBERS, [(1, varint(2 * MIB) + bytes(2 * MIB) + b"\0")]),
        FailReason.RESOURCE_LIMIT, DETECTION,
    ),
    "Avro of records within records": (
        lambda: avro_file(LINKED, [(1, b"\2" * 200_000 + b"\0")]), FailReason.RESOURCE_LIMIT, DETECTION,
    ),
    "Avro of a type that never ends": (lambda: avro_file(ENDLESS, [(1, b"a")]), FailReason.RESOURCE_LIMIT, DETECTION),
    "Avro of a schema too deep": (
        lambda: avro_file(nested_json_schema(400), [(1, b"\0")]), SCANNED, DETECTION,
    ),
    "Avro of a block of an exabyte": (
        lambda: avro_file(ONE_FIELD, []) + varint(1) + varint(1 << 60), FailReason.RESOURCE_LIMIT, DETECTION,
    ),
    "Parquet of fewer rows than it tells": (
        lambda: lying_parquet(b"\x16\x50", b"\x16\x7e"), FailReason.PARSE_ERROR, DETECTION,
    ),
    "Parquet of one value two million times": (
        lambda: hostile.repeated_parquet(2_000_000, "x"), FailReason.RESOURCE_LIMIT, TIGHT,
    ),
}  # fmt: skip


def _tar_header(kind: bytes, size: int) -> bytes:
    header = bytearray(512)
    header[:1], header[156:157], header[257:263] = b"a", kind, b"ustar\0"
    header[124:136] = b"\x80" + size.to_bytes(11, "big")
    header[148:156] = b"%06o\0 " % (sum(header[:148]) + 8 * ord(" ") + sum(header[156:]))
    return bytes(header)


@pytest.mark.parametrize("what", HOSTILE)
def test_each_ends_with_its_disposition_within_seconds_and_the_next_object_is_scanned(what):
    make, expected, detection = HOSTILE[what]
    content = make()
    began = process_time()
    assert disposition(io.BytesIO(content), "object", detection) == expected
    assert process_time() - began < 4
    assert detection.inspect(io.BytesIO(NEXT), name="a.txt", size=len(NEXT)).findings


@pytest.mark.parametrize("make", [hostile.billion_laughs, hostile.external_entity])
def test_entities_of_xml_are_plain_text(make):
    (finding,) = DETECTION.inspect(io.BytesIO(make()), name="a.xml", size=0).findings
    assert (finding.detector, finding.count) == ("pii.email", 1)


LINES = {
    "columns": ("a.csv", b"c1,", b""),
    "addresses in one record": ("a.csv", b"bob@corp.io," + b"x," * 200, b"a,b\n"),
    "words": ("a.txt", b"abc def ", b""),
    "quotes": ("a.csv", b'"', b"a,b\n"),
    "escapes": ("a.json", b"\\\\", b'{"a":"'),
    "braces": ("a.ndjson", b'{"a":', b""),
    "returns": ("a.csv", b"1,2\r", b"a,b\r"),
}


@pytest.mark.parametrize("what", LINES)
def test_one_endless_line_takes_time_in_proportion(what):
    name, piece, head = LINES[what]
    seconds = []
    for size in (4 * MIB, 16 * MIB):
        began = process_time()
        assert disposition(Generated(size, piece, head), name) == SCANNED
        seconds.append(process_time() - began)
    assert seconds[1] < 8 * seconds[0] + 0.5


PROBE = """
import io, resource, sys
from domain.errors import ObjectUnreadable
from infrastructure.detection.engine import HyperscanDetection
from tests.integration import hostile
import pyarrow.parquet, pyarrow.orc
detection = HyperscanDetection()
resource.setrlimit(resource.RLIMIT_AS, (3 << 30, 3 << 30))
for make in sys.argv[1:]:
    content = eval(make)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        detection.inspect(io.BytesIO(content), name="object", size=0)
        ended = "scanned"
    except ObjectUnreadable as error:
        ended = str(error.reason)
    print(ended, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""

LARGE = {
    "hostile.gzip_of(b'a' * (1 << 20), 100 << 20)": FailReason.RESOURCE_LIMIT,
    "hostile.overlapping_zip()": FailReason.RESOURCE_LIMIT,
    "hostile.repeated_parquet(100_000, 'x' * 1_000_000)": SCANNED,
    "hostile.nested_json()": SCANNED,
}


def test_memory_stays_within_bounds():
    probe = subprocess.run([sys.executable, "-c", PROBE, *LARGE], capture_output=True, text=True, check=True)
    ends = [line.split() for line in probe.stdout.splitlines()]
    assert [ended for ended, _ in ends] == list(LARGE.values())
    assert max(int(grown_kib) for _, grown_kib in ends) < 100 * 1024
