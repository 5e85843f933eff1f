"""Reading local files in child processes: what ruins a reader costs one file, and nothing gets out of order."""

import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from application.detecting import LocalAccount, LocalFile, Wanted
from domain.errors import Invalid, ServiceUnavailable
from infrastructure.detection.local import pool, reader
from infrastructure.detection.local.pool import LocalDetection

MAIL = "write to somebody@example.com today\n"
EMAILS = Wanted(detectors=("pii.email",), most=None)
MORE_THAN_A_PIPE_HOLDS = b"nothing here\n" * 40_000


@contextmanager
def detection(wanted: Wanted = EMAILS, *, jobs: int = 1, **options: object) -> Iterator[LocalDetection]:
    with LocalDetection(wanted, jobs=jobs, **options) as opened:  # type: ignore[arg-type]
        yield opened


def accounts(opened: LocalDetection, files: Sequence[LocalFile | LocalAccount]) -> list[LocalAccount]:
    return [told for told in opened.accounts(files) if isinstance(told, LocalAccount)]


def told(accounts: Sequence[LocalAccount]) -> list[str]:
    return [f"{one.object} {one.reason or one.disposition}" for one in accounts]


def put(folder: Path, name: str, content: str = MAIL) -> LocalFile:
    path = folder / name
    path.write_text(content)
    return LocalFile(str(path), name, len(content))


def until(condition: Callable[[], object]) -> None:
    pause = threading.Event()
    for _ in range(2_000):
        if condition():
            return
        pause.wait(0.01)
    raise AssertionError("it never came to that")


@contextmanager
def input_in_reading() -> Iterator[tuple[int, Callable[[], None]]]:
    """A standard input that stays open; what is given with it returns when a reader is in the midst of it."""
    theirs, ours = os.pipe()

    def read_on() -> None:
        view = memoryview(MORE_THAN_A_PIPE_HOLDS)
        while view:  # the last of it goes in only when a reader has taken the first
            view = view[os.write(ours, view) :]

    try:
        yield theirs, read_on
    finally:
        os.close(theirs)
        os.close(ours)


INPUT = LocalFile(None, "-")


# Order and bounds -----------------------------------------------------------------------------------------------------


def test_accounts_come_in_the_order_of_the_files_whichever_is_read_first(tmp_path: Path) -> None:
    sizes = [60_000 if number % 3 == 0 else 1 for number in range(30)]
    files = [put(tmp_path, f"{number:02}.txt", MAIL * 2 + "x\n" * size) for number, size in enumerate(sizes)]
    with detection(jobs=2) as opened:
        found = list(opened.accounts(files))
        assert len(opened.process_ids) == 2
    lines = [one for one in found if isinstance(one, str)]
    assert [one.object for one in found if isinstance(one, LocalAccount)] == [file.object for file in files]
    assert [f'"object": "{file.object}"' in line for file, line in zip(files, lines, strict=True)] == [True] * 30


def test_however_many_files_there_are_few_are_in_mind(tmp_path: Path) -> None:
    file = put(tmp_path, "a.txt")
    handed = count()
    files = (file for _ in iter(lambda: next(handed), -1))
    with detection() as opened:
        told = opened.accounts(files)
        for _ in range(100):
            next(told)
        assert next(handed) <= 100 + pool._PLACES


def test_while_one_file_is_read_what_others_found_takes_up_no_more_memory_than_allowed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limit = 200_000
    monkeypatch.setattr(pool, "_BUFFERED_BYTES", limit)
    dense = put(tmp_path, "dense.txt", MAIL * 10_000)
    most = 0

    class Watched(LocalDetection):
        def _hear(self, reader: object) -> None:
            nonlocal most
            super()._hear(reader)  # type: ignore[arg-type]
            most = max(most, self._buffered)

    with (
        input_in_reading() as (standard_input, read_on),
        Watched(EMAILS, jobs=2, standard_input=standard_input) as opened,
        ThreadPoolExecutor() as threads,
    ):
        running = threads.submit(lambda: list(opened.accounts([INPUT, dense])))
        until(lambda: most >= limit)
        read_on()
        os.kill(opened.process_ids[0], signal.SIGKILL)
        found = running.result()
    assert most < limit + 100_000
    assert sum(one.count("\n") for one in found if isinstance(one, str)) == 10_000


def test_a_few_small_files_are_read_by_one_process(tmp_path: Path) -> None:
    with detection(jobs=8) as opened:
        accounts(opened, [put(tmp_path, f"{number}.txt") for number in range(5)])
        assert len(opened.process_ids) == 1


# Readers that are ruined ----------------------------------------------------------------------------------------------


def test_a_reader_that_is_killed_costs_the_file_it_was_reading_and_the_next_is_read(tmp_path: Path) -> None:
    with (
        input_in_reading() as (standard_input, read_on),
        detection(standard_input=standard_input) as opened,
        ThreadPoolExecutor() as threads,
    ):
        files = [put(tmp_path, "before.txt"), INPUT, put(tmp_path, "after.txt")]
        running = threads.submit(accounts, opened, files)
        read_on()
        os.kill(opened.process_ids[0], signal.SIGKILL)
        before, lost, after = running.result()
    assert told([before, lost, after]) == ["before.txt scanned", "- worker_lost", "after.txt scanned"]
    assert lost.detail == "its reader was ended by SIGKILL"


