"""A process's own /metrics."""

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from application.process_figures import FAMILIES, ProcessFigures


class _Told:
    """The figures, as a registry asks for them."""

    def __init__(self, figures: ProcessFigures) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        for name, values in self._figures.read().items():
            family = FAMILIES[name]
            of = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
            told = of(f"scanledger_{name}", family.told, labels=[family.label] if family.label else [])
            for label, value in values.items():
                told.add_metric([label] if family.label else [], value)
            yield told


def serve(figures: ProcessFigures, host: str, port: int) -> None:
    """Answer GET /metrics from threads of its own, until the process ends. Raises OSError."""
    registry = CollectorRegistry()
    registry.register(_Told(figures))
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    start_http_server(port, addr=host, registry=registry)
