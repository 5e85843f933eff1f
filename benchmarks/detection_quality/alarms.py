"""What is reported in ordinary files: prose, source code and logs, by detector and per 10 MB.

Not every report is false: the authors' e-mail addresses in documentation are just that. So samples are shown, masked.
"""

import sysconfig
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.detection_quality import ours
from benchmarks.detection_quality.secret_scores import OURS
from benchmarks.detection_quality.shapes import made
from benchmarks.peers import scanners
from benchmarks.peers.scanners import Alarm
from domain.finding import mask

MEGABYTES: Final = 1_000_000
_LARGEST: Final = 4 * MEGABYTES
_BINARY: Final = {
    ".so",
    ".pyc",
    ".gz",
    ".png",
    ".jpg",
    ".pyd",
    ".a",
    ".whl",
    ".zip",
    ".ico",
    ".woff2",
    ".gif",
    ".xz",
    ".exe",
}
_SHOWN: Final = 4

EVIDENT: Final = ("pii.email", "network.ip-address", "network.mac-address")
"""Kinds whose form says all: a report of an e-mail address in documentation is true, if of no use."""


@dataclass(slots=True)
class Ordinary:
    """A folder of ordinary files and what each tool reports in it."""

    name: str
    size: int
    reports: dict[str, Counter[str]]
    samples: dict[tuple[str, str], list[str]]

    def per_10_mb(self, count: int) -> float:
        return count / (self.size / (10 * MEGABYTES)) if self.size else 0.0


def ordinary(megabytes: int, seed: int) -> Iterator[Ordinary]:
    """Prose from the system's documentation, code from the environment's packages, generated logs: so much of each."""
    packages = Path(sysconfig.get_paths()["purelib"])
    sources = {"prose": [Path("/usr/share/doc"), Path("/usr/share/common-licenses")], "code": [packages]}
    for name, roots in sources.items():
        with TemporaryDirectory(prefix=f"bench-{name}-") as temporary:
            size = _copied(roots, Path(temporary), megabytes * MEGABYTES)
            yield _reported(name, Path(temporary).resolve(), size)
    with TemporaryDirectory(prefix="bench-logs-") as temporary:
        size = _logs(Path(temporary), megabytes * MEGABYTES, Random(seed))
        yield _reported("logs", Path(temporary).resolve(), size)


def _copied(roots: list[Path], into: Path, most: int) -> int:
    """Copy text files up to `most` bytes, under names that no tool leaves out for their folder's sake."""
    size = 0
    for number, path in enumerate(path for root in roots for path in sorted(root.rglob("*"))):
        if path.is_symlink() or not path.is_file() or path.suffix in _BINARY or path.stat().st_size > _LARGEST:
            continue
        content = path.read_bytes()
        if b"\0" in content[:4096]:
            continue
        (into / f"{number:06}-{path.name}").write_bytes(content)
        size += len(content)
        if size >= most:
            break
    return size


_MESSAGES: Final = (
    "GET /api/v2/orders/{d8}?page={d2}&sort=created_at 200 {d4}ms bytes={d6} ua=Mozilla/5.0",
    "session {u} opened for user id={d7} shard={d2} latency_ms={d3}.{d2}",
    "connection to db-{d2}:5432 established in {d2} ms, pool size {d2}, key cache hit ratio 0.{d3}",
    "job {h24} finished: rows={d7} checksum={h32} next token offset={d10}",
    "retry {d1} of 5 for message {d15} after error code {d4}, trace_id={h32} span_id={h16}",
    "gc pause {d3}.{d3} ms heap {d9} -> {d9} bytes, epoch 17{d8}",
    "password policy checked for tenant {d4}: ok, token expires in {d4} s",
    "order {d9} paid, amount {d3}.{d2} EUR, invoice INV-{d8}, sku {A3}-{d6}",
    "build {h40} deployed version {d1}.{d2}.{d1} by pipeline {d6}",
    "account balance updated id={d10} version={d2} card reader {d2} online",
)


def _logs(into: Path, most: int, random: Random) -> int:
    size = number = 0
    while size < most:
        lines = [_log_line(random) for _ in range(5000)]
        text = "".join(lines)
        (into / f"service-{number:03}.log").write_text(text, "ascii")
        size += len(text)
        number += 1
    return size


def _log_line(random: Random) -> str:
    at = made("2026-{=01|04|09|12}-{=03|11|26}T{=01|09|14|22}:{=07|31|58}:{=02|19|44}.{d3}Z", random)
    level = random.choice(("INFO", "DEBUG", "WARN"))
    return f"{at} {level} [worker-{random.randrange(32)}] {made(random.choice(_MESSAGES), random)}\n"


def _reported(name: str, folder: Path, size: int) -> Ordinary:
    reports: dict[str, Counter[str]] = {OURS: Counter()}
    samples: dict[tuple[str, str], list[str]] = defaultdict(list)
    for path in sorted(folder.iterdir()):
        counts, shown = ours.counts_in(path.read_bytes(), path.name)
        reports[OURS] += counts
        for detector, texts in shown.items():
            samples[OURS, detector] += texts
    for tool, scan in (("kingfisher", scanners.kingfisher), ("betterleaks", scanners.betterleaks)):
        alarms = scan(folder)
        reports[tool] = Counter(alarm.rule for alarm in alarms)
        for alarm in alarms:
            samples[tool, alarm.rule].append(_sample(alarm))
    return Ordinary(name, size, reports, {key: _spread(texts) for key, texts in samples.items()})


def _spread(texts: list[str]) -> list[str]:
    return texts[:: max(len(texts) // _SHOWN, 1)][:_SHOWN]


def _sample(alarm: Alarm) -> str:
    return f"{Path(alarm.path).name}:{alarm.first_line} [{mask(alarm.value[:64])}]".replace("\n", " ")
