"""`scanledger audit …`: exports that are whole, the key, and the exit codes of the verifier."""

import base64
import json
from pathlib import Path

import pytest

from infrastructure.audit.signing import SealKey
from infrastructure.embedded.folder import DataFolder
from tests.api.cli_documents import Cli
from tests.api.scripted_service import Answer, ScriptedService

pytest_plugins = ["tests.api.cli_fixtures"]

EXPORT = "GET /audit/export"
END = b'{"scanledger":"audit-export"}\n{"end":{"blocks":0,"events":0}}\n'
LINES = {"Content-Type": "application/x-ndjson"}
SEED = bytes(range(32))
PUBLIC = base64.b64encode(SealKey(SEED).public).decode()


def test_an_export_is_written_to_a_file_or_to_standard_output(service: ScriptedService, scanledger: Cli) -> None:
    service.on(EXPORT, Answer(200, END, LINES))
    ran = scanledger("audit", "export", "--scan", "scan-1", "-o", "history.jsonl")
    assert (ran.code, ran.out, Path("history.jsonl").read_bytes()) == (0, "", END)
    ran = scanledger("audit", "export", "--since", "2026-01-01T00:00:00Z", "--until", "2026-02-01T00:00:00Z")
    assert (ran.code, ran.out) == (0, END.decode())


def test_an_export_that_broke_off_leaves_no_file(service: ScriptedService, scanledger: Cli) -> None:
    service.on(EXPORT, Answer(200, END[:40], LINES))
    ran = scanledger("audit", "export", "--scan", "scan-1", "-o", "history.jsonl")
    assert (ran.code, list(Path().iterdir())) == (1, [])
    assert "broke off" in ran.err


@pytest.mark.parametrize("arguments", [(), ("--scan", "scan-1", "--since", "2026-01-01T00:00:00Z")])
def test_an_export_is_of_a_scan_or_of_a_time(scanledger: Cli, arguments: tuple[str, ...]) -> None:
    ran = scanledger("audit", "export", *arguments)
    assert (ran.code, "--scan ID or --since TIME" in ran.err) == (2, True)


def test_the_verifiers_exit_code_is_the_commands(scanledger: Cli) -> None:
    assert scanledger("audit", "verify", "no-such-file").code == 1
    Path("altered.jsonl").write_text(
        '{"scanledger":"audit-export","format":1,"tenant":"t","origin":"o","key":"","scope":{},"first":0,"past":1}\n'
    )
    ran = scanledger("audit", "verify", "altered.jsonl", "--checkpoints", ".")
    assert (ran.code, ran.err) == (10, "TAMPERED WITH: line 1: it does not say what the file is\n")
    assert scanledger("audit", "verify", "altered.jsonl", "--key", "x").code == 2


def test_the_key_is_what_the_service_says_or_what_this_machine_signs_with(
    service: ScriptedService, scanledger: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {"origin": "o", "keys": [{"public_key": "of-the-service", "verifier_key": "", "used_since": ""}]}
    service.on("GET /audit/key", Answer(200, json.dumps({"status": "success", "data": told}).encode()))
    assert scanledger("audit", "key").out == "of-the-service\n"
    assert json.loads(scanledger("audit", "key", "--json").out) == told
    ran = scanledger("audit", "key", "--local")
    assert (ran.code, "SCANLEDGER_SEAL_KEY" in ran.err) == (1, True)
    monkeypatch.setenv("SCANLEDGER_SEAL_KEY", base64.b64encode(SEED).decode())
    assert scanledger("audit", "key", "--local").out == f"{PUBLIC}\n"


def test_the_key_of_a_data_folder_is_found_without_its_service(scanledger: Cli) -> None:
    folder = DataFolder(Path("data"))
    folder.path.mkdir()
    kept = SealKey(base64.b64decode(folder.seal_key()))
    ran = scanledger("audit", "key", "--local", "--data", "data")
    assert ran.out == f"{base64.b64encode(kept.public).decode()}\n"


def test_accepting_a_restore_needs_the_database_and_the_place_outside(scanledger: Cli) -> None:
    ran = scanledger("audit", "accept-restore")
    assert ran.code == 2
    assert "SCANLEDGER_DATABASE_URL and SCANLEDGER_SEAL_FOLDER" in ran.err
