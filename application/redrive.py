"""The objects that a finished scan failed or left: what a redrive of it is to look at again."""

from collections import OrderedDict
from collections.abc import Iterator
from typing import Final

from application.ports import ManifestPage, ManifestStore, ScanLog
from domain.chunk import MAX_CHUNK_KEY_BYTES, Unfinished
from domain.coverage import Disposition
from domain.manifest import ObjectInfo

OBJECTS_AT_ONCE: Final = 5_000
"""Objects that one listing command carries at most."""

_KEPT: Final = 4


class UnfinishedObjects:
    """Reads finished scans' ledgers. Keeps what the last few of them left."""

    def __init__(self, log: ScanLog, manifest: ManifestStore) -> None:
        self._log = log
        self._manifest = manifest
        self._kept: OrderedDict[str, Unfinished] = OrderedDict()

    def after(self, scan_id: str, unit: int, key: str) -> tuple[list[ObjectInfo], bool]:
        """The failed and remaining objects of a unit whose keys sort after `key`, in order, as many as fit a command;
        and whether there are more."""
        found: list[ObjectInfo] = []
        room = MAX_CHUNK_KEY_BYTES
        for entry in self._all(scan_id, unit, key):
            room -= 4 * len(entry.key)
            if found and (room < 0 or len(found) == OBJECTS_AT_ONCE):
                return found, True
            found.append(entry)
        return found, False

    def _all(self, scan_id: str, unit: int, key: str) -> Iterator[ObjectInfo]:
        unfinished = self._unfinished(scan_id)
        for page, exceptions in self._manifest.unit_pages(scan_id, unit, key):
            left = unfinished.between(page.first_index, page.first_index + len(page.objects) - 1)
            for at, entry in enumerate(page.objects):
                index = page.first_index + at
                failed = exceptions.get(index) == Disposition.FAILED
                if entry.key > key and (failed or (index in left and _planned(page, at))):
                    yield entry

    def _unfinished(self, scan_id: str) -> Unfinished:
        kept = self._kept.get(scan_id)
        if kept is None:
            scan = self._log.scan(scan_id)
            kept = self._kept[scan_id] = Unfinished(state.chunk for state in scan.pending.values())
            while len(self._kept) > _KEPT:
                self._kept.popitem(last=False)
        return kept


def _planned(page: ManifestPage, at: int) -> bool:
    return page.skips[at] is None
