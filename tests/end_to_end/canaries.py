"""Values that must be nowhere but where they were put, and everything that the ring emits, to look for them."""

import base64
import gzip
import io
import json
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psycopg
from psycopg import sql

CONTENT: Final[dict[str, str]] = {
    "card": "4929421234600821",
    "aws": "AKIAQ3EGRIZTUVZK4XPL",
    "password": "canary-Xq7v9LmT2pRz",
    "phrase": "canaryphraseofnoaccount",
    "email": "canary.person@canary-mail.org",
}
"""What stands in objects."""

NAME: Final = "canaryname"
"""What stands in every object's key."""

_TEXT: Final = "\n".join(
    [
        f"card {CONTENT['card']}",
        f"aws_access_key_id = {CONTENT['aws']}",
        f'password = "{CONTENT["password"]}"',
        f"mail {CONTENT['email']} {CONTENT['phrase']}",
    ]
)


def objects() -> Iterator[tuple[str, bytes]]:
    """Objects that hold all of it: some can be read, others fail in one way or the other."""
    text = _TEXT.encode()
    yield f"{NAME}.txt", text
    yield f"{NAME}.json", json.dumps({"note": _TEXT}).encode()
    yield f"{NAME}-broken.json", b'{"a": ' + text
    yield f"{NAME}.csv", b"card,mail\n" + f"{CONTENT['card']},{CONTENT['email']}\n".encode() * 20
    yield f"{NAME}-cut.gz", gzip.compress(text * 50)[:-20]
    yield f"{NAME}-broken.xlsx", _zipped("xl/workbook.xml", b"<workbook>" + text)
    yield f"{NAME}-broken.docx", _zipped("word/document.xml", b"<w:document>" + text)
    yield f"{NAME}-broken.zip", _zipped(f"{NAME}.txt", text)[:-30]
    yield f"{NAME}-broken.pdf", b"%PDF-1.7\n1 0 obj\n<</Length 5>>\nstream\n" + text
    yield f"{NAME}-broken.parquet", b"PAR1" + text + b"PAR1"
    yield f"{NAME}-broken.avro", b"Obj\x01" + text
    yield f"{NAME}.eml", b"Subject: x\nContent-Transfer-Encoding: base64\n\n" + base64.b64encode(text)


def _zipped(name: str, body: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("[Content_Types].xml", "<Types/>")
        archive.writestr(name, body)
    return content.getvalue()


@dataclass(frozen=True)
class Emitted:
    """Something the ring has emitted, by where it was found."""

    place: str
    body: bytes

    def holds(self, value: str) -> bool:
        plain = value.encode()
        forms = (plain, base64.b64encode(plain).rstrip(b"=")[:-1], plain.hex().encode())
        return any(form in self.body for form in forms)


def files(folder: Path) -> Iterator[Emitted]:
    """Every file below a folder."""
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield Emitted(str(path.relative_to(folder.parent)), path.read_bytes())


def tables(database_url: str) -> Iterator[Emitted]:
    """Every table of the database, row by row, bytes in hex."""
    with psycopg.connect(database_url) as connection:
        names = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for (name,) in names:
            query = sql.SQL("SELECT t::text FROM {} AS t").format(sql.Identifier(name))
            rows = "\n".join(row for (row,) in connection.execute(query))
            yield Emitted(f"table {name}", rows.encode())
