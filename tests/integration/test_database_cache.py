"""The cache of compiled databases: never a wrong one, never in the way."""

import os
from collections.abc import Callable
from pathlib import Path

import hyperscan
import pytest

from infrastructure.detection import database_cache, user_cache
from infrastructure.detection.database_cache import database_of
from infrastructure.detection.user_cache import cache_folder

FILLING = [b"filling%d" % number for number in range(64)]
EXPRESSIONS = [b"alpha[0-9]", b"omega", *FILLING]
TEXT = b"alpha1 omega"
FOUND = [(0, 6), (1, 12)]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "scanledger"


@pytest.fixture
def compilations(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many expressions were compiled each time."""
    counts: list[int] = []
    compiled = database_cache._compiled

    def counting(expressions: list[bytes], flags: int) -> hyperscan.Database:
        counts.append(len(expressions))
        return compiled(expressions, flags)

    monkeypatch.setattr(database_cache, "_compiled", counting)
    return counts


def found(database: hyperscan.Database) -> list[tuple[int, int]]:
    hits: list[tuple[int, int]] = []
    database.scan(TEXT, lambda rule, _start, end, _flags, _context: hits.append((rule, end)))
    return hits


def the_file(folder: Path) -> Path:
    [file] = folder.iterdir()
    return file


def test_what_was_compiled_once_is_loaded_and_finds_the_same(folder: Path, compilations: list[int]) -> None:
    assert found(database_of(EXPRESSIONS)) == found(database_of(EXPRESSIONS)) == FOUND
    assert compilations == [len(EXPRESSIONS)]


def test_other_expressions_another_order_or_other_flags_are_another_database(
    folder: Path, compilations: list[int]
) -> None:
    for expressions, flags in ((EXPRESSIONS, 0), (EXPRESSIONS[::-1], 0), (EXPRESSIONS, hyperscan.HS_FLAG_CASELESS)):
        database_of(expressions, flags)
    database_of([*EXPRESSIONS[:-2], b"".join(EXPRESSIONS[-2:]), b"more"])
    assert len(compilations) == len(list(folder.iterdir())) == 4


def test_only_the_owner_can_read_the_cache(folder: Path) -> None:
    database_of(EXPRESSIONS)
    assert folder.stat().st_mode & 0o777 == 0o700
    assert the_file(folder).stat().st_mode & 0o777 == 0o600


def _cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-1])


def _flip(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def _empty(file: Path) -> None:
    file.write_bytes(b"")


def _open_to_others(file: Path) -> None:
    file.chmod(0o620)


def _open_folder_to_others(file: Path) -> None:
    file.parent.chmod(0o770)


def _link(file: Path) -> None:
    file.rename(file.parent.parent / "elsewhere")
    file.symlink_to(file.parent.parent / "elsewhere")


def _pipe(file: Path) -> None:
    file.unlink()
    os.mkfifo(file)


def _folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


@pytest.mark.parametrize("spoil", [_cut, _flip, _empty, _open_to_others, _open_folder_to_others, _link, _pipe, _folder])
def test_a_file_that_is_corrupt_or_could_be_anothers_is_not_used(
    folder: Path, compilations: list[int], spoil: Callable[[Path], None]
) -> None:
    database_of(EXPRESSIONS)
    spoil(the_file(folder))
    assert found(database_of(EXPRESSIONS)) == FOUND
    assert compilations == [len(EXPRESSIONS)] * 2


def test_a_corrupt_file_is_mended(folder: Path, compilations: list[int]) -> None:
    database_of(EXPRESSIONS)
    _cut(the_file(folder))
    database_of(EXPRESSIONS)
    database_of(EXPRESSIONS)
    assert compilations == [len(EXPRESSIONS)] * 2


def test_without_a_folder_that_can_be_written_everything_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert found(database_of(EXPRESSIONS)) == FOUND


def test_a_relative_cache_home_is_ignored(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", "somewhere")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder() == tmp_path / ".cache" / "scanledger"


@pytest.mark.parametrize("count", [1, 2])
def test_few_expressions_are_not_worth_keeping(folder: Path, count: int) -> None:
    assert found(database_of(EXPRESSIONS[:count])) == FOUND[:count]
    assert not folder.exists()


def test_an_expression_that_cannot_be_compiled_is_an_error_and_leaves_nothing(folder: Path) -> None:
    with pytest.raises(hyperscan.error):
        database_of([*FILLING, b"a(b"])
    assert not folder.exists()


def test_the_databases_used_last_are_kept(folder: Path, compilations: list[int]) -> None:
    for number in range(user_cache._KEPT + 3):
        database_of([b"expression%d" % number, *FILLING])
        for file in folder.iterdir():
            os.utime(file, (file.stat().st_atime, file.stat().st_mtime - 10))
        database_of([b"expression0", *FILLING])
    assert len(list(folder.iterdir())) == user_cache._KEPT
    assert compilations == [len(FILLING) + 1] * (user_cache._KEPT + 3)
