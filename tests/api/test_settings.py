"""Where settings come from, how their faults are told, and what each child process gets to know."""

import base64
import os
from pathlib import Path

import pytest

from domain.errors import Invalid
from infrastructure.embedded.environment import child_environment, embedded_settings
from infrastructure.embedded.folder import DataFolder
from infrastructure.settings import Role, Settings, variable
from infrastructure.settings_sources import load_settings

KEY = base64.b64encode(bytes(range(32))).decode()
PASSWORD = "hunter2-database"
BROKER_PASSWORD = "hunter2-broker"
API_KEY = "sl_1_hunter2"


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in os.environ:
        if name.startswith("SCANLEDGER_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def faults_of(flags: dict[str, object] | None = None, config: Path | None = None) -> dict[str, str]:
    with pytest.raises(Invalid) as raised:
        load_settings(flags, config=config)
    return {fault.field: fault.message for fault in raised.value.faults}


def test_flags_come_before_the_environment_before_the_file_before_defaults(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "scanledger.toml").write_text('port = 1\nworkers = 1\npool = "file"\n')
    monkeypatch.setenv("SCANLEDGER_PORT", "2")
    monkeypatch.setenv("SCANLEDGER_WORKERS", "2")
    settings = load_settings({"port": 3, "host": None})
    assert (settings.port, settings.workers, settings.pool, settings.host) == (3, 2, "file", "127.0.0.1")


def test_the_file_is_the_named_one_else_the_environments_else_the_one_here(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("scanledger", "environment", "flag"):
        (tmp_path / f"{name}.toml").write_text(f'pool = "{name}"\n')
    assert load_settings().pool == "scanledger"
    monkeypatch.setenv("SCANLEDGER_CONFIG", "environment.toml")
    assert load_settings().pool == "environment"
    assert load_settings(config=Path("flag.toml")).pool == "flag"
    monkeypatch.setenv("SCANLEDGER_CONFIG", "")
    assert load_settings().pool == "default"


def test_every_fault_is_told_at_once_with_its_origin_and_what_is_expected(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "scanledger.toml").write_text('prot = 1\npool = "Not A Pool"\n[tiers.free]\nmax_files = 0\nseats = 2\n')
    monkeypatch.setenv("SCANLEDGER_WORKERS", "many")
    monkeypatch.setenv("SCANLEDGER_NATS_USER", "someone")
    faults = faults_of({"port": 70_000})
    assert set(faults) == {
        "prot", "pool", "tiers.free.max_files", "tiers.free.seats", "workers", "port", "nats_password",
    }  # fmt: skip
    assert faults["prot"] == "unknown key in scanledger.toml: did you mean port?"
    assert "--port" in faults["port"]
    assert "SCANLEDGER_WORKERS" in faults["workers"]
    assert "expected: chunks" in faults["workers"]


def test_a_file_that_is_missing_or_no_toml_is_one_fault(tmp_path: Path) -> None:
    assert "cannot be read" in faults_of(config=tmp_path / "none.toml")["config"]
    (tmp_path / "scanledger.toml").write_text("port = = 1")
    assert "line 1" in faults_of()["config"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("database_url", f"mysql://me:{PASSWORD}@host/db"),
        ("nats_url", f"nats://me:{PASSWORD}@host:4222"),
        ("nats_url", "broker:4222"),
        ("url", "ftp://host"),
        ("encryption_key", base64.b64encode(b"too short").decode()),
        ("encryption_key", "not base64!"),
        ("filesystem_roots", "relative/path"),
        ("s3_endpoints", "store:9000,http://other"),
        ("s3_endpoints", "10.0.0.1/8"),
        ("default_tier", "gold"),
        ("log_level", "chatty"),
        ("log_format", "xml"),
        ("metrics_port", "65536"),
        ("otlp_endpoint", "collector:4318"),
        ("otlp_endpoint", f"https://me:{PASSWORD}@collector:4318"),
    ],
)
def test_a_wrong_value_is_refused_and_a_secret_in_it_not_repeated(field: str, value: str) -> None:
    faults = faults_of({field: value})
    assert set(faults) == {field}
    assert PASSWORD not in faults[field]


def test_every_wrong_endpoint_pattern_is_told_and_a_right_one_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCANLEDGER_S3_ENDPOINTS", "store:9000, 10.0.0.1/8, http://other")
    fault = faults_of()["s3_endpoints"]
    assert "write 10.0.0.0/8" in fault
    assert "'http://other'" in fault
    assert "SCANLEDGER_S3_ENDPOINTS" in fault
    assert "store:9000" not in fault


def test_a_tier_given_in_part_keeps_the_other_limits(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "scanledger.toml").write_text("[tiers.free]\nmax_files = 7\n")
    monkeypatch.setenv("SCANLEDGER_TIERS__FREE__MAX_WORKERS", "3")
    settings = load_settings()
    free = settings.tier("free")
    assert (free.max_files, free.max_workers, free.requests_per_minute) == (7, 3, 120)
    assert settings.tier("team") == Settings().tier("team")


def test_no_secret_shows_in_the_settings_text() -> None:
    assert "hunter2" not in repr(full_settings())


def full_settings(**more: object) -> Settings:
    return load_settings(
        {
            "database_url": f"postgresql://me:{PASSWORD}@host/db",
            "nats_url": "nats://broker:4222",
            "nats_user": "coordinator",
            "nats_password": BROKER_PASSWORD,
            "worker_nats_user": "worker",
            "worker_nats_password": "fewer-rights",
            "encryption_key": KEY,
            "api_key": API_KEY,
            "filesystem_roots": "/srv/a:/srv/b",
            "s3_endpoints": "*.example.com:9000, fd12::/16",
            "webhook_endpoints": "hooks.internal",
            "tiers": {"free": {"max_files": 5}},
            **more,
        }
    )


def test_a_scanner_learns_neither_database_nor_key_nor_the_coordinators_login() -> None:
    inherited = {
        "PATH": "/bin",
        "PGPASSWORD": PASSWORD,
        "SCANLEDGER_DATABASE_URL": PASSWORD,
        "SCANLEDGER_API_KEY": API_KEY,
        "SCANLEDGER_ENCRYPTION_KEY": KEY,
        "SCANLEDGER_NATS_PASSWORD": BROKER_PASSWORD,
    }
    environment = child_environment("scanner", full_settings(seal_key=KEY, seal_folder="s3://hunter2"), inherited)
    told = "\n".join(environment.values())
    assert not [secret for secret in (PASSWORD, KEY, API_KEY, BROKER_PASSWORD) if secret in told]
    assert environment["SCANLEDGER_WORKER_NATS_PASSWORD"] == "fewer-rights"
    assert environment["PATH"] == "/bin"


@pytest.mark.parametrize("role", ["api", "coordinator", "scanner"])
def test_a_child_reads_back_what_it_was_told_and_no_file(
    role: Role, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    settings = full_settings(pool="blue", ack_wait_seconds=7, max_object_bytes=1_000, seal_key=KEY)
    (tmp_path / "scanledger.toml").write_text(f'database_url = "postgresql://file:{PASSWORD}@host/db"\n')
    for name, value in child_environment(role, settings, {}).items():
        monkeypatch.setenv(name, value)
    child = load_settings()
    assert child.broker(role) == settings.broker(role)
    for name in ("pool", "ack_wait_seconds", "max_object_bytes", "filesystem_roots", "grace_seconds"):
        assert getattr(child, name) == getattr(settings, name)
    assert child.s3_endpoints == (() if role == "coordinator" else ("*.example.com:9000", "fd12::/16"))
    assert child.api_key is None
    assert (child.seal_key is None) is (role != "coordinator")
    if role == "scanner":
        assert (child.database_url, child.encryption_key) == (None, None)
    else:
        assert (child.database_url, child.tiers) == (settings.database_url, settings.tiers)


def test_a_scanner_without_a_login_of_its_own_takes_the_coordinators() -> None:
    settings = load_settings({"nats_url": "nats://b:4222", "nats_user": "only", "nats_password": "one"})
    environment = child_environment("scanner", settings, {})
    assert environment["SCANLEDGER_WORKER_NATS_USER"] == "only"
    assert environment["SCANLEDGER_WORKER_NATS_URL"] == "nats://b:4222"


def test_a_role_names_everything_it_lacks() -> None:
    with pytest.raises(Invalid) as raised:
        Settings().require("api")
    assert {fault.field for fault in raised.value.faults} == {"database_url", "nats_url", "encryption_key"}
    assert variable("database_url") in str(raised.value)
    full_settings().require("api")
    with pytest.raises(Invalid):
        Settings().require("scanner")


def test_embedded_defaults_yield_to_what_is_given(tmp_path: Path) -> None:
    folder = DataFolder(tmp_path)
    embedded = embedded_settings(load_settings(), folder, postgres_port=None, nats_port=None)
    assert (embedded.ack_wait_seconds, embedded.filesystem_roots) == (10, (Path.home(), Path("/tmp")))
    assert (load_settings().s3_endpoints, embedded.s3_endpoints) == ((), ("*",))
    assert (load_settings().webhook_endpoints, "127.0.0.0/8" in embedded.webhook_endpoints) == ((), True)
    assert len(embedded.encryption_key_bytes()) == 32
    again = embedded_settings(load_settings(), folder, postgres_port=None, nats_port=None)
    assert again.encryption_key_bytes() == embedded.encryption_key_bytes()
    assert again.seal_key_bytes() == embedded.seal_key_bytes() != embedded.encryption_key_bytes()
    assert embedded.seal_folder == str(tmp_path / "checkpoints")
    given = full_settings(ack_wait_seconds=30, seal_key=KEY, seal_folder="s3://audit/seal")
    assert embedded_settings(given, folder, postgres_port=None, nats_port=None) == given.model_copy(
        update={"data": folder.path, "grace_seconds": 4.0}
    )


def test_every_setting_says_what_it_is() -> None:
    assert [name for name, field in Settings.model_fields.items() if not field.description] == []
