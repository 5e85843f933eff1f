"""What a piece of work came to, in figures."""

from dataclasses import dataclass

from application.messages import ChunkCompleted, ChunkFindings, ObjectsListed, Report


@dataclass(slots=True)
class Sums:
    """Objects read or, by a listing, found in `batches`; of those read also the bytes and the findings."""

    objects: int = 0
    bytes: int = 0
    findings: int = 0
    failed: int = 0
    batches: int = 0

    def add(self, report: Report) -> None:
        match report:
            case ChunkCompleted():
                self.objects += report.scanned
                self.failed += len(report.exceptions)
                self.bytes += report.bytes_read
                self.findings += len(report.findings)
            case ChunkFindings():
                self.findings += len(report.findings)
            case ObjectsListed():
                self.batches += 1
            case _:
                pass
