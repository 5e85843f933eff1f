"""How a process is set up for operators: it loads and opens only what it is told to."""

import json
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from pydantic import ValidationError

from application.messages import CredentialsAnswer
from application.process_figures import FAMILIES, ProcessFigures
from application.tracing import Untraced, current
from domain.errors import Invalid
from infrastructure.embedded.folder import LOOPBACK, free_port
from infrastructure.settings import Settings
from infrastructure.supervisor import PROGRAMS, Supervisor
from infrastructure.wiring import open_tracing, serve_figures
from workers.__main__ import main

ROOT = Path(__file__).parents[2]


def python(program: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SCANLEDGER_CONFIG": ""}
    return subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=False)


def test_without_a_collector_nothing_of_opentelemetry_is_loaded_by_any_process():
    done = python(
        "import sys, api.__main__, workers.__main__, infrastructure.api_ports\n"
        "from infrastructure.wiring import Settings, open_tracing\n"
        "assert not open_tracing(Settings(), 'api').on\n"
        "print([name for name in sys.modules if name.startswith('opentelemetry')])\n"
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_an_untraced_span_gives_what_is_published_no_trace_context():
    with Untraced().span("x", "00-1-2-01") as span:
        span.set({"a": 1})
        assert current() is None


def test_a_span_continues_the_trace_it_is_given_and_begins_one_of_its_own_for_a_malformed_context():
    tracing = open_tracing(Settings(otlp_endpoint=f"http://{LOOPBACK}:{free_port(LOOPBACK)}"), "api")
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    try:
        given = "4bf92f3577b34da6a3ce929d0e0e4736"
        with tracing.span("x", f"00-{given}-00f067aa0ba902b7-00"):
            assert str(current()).split("-")[1::2] == [given, "00"]
        with tracing.span("x", "nonsense"):
            assert str(current()).split("-")[1] not in {given, "0" * 32}
        assert current() is None
    finally:
        began = time.monotonic()
        tracing.close()
    assert time.monotonic() - began < 3, "nobody waits for a collector that is away"


def test_own_metrics_are_answered_where_the_setting_says_and_begin_at_zero():
    figures, port = ProcessFigures(), free_port(LOOPBACK)
    figures.of_roles("recorder", "orchestrator")
    figures.add("recorder_reports", "changed", by=3)
    serve_figures(Settings(metrics_port=port), figures)
    text = httpx.get(f"http://{LOOPBACK}:{port}/metrics", trust_env=False).text
    told = {sample.name: sample.value for family in text_string_to_metric_families(text) for sample in family.samples}
    assert 'scanledger_recorder_reports_total{verdict="changed"} 3.0' in text
    assert 'scanledger_recorder_reports_total{verdict="unchanged"} 0.0' in text
    assert told["scanledger_orchestrator_leads"] == 0
    assert not any(name.startswith("scanledger_scanner") for name in told)
    with pytest.raises(Invalid, match="metrics_port"):
        serve_figures(Settings(metrics_port=port), figures)


def test_a_worker_whose_metrics_port_is_taken_says_so_and_ends_with_2(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    port = free_port(LOOPBACK)
    serve_figures(Settings(metrics_port=port), ProcessFigures())
    monkeypatch.setenv("SCANLEDGER_CONFIG", "")
    monkeypatch.setenv("SCANLEDGER_NATS_URL", "nats://127.0.0.1:1")
    monkeypatch.setenv("SCANLEDGER_METRICS_PORT", str(port))
    assert main(["scanner"]) == 2
    assert f"metrics_port: {LOOPBACK}:{port} cannot be listened on" in capsys.readouterr().err


def test_every_figure_is_of_a_role_and_counters_say_which_values_their_label_has():
    for name, family in FAMILIES.items():
        assert name.partition("_")[0] in {"scanner", "recorder", "orchestrator"}
        assert bool(family.label) == bool(family.values), name


def test_under_up_each_worker_process_has_a_metrics_port_of_its_own(tmp_path: Path):
    settings = Settings(data=tmp_path, metrics_port=9_500)
    supervisor = Supervisor(settings, migrate=lambda _: None, bootstrap=lambda *_: "")
    workers = [program for program in PROGRAMS if program.role != "api"]
    ports = [supervisor._with_own_port(settings, program).metrics_port for program in workers]
    assert ports == list(range(9_500, 9_500 + len(workers)))


@pytest.mark.parametrize("form", ["json", "text"])
def test_a_log_entry_of_ours_or_of_a_library_is_one_line_in_the_form_that_is_set(form: str):
    done = python(
        "import logging, structlog\n"
        "from infrastructure.wiring import Settings, configure_logging\n"
        f"configure_logging(Settings(log_format={form!r}))\n"
        "structlog.get_logger('x').info('ours.happened', scan='scan-1')\n"
        "logging.getLogger('library').warning('theirs %s', 'happened')\n"
    )
    lines = done.stderr.splitlines()
    assert len(lines) == 2
    if form == "json":
        ours, theirs = map(json.loads, lines)
        assert (ours["event"], ours["scan"], ours["level"]) == ("ours.happened", "scan-1", "info")
        assert (theirs["event"], theirs["logger"], theirs["level"]) == ("theirs happened", "library", "warning")
    else:
        assert "ours.happened" in lines[0]
        assert "scan=scan-1" in lines[0]
        assert "theirs happened" in lines[1]


def test_an_error_about_a_message_repeats_nothing_of_it():
    with pytest.raises(ValidationError) as caught:
        CredentialsAnswer.model_validate_json('{"credentials": {"key": ["hush"]}}')
    assert "hush" not in str(caught.value)
