"""A folder whose findings and dispositions are known by construction."""

import gzip
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

FILES_A_CHUNK: Final = 64
"""Keys of this length make the planner cut chunks of about so many files: keys travel inside the command."""

_DEEP: Final = "/".join(letter * 240 for letter in "abcd")
_BODY_BYTES: Final = 800_000
_BODIES: Final = 8
_BIG_BYTES: Final = 6_000_000

Finding = tuple[str, str, int]
"""Object, detector, count."""


@dataclass
class Corpus:
    """`findings` and the counts by disposition are what a scan of `root` must come to."""

    root: Path
    findings: Counter[Finding] = field(default_factory=Counter)
    scanned: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    failed: dict[str, int] = field(default_factory=dict)

    @property
    def enumerated(self) -> int:
        return self.scanned + sum(self.skipped.values()) + sum(self.failed.values())

    def add(self, name: str, emails: int, cards: int) -> None:
        self.scanned += 1
        for detector, count in (("pii.email", emails), ("payment.card", cards)):
            if count:
                self.findings[name, detector, count] += 1


def make_corpus(root: Path, *, chunks: int) -> Corpus:
    """About `chunks` chunks of small files, a big one, and an empty, a binary and a corrupt one."""
    corpus = Corpus(root)
    deep = root / _DEEP
    deep.mkdir(parents=True)
    bodies = root.parent / f"{root.name}-bodies"
    bodies.mkdir()
    for number in range(_BODIES):
        (bodies / str(number)).write_text(_text(number + 1, number % 3, _BODY_BYTES))
    for number in range(chunks * FILES_A_CHUNK):
        name = f"{number:05}.txt"
        body = number % _BODIES
        os.link(bodies / str(body), deep / name)
        corpus.add(f"{_DEEP}/{name}", body + 1, body % 3)
    _add_odd_ones(corpus)
    return corpus


def _add_odd_ones(corpus: Corpus) -> None:
    (corpus.root / "big.txt").write_text(_text(60, 40, _BIG_BYTES))
    corpus.add("big.txt", 60, 40)
    (corpus.root / "empty.txt").touch()
    corpus.skipped = {"empty": 1, "binary": 1}
    (corpus.root / "program.bin").write_bytes(b"\x7fELF" + bytes(range(256)) * 40)
    whole = gzip.compress(b"somebody@example.com\n" * 2_000)
    (corpus.root / "torn.txt.gz").write_bytes(whole[: len(whole) // 2])
    corpus.failed = {"parse_error": 1}


def _text(emails: int, cards: int, size: int) -> str:
    """So many addresses and card numbers, spread evenly over a text of about `size` bytes."""
    hits = [f"write to somebody.{number}@example.com today" for number in range(emails)]
    hits += ["the card 4111 1111 1111 1111 was charged"] * cards
    line = "nothing to see on this line of plain words, and nothing on the next one either\n"
    filler = line * (size // len(line) // len(hits))
    return "".join(f"{filler}{hit}\n" for hit in hits)