def test_what_waited_behind_the_file_that_killed_its_reader_is_read_by_another(tmp_path: Path) -> None:
    slow = put(tmp_path, "slow.txt", MAIL * 300_000)
    files = [LocalFile(slow.path, slow.object), *(put(tmp_path, f"{number}.txt") for number in range(5))]

    def is_reading() -> bool:
        return any(open_file.path == slow.path for open_file in psutil.Process(opened.process_ids[0]).open_files())

    with detection() as opened, ThreadPoolExecutor() as threads:
        running = threads.submit(accounts, opened, files)
        until(is_reading)
        os.kill(opened.process_ids[0], signal.SIGKILL)
        assert told(running.result()) == ["slow.txt worker_lost", *(f"{number}.txt scanned" for number in range(5))]


def test_a_reader_that_gets_nowhere_is_given_up_and_the_next_file_is_read(tmp_path: Path) -> None:
    with (
        input_in_reading() as (standard_input, read_on),
        detection(standard_input=standard_input, stall_seconds=2) as opened,
        ThreadPoolExecutor() as threads,
    ):
        running = threads.submit(accounts, opened, [INPUT, put(tmp_path, "after.txt")])
        read_on()
        hanging = psutil.Process(opened.process_ids[0])
        hanging.suspend()
        lost, after = running.result()
        assert not hanging.is_running()
    assert told([lost, after]) == ["- timeout", "after.txt scanned"]


def test_waiting_for_standard_input_is_no_standstill() -> None:
    with (
        input_in_reading() as (standard_input, read_on),
        detection(standard_input=standard_input, stall_seconds=2) as opened,
        ThreadPoolExecutor() as threads,
    ):
        beats = 0
        hear = opened._hear

        def hearing(one: reader.Reader) -> None:
            nonlocal beats
            beats += 1
            hear(one)

        opened._hear = hearing  # type: ignore[method-assign]
        running = threads.submit(accounts, opened, [INPUT])
        read_on()
        until(lambda: beats > 6)  # with a beat each half second: longer than a standstill may last
        assert not running.done()
        os.kill(opened.process_ids[0], signal.SIGKILL)
        running.result()


def test_a_file_that_needs_too_much_memory_is_given_up_alone(tmp_path: Path) -> None:
    texts = pc.binary_repeat(pa.array(range(400_000)).cast(pa.string()), 20)
    pq.write_table(pa.table({"value": texts}), tmp_path / "greedy.parquet", dictionary_pagesize_limit=2**30)
    greedy = LocalFile(str(tmp_path / "greedy.parquet"), "greedy.parquet")
    with detection(memory_bytes=120 * 1024**2) as opened:
        found = accounts(opened, [greedy, put(tmp_path, "after.txt")])
    assert told(found) == ["greedy.parquet resource_limit", "after.txt scanned"]


def test_readers_end_with_the_detection() -> None:
    with detection() as opened:
        [process_id] = opened.process_ids
    assert not psutil.pid_exists(process_id)


def test_a_reader_that_cannot_start_is_an_error_and_no_clean_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reader, "_PROGRAM", "raise SystemExit(3)")
    with detection() as opened, pytest.raises(ServiceUnavailable, match="ended with 3"):
        accounts(opened, [put(tmp_path, "a.txt")])


def test_nothing_is_loaded_from_the_folder_that_is_looked_into(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("hyperscan.py", "json.py", "infrastructure.py", "sitecustomize.py"):
        put(tmp_path, name, "open('was-run', 'w')\n")
    with detection() as opened:
        assert told(accounts(opened, [LocalFile("json.py", "json.py")])) == ["json.py scanned"]
    assert not Path("was-run").exists()


# What is wanted -------------------------------------------------------------------------------------------------------


def test_detectors_that_are_none_are_told_before_anything_is_read(tmp_path: Path) -> None:
    with detection(Wanted(detectors=("pii", "weather"))) as opened, pytest.raises(Invalid) as caught:
        accounts(opened, [put(tmp_path, "a.txt")])
    assert [fault.field for fault in caught.value.faults] == ["detectors"]


def test_of_a_finding_as_many_occurrences_are_told_as_are_wanted_and_all_are_counted(tmp_path: Path) -> None:
    mixed = put(tmp_path, "mixed.txt", MAIL * 4)
    with detection(Wanted(detectors=("pii.email",), most=2, least=0.0)) as opened:
        *lines, account = opened.accounts([mixed])
    assert isinstance(account, LocalAccount)
    [finding] = account.findings
    assert (finding.hits, finding.told, finding.cut, finding.at_most) == (4, 2, False, False)
    assert "".join(map(str, lines)).count("\n") == 2
