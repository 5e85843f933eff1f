"""Compiled Hyperscan databases, kept in the user's cache folder: hundreds of expressions take a second to compile."""

import hashlib
import platform
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

import hyperscan

from infrastructure.detection.user_cache import keep, kept

_FEW: Final = 24
"""So many expressions at most are those of one detector: they are compiled soon, and must not fill the folder."""


def database_of(expressions: Sequence[bytes], flags: int = 0) -> hyperscan.Database:
    """The database of these expressions in block mode, each under its place in the sequence as its id.

    Taken from the cache if it is there, sound, and nobody else's; else compiled, and kept if that is possible. What
    it finds is the same either way. Raises `hyperscan.error` for an expression that cannot be compiled.
    """
    if len(expressions) <= _FEW:
        return _compiled(expressions, flags)
    name = _key(expressions, flags)
    database = _loaded(kept(name))
    if database is None:
        database = _compiled(expressions, flags)
        keep(name, hyperscan.dumpb(database))
    return database


def _compiled(expressions: Sequence[bytes], flags: int) -> hyperscan.Database:
    database = hyperscan.Database(mode=hyperscan.HS_MODE_BLOCK)
    if expressions:
        count = len(expressions)
        database.compile(expressions=list(expressions), ids=list(range(count)), elements=count, flags=flags)
    return database


def _key(expressions: Sequence[bytes], flags: int) -> str:
    """Names what a database depends on: the expressions in their order, flags, Hyperscan, and the processor."""
    version = hyperscan.__version__  # type: ignore[attr-defined]  # its stub lacks it
    digest = hashlib.sha256(f"{version}\n{_processor()}\n{flags}\n{len(expressions)}\n".encode())
    for expression in expressions:
        digest.update(f"{len(expression)}:".encode() + expression)
    return f"{digest.hexdigest()}.hsdb"


@cache
def _processor() -> str:
    """The processor's features, since a database is compiled for those of the machine it is compiled on."""
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as lines:
            told = {line for line in lines if line.startswith(("flags", "Features", "model name"))}
    except OSError:
        told = {platform.processor()}
    return platform.machine() + "".join(sorted(told))


def _loaded(dumped: bytes | None) -> hyperscan.Database | None:
    if dumped is None:
        return None
    try:
        database = hyperscan.loadb(dumped, hyperscan.HS_MODE_BLOCK)
        database.scratch = hyperscan.Scratch(database)
    except hyperscan.error:
        return None
    return database
