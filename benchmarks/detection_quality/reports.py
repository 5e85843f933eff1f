"""The tables of each part: what is printed, and what is kept as figures."""

import argparse
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final

from benchmarks.detection_quality import alarms, labelled, negatives, number_scores, peer_rules, secrets
from benchmarks.detection_quality.carriers import Case
from benchmarks.detection_quality.scoring import Score
from benchmarks.detection_quality.secret_scores import OURS, TOOLS, Verdict, verdicts
from benchmarks.peers import scanners
from benchmarks.tables import Table

_SCORES: Final = ("P", "R", "F1")


def labelled_sets(arguments: argparse.Namespace) -> dict[str, Any]:
    """Precision, recall and F1 by kind on the labelled documents."""
    if not labelled.folder().is_dir():
        print(f"\nLabelled documents: skipped, {labelled.folder()} is not there (see SCANLEDGER_SHARED_DATA).")
        return {"skipped": "the labelled sets are not there"}
    results = labelled.compared()
    columns = ["", "labels", *_headed("ours"), "F1 any", *_headed("Presidio"), *_headed("≥ 0.5"), "F1 ÷ best peer"]
    table = Table(
        "Labelled documents: ours from confidence 0.5; Presidio's patterns at any score and from 0.5", columns
    )
    table.notes.append("`any`: ours at any confidence. Only 18 % of the phone numbers are real. ADDRESS: ours alone.")
    for kind, one in results.items():
        rivals = [one.presidio, one.presidio_sure] if kind in labelled.KINDS else []
        labels = str(one.ours.hits + one.ours.missed)
        theirs = [cell for rival in (rivals or [None, None]) for cell in _cells(rival)]
        table.add(kind, labels, *_cells(one.ours), f"{one.ours_any.f1:.3f}", *theirs, _beside(one.ours, rivals))
    table.show()
    _examples({kind: (one.missed, one.false) for kind, one in results.items()}, arguments.examples)
    return {
        kind: {
            "ours": _figures(one.ours),
            "ours at any confidence": _figures(one.ours_any),
            "presidio": _figures(one.presidio),
            "presidio from 0.5": _figures(one.presidio_sure),
        }
        for kind, one in results.items()
    }


def planted_numbers(arguments: argparse.Namespace) -> dict[str, Any]:
    """Precision, recall and F1 by kind on identifiers that were planted among numbers that only look like them."""
    each = 2 if arguments.quick else 12
    results = number_scores.compared(arguments.seed, each)
    number_scores.with_presidio(results, arguments.seed, each)
    columns = ["", *_headed("ours"), "as other", *_headed("Presidio"), *_headed("≥ 0.5"), "F1 ÷ best peer"]
    table = Table(f"Planted identifiers: {4 * each} of each kind, {each} to {2 * each} texts of decoys", columns)
    table.notes.append("`as other`: found, but as another kind; counted as missed.")
    total = Score()
    for one in results:
        total.add(one.ours)
        rivals = [score for score in (one.presidio, one.presidio_sure) if score is not None]
        theirs = [cell for rival in (rivals or [None, None]) for cell in _cells(rival)]
        table.add(one.identifier.kind, *_cells(one.ours), str(one.other or ""), *theirs, _beside(one.ours, rivals))
    table.add("all", *_cells(total), "", *[""] * 6, "")
    table.show()
    _examples({one.identifier.kind: (one.missed, one.false) for one in results}, arguments.examples)
    return {
        one.identifier.kind: {
            "ours": _figures(one.ours),
            "named as other": one.other,
            "presidio": _figures(one.presidio),
            "presidio from 0.5": _figures(one.presidio_sure),
        }
        for one in results
    }


def planted_secrets(arguments: argparse.Namespace) -> dict[str, Any]:
    """Recall by kind and all told on secrets in the documented formats."""
    cases = list(secrets.cases(arguments.seed, 2 if arguments.quick else 6))
    cases += negatives.cases(arguments.seed, 1 if arguments.quick else 6)
    return _secret_tables(
        "Secrets in their documented formats, and files that look as if they had some", cases, arguments
    )


def hard_negatives(arguments: argparse.Namespace) -> dict[str, Any]:
    """Lines reported in files without any secret, by sort of file."""
    judged = verdicts(list(negatives.cases(arguments.seed, 2 if arguments.quick else 20)))
    table = Table("Lines reported in files that hold no secret", ["", *judged])
    for sort in negatives.sorts():
        table.add(sort, *(str(verdict.by_kind[sort].false) for verdict in judged.values()))
    table.add("all", *(str(verdict.total().false) for verdict in judged.values()))
    table.show()
    for name, verdict in judged.items():
        _astray(name, verdict, arguments.examples)
    return {name: {sort: verdict.by_kind[sort].false for sort in negatives.sorts()} for name, verdict in judged.items()}


