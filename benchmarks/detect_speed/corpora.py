"""The files that speed is measured on, generated: the same for a seed, none compressible to a few lines."""

import json
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Final, NamedTuple

MEGABYTE: Final = 1_000_000
_LINES_AT_ONCE: Final = 2_000
# fmt: off
_WORDS: Final = [
    "the", "of", "and", "to", "in", "is", "that", "it", "was", "for", "on", "are", "as", "with", "his",
    "they", "be", "at", "one", "have", "this", "from", "or", "had", "by", "hot", "word", "but", "what",
    "some", "we", "can", "out", "other", "were", "all", "there", "when", "up", "use", "your", "how", "said",
    "an", "each", "she", "which", "do", "their", "time", "if", "will", "way", "about", "many", "then", "them",
    "write", "would", "like", "so", "these", "her", "long", "make", "thing", "see", "him", "two", "has",
    "look", "more", "day", "could", "go", "come", "did", "number", "sound", "no", "most", "people", "over",
    "know", "water", "than", "call", "first", "who", "may", "down", "side", "been", "now", "find", "any",
    "new", "work", "part", "take", "get", "place", "made", "live", "where", "after", "back", "little", "only",
    "round", "man", "year", "came", "show", "every", "good", "me", "give", "our", "under", "name",
]
# fmt: on


class Corpus(NamedTuple):
    """A file to be read: its kind, and how many bytes a reader has to look at (of Parquet, those it decodes to)."""

    kind: str
    path: Path
    size: int


def words(random: Random, count: int) -> str:
    return " ".join(random.choices(_WORDS, k=count))


def email(random: Random) -> str:
    name, host = random.choices(_WORDS, k=2)
    return f"{name}.{random.choice(_WORDS)}{random.randrange(99)}@{host}{random.choice(('.com', '.org', '.de'))}"


def address(random: Random) -> str:
    return f"{random.randrange(20, 223)}.{random.randrange(256)}.{random.randrange(256)}.{random.randrange(1, 255)}"


def card(random: Random) -> str:
    digits = f"4{random.randrange(10**14):014}"
    total = sum(sum(divmod(2 * int(d), 10)) if at % 2 == 0 else int(d) for at, d in enumerate(digits))
    return f"{digits}{-total % 10}"


def iban(random: Random) -> str:
    account = f"{random.randrange(10**18):018}"
    return f"DE{98 - int(account + '131400') % 97:02}{account}"


def _at(random: Random) -> str:
    day, hour, minute, second = random.randrange(1, 29), *(random.randrange(n) for n in (24, 60, 60))
    return f"2026-03-{day:02}T{hour:02}:{minute:02}:{second:02}.{random.randrange(1000):03}"


def plain_log(random: Random) -> str:
    level, place = random.choice(("INFO", "DEBUG", "WARN")), random.randrange(30)
    user = f" user {email(random)}" if random.random() < 0.002 else ""
    message = f"{words(random, 8)} id={random.randrange(10**9)} took {random.randrange(4000)} ms{user}"
    return f"{_at(random)} {level} [worker-{place}] com.acme.{random.choice(_WORDS)}.Service - {message}\n"


_AGENT: Final = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36"


def access_log(random: Random) -> str:
    path = f"/{random.choice(_WORDS)}/{random.choice(_WORDS)}?q={random.choice(_WORDS)}&id={random.randrange(10**7)}"
    status, size = random.choice((200, 200, 304, 404)), random.randrange(90_000)
    when = f"{random.randrange(1, 29):02}/Mar/2026:{random.randrange(24):02}:{random.randrange(60):02}:07 +0000"
    return f'{address(random)} - - [{when}] "GET {path} HTTP/1.1" {status} {size} "https://acme.example/" "{_AGENT}"\n'


def prose(random: Random) -> str:
    return words(random, random.randrange(8, 20)).capitalize() + (".\n\n" if random.random() < 0.2 else ".\n")


def sparse_row(random: Random) -> str:
    number, amount = random.randrange(10**8), f"{random.randrange(10**5)}.{random.randrange(100):02}"
    note = f" {email(random)}" if random.random() < 0.003 else ""
    return f"{number},{words(random, 2)},{random.choice(_WORDS)},{amount},{words(random, 6)}{note}\n"


