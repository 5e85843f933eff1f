"""The demo's objects: what lies in a company's buckets and on its shared drive. Same seed, same bytes."""

import gzip
import io
import itertools
import json
import random
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

import planted
import pyarrow as pa
import pyarrow.parquet as pq
import zstandard

SEED: Final = 20_260_101
MEGABYTE: Final = 1_000_000
DENIED_PREFIX: Final = "restricted/"
_BEGINNING: Final = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Place:
    """A bucket or folder: its objects by key, and what scanning them must come to, whatever the order of the work.

    `skipped` and `failed` count objects by reason, `planted` those with a secret by its detector.
    """

    name: str
    objects: dict[str, bytes]
    skipped: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)
    planted: dict[str, int] = field(default_factory=dict)

    @property
    def total_bytes(self) -> int:
        return sum(map(len, self.objects.values()))


class Blocks:
    """Lines made once, of which every object takes its own stretch."""

    def __init__(self, dice: random.Random) -> None:
        self._dice = dice
        self._planted: Counter[str] = Counter()
        self._logs = self._made(_log_line, 6_000)
        self._customers = self._made(_customer_row, 3_000)
        self._orders = self._made(_order_row, 3_000)
        self._events = self._made(_event_line, 3_000)
        self._prose = self._made(_prose_line, 2_000)

    def _made(self, line: Callable[[random.Random, int], str], count: int) -> list[bytes]:
        return [line(self._dice, number).encode() for number in range(count)]

    def _stretch(self, lines: list[bytes], at_least: int) -> bytes:
        """Consecutive lines from a random place on, of at least this many bytes."""
        start = self._dice.randrange(len(lines))
        taken: list[bytes] = []
        size = 0
        for line in itertools.islice(itertools.cycle(lines), start, None):
            taken.append(line)
            size += len(line) + 1
            if size >= at_least:
                return b"\n".join(taken) + b"\n"
        raise AssertionError  # cycle never ends

    def log(self, size: int) -> bytes:
        return self._stretch(self._logs, size)

    def huge_log(self, size: int) -> bytes:
        block = self._stretch(self._logs, MEGABYTE)
        return block * -(-size // len(block))

    def customers(self, size: int) -> bytes:
        return b"id,name,email,phone,ssn,card,iban\n" + self._stretch(self._customers, size)

    def orders(self, size: int) -> bytes:
        return b"order_id,sku,quantity,unit_price,shipped\n" + self._stretch(self._orders, size)

    def events(self, size: int) -> bytes:
        return self._stretch(self._events, size)

    def prose(self, size: int) -> bytes:
        return self._stretch(self._prose, size)

    def parquet(self, rows: int) -> bytes:
        dice = self._dice
        table = pa.table(
            {
                "customer_id": pa.array(range(rows), pa.int64()),
                "email": pa.array([planted.email(dice) for _ in range(rows)]),
                "amount": pa.array([round(dice.random() * 1_000, 2) for _ in range(rows)]),
                "card_number": pa.array([planted.card(dice) if n % 20 == 0 else None for n in range(rows)]),
                "comment": pa.array([f"delivered to gate {dice.randrange(90)}" for _ in range(rows)]),
            }
        )
        sink = io.BytesIO()
        pq.write_table(table, sink)
        return sink.getvalue()

    def settings_file(self) -> bytes:
        """Three kinds of secrets, each counted."""
        chosen = self._dice.sample(sorted(planted.SECRETS), 3)
        self._planted.update(chosen)
        lines = ["# service settings", "LOG_LEVEL=info", *(planted.SECRETS[kind](self._dice) for kind in chosen), ""]
        return "\n".join(lines).encode()

    def planted_since(self) -> dict[str, int]:
        """How many settings files have each kind of secret, of those made since the last call."""
        counted, self._planted = dict(self._planted), Counter()
        return counted

    def binary(self, size: int) -> bytes:
        return b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR" + self._dice.randbytes(size)


def _log_line(dice: random.Random, number: int) -> str:
    at = (_BEGINNING + timedelta(seconds=number)).isoformat()
    line = f"{at} INFO  http.access method=GET path=/orders/{number} status=200 ms={dice.randrange(1, 900)}"
    match number % 200:
        case 0:
            return f"{line} client={planted.address(dice)} user={planted.email(dice)}"
        case 1:
            return f"{at} WARN  payments declined card={planted.card(dice)} amount={dice.randrange(1, 500)}.00"
        case 2:
            return f"{at} DEBUG auth cookie {planted.jwt(dice)}"
        case _:
            return line


def _customer_row(dice: random.Random, number: int) -> str:
    values = (planted.person, planted.email, planted.phone, planted.ssn, planted.card, planted.iban)
    return ",".join([str(number), *(make(dice) for make in values)])


def _order_row(dice: random.Random, number: int) -> str:
    day = (_BEGINNING + timedelta(days=number % 300)).date()
    return f"{number},SKU-{dice.randrange(10_000):05},{dice.randrange(1, 9)},{dice.randrange(1, 99)}.50,{day}"


def _event_line(dice: random.Random, number: int) -> str:
    user = {"id": number, "plan": dice.choice(["free", "team"])}
    if number % 10 == 0:
        user |= {"email": planted.email(dice), "ip": planted.address(dice)}
    return json.dumps({"type": "page.viewed", "sequence": number, "user": user, "ms": dice.randrange(2_000)})


def _prose_line(dice: random.Random, number: int) -> str:
    subject = dice.choice(["The quarterly report", "This contract", "Our supplier", "The audit", "The new office"])
    told = dice.choice(["was agreed on last week", "needs another look", "is on schedule", "will be reviewed in May"])
    contact = f" Ask {planted.person(dice)} ({planted.email(dice)})." if number % 25 == 0 else ""
    return f"{subject} {told}; see page {dice.randrange(1, 80)} for the figures.{contact}"


def _data_lake(blocks: Blocks, sizes: Iterator[int]) -> Place:
    objects = {"logs/2026/huge-access.log": blocks.huge_log(28 * MEGABYTE)}
    for n in range(320):
        objects[f"customers/region={n % 8}/part-{n:04}.csv"] = blocks.customers(next(sizes) // 4)
        objects[f"orders/2026/{n % 12 + 1:02}/orders-{n:04}.csv"] = blocks.orders(next(sizes))
    for n in range(160):
        objects[f"events/day={n % 28:02}/events-{n:04}.ndjson"] = blocks.events(next(sizes))
        objects[f"logs/2026/app-{n:04}.log.gz"] = gzip.compress(blocks.log(next(sizes)), 1, mtime=0)
    for n in range(40):
        objects[f"archive/events-{n:04}.ndjson.zst"] = zstandard.compress(blocks.events(next(sizes)), 3)
    for n in range(12):
        objects[f"warehouse/payments/part-{n:05}.parquet"] = blocks.parquet(3_000)
    for n in range(8):
        objects[f"logs/2026/_SUCCESS-{n}"] = b""
    damaged = gzip.compress(blocks.log(40_000), 1, mtime=0)
    objects["logs/2026/damaged.log.gz"] = damaged[: len(damaged) // 2]
    return Place("acme-data-lake", objects, {"empty": 8}, {"parse_error": 1})


def _backups(blocks: Blocks, sizes: Iterator[int]) -> Place:
    objects = {"db/huge-statements.log": blocks.huge_log(12 * MEGABYTE)}
    for n in range(300):
        objects[f"app-{n % 6}/logs/{n:04}.log"] = blocks.log(next(sizes))
        objects[f"app-{n % 6}/notes/{n:04}.txt"] = blocks.prose(next(sizes))
    for n in range(60):
        objects[f"app-{n % 6}/deploy/{n:02}/service.env"] = blocks.settings_file()
    for n in range(40):
        objects[f"media/image-{n:03}.png"] = blocks.binary(next(sizes))
    for n in range(12):
        objects[f"{DENIED_PREFIX}payroll-{n:02}.csv"] = blocks.customers(20_000)
    for n in range(5):
        objects[f"locks/{n}.lock"] = b""
    objects["reports/Überblick 100 % \N{SNOWMAN}.csv"] = blocks.orders(10_000)
    return Place("acme-backups", objects, {"empty": 5, "binary": 40}, {"access_denied": 12}, blocks.planted_since())


def _shared_drive(blocks: Blocks, sizes: Iterator[int]) -> Place:
    objects = {"exports/huge-export.ndjson": blocks.events(8 * MEGABYTE)}
    for n in range(250):
        objects[f"teams/sales/list-{n:04}.csv"] = blocks.customers(next(sizes) // 4)
        objects[f"teams/legal/memo-{n:04}.txt"] = blocks.prose(next(sizes))
    for n in range(100):
        objects[f"teams/it/trace-{n:04}.log"] = blocks.log(next(sizes))
    for n in range(20):
        objects[f"teams/it/secrets-{n:02}.env"] = blocks.settings_file()
        objects[f"photos/{n:03}.png"] = blocks.binary(next(sizes))
    objects["teams/it/empty.txt"] = b""
    return Place("shared-drive", objects, {"empty": 1, "binary": 20}, planted=blocks.planted_since())


def places() -> tuple[Place, Place, Place]:
    """Two buckets and a folder. Most objects are small and a few huge, as everywhere."""
    dice = random.Random(SEED)  # noqa: S311 — nothing here is secret, and all must be the same each time
    blocks = Blocks(dice)
    sizes = (int(dice.lognormvariate(10.1, 0.7)) + 500 for _ in itertools.count())
    return _data_lake(blocks, sizes), _backups(blocks, sizes), _shared_drive(blocks, sizes)
