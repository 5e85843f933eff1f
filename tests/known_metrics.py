"""Every metric there is, from the code: its type, its labels with the process that tells it, and what it says."""

from collections.abc import Mapping
from dataclasses import dataclass

from prometheus_client.core import Metric

from api.metrics import Metrics
from api.service_metrics import of_broker, of_database, of_fleet, of_seal
from application.auditing import SealState
from application.messages import Telemetry
from application.operating import ConsumerFigures, DatabaseFigures, FindingTotal, Lag, OpenWork, StreamFigures
from application.process_figures import FAMILIES


@dataclass(frozen=True)
class Known:
    """A family. `samples` are the names that queries use."""

    kind: str
    labels: tuple[str, ...]
    told: str
    where: str
    samples: tuple[str, ...]


def known_metrics() -> Mapping[str, Known]:
    """By the name of the family as an exposition has it, counters with `_total`."""
    figures = DatabaseFigures(
        totals={},
        findings=[FindingTotal("payment.card", "payment", 1, 1)],
        work=OpenWork(),
        events=1,
        lags={"projector": Lag(0, 0.0)},
        webhooks={"dead": 0},
    )
    streams = {"COMMANDS": StreamFigures(0, 0, {"workers-default": ConsumerFigures(0, 0, 0)})}
    fleet = [Telemetry(scanner="s", pool="default", slots=1)]
    metrics = Metrics(lambda: None)  # type: ignore[arg-type, return-value]  # nothing is gathered here
    metrics.observe("/x", "GET", 200, 0.1)
    own = [family for family in metrics.registry.collect() if family.name.startswith("scanledger_")]
    service = [*of_database(figures), *of_seal(SealState(0, 0, 0)), *of_broker(streams), *of_fleet(fleet)]
    known = dict(_known(family, "api") for family in [*service, *own])
    for name, family in FAMILIES.items():
        end = "_total" if family.kind == "counter" else ""
        labels = (family.label,) if family.label else ()
        full = f"scanledger_{name}{end}"
        known[full] = Known(family.kind, labels, family.told, name.partition("_")[0], (full,))
    return known


def _known(family: Metric, where: str) -> tuple[str, Known]:
    name = f"{family.name}_total" if family.type == "counter" else family.name
    samples = tuple(dict.fromkeys(s.name for s in family.samples if not s.name.endswith("_created")))
    labels = tuple(dict.fromkeys(label for s in family.samples for label in s.labels if label != "le"))
    return name, Known(family.type, labels, family.documentation, where, samples)