def dense_values(random: Random) -> tuple[str, ...]:
    phone = f"+1 {random.choice((415, 212, 303))} {random.randrange(200, 999)} {random.randrange(10**4):04}"
    ssn = f"{random.randrange(100, 665)}-{random.randrange(10, 99)}-{random.randrange(1000, 9999)}"
    number = str(random.randrange(10**8))
    return number, email(random), phone, ssn, card(random), iban(random), address(random)


def dense_row(random: Random) -> str:
    return ",".join(dense_values(random)) + "\n"


def sparse_record(random: Random) -> str:
    user = {"email": email(random)} if random.random() < 0.01 else {"name": words(random, 2)}
    record = {"ts": _at(random), "id": random.randrange(10**9), "level": "info", "msg": words(random, 8), "user": user}
    return json.dumps(record) + "\n"


def dense_record(random: Random) -> str:
    return json.dumps(dict(zip(DENSE_COLUMNS, dense_values(random), strict=True))) + "\n"


DENSE_COLUMNS: Final = ("id", "email", "phone", "ssn", "card", "iban", "ip")
SPARSE_COLUMNS: Final = ("id", "name", "city", "amount", "notes")

Line = Callable[[Random], str]
LINES: Final[dict[str, tuple[str, str, Line]]] = {
    "plain log": ("plain.log", "", plain_log),
    "access log": ("access.log", "", access_log),
    "prose": ("prose.txt", "", prose),
    "sparse CSV": ("sparse.csv", ",".join(SPARSE_COLUMNS) + "\n", sparse_row),
    "dense CSV": ("dense.csv", ",".join(DENSE_COLUMNS) + "\n", dense_row),
    "sparse NDJSON": ("sparse.ndjson", "", sparse_record),
    "dense NDJSON": ("dense.ndjson", "", dense_record),
}
"""Kinds of text files: name, first line, and what makes a line."""


def text_files(folder: Path, size: int, seed: int) -> Iterator[Corpus]:
    """One file of each kind, and source code as it is in the environment."""
    for kind, (name, head, line) in LINES.items():
        path = folder / name
        with path.open("w", encoding="utf-8") as out:
            written = out.write(head)
            random = Random(f"{seed}-{kind}")
            while written < size:
                written += out.write("".join(line(random) for _ in range(_LINES_AT_ONCE)))
        yield Corpus(kind, path, written)
    yield _source_code(folder / "source.py", size)


def _source_code(path: Path, size: int) -> Corpus:
    written = 0
    with path.open("wb") as out:
        files = sorted(Path(sysconfig.get_paths()["purelib"]).rglob("*.py"))
        while written < size:
            for source in files:
                written += out.write(source.read_bytes())
                if written >= size:
                    break
    return Corpus("source code", path, written)


def parquet_files(folder: Path, size: int, seed: int) -> Iterator[Corpus]:
    """The sparse and the dense table as Parquet; their size is that of their decoded values."""
    import pyarrow as pa  # noqa: PLC0415 — only here
    import pyarrow.parquet as pq  # noqa: PLC0415

    tables: dict[str, tuple[tuple[str, ...], Line]] = {
        "sparse Parquet": (SPARSE_COLUMNS, sparse_row),
        "dense Parquet": (DENSE_COLUMNS, dense_row),
    }
    for kind, (columns, row) in tables.items():
        random = Random(f"{seed}-{kind}")
        path, decoded = folder / f"{kind.split()[0]}.parquet", 0
        schema = pa.schema([(column, pa.string()) for column in columns])
        with pq.ParquetWriter(path, schema) as writer:
            while decoded < size:
                rows = [row(random).rstrip("\n").split(",", len(columns) - 1) for _ in range(50_000)]
                batch = pa.table([pa.array(values) for values in zip(*rows, strict=True)], schema=schema)
                writer.write_table(batch)
                decoded += sum(len(value) for values in rows for value in values)
        yield Corpus(kind, path, decoded)


def small_objects(folder: Path, count: int, seed: int) -> Corpus:
    """`count` files of about 1 KB each, of every kind of text."""
    random = Random(f"{seed}-small")
    folder.mkdir()
    size = 0
    kinds = [(name, head, line) for name, head, line in LINES.values()]
    for number in range(count):
        name, head, line = kinds[number % len(kinds)]
        text = head
        while len(text) < 1_000:
            text += line(random)
        size += (folder / f"{number:06}-{name}").write_bytes(text.encode()[:1_024])
    return Corpus("small objects", folder, size)
