"""`scanledger webhooks …` against a scripted service."""

import json

import pytest

from tests.api.cli_documents import Cli
from tests.api.scripted_service import Answer, ScriptedService

pytest_plugins = ["tests.api.cli_fixtures"]

WEBHOOK = {
    "webhook_id": "whk-1",
    "url": "https://hooks.example.com/x",
    "description": "Tickets\x1b[31m",
    "kinds": ["scan.completed"],
    "status": "enabled",
    "disabled_reason": None,
    "created_at": "2026-01-31T12:00:00.000000Z",
}
DELIVERY = {
    "delivery_id": "dlv-7",
    "event_id": "scan-1:3",
    "kind": "scan.completed",
    "status": "dead",
    "attempts": 9,
    "next_attempt_at": None,
    "last_detail": "The receiver answered 500.",
}
PATH = "/webhooks/whk-1/deliveries"


def test_a_webhook_is_made_once_and_its_secret_printed(service: ScriptedService, scanledger: Cli) -> None:
    service.on("POST /webhooks", Answer.data({**WEBHOOK, "secret": "whsec_abc"}, status=201))
    ran = scanledger("webhooks", "add", WEBHOOK["url"], "--kind", "scan.completed", "--description", "Tickets")
    assert (ran.code, "whsec_abc (shown this once)" in ran.out) == (0, True)
    [asked] = service.requests("POST /webhooks")
    assert asked.body == {"url": WEBHOOK["url"], "kinds": ["scan.completed"], "description": "Tickets"}
    assert asked.headers["idempotency-key"]
    assert json.loads(scanledger("webhooks", "add", "https://x.example", "--json").out)["secret"] == "whsec_abc"
    assert service.requests("POST /webhooks")[1].body == {"url": "https://x.example"}


def test_webhooks_are_listed_with_what_became_of_them(service: ScriptedService, scanledger: Cli) -> None:
    gone = {**WEBHOOK, "webhook_id": "whk-2", "status": "disabled", "disabled_reason": "gone"}
    service.on("GET /webhooks", Answer.data([WEBHOOK, gone]))
    ran = scanledger("webhooks", "list")
    assert [line.split()[:2] for line in ran.out.splitlines()[1:]] == [["whk-1", "enabled"], ["whk-2", "gone"]]
    assert "\x1b" not in ran.out
    assert json.loads(scanledger("webhooks", "list", "--json").out) == [WEBHOOK, gone]


@pytest.mark.parametrize(("ok", "code"), [(True, 0), (False, 1)])
def test_a_test_tells_what_came_back_and_exits_by_it(
    service: ScriptedService, scanledger: Cli, ok: bool, code: int
) -> None:
    data = {"webhook_id": "whk-1", "ok": ok, "detail": "The receiver answered 418.", "milliseconds": 12}
    service.on("POST /webhooks/whk-1/test", Answer.data(data))
    ran = scanledger("webhooks", "test", "whk-1")
    assert (ran.code, "The receiver answered 418. (12 ms)" in ran.out) == (code, True)
    assert scanledger("webhooks", "test", "whk-1", "--json").code == code


def test_a_secret_is_rotated_and_a_webhook_switched_and_removed(service: ScriptedService, scanledger: Cli) -> None:
    rotated = {"webhook_id": "whk-1", "secret": "whsec_new", "former_valid_until": "2026-02-01T12:00:00.000000Z"}
    service.on("POST /webhooks/whk-1/rotate-secret", Answer.data(rotated))
    service.on("PATCH /webhooks/whk-1", Answer.data(WEBHOOK))
    service.on("DELETE /webhooks/whk-1", Answer.data({"deleted": True}))
    ran = scanledger("webhooks", "rotate-secret", "whk-1", "--overlap-hours", "0")
    assert ("whsec_new" in ran.out, "2026-02-01 12:00:00Z" in ran.out) == (True, True)
    assert service.requests("POST /webhooks/whk-1/rotate-secret")[0].body == {"overlap_hours": 0}
    assert json.loads(scanledger("webhooks", "rotate-secret", "whk-1", "--json").out) == rotated
    assert [scanledger("webhooks", name, "whk-1").code for name in ("enable", "disable", "remove")] == [0, 0, 0]
    assert [asked.body for asked in service.requests("PATCH /webhooks/whk-1")] == [
        {"status": "enabled"},
        {"status": "disabled"},
    ]
    assert len(service.requests("DELETE /webhooks/whk-1")) == 1


def test_deliveries_are_listed_by_their_state_and_sent_again(service: ScriptedService, scanledger: Cli) -> None:
    service.on(f"GET {PATH}", Answer.data([DELIVERY, {**DELIVERY, "delivery_id": "dlv-3"}]))
    ran = scanledger("webhooks", "deliveries", "whk-1", "--status", "dead")
    assert ran.out.splitlines()[1].split()[:4] == ["dlv-7", "dead", "9", "–"]
    assert service.requests(f"GET {PATH}")[0].query["status"] == ["dead"]
    for name in ("dlv-7", "dlv-3"):
        service.on(f"POST {PATH}/{name}/resend", Answer.data({**DELIVERY, "delivery_id": name}))
    assert scanledger("webhooks", "resend", "whk-1", "dlv-7").code == 0
    ran = scanledger("webhooks", "resend", "whk-1", "--dead")
    assert [line.split()[0] for line in ran.out.splitlines()] == ["dlv-7", "dlv-3"]
    assert scanledger("webhooks", "resend", "whk-1").code == 2
    assert scanledger("webhooks", "resend", "whk-1", "dlv-7", "--dead").code == 2
    service.on(f"GET {PATH}", Answer.data([]))
    assert "Nothing is dead." in scanledger("webhooks", "resend", "whk-1", "--dead").err
