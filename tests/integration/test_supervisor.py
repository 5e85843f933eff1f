"""`scanledger up` with tiny stand-ins for the service's own processes, and `doctor` beside it."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import psutil
import psycopg
import pytest

from domain.errors import Invalid, ServiceUnavailable
from infrastructure.doctor import Check, worst
from infrastructure.doctor_servers import diagnose
from infrastructure.embedded.child import Program
from infrastructure.embedded.environment import attached_settings
from infrastructure.embedded.folder import DataFolder, DataFolderBusy
from infrastructure.embedded.process import MARK
from infrastructure.settings import Settings
from infrastructure.supervisor import Running, Supervisor, running_service

ROOT = Path(__file__).parents[2]
API = """
import http.server, os, signal, sys, threading
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/readyz" else 404); self.end_headers()
    def log_message(self, *args): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["SCANLEDGER_PORT"])), Ready)
signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
server.serve_forever(0.05)
"""
IDLE = "import threading; threading.Event().wait()"
WITH_GRANDCHILD = f"""
import subprocess, sys, threading
subprocess.Popen([sys.executable, "-c", {IDLE!r}], start_new_session=True)
threading.Event().wait()
"""
STUBBORN = "import signal, threading; signal.signal(signal.SIGTERM, signal.SIG_IGN); threading.Event().wait()"
FAILING = "import sys; sys.exit('no luck today')"


def program(name: str, role: str, script: str) -> Program:
    return Program(name, role, (sys.executable, "-c", script))  # type: ignore[arg-type]  # one of the roles


def stand_ins(scanner: str = IDLE) -> Sequence[Program]:
    return (
        program("coordinator", "coordinator", IDLE),
        program("scanner", "scanner", scanner),
        program("api", "api", API),
    )


def migrate(url: str) -> None:
    with psycopg.connect(url) as connection:
        connection.execute("CREATE TABLE IF NOT EXISTS migrated (n int)")


def bootstrap(settings: Settings, kept: str | None) -> str:
    assert settings.database_url is not None
    return kept or "sl_first_key"


def eventually(holds: Callable[[], bool], within: float = 15.0) -> None:
    tick = threading.Event()
    for _ in range(int(within / 0.02)):
        if holds():
            return
        tick.wait(0.02)
    pytest.fail(f"not within {within} s")


def marked(data: Path) -> list[psutil.Process]:
    """Every living process that bears the mark of `data`: the service's, and what they started."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get(MARK) == str(data) and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (psutil.Error, OSError):
            continue
    return found


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    data = tmp_path_factory.mktemp("service") / "data"
    settings = Settings(data=data, port=0, workers=1)
    with running_service(settings, migrate=migrate, bootstrap=bootstrap, programs=stand_ins()) as running:
        yield running
    assert marked(data) == []


def pids(running: Running, *names: str) -> list[int]:
    return [running.pid_of(name) or 0 for name in names]


ALL = ("postgres", "nats", "api", "coordinator", "scanner")


def test_a_ready_service_answers_and_left_private_credentials(service: Running) -> None:
    written = service.settings.data / "credentials.json"
    assert json.loads(written.read_text()) == {"url": service.url, "api_key": "sl_first_key"}
    assert stat.S_IMODE(written.stat().st_mode) == 0o600
    with psycopg.connect(service.database_url) as connection:
        assert connection.execute("SELECT count(*) FROM migrated").fetchone() == (0,)
    assert "sl_first_key" not in repr(service)


def test_the_scanner_process_holds_no_secret_of_the_others(service: Running) -> None:
    environment = psutil.Process(service.pid_of("scanner")).environ()
    told = "\n".join(environment.values())
    folder = DataFolder(service.settings.data)
    secrets = [folder.secret(name) for name in ("postgres", "postgres_superuser", "nats_coordinator")]
    assert not [secret for secret in (*secrets, folder.encryption_key(), service.api_key) if secret in told]
    assert folder.secret("nats_worker") in told
    assert environment["SCANLEDGER_ACK_WAIT_SECONDS"] == "10.0"


