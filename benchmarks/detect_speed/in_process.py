"""What detection costs once its rules are compiled: a small object in memory, and the memory that a stream takes."""

import io
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Final

from benchmarks.detect_speed.corpora import LINES, MEGABYTE
from benchmarks.detect_speed.tools import ROOT
from benchmarks.tables import median

_OBJECTS: Final = 500
_UNIT: Final = 4 * MEGABYTE


def small_objects(seed: int) -> dict[str, float]:
    """Microseconds of the processor that an object of 1 KB costs, by kind of text: the median of many."""
    from infrastructure.detection.engine import HyperscanDetection  # noqa: PLC0415 — compiled only where it is measured

    detection = HyperscanDetection()
    costs = {}
    for kind, (name, head, line) in LINES.items():
        random = Random(f"{seed}-{kind}-small")
        texts = [_text(head, line, random).encode()[:1_024] for _ in range(_OBJECTS)]
        taken = []
        for text in texts:
            begin = time.process_time_ns()
            detection.inspect(io.BytesIO(text), name=name, size=len(text))
            taken.append((time.process_time_ns() - begin) / 1_000)
        costs[kind] = median(taken)
    return costs


def _text(head: str, line: object, random: Random) -> str:
    text = head
    while len(text) < 1_024:
        text += line(random)  # type: ignore[operator]
    return text


def peak_memory(kind: str, size: int, seed: int) -> tuple[float, float]:
    """Megabytes of a process that has compiled the rules, and the most that it took for a stream of `size` bytes."""
    command = [sys.executable, "-m", "benchmarks.detect_speed.in_process", kind, str(size), str(seed)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    before, most = json.loads(done.stdout)
    return before, most


class Endless:
    """A stream of `size` bytes: a few megabytes of generated text, over and over."""

    def __init__(self, unit: bytes, size: int) -> None:
        self._pieces = self._repeated(unit, size)
        self._rest = b""

    @staticmethod
    def _repeated(unit: bytes, size: int) -> Iterator[bytes]:
        while size > 0:
            for at in range(0, min(len(unit), size), MEGABYTE):
                yield unit[at : at + min(MEGABYTE, size - at)]
            size -= len(unit)

    def read(self, size: int = -1, /) -> bytes:
        if not self._rest:
            self._rest = next(self._pieces, b"")
        given = self._rest if size < 0 else self._rest[:size]
        self._rest = self._rest[len(given) :]
        return given


def _most_so_far() -> float:
    """The most memory of this process so far, in megabytes; `getrusage` would begin with that of its parent."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1_024 / MEGABYTE


def main() -> None:
    """Runs in a process of its own: prints the memory before and after, in megabytes."""
    from infrastructure.detection.engine import HyperscanDetection  # noqa: PLC0415

    kind, size, seed = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    name, head, line = LINES[kind]
    random = Random(seed)
    unit = (head + "".join(line(random) for _ in range(_UNIT // 100)))[:_UNIT].encode()
    detection = HyperscanDetection()
    detection.inspect(io.BytesIO(unit[:1_000]), name=name, size=1_000)
    before = _most_so_far()
    detection.inspect(Endless(unit, size), name=name, size=size)
    json.dump([before, _most_so_far()], sys.stdout)


if __name__ == "__main__":
    main()
