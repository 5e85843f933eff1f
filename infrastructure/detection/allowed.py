"""Allow lists at work: which hits are known, and not to be reported."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from domain.detectors import Detector
from domain.detectors.own import Allowance
from infrastructure.detection.linear import Linear


@dataclass(slots=True)
class _Allowed:
    """What is allowed of one detector."""

    digests: set[bytes] = field(default_factory=set)
    patterns: list[Linear] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)


class AllowList:
    """The allowances, by the detectors that they are for. Raises `ValueError` for a pattern that is none."""

    def __init__(self, allowances: Sequence[Allowance], detectors: Sequence[Detector]) -> None:
        self._allowed: dict[int, _Allowed] = {}
        compiled = {one.pattern: Linear(one.pattern) for one in allowances if one.pattern is not None}
        for index, detector in enumerate(detectors):
            for one in allowances:
                if one.covers(detector):
                    self._add(self._allowed.setdefault(index, _Allowed()), one, compiled)

    @staticmethod
    def _add(allowed: _Allowed, one: Allowance, compiled: dict[str, Linear]) -> None:
        if one.sha256 is not None:
            allowed.digests.add(bytes.fromhex(one.sha256))
        elif one.pattern is not None:
            allowed.patterns.append(compiled[one.pattern])
        elif one.object_prefix is not None:
            allowed.prefixes.append(one.object_prefix)

    def of(self, name: str) -> "ObjectAllowances | None":
        """What is allowed in the object of this key; None if the list is empty."""
        return ObjectAllowances(self._allowed, name) if self._allowed else None


class ObjectAllowances:
    """What is allowed in one object, and in all that is packed in it."""

    def __init__(self, allowed: dict[int, _Allowed], name: str) -> None:
        self._allowed = allowed
        self._whole = {
            index for index, one in allowed.items() if any(name.startswith(prefix) for prefix in one.prefixes)
        }

    def concern(self, detector: int) -> bool:
        """Whether any values of this detector may be allowed."""
        return detector in self._allowed

    def allow(self, detector: int, value: bytes) -> bool:
        """Whether this value of this detector is not to be reported."""
        allowed = self._allowed.get(detector)
        if allowed is None:
            return False
        if detector in self._whole or (allowed.digests and sha256(value).digest() in allowed.digests):
            return True
        return any(pattern.is_whole(value) for pattern in allowed.patterns)