@pytest.mark.parametrize("name", ALL)
def test_a_part_that_was_killed_is_started_again(service: Running, name: str) -> None:
    before = service.pid_of(name)
    assert before is not None
    others = pids(service, *(other for other in ALL if other != name))
    os.kill(before, signal.SIGKILL)
    eventually(lambda: service.pid_of(name) not in {None, before})
    eventually(lambda: serves(service, name))
    assert pids(service, *(other for other in ALL if other != name)) == others


def serves(service: Running, name: str) -> bool:
    pid = service.pid_of(name)
    if pid is None or not psutil.pid_exists(pid):
        return False
    if name == "postgres":
        try:
            psycopg.connect(service.database_url).close()
        except psycopg.OperationalError:
            return False
    address = {"nats": service.settings.nats_url, "api": service.url}.get(name)
    return address is None or listens(int(address.rsplit(":", 1)[1]))


def listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True


def test_a_second_service_on_the_same_data_is_refused_with_the_holders_pid(service: Running) -> None:
    second = Supervisor(service.settings, migrate=migrate, bootstrap=bootstrap, programs=stand_ins())
    with pytest.raises(DataFolderBusy) as raised:
        second.run(lambda _: pytest.fail("two services on one folder"))
    assert raised.value.pid == os.getpid()


def test_another_process_finds_the_running_servers(service: Running) -> None:
    found = attached_settings(Settings(data=service.settings.data))
    assert found.database_url == service.settings.database_url
    assert found.broker("coordinator") == service.settings.broker("coordinator")
    assert found.broker("scanner") == service.settings.broker("scanner")


def checks(settings: Settings, missing: Sequence[str] = ()) -> dict[str, Check]:
    return {check.name: check for check in diagnose(settings, missing=lambda _: missing)}


def test_doctor_finds_a_running_service_well_but_for_streams_nobody_made(service: Running) -> None:
    found = checks(Settings(data=service.settings.data, port=0))
    assert {name for name, check in found.items() if check.state != "ok"} == {"streams"}
    assert found["streams"].state == "warning"
    assert {"database", "database rights", "clock", "schema", "broker", "broker, as a scanner"} <= set(found)
    assert str(os.getpid()) in found["service"].found


def test_doctor_names_a_missing_migration_and_its_remedy(service: Running) -> None:
    found = checks(Settings(data=service.settings.data, port=0), missing=["0002_more.sql"])["schema"]
    assert (found.state, found.remedy) == ("problem", "Run `scanledger migrate`.")
    assert "0002_more.sql" in found.found


def test_doctor_tells_servers_that_are_away_and_never_a_password(tmp_path: Path) -> None:
    settings = Settings(
        data=tmp_path / "data",
        port=0,
        database_url="postgresql://me:hunter2@127.0.0.1:1/db",  # type: ignore[arg-type]  # pydantic makes the secret
        nats_url="nats://127.0.0.1:1",
        nats_user="me",
        nats_password="hunter2",  # type: ignore[arg-type]  # likewise
    )
    found = checks(settings)
    assert found["database"].state == found["broker"].state == found["broker, as a scanner"].state == "problem"
    assert all(check.remedy for check in found.values() if check.state != "ok")
    assert "hunter2" not in str(found)
    assert worst(list(found.values())) == "problem"


def test_doctor_sees_open_files_taken_ports_lost_roots_and_idle_variables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    (data / "credentials.json").write_text("{}")
    (data / "credentials.json").chmod(0o644)
    monkeypatch.setenv("SCANLEDGER_PROT", "1")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        found = checks(Settings(data=data, port=port, filesystem_roots=(tmp_path / "gone",)))
    assert found["data folder"].remedy == f"chmod 600 {data / 'credentials.json'}"
    assert found["port"].state == "problem"
    assert found[f"filesystem root {tmp_path / 'gone'}"].state == "warning"
    assert found["environment SCANLEDGER_PROT"].state == "warning"
    assert found["database"].found.startswith("embedded")


