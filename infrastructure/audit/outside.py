"""Where checkpoints are kept outside of the database: a folder, or a bucket with object lock.

One file a checkpoint, at `<tenant>/<generation>-<size>.checkpoint`, both numbers padded: their order is that of their
names. A file is written once and never again.
"""

import os
import re
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Final, Protocol

from domain.checkpoint import Checkpoint, quoted, read
from domain.errors import Permanent, Temporary

_NAME: Final = re.compile(r"(\d{6})-(\d{20})\.checkpoint")

Place = tuple[int, int]
"""Generation and size."""


class OutsideAway(Temporary):
    """The place outside cannot be read or written now."""


class OutsideDiffers(Permanent):
    """The place outside has another checkpoint of the same log and size."""


class Outside(Protocol):
    """Every method raises OutsideAway."""

    def newest(self, tenant: str, known: Place) -> tuple[int, Checkpoint] | None:
        """The checkpoint that is there of the tenant's newest generation and size, with that generation.

        `known` is one that should be there: a hint where to look.
        """

    def write(self, tenant: str, place: Place, note: str) -> None:
        """Keep a note, durably. Again with the same note changes nothing; with another raises OutsideDiffers."""


def file_name(place: Place) -> str:
    generation, size = place
    return f"{generation:06}-{size:020}.checkpoint"


def place_of(name: str) -> Place | None:
    found = _NAME.fullmatch(name)
    return (int(found[1]), int(found[2])) if found else None


def read_note(note: bytes, where: str) -> Checkpoint:
    try:
        return read(note.decode())
    except ValueError as error:
        raise OutsideAway(f"{where} is damaged: {error}") from error


class OutsideFolder:
    """A folder; best on another machine, and on a file system that keeps what was written."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def newest(self, tenant: str, known: Place) -> tuple[int, Checkpoint] | None:  # noqa: ARG002 — a folder tells all
        try:
            names = os.listdir(self._folder / quoted(tenant))  # noqa: PTH208 — names are all that is needed
        except FileNotFoundError:
            return None
        except OSError as error:
            raise OutsideAway(_told(error)) from error
        places = sorted(place for name in names if (place := place_of(name)))
        if not places:
            return None
        path = self._path(tenant, places[-1])
        try:
            return places[-1][0], read_note(path.read_bytes(), str(path))
        except OSError as error:
            raise OutsideAway(_told(error)) from error

    def write(self, tenant: str, place: Place, note: str) -> None:
        path = self._path(tenant, place)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                _write_once(path, note.encode())
            except FileExistsError:
                if path.read_bytes() != note.encode():
                    raise OutsideDiffers(f"{path} holds another checkpoint") from None
        except OSError as error:
            raise OutsideAway(_told(error)) from error

    def _path(self, tenant: str, place: Place) -> Path:
        return self._folder / quoted(tenant) / file_name(place)


def _write_once(path: Path, content: bytes) -> None:
    """The whole file or none, on the disk when this returns. Raises FileExistsError."""
    handle, draft = tempfile.mkstemp(prefix=".", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            os.fchmod(file.fileno(), 0o400)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)
    finally:
        Path(draft).unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _told(error: OSError) -> str:
    return f"{error.filename or 'the folder'}: {error.strerror or type(error).__name__}"


def open_outside(place: str, retention: timedelta) -> Outside:
    """The place that `place` names: a folder, or s3://bucket/prefix."""
    if not place.startswith("s3://"):
        return OutsideFolder(Path(place).expanduser())
    from infrastructure.audit.outside_bucket import open_bucket  # noqa: PLC0415 — its driver loads slowly

    return open_bucket(place, retention)
