"""Hostile input of full size: gigabytes in one line, tables of ten million columns, bombs against the real bounds."""

import gzip
import io
import resource
import subprocess
import sys
from time import process_time

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from domain.coverage import FailReason
from domain.errors import ObjectUnreadable
from infrastructure.detection.engine import HyperscanDetection
from tests.integration import hostile
from tests.integration.hostile import MIB, Generated

pytestmark = [pytest.mark.torture, pytest.mark.timeout(1800)]
GIB = 1024 * MIB
MAIL = b"bob@corp.io"
ONE_LINE = """
import io, resource, sys
from infrastructure.detection.engine import HyperscanDetection
from tests.integration.hostile import Generated
detection = HyperscanDetection()
detection.inspect(Generated(1 << 20, b"abc def "), name=sys.argv[2], size=0)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
inspected = detection.inspect(Generated(int(sys.argv[1]), b"abc def 12, "), name=sys.argv[2], size=0)
print(inspected.bytes_read, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


@pytest.mark.parametrize("name", ["a.txt", "a.csv", "a.json", "a.ndjson"])
def test_a_line_of_five_gigabytes_is_read_in_flat_memory(name):
    probe = subprocess.run(
        [sys.executable, "-c", ONE_LINE, str(5 * GIB), name], capture_output=True, text=True, check=True
    )
    read, grown_kib = map(int, probe.stdout.split())
    assert read >= 5 * GIB
    assert grown_kib < 64 * 1024


def test_a_table_of_ten_million_columns_is_read_in_seconds():
    header = b",".join(b"c%d" % number for number in range(10_000_000)) + b"\n"
    row = b"1," * 9_999_999 + MAIL + b"\n"
    began = process_time()
    (finding,) = HyperscanDetection().inspect(io.BytesIO(header + row * 3), name="wide.csv", size=0).findings
    assert finding.count == 3
    assert process_time() - began < 60


@pytest.mark.parametrize("piece", [b"0", b"a line of text\n"])
def test_ten_gigabytes_in_gzip_end_by_their_ratio(piece):
    content = gzip.compress(piece * (64 * MIB // len(piece)), 9) * 160
    began = process_time()
    with pytest.raises(ObjectUnreadable) as raised:
        HyperscanDetection().inspect(io.BytesIO(content), name="a.gz", size=0)
    assert raised.value.reason == FailReason.RESOURCE_LIMIT
    assert process_time() - began < 60


def test_a_zip_bomb_of_a_million_leaves_ends_by_its_entries():
    content = hostile.nested_zip(3, 100, b"-" * 10_000)
    began = process_time()
    with pytest.raises(ObjectUnreadable) as raised:
        HyperscanDetection().inspect(io.BytesIO(content), name="a.zip", size=0)
    assert raised.value.reason == FailReason.RESOURCE_LIMIT
    assert process_time() - began < 1000


def test_a_parquet_file_of_twenty_thousand_columns_is_read():
    written = io.BytesIO()
    pq.write_table(pa.table({f"c{number}": [MAIL.decode()] for number in range(20_000)}), written)
    inspected = HyperscanDetection().inspect(io.BytesIO(written.getvalue()), name="wide.parquet", size=0)
    assert sum(finding.count for finding in inspected.findings) == 20_000


def test_brackets_of_a_gigabyte_are_read_in_flat_memory():
    detection = HyperscanDetection()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert detection.inspect(Generated(GIB, b"["), name="deep.json", size=0).findings == ()
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 * 1024
