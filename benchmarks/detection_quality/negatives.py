"""Files without secrets that look as if they had some."""

import base64
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Final

from benchmarks.detection_quality.carriers import Case
from benchmarks.detection_quality.shapes import made

_NOTHING: Final = range(0)
_VARYING: Final = re.compile(r"<([dAaNnwhHbsB]\d+(?:-\d+)?|u)>")

Lines = Callable[[Random], Iterator[str]]


def cases(seed: int, each: int) -> Iterator[Case]:
    """`each` files of every sort, the same for a seed. No line of them holds a secret."""
    for sort, (name, lines_of) in sorts().items():
        for turn in range(each):
            random = Random(f"{seed}-{sort}-{turn}")
            yield Case(f"{sort}-{turn}/{name}", "\n".join([*lines_of(random), ""]), sort, _NOTHING)


def sorts() -> dict[str, tuple[str, Lines]]:
    """The sorts of such files: the name of the file, and its lines."""
    found: dict[str, tuple[str, Lines]] = dict(_MADE)
    for section in Path(__file__).with_name("negatives.txt").read_text("utf-8").split("\n## ")[1:]:
        head, *lines = section.rstrip("\n").split("\n")
        sort, name, count = head.split()
        found[sort] = (name, _drawn([line for line in lines if line], int(count)))
    return found


def _drawn(lines: list[str], count: int) -> Lines:
    def drawn(random: Random) -> Iterator[str]:
        for line in random.sample(lines * -(-count // len(lines)), count):
            yield _VARYING.sub(lambda varying: made(f"{{{varying[1]}}}", random), line)

    return drawn


def _documentation(_: Random) -> Iterator[str]:
    """Values that their vendors publish as examples; in pieces, so that no scanner takes this file for a leak."""
    yield "aws_access_key_id = AKIA" + "IOSFODNN7EXAMPLE"
    yield "aws_secret_access_key = wJalrXUtnFEMI/K7MDENG/" + "bPxRfiCYEXAMPLEKEY"
    yield "postgres://user:password@localhost:5432/mydb"
    yield "postgresql://username:password@hostname/database"
    yield "mongodb://<user>:<password>@cluster0.example.net"
    yield "redis://:${REDIS_PASSWORD}@cache:6379/0"
    yield "curl -u user:password https://api.example.com"
    yield "Authorization: Bearer <token>"
    yield "Authorization: Basic $TOKEN"
    yield "https://hooks.slack.com/services/" + "T00000000/B00000000/XXXXXXXXXXXXXXXXXXXXXXXX"
    yield "sk_test_" + "x" * 24
    yield "ghp_" + "x" * 36


def _package_lock(random: Random) -> Iterator[str]:
    for number in range(12):
        yield f'  "node_modules/token-{number}": {{'
        yield f'    "integrity": "sha512-{base64.b64encode(random.randbytes(64)).decode()}"'
        yield "  },"


def _images(random: Random) -> Iterator[str]:
    png = base64.b64encode(b"\x89PNG\r\n\x1a\n" + random.randbytes(2400)).decode()
    yield f'<img alt="key" src="data:image/png;base64,{png}">'
    svg = base64.b64encode(random.randbytes(600)).decode()
    yield f'.token {{ background: url("data:image/svg+xml;base64,{svg}"); }}'


def _certificates(random: Random) -> Iterator[str]:
    body = base64.b64encode(random.randbytes(800)).decode()
    for kind in ("CERTIFICATE", "PUBLIC KEY", "PGP SIGNATURE"):
        yield f"-----BEGIN {kind}-----"
        yield from (body[at : at + 64] for at in range(0, len(body), 64))
        yield f"-----END {kind}-----"


def _notebook(random: Random) -> Iterator[str]:
    yield '{"cells": [{"outputs": [{"data": {"image/png": "' + made("{s2000}", random) + '"}}]}]}'


_MADE: Final[dict[str, tuple[str, Lines]]] = {
    "documentation": ("setup.md", _documentation),
    "package-lock": ("package-lock.json", _package_lock),
    "images": ("index.html", _images),
    "certificates": ("chain.pem", _certificates),
    "notebook": ("analysis.ipynb", _notebook),
}
