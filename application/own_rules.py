"""A tenant's own detectors and its allow list: tried out, kept, changed. Scans that were started keep what they had."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Protocol

from application.ports import Clock, Rulesets
from domain.detectors import detectors as built_in
from domain.detectors import names
from domain.detectors.own import Allowance, own_detector
from domain.detectors.rule import Detector
from domain.errors import Conflict, Fault, Invalid, NotFound


@dataclass(frozen=True, slots=True)
class Hit:
    """Where a detector finds something in a sample."""

    byte_offset: int | None
    length: int | None
    line: int | None
    column: int | None
    masked: str
    confidence: float | None


@dataclass(frozen=True, slots=True)
class Trial:
    """How many hits a detector has in each of its examples and near misses, and in a sample; the first ones there."""

    matches: tuple[int, ...]
    near_misses: tuple[int, ...]
    count: int
    hits: tuple[Hit, ...]


@dataclass(frozen=True, slots=True)
class StoredDetector:
    """A tenant's detector, and who changed it last."""

    detector: Detector
    created_at: datetime
    changed_at: datetime
    changed_by: str


@dataclass(frozen=True, slots=True)
class StoredAllowance:
    """An entry of an allow list: why it is there, and who put it there."""

    allowance_id: str
    allowance: Allowance
    reason: str
    created_at: datetime
    created_by: str


class RuleShelf(Rulesets, Protocol):
    """Where tenants' own rules are kept. Methods raise ServiceUnavailable."""

    def detectors(self, tenant: str) -> Sequence[StoredDetector]:
        """In order of id."""

    def put_detector(self, tenant: str, stored: StoredDetector, *, new: bool) -> StoredDetector:
        """Keep a detector. A `new` one must not be there yet (Conflict DETECTOR_EXISTS), any other must (NotFound), and
        keeps its `created_at`. Raises Conflict past the limits of a tenant."""

    def drop_detector(self, tenant: str, detector_id: str) -> bool:
        """Whether it was there."""

    def allowances(self, tenant: str) -> Sequence[StoredAllowance]:
        """Newest first."""

    def put_allowance(self, tenant: str, stored: StoredAllowance) -> StoredAllowance:
        """Keep an entry; one of the same id that is there already stays as it is. Raises Conflict past the limit."""

    def drop_allowance(self, tenant: str, allowance_id: str) -> bool:
        """Whether it was there."""


@dataclass(frozen=True, slots=True)
class Tried:
    """A detector, as it is kept or would be, with what it finds."""

    stored: StoredDetector
    trial: Trial


TryOut = Callable[[Detector, str], Trial]
"""What a detector finds in its examples and in a sample. Raises `Invalid` with every fault."""


@dataclass(frozen=True, slots=True)
class OwnRulesBook:
    """One tenant's own rules, changed in the name of `actor`. `unfit` says what is wrong with an expression."""

    shelf: RuleShelf
    try_out: TryOut
    unfit: Callable[[str], str | None]
    tenant: str
    actor: str
    clock: Clock

    def detector(self, detector_id: str) -> StoredDetector | Detector:
        """The tenant's own of this id, or the one that is built in. Raises NotFound."""
        for detector in built_in():
            if detector.id == detector_id:
                return detector
        for stored in self.shelf.detectors(self.tenant):
            if stored.detector.id == detector_id:
                return stored
        raise NotFound("detector", detector_id)

    def create(self, fields: Mapping[str, Any], sample: str, *, dry_run: bool) -> Tried:
        """Make a detector, or with `dry_run` only try it out.

        Raises `Invalid` with every fault, and Conflict: DETECTOR_BUILT_IN, DETECTOR_EXISTS, DETECTOR_LIMIT_REACHED.
        """
        tried = self._tried(fields, sample)
        self._require_free(tried.stored.detector.id)
        if dry_run:
            return tried
        return replace(tried, stored=self.shelf.put_detector(self.tenant, tried.stored, new=True))

    def change(self, detector_id: str, fields: Mapping[str, Any], sample: str, *, dry_run: bool) -> Tried:
        """Put another detector in the place of the tenant's own of this id. Raises NotFound, and as `create`."""
        before = self._own(detector_id)
        tried = self._tried({**fields, "id": detector_id}, sample)
        if dry_run:
            return replace(tried, stored=replace(tried.stored, created_at=before.created_at))
        return replace(tried, stored=self.shelf.put_detector(self.tenant, tried.stored, new=False))

    def delete(self, detector_id: str) -> None:
        """Raises NotFound, and Conflict for one that is built in."""
        self._own(detector_id)
        if not self.shelf.drop_detector(self.tenant, detector_id):
            raise NotFound("detector", detector_id)

    def allow(self, allowance_id: str, allowance: Allowance, reason: str) -> StoredAllowance:
        """Put an entry on the allow list. Raises `Invalid`, and Conflict ALLOW_LIST_LIMIT_REACHED."""
        own = [stored.detector for stored in self.shelf.detectors(self.tenant)]
        faults: list[Fault] = []
        if allowance.detector is not None and allowance.detector not in names(own):
            faults.append(Fault("detector", "is neither a detector's id nor a category; GET /detectors lists them"))
        if allowance.pattern is not None and (fault := self.unfit(allowance.pattern)) is not None:
            faults.append(Fault("pattern", fault))
        if faults:
            raise Invalid(faults)
        stored = StoredAllowance(allowance_id, allowance, reason, self.clock(), self.actor)
        return self.shelf.put_allowance(self.tenant, stored)

    def disallow(self, allowance_id: str) -> None:
        """Raises NotFound."""
        if not self.shelf.drop_allowance(self.tenant, allowance_id):
            raise NotFound("allowance", allowance_id)

    def _tried(self, fields: Mapping[str, Any], sample: str) -> Tried:
        detector = own_detector(fields)
        trial = self.try_out(detector, sample)
        now = self.clock()
        return Tried(StoredDetector(detector, now, now, self.actor), trial)

    def _own(self, detector_id: str) -> StoredDetector:
        found = self.detector(detector_id)
        if isinstance(found, Detector):
            message = (
                f"Detector {detector_id} is built in and cannot be changed; leave it out with options.detectors, or put"
                " what it should not report on the allow list."
            )
            raise Conflict("DETECTOR_BUILT_IN", message, detector=detector_id)
        return found

    def _require_free(self, detector_id: str) -> None:
        """Raises Conflict for an id that is taken."""
        try:
            found = self.detector(detector_id)
        except NotFound:
            return
        if isinstance(found, Detector):
            message = f"Detector {detector_id} is built in; give yours another id."
            raise Conflict("DETECTOR_BUILT_IN", message, detector=detector_id)
        raise already_there(detector_id)


def already_there(detector_id: str) -> Conflict:
    """That a tenant has a detector of this id."""
    message = f"There is a detector {detector_id} of yours already; change it with PUT /detectors/{detector_id}."
    return Conflict("DETECTOR_EXISTS", message, detector=detector_id)
