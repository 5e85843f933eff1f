"""Files a second of a real S3 scan of 10 KB objects by the whole service, beside bare GET loops of boto3 and obstore.

All of them read the same bucket of the same S3 server, with as many processes; the loops once with one thread a process
and once with as many as a slot of the scanner reads with. The loops are given the keys; the service lists, detects,
reports and records as well. The S3 server, one Python process, shares the machine: what it can serve at most bounds
everybody's rate, so the clients' own CPU time a file, the server's left out, is given beside it.
"""

import multiprocessing
import random
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import boto3
from botocore.config import Config
from obstore import get
from obstore.store import S3Store

from application.scanning import READERS
from benchmarks.scanning import Scanner, scanner_of
from benchmarks.tables import Table, figure, median, ratio
from infrastructure.s3_server import S3Server

AIM = 2.0
PROCESSES = 2
OBJECT_BYTES = 10_000
BUCKET = "benchmark"


@dataclass(slots=True)
class _Rates:
    files: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    def add(self, files: int, seconds: float, cpu_seconds: float) -> None:
        self.files.append(files / seconds)
        self.cpu.append(cpu_seconds / files * 1e3)


def run(*, quick: bool) -> None:
    count, rounds = (300, 1) if quick else (2_400, 2)
    with S3Server() as server:
        keys = _fill(server, count)
        with scanner_of(server, BUCKET, slots=PROCESSES) as scanner:
            _scan(scanner, count)
            loops = {
                (name, threads): partial(_loop, server, keys, name, threads)
                for name in ("boto3", "obstore")
                for threads in (1, READERS)
            }
            rates = {way: _Rates() for way in (*loops, ("service", READERS))}
            for _ in range(rounds):
                rates["service", READERS].add(count, *_scan(scanner, count))
                for way, loop in loops.items():
                    rates[way].add(count, *loop())
    _table(rates).show()


def _table(rates: dict[tuple[str, int], _Rates]) -> Table:
    ours = rates["service", READERS]
    table = Table(
        f"S3: objects of {OBJECT_BYTES // 1_000} KB, {PROCESSES} processes",
        ("", "threads each", "files/s", "MB/s", "service ÷ this", "aim", "client CPU ms a file"),
    )
    for (name, threads), kept in rates.items():
        files = median(kept.files)
        beside = "" if kept is ours else f"{ratio(ours.files, kept.files):.2f}"
        aim = f"≥ {AIM}" if (name, threads) == ("boto3", 1) else ""
        megabytes = f"{files * OBJECT_BYTES / 1e6:.1f}"
        table.add(name, str(threads), figure(files), megabytes, beside, aim, f"{median(kept.cpu):.2f}")
    ceiling = max(max(kept.files) for kept in rates.values())
    table.notes.append(
        f"the S3 server gave at most {ceiling:,.0f} files/s to anybody; it shares the cores with its clients"
    )
    return table


def _fill(server: S3Server, count: int) -> list[str]:
    client = server.client()
    client.create_bucket(Bucket=BUCKET)
    keys = [f"logs/part-{number:06d}.txt" for number in range(count)]
    for key in keys:
        client.put_object(Bucket=BUCKET, Key=key, Body=_text())
    client.close()
    return keys


def _text() -> bytes:
    """Prose with an address here and there."""
    words = ("invoice", "shipment", "delayed", "customer", "reported", "thanks", "order", "42", "17:05", "ok")
    lines = [" ".join(random.choices(words, k=12)) for _ in range(OBJECT_BYTES // 70)]
    lines[len(lines) // 2] += " ada.lovelace@example.com"
    return "\n".join(lines).encode().ljust(OBJECT_BYTES)[:OBJECT_BYTES]


def _scan(scanner: Scanner, count: int) -> tuple[float, float]:
    measured = scanner.scan()
    scan = measured.scan
    if scan.coverage.scanned != count:
        raise RuntimeError(f"not everything was scanned: {scan.status} {scan.coverage} {scan.units}")
    return measured.seconds, measured.cpu_seconds


def _loop(server: S3Server, keys: Sequence[str], name: str, threads: int) -> tuple[float, float]:
    """PROCESSES processes, each getting its share of the keys, timed from when all of them are ready."""
    context = multiprocessing.get_context("spawn")
    ready, go = context.Barrier(PROCESSES + 1), context.Barrier(PROCESSES + 1)
    spent: Any = context.SimpleQueue()
    access = (server.endpoint_url, server.region, server.access_key_id, server.secret_access_key)
    shares = [keys[at::PROCESSES] for at in range(PROCESSES)]
    processes = [
        context.Process(target=_get_all, args=(name, access, share, threads, (ready, go, spent))) for share in shares
    ]
    for process in processes:
        process.start()
    ready.wait(30)
    go.wait(30)
    begin = time.perf_counter()
    cpu = sum(spent.get() for _ in processes)
    seconds = time.perf_counter() - begin
    for process in processes:
        process.join()
    return seconds, cpu


def _get_all(name: str, access: tuple[str, ...], keys: Sequence[str], threads: int, shared: tuple[Any, ...]) -> None:
    ready, go, spent = shared
    get = {"boto3": _boto3_get, "obstore": _obstore_get}[name](access, threads)
    get(keys[0])
    ready.wait(30)
    go.wait(30)
    begin = time.process_time()
    if threads == 1:
        sizes = [get(key) for key in keys]
    else:
        with ThreadPoolExecutor(threads) as pool:
            sizes = list(pool.map(get, keys))
    spent.put(time.process_time() - begin)
    if set(sizes) != {OBJECT_BYTES}:
        raise RuntimeError(f"short reads: {set(sizes)}")


def _boto3_get(access: tuple[str, ...], threads: int) -> Callable[[str], int]:
    endpoint, region, key, secret = access
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name=region,
        aws_access_key_id=key,
        aws_secret_access_key=secret,
        config=Config(max_pool_connections=threads),
    )
    return lambda name: len(client.get_object(Bucket=BUCKET, Key=name)["Body"].read())


def _obstore_get(access: tuple[str, ...], _: int) -> Callable[[str], int]:
    endpoint, region, key, secret = access
    store = S3Store(
        BUCKET,
        endpoint=endpoint,
        region=region,
        access_key_id=key,
        secret_access_key=secret,
        virtual_hosted_style_request=False,
        client_options={"allow_http": True},
    )
    return lambda name: len(get(store, name).bytes())
