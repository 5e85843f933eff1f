"""Secrets: ours, Kingfisher's and betterleaks' reports on the same files, by whether the line was found."""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from benchmarks.detection_quality import ours
from benchmarks.detection_quality.carriers import Case
from benchmarks.detection_quality.scoring import Reported, Score, of_lines
from benchmarks.peers import scanners
from benchmarks.peers.scanners import Alarm

OURS: Final = "scanledger"
TOOLS: Final[dict[str, Callable[[Path], list[Alarm]]]] = {
    OURS: ours.alarms_in,
    "kingfisher": scanners.kingfisher,
    "betterleaks": scanners.betterleaks,
}


@dataclass(slots=True)
class Verdict:
    """Of one tool: scores by kind, how many of a kind were also named right, and what was reported astray."""

    by_kind: dict[str, Score] = field(default_factory=lambda: defaultdict(Score))
    named: Counter[str] = field(default_factory=Counter)
    astray: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    missed: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))

    def total(self) -> Score:
        whole = Score()
        for score in self.by_kind.values():
            whole.add(score)
        return whole


def verdicts(cases: Sequence[Case]) -> dict[str, Verdict]:
    """Every tool's verdict on these files."""
    with TemporaryDirectory(prefix="bench-secrets-") as temporary:
        root = Path(temporary).resolve()
        for case in cases:
            path = root / case.path
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(case.text, "utf-8")
        return {name: _judged(cases, root, scan(root)) for name, scan in TOOLS.items()}


def _judged(cases: Iterable[Case], root: Path, alarms: Iterable[Alarm]) -> Verdict:
    by_path: dict[str, list[Alarm]] = defaultdict(list)
    for alarm in alarms:
        # Only secrets: the others have no rules for anything else.
        if alarm.rule.startswith("secret.") or "." not in alarm.rule.split("-")[0]:
            by_path[str(Path(alarm.path).resolve())].append(alarm)
    verdict = Verdict()
    for case in cases:
        found = by_path.get(str(root / case.path), [])
        reported = [Reported(alarm.first_line, alarm.last_line, alarm.rule) for alarm in found]
        score = of_lines(case.wanted, reported)
        verdict.by_kind[case.kind].add(score)
        verdict.named[case.kind] += of_lines(case.wanted, reported, lambda r, k=case.kind: names(r.kind, k)).hits  # type: ignore[misc]
        lines = case.text.split("\n")
        if score.missed:
            verdict.missed[case.kind].append(_shown(lines[case.lines.start - 1]))
        for alarm in found:
            if of_lines(case.wanted, [Reported(alarm.first_line, alarm.last_line, alarm.rule)]).false:
                verdict.astray[alarm.rule].append(f"{case.kind}: {_shown(lines[alarm.first_line - 1])}")
    return verdict


def _shown(line: str) -> str:
    # What is no secret here is made up as well; a long line shows its beginning.
    return line[:140]


def names(rule: str, kind: str) -> bool:
    """Whether a tool's rule names the kind: the vendor's name is in it, whatever it calls the token."""
    own = rule.removeprefix("secret.")
    vendor = kind.partition("-")[0]
    return own == kind or vendor in own.replace("-", "") or vendor in own