def values_of_peers(arguments: argparse.Namespace) -> dict[str, Any]:
    """Recall on values that the peers' own rules match. Their packages hold no examples."""
    rules = scanners.rules_of_kingfisher()
    cases = list(peer_rules.cases(rules, arguments.seed, 1 if arguments.quick else 4))
    title = f"Values made from the {len(rules)} rules that Kingfisher lists (betterleaks', too): it favours them"
    return _secret_tables(title, cases, arguments)


def ordinary_files(arguments: argparse.Namespace) -> dict[str, Any]:
    """Reports per 10 MB of ordinary files."""
    kept: dict[str, Any] = {}
    for one in alarms.ordinary(4 if arguments.quick else 40, arguments.seed):
        table = Table(f"Ordinary files, {one.name}: {one.size / 1e6:.1f} MB", ["", "reports", "per 10 MB", "samples"])
        for tool, counts in one.reports.items():
            plain = sum(count for kind, count in counts.items() if kind not in alarms.EVIDENT)
            note = "without e-mail, IP and MAC addresses" if tool == OURS else ""
            table.add(tool, str(plain), f"{one.per_10_mb(plain):.2f}", note)
            for kind, count in counts.most_common(60 if tool == OURS else 6):
                shown = "   ".join(one.samples.get((tool, kind), [])[: arguments.examples])
                table.add(f"  {kind}", str(count), f"{one.per_10_mb(count):.2f}", shown[:150])
        table.show()
        kept[one.name] = {"bytes": one.size, **{tool: dict(counts) for tool, counts in one.reports.items()}}
    return kept


def _secret_tables(title: str, cases: Sequence[Case], arguments: argparse.Namespace) -> dict[str, Any]:
    judged = verdicts(cases)
    table = Table(f"{title}: {len(cases):,} files", ["", *_SCORES, "found", "missed", "false", "named right"])
    for name, verdict in judged.items():
        total = verdict.total()
        counts = (total.hits, total.missed, total.false, sum(verdict.named.values()))
        table.add(name, *_cells(total), *(f"{count:,}" for count in counts))
    table.show()
    kinds = sorted({case.kind for case in cases if case.lines})
    _by_kind("Kinds of which a peer finds more than we do", judged, [k for k in kinds if _beaten(judged, k)])
    _by_kind(
        "Other kinds of which we miss some", judged, [k for k in kinds if _gap(judged, k) and not _beaten(judged, k)]
    )
    for name, verdict in judged.items():
        _astray(name, verdict, arguments.examples)
    return {
        name: {
            "all": _figures(verdict.total()),
            "named": sum(verdict.named.values()),
            "kinds": {kind: _figures(verdict.by_kind[kind]) for kind in kinds},
        }
        for name, verdict in judged.items()
    }


def _recall(judged: dict[str, Verdict], tool: str, kind: str) -> float:
    return judged[tool].by_kind[kind].recall or 0.0


def _beaten(judged: dict[str, Verdict], kind: str) -> bool:
    return max(_recall(judged, tool, kind) for tool in TOOLS) > _recall(judged, OURS, kind)


def _gap(judged: dict[str, Verdict], kind: str) -> bool:
    return _recall(judged, OURS, kind) < 1


def _by_kind(title: str, judged: dict[str, Verdict], kinds: Iterable[str]) -> None:
    table = Table(f"{title} (recall)", ["", *judged, "named right", "one that we miss"])
    for kind in kinds:
        recalls = [f"{_recall(judged, tool, kind):.2f}" for tool in judged]
        missed = judged[OURS].missed[kind]
        table.add(kind, *recalls, str(judged[OURS].named[kind]), missed[0].strip()[:80] if missed else "")
    if table.rows:
        table.show()


def _astray(name: str, verdict: Verdict, examples: int) -> None:
    worst = sorted(verdict.astray.items(), key=lambda entry: -len(entry[1]))
    for rule, lines in worst[: 4 * examples]:
        print(f"  {name} reports {rule} {len(lines)} times where no secret is: {lines[0]}")


def _examples(kinds: dict[str, tuple[list[str], list[str]]], most: int) -> None:
    for kind, (missed, false) in kinds.items():
        for what, texts in (("missed", missed), ("false", false)):
            for text in texts[:most]:
                print(f"  {kind} {what}: {text}")


def _headed(name: str) -> list[str]:
    return [f"{name} P", "R", "F1"]


def _cells(score: Score | None) -> list[str]:
    if score is None:
        return ["", "", ""]
    shares: list[Callable[[], float | None]] = [lambda: score.precision, lambda: score.recall, lambda: score.f1]
    return ["–" if share() is None else f"{share():.3f}" for share in shares]


def _beside(ours: Score, rivals: Sequence[Score]) -> str:
    best = max((rival.f1 for rival in rivals), default=0.0)
    return f"{ours.f1 / best:.2f}{' !' if ours.f1 < best else ''}" if best else ""


def _figures(score: Score | None) -> dict[str, Any] | None:
    if score is None:
        return None
    return {
        "precision": score.precision,
        "recall": score.recall,
        "f1": round(score.f1, 4),
        "found": score.hits,
        "missed": score.missed,
        "false": score.false,
    }
