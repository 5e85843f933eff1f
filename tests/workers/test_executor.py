"""Work in a child process: what it does is told, and when it dies or hangs it is known over which object."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from application.messages import (
    AnyReport,
    ChunkCompleted,
    ListingCompleted,
    ListUnit,
    ObjectsListed,
    ScanChunk,
    Source,
    reports,
)
from application.object_columns import to_text
from domain.connector import ConnectorType
from domain.manifest import ObjectInfo
from infrastructure.wiring import Settings, open_source
from tests.workers.brokers import until
from workers.executor import ChildExecutor, Work, WorkLost

INDEX = 40
"""Manifest position of the first object of a chunk."""


class Bench:
    """An executor and a folder for it to read."""

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder
        self.settings = Settings(filesystem_roots=(folder,), **settings)
        self.executor = ChildExecutor(self.settings)
        self.reported: list[AnyReport] = []

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)

    def write_endless(self) -> None:
        """An object that takes far longer to read than any test waits: it begins as text, and goes on and on."""
        with (self.folder / "long.txt").open("wb") as file:
            file.write(b"nothing to see in this line\n" * 100_000)
            file.truncate(2**40)

    def work(self, command: ListUnit | ScanChunk) -> Work:
        async def report(body: bytes) -> None:
            self.reported.append(reports.validate_json(body))

        return Work(command, "w1", None, report, lambda _files, _findings: None)

    @property
    def source(self) -> Source:
        return Source(connector="c", type=ConnectorType.FILESYSTEM, config={"root": str(self.folder)})

    def chunk(self, *names: str, detectors: Sequence[str] = ()) -> ScanChunk:
        listed = open_source(self.settings, "filesystem", {"root": str(self.folder)}, None).list_pages("")
        objects: list[ObjectInfo] = [entry for page in listed for entry in page if entry.key in names]
        return ScanChunk(
            scan="s",
            pool="default",
            chunk=3,
            attempt=1,
            plan="p",
            source=self.source,
            start_index=INDEX,
            end_index=INDEX + len(objects) - 1,
            indexes=[INDEX + n for n in range(len(objects))],
            objects=to_text(objects),
            detectors=list(detectors),
        )

    @property
    def pid(self) -> int:
        process = self.executor._process
        assert process is not None
        assert process.pid is not None
        return process.pid

    async def reading(self, index: int) -> None:
        await until(lambda: self.executor._vitals.reading == index, within=15)


@asynccontextmanager
async def a_bench(folder: Path, **settings: Any) -> AsyncIterator[Bench]:
    bench = Bench(folder, **settings)
    try:
        yield bench
    finally:
        await bench.executor.close()


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., None]:
    def run(test: Callable[[Bench], Any], **settings: Any) -> None:
        async def with_bench() -> None:
            async with a_bench(tmp_path, **settings) as bench:
                await test(bench)

        asyncio.run(with_bench())

    return run


def test_a_listing_and_a_chunk_are_done_by_one_child_and_reported(run: Callable[..., None]) -> None:
    async def test(bench: Bench) -> None:
        for name in ("a.txt", "b.txt"):
            bench.write(name, "write to ada.lovelace@example.com\n")
        listing = ListUnit(scan="s", pool="default", unit=0, attempt=1, source=bench.source, prefix="", until="a.txt")
        assert await bench.executor.run(bench.work(listing))
        child = bench.pid
        assert await bench.executor.run(bench.work(bench.chunk("a.txt", "b.txt")))
        assert bench.pid == child
        assert [type(report) for report in bench.reported] == [ObjectsListed, ListingCompleted, ChunkCompleted]
        done = bench.reported[-1]
        assert isinstance(done, ChunkCompleted)
        assert [(f.index, f.detector) for f in done.findings] == [(INDEX, "pii.email"), (INDEX + 1, "pii.email")]
        assert bench.executor._vitals.reading is None

    run(test)


def test_only_the_detectors_that_a_command_names_are_run(run: Callable[..., None]) -> None:
    async def test(bench: Bench) -> None:
        bench.write("a.txt", "ada.lovelace@example.com\nkey AKIAQYLPMN5HHHFPZAM2\n")
        for detectors in (["secret.aws-access-key"], ["pii.email"], []):
            await bench.executor.run(bench.work(bench.chunk("a.txt", detectors=detectors)))
        found = [
            {f.detector for f in report.findings} for report in bench.reported if isinstance(report, ChunkCompleted)
        ]
        assert found[:2] == [{"secret.aws-access-key"}, {"pii.email"}]
        assert found[2] >= {"secret.aws-access-key", "pii.email"}

    run(test)


def test_a_child_that_dies_says_over_which_object_and_another_takes_its_place(run: Callable[..., None]) -> None:
    async def test(bench: Bench) -> None:
        bench.write("a.txt", "nothing\n")
        bench.write_endless()
        working = asyncio.create_task(bench.executor.run(bench.work(bench.chunk("a.txt", "long.txt"))))
        await bench.reading(INDEX + 1)
        os.kill(first := bench.pid, signal.SIGKILL)
        with pytest.raises(WorkLost) as caught:
            await working
        assert (caught.value.suspect, caught.value.stalled) == (INDEX + 1, False)
        assert await bench.executor.run(bench.work(bench.chunk("a.txt")))
        assert bench.pid != first

    run(test)


def test_a_child_that_gets_nowhere_is_killed_and_told_as_stalled(run: Callable[..., None]) -> None:
    async def test(bench: Bench) -> None:
        bench.write_endless()
        working = asyncio.create_task(bench.executor.run(bench.work(bench.chunk("long.txt"))))
        await bench.reading(INDEX)
        os.kill(stopped := bench.pid, signal.SIGSTOP)
        with pytest.raises(WorkLost) as caught:
            await working
        assert (caught.value.suspect, caught.value.stalled) == (INDEX, True)
        with pytest.raises(ProcessLookupError):
            os.kill(stopped, 0)

    run(test, stall_seconds=1)


def test_work_that_is_called_off_ends_without_a_report_and_the_child_goes_on_with_the_next(
    run: Callable[..., None],
) -> None:
    async def test(bench: Bench) -> None:
        bench.write("a.txt", "nothing\n")
        bench.write_endless()
        working = asyncio.create_task(bench.executor.run(bench.work(bench.chunk("long.txt"))))
        await bench.reading(INDEX)
        child = bench.pid
        bench.executor.stop()
        assert not await working
        assert bench.reported == []
        assert await bench.executor.run(bench.work(bench.chunk("a.txt")))
        assert bench.pid == child

    run(test)
