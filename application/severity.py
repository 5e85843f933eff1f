"""How grave findings are. It is derived from their detectors, and stored nowhere."""

from collections.abc import Sequence

from application.reading import SeverityFilter
from domain.detectors import detectors
from domain.detectors.rule import SEVERITIES, UNKNOWN_SEVERITY, Detector, Severity


class Severities:
    """Of the detectors that are built in and a tenant's `own`; of any other, by its category."""

    def __init__(self, own: Sequence[Detector] = ()) -> None:
        self._known = {detector.id: detector.severity for detector in (*detectors(), *own)}

    def of(self, detector: str, category: str) -> Severity:
        return self._known.get(detector) or SEVERITIES.get(category, UNKNOWN_SEVERITY)

    def only(self, severity: Severity) -> SeverityFilter:
        """The findings of that severity."""
        usual = severity == UNKNOWN_SEVERITY
        return SeverityFilter(
            detectors=tuple(name for name, known in self._known.items() if known == severity),
            known=tuple(self._known),
            categories=tuple(name for name, given in SEVERITIES.items() if (given == severity) is not usual),
            all_but=usual,
        )