def test_a_taken_port_is_an_invalid_setting_and_leaves_nothing(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        settings = Settings(data=tmp_path / "data", port=taken.getsockname()[1])
        with (
            pytest.raises(Invalid, match="--port"),
            running_service(settings, migrate=migrate, bootstrap=bootstrap, programs=stand_ins()),
        ):
            pytest.fail("started on a taken port")
    assert marked(tmp_path / "data") == []
    assert DataFolder(tmp_path / "data").holder() is None


def test_a_part_that_does_not_stay_up_ends_the_service_with_its_last_words(tmp_path: Path) -> None:
    settings = Settings(data=tmp_path / "data", port=0, nats_url="nats://127.0.0.1:1")
    programs = (program("scanner", "scanner", FAILING),)
    with (
        pytest.raises(ServiceUnavailable, match=r"(?s)scanner does not stay up.*no luck today"),
        running_service(settings, migrate=migrate, bootstrap=bootstrap, programs=programs),
    ):
        pytest.fail("ready without an api")
    assert marked(tmp_path / "data") == []


UP = """
import json, sys
from pathlib import Path
from infrastructure.embedded.child import Program
from infrastructure.settings import Settings
from infrastructure.supervisor import Supervisor, serve
data, grace, scripts = sys.argv[1], float(sys.argv[2]), json.loads(sys.argv[3])
supervisor = Supervisor(
    Settings(data=Path(data), port=0, workers=1, grace_seconds=grace),
    migrate=lambda url: None,
    bootstrap=lambda settings, kept: kept or "sl_" + settings.encryption_key.get_secret_value(),
    programs=[Program(name, name, (sys.executable, "-c", script)) for name, script in scripts.items()],
)
serve(supervisor, lambda running: print(running.url, flush=True))
"""


def up(data: Path, scanner: str = WITH_GRANDCHILD, grace: float = 4.0) -> subprocess.Popen[str]:
    """A process of its own that does what `scanledger up` does."""
    scripts = json.dumps({"coordinator": IDLE, "scanner": scanner, "api": API})
    argv = [sys.executable, "-c", UP, str(data), str(grace), scripts]
    return subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, cwd=ROOT)


def ready(process: subprocess.Popen[str]) -> str:
    """The URL it prints when it is ready; empty when it ended instead."""
    assert process.stdout is not None
    return process.stdout.readline().strip()


def ended(process: subprocess.Popen[str], within: float) -> int:
    code = process.wait(within)
    assert process.stdout is not None
    process.stdout.close()
    return code


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_stops_everything_and_leaves_no_process_and_no_lock(tmp_path: Path, number: signal.Signals) -> None:
    data = tmp_path / "data"
    started = time.monotonic()
    process = up(data)
    assert ready(process).startswith("http://127.0.0.1:")
    assert time.monotonic() - started < 10
    eventually(lambda: len(marked(data)) >= 6)
    process.send_signal(number)
    assert ended(process, within=10) == 0
    assert marked(data) == []
    assert DataFolder(data).holder() is None
    assert not (data / "lock").exists()
    assert not (data / "postgres" / "postmaster.pid").exists()


@pytest.mark.torture
def test_a_stubborn_child_is_killed_within_the_ten_seconds(tmp_path: Path) -> None:
    process = up(tmp_path / "data", scanner=STUBBORN, grace=1.0)
    assert ready(process)
    process.terminate()
    assert ended(process, within=10) == 0
    assert marked(tmp_path / "data") == []


def test_a_second_signal_does_not_wait(tmp_path: Path) -> None:
    process = up(tmp_path / "data", scanner=STUBBORN, grace=60.0)
    assert ready(process)
    process.terminate()
    api_gone = DataFolder(tmp_path / "data").kept_port("api") or 0
    eventually(lambda: not listens(api_gone))
    process.terminate()
    assert ended(process, within=10) == 0
    assert marked(tmp_path / "data") == []


def test_after_a_killed_supervisor_the_same_data_starts_again_with_its_key(tmp_path: Path) -> None:
    data = tmp_path / "data"
    process = up(data)
    url = ready(process)
    written = (data / "credentials.json").read_text()
    process.kill()
    ended(process, within=10)
    again = up(data)
    assert ready(again) == url
    assert (data / "credentials.json").read_text() == written
    again.terminate()
    assert ended(again, within=10) == 0
    assert marked(data) == []


def test_after_a_kill_of_every_process_at_once_the_same_data_starts_again(tmp_path: Path) -> None:
    data = tmp_path / "data"
    process = up(data)
    url = ready(process)
    for victim in [psutil.Process(process.pid), *marked(data)]:
        victim.kill()
    ended(process, within=10)
    again = up(data)
    assert ready(again) == url
    again.terminate()
    assert ended(again, within=10) == 0
    assert marked(data) == []
