"""The message id of a report, by which the broker drops what it was sent twice within its window."""

import hashlib
import json


def report_id(body: bytes, command: int) -> str:
    """`scan/chunk/attempt/kind/part/worker/command` for chunks, likewise for listings; `command` is its place in the
    stream.

    The worker and the command are part of it: what another worker says of the same attempt, or the same one when it
    was told again, is for the log to judge.
    """
    report = json.loads(body)
    if "chunk" in report:
        place = [str(report["chunk"]), str(report["attempt"]), report["kind"], str(report.get("part", 0))]
    elif "unit" in report:
        place = [f"unit-{report['unit']}", str(report["attempt"]), report["kind"], str(report.get("batch", 0))]
    else:
        place = [report["kind"], hashlib.sha256(body).hexdigest()[:12]]
    return "/".join([report["scan"], *place, report["worker"], str(command)])
