"""Every reader on damaged input, read in any pieces: what it can read is found, and all else is said."""

import io
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from application.ports import ByteStream
from domain.errors import ObjectSkipped, ObjectUnreadable
from infrastructure.detection.engine import HyperscanDetection
from infrastructure.formats.limits import MIB, Limits
from tests.integration.packing import CODECS, TABLES, avro, tarred, zipped
from tests.integration.test_detection import Trickle

DETECTION = HyperscanDetection(limits=Limits(document_bytes=8 * MIB, inflated_bytes=256 * MIB, processor_seconds=10))
TEXT = b"".join(b"line %d from user%d@firm.com\n" % (number, number) for number in range(60))
FILES = {"a.txt": TEXT, "folder/b.csv": b"id,mail\n1,bob@corp.io\n" * 9}


def samples() -> Iterator[tuple[str, bytes]]:
    yield from ((name, pack(TEXT)) for name, pack in CODECS.items())
    yield from ((name, pack()) for name, pack in TABLES.items())
    yield from (("zip", zipped(FILES)), ("tar", tarred(FILES)), ("avro of many blocks", avro("null", block=99)))
    yield from (("utf-32", TEXT.decode().encode("utf-32")), ("ebcdic", TEXT.decode().encode("cp037")))
    yield "zip of tables", zipped({f"t.{name}": pack() for name, pack in TABLES.items()})


SAMPLES = dict(samples())


def outcome(stream: ByteStream) -> tuple[object, ...]:
    """What is found, or why not all was read; any other exception fails the test."""
    try:
        return DETECTION.inspect(stream, name="object", size=0).findings
    except ObjectUnreadable as error:
        return (error.reason, error.findings)
    except ObjectSkipped as error:
        return (error.reason,)


@pytest.mark.parametrize("what", SAMPLES)
@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_flipped_bytes_end_in_findings_or_in_a_reason_whatever_the_reads(what, data):
    content = bytearray(SAMPLES[what])
    for _ in range(data.draw(st.integers(0, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    sizes = data.draw(st.lists(st.integers(1, 999), max_size=4))
    assert outcome(Trickle(bytes(content), sizes)) == outcome(io.BytesIO(content))


@pytest.mark.parametrize("what", SAMPLES)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_what_is_cut_is_never_taken_for_clean(what, data):
    whole = SAMPLES[what]
    kept = data.draw(st.integers(0, len(whole) - 1))
    ended = outcome(io.BytesIO(whole[:kept]))
    if ended and isinstance(ended[0], str):
        return
    found = Counter(finding.count for finding in ended)
    # Formats without an end of their own may be cut between two of their units.
    assert kept < 16 or what in {"utf-32", "ebcdic", "avro of many blocks", "gzip", "avro"} or found


@settings(max_examples=200, deadline=None)
@given(
    magic=st.sampled_from([b"PK\x03\x04", b"Obj\x01", b"ORC", b"PAR1", b"ARROW1\0\0", b"BZh91AY&SY", b"\xfd7zXZ\0",
                           b"\x5d\0\0\x80\0", b"\x1f\x8b\x08", b"\x28\xb5\x2f\xfd", b""]),
    content=st.binary(max_size=3000),
)  # fmt: skip
def test_any_bytes_behind_a_magic_number_end_in_findings_or_in_a_reason(magic, content):
    outcome(io.BytesIO(magic + content))
