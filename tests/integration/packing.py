"""Packs texts and tables into every format that holds others or columns, by writers that are not ours."""

import bz2
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable, Mapping

import fastavro
import pyarrow as pa
import pyarrow.orc as pa_orc
import pyarrow.parquet as pq
import zstandard

CARD = "4532015112830366"
MAIL = "jane.doe@firm.com"
ROWS = [{"id": number, "note": f"row {number}", "mail": None} for number in range(40)]
ROWS[17] = {"id": 17, "note": f"paid with {CARD}", "mail": MAIL}


def zipped(files: Mapping[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return written.getvalue()


def tarred(files: Mapping[str, bytes], form: int = tarfile.PAX_FORMAT) -> bytes:
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w", format=form) as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return written.getvalue()


def table() -> pa.Table:
    return pa.Table.from_pylist(ROWS)


def parquet() -> bytes:
    written = io.BytesIO()
    pq.write_table(table(), written)
    return written.getvalue()


def orc() -> bytes:
    written = io.BytesIO()
    pa_orc.write_table(table(), written)
    return written.getvalue()


def arrow() -> bytes:
    written = io.BytesIO()
    with pa.ipc.new_file(written, table().schema) as writer:
        writer.write_table(table())
    return written.getvalue()


def avro(codec: str = "deflate", block: int = 16_000) -> bytes:
    fields = [{"name": "id", "type": "long"}, {"name": "note", "type": "string"}]
    fields.append({"name": "mail", "type": ["null", "string"]})
    written = io.BytesIO()
    fastavro.writer(
        written, {"type": "record", "name": "Row", "fields": fields}, ROWS, codec=codec, sync_interval=block
    )
    return written.getvalue()


CODECS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zstd": zstandard.compress,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
    "lzma": lambda content: lzma.compress(content, lzma.FORMAT_ALONE),
}
TABLES: dict[str, Callable[[], bytes]] = {"parquet": parquet, "orc": orc, "arrow": arrow, "avro": avro}
