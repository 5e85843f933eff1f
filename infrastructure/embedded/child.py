"""One of the service's own processes, as the supervisor runs it."""

import os
import signal
import subprocess
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import infrastructure
from infrastructure.embedded.folder import DataFolder
from infrastructure.embedded.process import MARK, end_group, launch, open_log
from infrastructure.settings import Role

_SOURCES: Final = str(Path(infrastructure.__file__).parents[1])


@dataclass(frozen=True, slots=True)
class Program:
    """What to run, under which name, and what it may know."""

    name: str
    role: Role
    argv: tuple[str, ...]


class Child:
    """A process of ours; its output goes to `logs/NAME.log` in the data folder."""

    def __init__(self, program: Program, environment: Mapping[str, str], folder: DataFolder) -> None:
        self.name = program.name
        self.role = program.role
        self.log = folder.logs / f"{program.name}.log"
        self._argv = program.argv
        paths = [_SOURCES, *filter(None, [environment.get("PYTHONPATH")])]
        self._environment = {**environment, "PYTHONPATH": os.pathsep.join(paths), MARK: str(folder.path)}
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self, stopped: Callable[[], bool] = lambda: False) -> None:
        """Start the process, unless `stopped()`. Whether it is ready is for others to find out."""
        if stopped():
            return
        with open_log(self.log, fresh=self._process is None) as output:
            if self._process is not None:
                end_group(self._process, first=signal.SIGKILL, within=0)
            self._process = launch(self._argv, env=self._environment, output=output)

    def poll(self) -> int | None:
        """None while the process runs, else its exit status."""
        return self._process.poll() if self._process else 0

    def ask_to_end(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                self._process.send_signal(signal.SIGTERM)

    def stop(self, within: float) -> None:
        """End the process and its group; what does not obey in `within` seconds is killed."""
        if self._process is not None:
            end_group(self._process, first=signal.SIGTERM, within=within)
