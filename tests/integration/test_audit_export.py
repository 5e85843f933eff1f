"""Exports that verify, and every way of altering one that does not."""

import ast
import base64
import io
import json
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.conninfo import make_conninfo

from application.history import LoggedEvent, cloud_event
from domain.checkpoint import Checkpoint, origin
from domain.merkle import Frontier, leaf_hash
from domain.scan_events import Cancelled, DataErased
from infrastructure.audit import verify as verifier
from infrastructure.audit.signing import SealKey
from infrastructure.audit.verify import TAMPERED, UNREADABLE, USAGE, VERIFIED, Tampered, Unreadable
from infrastructure.postgres.event_log import PostgresScanLog
from tests.domain.given import KEY, NOON
from tests.fixtures_servers import PostgresServer
from tests.seal_by_hand import KEY_TO_SIGN, Seal, export

PUBLIC = base64.b64encode(KEY_TO_SIGN.public).decode()
MINUTE = timedelta(minutes=1)


@pytest.fixture(scope="module")
def seal(postgres_server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seal]:
    """A log of some 200 events of two tenants, sealed now and then: each scan begins a minute after the one before."""
    name = postgres_server.create_database()
    log = PostgresScanLog(postgres_server.url(name))
    superuser = make_conninfo(postgres_server.superuser_url, dbname=name)
    seal = Seal(postgres_server.url(name), log, tmp_path_factory.mktemp("outside"), superuser)
    for number in range(40):
        tenant = "other" if number % 8 == 3 else "t"
        seal.scan(f"scan-{number}", tenant, begun=NOON + number * MINUTE, ended=number % 5 > 0)
        if number % 5 == 4:
            seal.step()
    log.append_next("scan-0", [Cancelled(at=NOON + 40 * MINUTE, actor=KEY)], unless=[])
    log.append_next("scan-6", [DataErased(at=NOON + 41 * MINUTE, actor=KEY, rows={"findings": 1})], unless=[])
    seal.step()
    yield seal
    seal.log.close()
    postgres_server.drop_database(name)


