"""Input that is made to cost its reader more than it is worth, or to break it."""

import gzip
import io
import json
import struct
import zipfile
import zlib

import pyarrow as pa
import pyarrow.parquet as pq

from tests.integration.packing import MAIL, parquet, zipped

MIB = 1024 * 1024


class Generated:
    """A stream of `head`, and then of `piece` over and over, that is never in memory as a whole."""

    def __init__(self, size: int, piece: bytes, head: bytes = b"") -> None:
        self._left = size
        self._piece = piece * (65_536 // len(piece) + 1)
        self._head = head

    def read(self, size: int, /) -> bytes:
        if self._head:
            chunk, self._head = self._head[:size], self._head[size:]
            return chunk
        chunk = self._piece[: min(size, self._left)]
        self._left -= len(chunk)
        return chunk


def overlapping_zip(names: int = 300, kernel: int = 3 * MIB) -> bytes:
    """Every entry of the directory leads to the same compressed bytes."""
    packed = zlib.compress(b"a" * kernel, 9)[2:-4]
    checksum = zlib.crc32(b"a" * kernel)
    local = struct.pack("<4s5H3L2H", b"PK\x03\x04", 20, 0, 8, 0, 0, checksum, len(packed), kernel, 1, 0) + b"a" + packed
    entry = struct.pack(
        "<4s6H3L5H2L", b"PK\x01\x02", 20, 20, 0, 8, 0, 0, checksum, len(packed), kernel, 1, 0, 0, 0, 0, 0, 0
    )
    directory = (entry + b"a") * names
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, names, names, len(directory), len(local), 0)
    return local + directory + end


def nested_zip(levels: int, width: int, leaf: bytes) -> bytes:
    """Archives of `width` archives each: as 42.zip, it is small and holds `width ** levels` leaves."""
    for level in range(levels):
        leaf = zipped({f"{level}-{number}.zip": leaf for number in range(width)})
    return leaf


def lying_zip() -> bytes:
    """Its directory says that the entry is 100 bytes; there are 5 MB."""
    content = bytearray(zipped({"a.txt": b"a" * 5_000_000}))
    at = content.index(b"PK\x01\x02")
    content[at + 24 : at + 28] = struct.pack("<L", 100)
    return bytes(content)


def varint(number: int) -> bytes:
    number = (number << 1) ^ (number >> 63)
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def counted(content: bytes) -> bytes:
    return varint(len(content)) + content


def avro_file(schema: object, blocks: list[tuple[int, bytes]], codec: bytes = b"null") -> bytes:
    """An Avro file with any blocks, whatever they tell of themselves."""
    sync = bytes(range(16))
    header = b"Obj\x01" + varint(2) + counted(b"avro.schema") + counted(json.dumps(schema).encode())
    header += counted(b"avro.codec") + counted(codec) + varint(0) + sync
    return header + b"".join(varint(count) + counted(data) + sync for count, data in blocks)


def doubling_schema(levels: int) -> dict[str, object]:
    """Each type holds the next one twice, the last one nothing: 2 ** levels values in no bytes."""
    kind: object = "null"
    for level in range(levels):
        first = {"name": "a", "type": kind}
        again = {"name": "b", "type": f"R{level - 1}" if level else "null"}
        kind = {"type": "record", "name": f"R{level}", "fields": [first, again]}
    return kind  # type: ignore[return-value]


def lying_parquet(field: bytes, instead: bytes) -> bytes:
    """A Parquet file with another number in its footer."""
    content = parquet()
    footer = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    return content[:footer] + content[footer:].replace(field, instead)


def repeated_parquet(rows: int, value: str) -> bytes:
    """One value, told once and repeated in some bytes."""
    written = io.BytesIO()
    column = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), pa.array([value]))
    pq.write_table(pa.table({"a": column}), written, row_group_size=rows)
    return written.getvalue()


def billion_laughs() -> bytes:
    entities = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 10))
    return f'<?xml version="1.0"?><!DOCTYPE l [<!ENTITY l0 "{MAIL} ">{entities}]><l>&l9;</l>'.encode()


def external_entity() -> bytes:
    return f'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]><x>&e; {MAIL}</x>'.encode()


def gzip_of(piece: bytes, size: int) -> bytes:
    return gzip.compress(piece, 9) * (size // len(piece))


def many_entries(count: int) -> bytes:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w") as archive:
        for number in range(count):
            archive.writestr(str(number), b"")
    return written.getvalue()


def nested_json() -> bytes:
    return b"[" * (8 * MIB) + MAIL.encode()
