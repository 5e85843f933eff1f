"""What tells operators how a process is doing: its traces, and its own metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from application.tracing import Untraced
from domain.errors import Fault, Invalid

if TYPE_CHECKING:
    from application.process_figures import ProcessFigures
    from application.tracing import ScanTraces, Tracing
    from infrastructure.settings import Settings


def open_tracing(settings: Settings, role: str) -> Tracing:
    """Where no collector is set, one that is off and has loaded nothing."""
    if settings.otlp_endpoint is None:
        return Untraced()
    from infrastructure.tracing import OtlpTracing

    return OtlpTracing(settings.otlp_endpoint, role)


def open_scan_traces(settings: Settings) -> ScanTraces:
    from infrastructure.postgres.scan_traces import PostgresScanTraces

    return PostgresScanTraces(settings.database())


def serve_figures(settings: Settings, figures: ProcessFigures) -> None:
    """Answer /metrics with them on the port for it, if one is set. Raises Invalid when that port is taken."""
    if settings.metrics_port == 0:
        return
    from infrastructure.figures_server import serve

    try:
        serve(figures, settings.host, settings.metrics_port)
    except OSError as error:
        message = f"{settings.host}:{settings.metrics_port} cannot be listened on ({error.strerror}): choose another"
        raise Invalid([Fault("metrics_port", message)]) from error