@pytest.fixture
def check(seal: Seal, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> "Check":
    return Check(seal.folder, tmp_path / "export.jsonl", capsys)


class Check:
    """Runs the verifier on the bytes of a file."""

    def __init__(self, folder: Path, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._folder = folder
        self._file = file
        self._capsys = capsys

    def __call__(self, content: bytes, *, key: str | None = PUBLIC, outside: bool = True) -> tuple[int, str]:
        """Exit code, and all that was said, by the command."""
        self._file.write_bytes(content)
        more = [*(["--key", key] if key else []), *(["--checkpoints", str(self._folder)] if outside else [])]
        code = verifier.main([str(self._file), *more])
        said = self._capsys.readouterr()
        return code, said.out + said.err

    def quickly(self, content: bytes, *, outside: bool = False) -> tuple[int, str]:
        """The same without a process's ways: for thousands of files."""
        try:
            list(verifier.verify(io.BytesIO(content), KEY_TO_SIGN.public, self._folder if outside else None))
        except Tampered as error:
            return TAMPERED, f"TAMPERED WITH: {error}"
        except Unreadable as error:
            return UNREADABLE, f"CANNOT READ: {error}"
        return VERIFIED, ""


def test_what_was_exported_verifies(seal: Seal, check: Check) -> None:
    for number in (0, 1, 2, 5, 15, 20, 39):
        code, said = check(export(seal.url, "t", scan=f"scan-{number}"))
        assert code == VERIFIED, said
        ended = number % 5 > 0 or number == 0
        assert ("ended as scan.cancelled" if ended else "is OPEN") in said
        assert f"versions 1 to {5 if ended else 4};" in said
        assert "WARNING" not in said
    for tenant, since, until in (
        ("t", 0, None), ("t", 10, 20), ("t", -5, 0), ("t", 0, 1), ("t", 39, None), ("t", 99, None), ("t", 99, 100),
        ("t", 10.2, 10.4), ("t", 3, 4), ("other", 0, 30), ("other", 27, None),
    ):  # fmt: skip
        end = None if until is None else NOON + until * MINUTE
        code, said = check(export(seal.url, tenant, since=NOON + since * MINUTE, until=end))
        assert (code, "WARNING" in said) == (VERIFIED, False), said


def test_a_scan_whose_data_was_erased_is_proven_as_before(seal: Seal, check: Check) -> None:
    code, said = check(export(seal.url, "t", scan="scan-6"))
    assert (code, "versions 1 to 6; the scan ended as scan.data-erased" in said) == (VERIFIED, True), said


def test_a_window_tells_just_what_occurred_in_it_and_the_events_around_it(seal: Seal, check: Check) -> None:
    lines = export(seal.url, "t", since=NOON + 10 * MINUTE, until=NOON + 12 * MINUTE).splitlines()
    ids = [json.loads(line)["id"] for line in lines if line.startswith(b'{"specversion"')]
    assert ids == ["scan-9:5", *(f"scan-10:{n}" for n in range(1, 5)), "scan-12:1"]


def test_without_a_key_the_one_in_the_file_is_trusted_and_that_is_said(seal: Seal, check: Check) -> None:
    code, said = check(export(seal.url, "t", scan="scan-1"), key=None, outside=False)
    assert code == VERIFIED
    assert f"TRUSTED ({PUBLIC})" in said
    assert "not compared with the checkpoints" in said


@pytest.fixture(scope="module", params=["scan", "window"])
def exported(seal: Seal, request: pytest.FixtureRequest) -> bytes:
    if request.param == "scan":
        return export(seal.url, "t", scan="scan-20")
    return export(seal.url, "t", since=NOON + 14 * MINUTE, until=NOON + 16 * MINUTE)


def paths(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The place of every field and member, however deep."""
    members = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    if isinstance(value, list) and len(value) > 9:
        # Of many hashes, which are all treated alike, some.
        members = [*enumerate(value)][:: len(value) // 4]
    for name, member in members:
        yield (*path, name)
        yield from paths(member, (*path, name))


def other(value: Any) -> Any:
    """Another value of the same type."""
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case str():
            return ("B" if value.startswith("A") else "A") + value[1:]
        case dict():
            return {**value, "more": 1}
        case list():
            return [*value, *(value[-1:] or [1])]
        case _:
            return 1


def mutated(document: Any, path: tuple[Any, ...]) -> Iterator[bytes]:
    """The line with that field changed, gone, null, or twice in its place."""
    for change in ("other", "remove", "null", "move"):
        copy = json.loads(json.dumps(document))
        holder = copy
        for name in path[:-1]:
            holder = holder[name]
        value = holder[path[-1]]
        if change == "other":
            holder[path[-1]] = other(value)
        elif change == "remove":
            del holder[path[-1]]
        elif change == "null" and value is not None:
            holder[path[-1]] = None
        elif isinstance(holder, dict) and len(holder) > 1 and path[-1] != list(holder)[-1]:
            holder[path[-1]] = holder.pop(path[-1])
        else:
            continue
        yield json.dumps(copy, separators=(",", ":"), ensure_ascii=False).encode()


def test_a_change_of_any_field_of_any_line_is_found_at_that_line(exported: bytes, check: Check) -> None:
    lines = exported.splitlines()
    assert check(exported)[0] == VERIFIED
    tried = 0
    for number, line in enumerate(lines):
        document = json.loads(line)
        for path in paths(document):
            for changed in mutated(document, path):
                assert changed != line
                content = b"\n".join([*lines[:number], changed, *lines[number + 1 :], b""])
                # That there was an earlier checkpoint is known outside alone.
                code, said = check.quickly(content, outside=number == 1)
                tried += 1
                assert code in ({TAMPERED, UNREADABLE} if number == 0 else {TAMPERED}), (number, path, changed)
                if line.startswith(b'{"specversion"'):
                    assert f"TAMPERED WITH: line {number + 1}" in said
                    if path[-1] not in {"event_id", "data"}:
                        assert document["id"] in said
    assert tried > 300


def test_lines_that_are_lost_added_or_moved_are_found(exported: bytes, check: Check) -> None:
    lines = exported.splitlines(keepends=True)
    for number in range(len(lines)):
        altered = {
            "lost": [*lines[:number], *lines[number + 1 :]],
            "twice": [*lines[: number + 1], *lines[number:]],
            "moved": [
                *lines[: max(0, number - 1)],
                *reversed(lines[max(0, number - 1) : number + 1]),
                *lines[number + 1 :],
            ],
            "cut off": lines[:number],
            "cut off within": [*lines[:number], lines[number][:-1]],
            "blank": [*lines[:number], b"\n", *lines[number:]],
        }
        for what, content in altered.items():
            if content != lines:
                code, said = check.quickly(b"".join(content))
                assert code == (UNREADABLE if "CANNOT READ" in said and number < 2 else TAMPERED), (number, what, said)
    assert check(exported + b"{}\n")[0] == TAMPERED
    assert check(b"")[0] == check(b"\xff\n")[0] == check(b'{"scanledger":"audit-export","format":2}\n')[0] == UNREADABLE


def test_what_is_told_of_the_first_bad_place_says_where_and_what(exported: bytes, check: Check) -> None:
    lines = exported.splitlines(keepends=True)
    second = json.loads(lines[4])["id"]
    changed = lines[4].replace(b'"actor":"', b'"actor":"x')
    said = check(b"".join([*lines[:4], changed, *lines[5:]]))[1]
    assert f"TAMPERED WITH: line 5 ({second}): it is not the event sealed as leaf" in said
    said = check(b"".join([*lines[:3], lines[4], lines[3], *lines[5:]]))[1]
    assert f"TAMPERED WITH: line 4 ({second}): leaf " in said
    assert "lines were lost or moved" in said


def with_header(content: bytes, **changes: Any) -> bytes:
    header, _, rest = content.partition(b"\n")
    found = json.loads(header)
    for name, value in changes.items():
        (found["scope"] if name in found["scope"] else found)[name] = value
    return json.dumps(found, separators=(",", ":"), ensure_ascii=False).encode() + b"\n" + rest


def without_event(content: bytes, place: int) -> bytes:
    """Without an event, and without a trace of it in what can be altered: the list of told leaves and the count."""
    lines = [json.loads(line) for line in content.splitlines()]
    told = [n for n, line in enumerate(lines) if "specversion" in line]
    block = max(n for n in range(told[place]) if "block" in lines[n])
    leaf = lines[block]["told"].pop(told[place] - block - 1)
    lines[-1]["end"]["events"] -= 1
    header = lines[0]
    if leaf == header["first"]:
        header["first"] += 1
    elif leaf == header["past"] - 1:
        header["past"] -= 1
    del lines[told[place]]
    return b"".join(json.dumps(line, separators=(",", ":"), ensure_ascii=False).encode() + b"\n" for line in lines)


def test_an_event_that_was_taken_out_with_care_is_missed_all_the_same(exported: bytes, check: Check) -> None:
    events = exported.count(b'{"specversion"')
    for place in range(events):
        code, said = check.quickly(without_event(exported, place))
        assert code == TAMPERED, place
        assert "missing" in said or "ended" in said or "window" in said, said


def test_a_window_cannot_be_made_to_look_another(seal: Seal, check: Check) -> None:
    content = export(seal.url, "t", since=NOON + 10 * MINUTE, until=NOON + 20 * MINUTE)
    header = json.loads(content.partition(b"\n")[0])
    for changes in (
        {"since": "2025-06-01T12:00:00Z"},
        {"since": "2025-06-01T12:15:00Z"},
        {"until": "2025-06-01T12:15:00Z"},
        {"until": "2025-06-01T12:40:00Z"},
        {"until": None},
        {"first": header["first"] + 1},
        {"past": header["past"] - 1},
        {"tenant": "other"},
    ):
        assert check(with_header(content, **changes))[0] == TAMPERED, changes
    content = export(seal.url, "t", scan="scan-1")
    for changes in ({"scan": "scan-2"}, {"versions": 4}, {"ended": False}, {"first": 3}, {"past": 11}):
        assert check(with_header(content, **changes))[0] == TAMPERED, changes


def test_neither_another_key_nor_another_checkpoint_will_do(seal: Seal, check: Check) -> None:
    content = export(seal.url, "t", scan="scan-1")
    stranger = SealKey(bytes(32))
    code, said = check(content, key=base64.b64encode(stranger.public).decode())
    assert code == TAMPERED
    assert "another key than the one given" in said
    lines = content.splitlines(keepends=True)
    for tenant, scan in (("t", "scan-39"), ("other", "scan-3")):
        swapped = export(seal.url, tenant, scan=scan).splitlines(keepends=True)[1]
        assert check(b"".join([lines[0], swapped, *lines[2:]]))[0] == TAMPERED


# What a superuser can do ----------------------------------------------------------------------------------------------


@pytest.fixture
def rewritten(seal: Seal, postgres_server: PostgresServer, tmp_path: Path) -> Iterator[Seal]:
    """Another such log, small, of which a superuser rewrote an event, every hash above it, and the checkpoints."""
    name = postgres_server.create_database()
    log = PostgresScanLog(postgres_server.url(name))
    superuser = make_conninfo(postgres_server.superuser_url, dbname=name)
    own = Seal(postgres_server.url(name), log, tmp_path / "outside", superuser)
    for number in range(4):
        own.scan(f"scan-{number}")
        own.step()
    yield own
    log.close()
    postgres_server.drop_database(name)


def rewrite(seal: Seal, key: SealKey) -> None:
    """One event is another now, and all that is stored agrees: leaves, tree, checkpoints, keys."""
    with seal.rewrite() as connection:
        connection.execute(
            "UPDATE stored_events SET state = replace(convert_from(state, 'UTF8'), 'key:k1', 'key:k2')::bytea"
            " WHERE originator_id = 'scan-1' AND originator_version = 1"
        )
        rows = connection.execute(
            "SELECT originator_id, originator_version, notification_id, topic, state FROM stored_events ORDER BY 3"
        ).fetchall()
        leaves = [leaf_hash(cloud_event(LoggedEvent(*row), "t")) for row in rows]
        tree = Frontier()
        for index, leaf in enumerate(leaves):
            tree.append(leaf)
            connection.execute("UPDATE sealed_events SET hash = %s WHERE leaf = %s", (leaf, index))
            connection.execute(
                "UPDATE checkpoints SET note = %s WHERE size = %s",
                (key.signed(_told(connection, tree)), tree.size),
            )
        connection.execute("UPDATE sealed_logs SET frontier = %s", (b"".join(tree.hashes),))
        connection.execute("UPDATE seal_keys SET public_key = %s", (key.public,))


def _told(connection: psycopg.Connection[Any], tree: Frontier) -> Checkpoint:
    row = connection.execute("SELECT id::text FROM installation").fetchone()
    assert row is not None
    return Checkpoint(origin(row[0], "t", 1), tree.size, tree.root())


@pytest.mark.parametrize("stolen", [False, True])
def test_a_superuser_who_rewrites_all_that_is_stored_is_found_out(
    rewritten: Seal, tmp_path: Path, capsys: pytest.CaptureFixture[str], stolen: bool
) -> None:
    check = Check(rewritten.folder, tmp_path / "export.jsonl", capsys)
    assert check(export(rewritten.url, "t", scan="scan-1"))[0] == VERIFIED
    rewrite(rewritten, KEY_TO_SIGN if stolen else SealKey(bytes(32)))
    content = export(rewritten.url, "t", scan="scan-1")
    # By itself it holds: all was rewritten.
    assert check(content, key=None, outside=False)[0] == VERIFIED
    code, said = check(content, outside=stolen)
    assert code == TAMPERED
    assert ("outside it is another: the log was rewritten" if stolen else "another key") in said
    # And whoever signs finds it out as well.
    rewritten.restart()
    rewritten.scan("scan-4")
    rewritten.step()
    assert "are not those of the checkpoint outside" in str(rewritten.trouble())


def test_an_event_that_was_deleted_from_the_log_is_missed(
    rewritten: Seal, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check = Check(rewritten.folder, tmp_path / "export.jsonl", capsys)
    with rewritten.rewrite() as connection:
        connection.execute("DELETE FROM stored_events WHERE originator_id = 'scan-1' AND originator_version = 2")
    code, said = check(export(rewritten.url, "t", since=NOON))
    assert (code, "leaf 6 of the log is missing" in said) == (TAMPERED, True)
    code, said = check(export(rewritten.url, "t", scan="scan-1"))
    assert (code, "version 2 of the scan is missing" in said) == (TAMPERED, True)


# The verifier itself --------------------------------------------------------------------------------------------------


def test_the_verifier_is_one_file_that_needs_nothing_of_ours(seal: Seal, tmp_path: Path) -> None:
    source = Path(verifier.__file__)
    imported = {
        name.partition(".")[0]
        for node in ast.walk(ast.parse(source.read_text("utf-8")))
        for name in ([alias.name for alias in node.names] if isinstance(node, ast.Import) else [])
        + ([node.module or "."] if isinstance(node, ast.ImportFrom) else [])
    }
    assert imported - sys.stdlib_module_names == {"cryptography"}
    alone, file = tmp_path / "verify.py", tmp_path / "export.jsonl"
    alone.write_bytes(source.read_bytes())
    file.write_bytes(export(seal.url, "t", scan="scan-1"))
    command = [sys.executable, "-I", str(alone), str(file), "--key", PUBLIC, "--checkpoints", str(seal.folder)]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr, done.stdout.splitlines()[-1]) == (VERIFIED, "", "VERIFIED")


def test_it_takes_a_key_as_other_tools_write_it_and_refuses_what_is_none(
    seal: Seal, check: Check, capsys: pytest.CaptureFixture[str]
) -> None:
    content = export(seal.url, "t", scan="scan-1")
    assert check(content, key=json.loads(content.splitlines()[0])["key"])[0] == VERIFIED
    for wrong in ("x", "scanledger/i/t+00", PUBLIC[:-2] + "=="):
        assert check(content, key=wrong)[0] == USAGE
    capsys.readouterr()
    assert verifier.main(["/no/such/file"]) == UNREADABLE
