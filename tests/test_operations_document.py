"""The dashboard, the alerts and docs/operations.md speak of metrics and spans that there are, and of them rightly."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.known_metrics import Known, known_metrics

ROOT = Path(__file__).parent.parent
DOCUMENT = (ROOT / "docs" / "operations.md").read_text("utf-8")
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "scanledger.json").read_text("utf-8"))
ALERTS = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text("utf-8"))["groups"][0]["rules"]
KNOWN = known_metrics()
SAMPLES = {sample: known for known in KNOWN.values() for sample in known.samples}
OTHERS = {"up", "process_resident_memory_bytes"}
"""What Prometheus itself adds, and what any process tells."""

_METRIC = re.compile(r"\b(?:scanledger_\w+|process_\w+|up)\b")
_ONE_OF_MANY = re.compile(r"(?:max|min)(?: by \([\w, ]+\))? ?\((?:(?:rate|increase|deriv)\()?$")


def panels() -> Iterator[dict[str, Any]]:
    yield from (panel for panel in DASHBOARD["panels"] if panel["type"] != "row")


def queries() -> list[str]:
    of_panels = [target["expr"] for panel in panels() for target in panel["targets"]]
    scaling = re.findall(r"^ +query: (.+)$", DOCUMENT, re.MULTILINE)
    return [*of_panels, *(rule["expr"] for rule in ALERTS), *scaling]


def test_the_document_tells_every_metric_with_its_type_its_labels_and_its_meaning():
    rows = re.findall(r"^\| `(scanledger_\w+)` \| (\w+) \| ([^|]+) \| (\w+) \| ([^|]+) \|$", DOCUMENT, re.MULTILINE)
    told = {
        name: (kind, tuple(re.findall(r"`(\w+)`", labels)), where, said) for name, kind, labels, where, said in rows
    }
    assert told == {name: (known.kind, known.labels, known.where, known.told) for name, known in KNOWN.items()}


def test_every_metric_that_the_document_names_exists():
    named = set(re.findall(r"scanledger_[a-z_]+", DOCUMENT)) - {"scanledger_"}
    assert named <= set(SAMPLES) | set(KNOWN)


def test_the_names_of_metrics_follow_the_conventions():
    for name, known in KNOWN.items():
        assert (known.kind == "counter") == name.endswith("_total"), name
        assert not re.search(r"_(ms|milliseconds|minutes|kb|mb|percent)(_|$)", name), name
        assert not {"scan", "scan_id", "tenant", "connector", "object", "worker"} & set(known.labels), name


@pytest.mark.parametrize("query", queries())
def test_a_query_asks_for_metrics_and_labels_that_there_are(query: str):
    assert query.count("(") == query.count(")")
    metrics = _metrics(query)
    assert metrics
    labels = {"instance", "job", "le", *(label for name in metrics - OTHERS for label in SAMPLES[name].labels)}
    named = re.findall(r"(\w+)(?:=~|!~|!=|=)\"", query)
    grouped = [label.strip() for group in re.findall(r"\bby \(([^)]*)\)", query) for label in group.split(",")]
    assert {*named, *grouped} <= labels


def _metrics(query: str) -> set[str]:
    found = set(_METRIC.findall(re.sub(r"\"[^\"]*\"", '""', query)))
    assert found - OTHERS <= set(SAMPLES)
    return found


def _of_the_whole_service(known: Known) -> bool:
    return known.where == "api" and not known.samples[0].startswith("scanledger_api_")


@pytest.mark.parametrize("query", queries())
def test_what_every_api_tells_alike_is_never_added_up_over_them(query: str):
    for match in _METRIC.finditer(query):
        known = SAMPLES.get(match.group())
        if known is not None and _of_the_whole_service(known):
            assert _ONE_OF_MANY.search(query[: match.start()]), match.group()


def test_the_dashboard_shows_every_metric_of_the_service():
    shown = {name for panel in panels() for target in panel["targets"] for name in _metrics(target["expr"])}
    wanted = {known.samples for known in KNOWN.values()}
    assert [samples for samples in wanted if not shown & set(samples)] == []


def test_the_dashboards_panels_lie_side_by_side_and_have_ids_of_their_own():
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    taken: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {(place["x"] + dx, place["y"] + dy) for dx in range(place["w"]) for dy in range(place["h"])}
        assert place["x"] + place["w"] <= 24
        assert not cells & taken, panel["title"]
        taken |= cells


def test_every_alert_says_how_grave_it_is_what_is_wrong_and_what_to_do():
    assert len({rule["alert"] for rule in ALERTS}) == len(ALERTS)
    for rule in ALERTS:
        assert rule["labels"]["severity"] in {"critical", "warning"}
        assert {"summary", "remedy"} == set(rule["annotations"])
        mentioned = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
        grouped = set(re.findall(r"\w+", " ".join(re.findall(r"\bby \(([^)]*)\)", rule["expr"]))))
        assert mentioned <= grouped | {"instance"}
        assert re.fullmatch(r"\d+[smh]", rule.get("for", "0m"))
