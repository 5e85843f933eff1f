"""Errors in words, one shape for all, nothing of the inside."""

from typing import Any

import orjson
import pytest

from api.answers import failure, wants
from api.errors import answer_of
from domain.errors import Conflict, Fault, Invalid, NotFound, ServiceUnavailable, TierLimitExceeded


def scope(**headers: str) -> dict[str, Any]:
    pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
    return {"headers": pairs, "path": "/api/v1/scans", "state": {"request_id": "req-1"}}


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (Invalid([Fault("type", "is required")]), 400, "VALIDATION_ERROR"),
        (NotFound("scan", "x"), 404, "SCAN_NOT_FOUND"),
        (NotFound("connector", "x"), 404, "CONNECTOR_NOT_FOUND"),
        (Conflict("SCAN_ALREADY_FINISHED", "It has ended."), 409, "SCAN_ALREADY_FINISHED"),
        (TierLimitExceeded("options.max_files", 5, 3, "free"), 403, "TIER_LIMIT_EXCEEDED"),
        (ServiceUnavailable("The database does not answer."), 503, "SERVICE_UNAVAILABLE"),
        (ZeroDivisionError("secret detail"), 500, "INTERNAL_ERROR"),
    ],
)
def test_an_error_has_its_status_and_code_in_the_envelope(
    error: Exception, status: int, code: str, capsys: pytest.CaptureFixture[str]
):
    answer = failure(scope(), answer_of(error))
    body = orjson.loads(answer.content)
    assert (answer.status_code, body["error"]["code"], body["status"]) == (status, code, "error")
    assert body["metadata"]["request_id"] == "req-1"
    assert body["error"]["message"].endswith((".", "log."))
    assert b"secret detail" not in answer.content


def test_a_tier_error_tells_the_limit():
    answer = answer_of(TierLimitExceeded("options.max_files", 5, 3, "free"))
    limit = {"field": "options.max_files", "requested": 5, "limit": 3}
    assert answer.details == {**limit, "tier": "free", "exceeded": [limit]}


def test_every_fault_of_an_input_is_listed():
    answer = answer_of(Invalid([Fault("a", "is wrong"), Fault("b", "is wrong too")]))
    assert [fault["field"] for fault in answer.details["fields"]] == ["a", "b"]
    assert "1 more" in answer.message


def test_a_problem_document_is_given_to_who_accepts_it():
    answer = failure(scope(accept="application/problem+json, */*"), answer_of(NotFound("scan", "x")))
    body = orjson.loads(answer.content)
    assert answer.media_type == "application/problem+json"
    assert (body["status"], body["title"], body["code"]) == (404, "Not Found", "SCAN_NOT_FOUND")
    assert body["request_id"] == "req-1"


@pytest.mark.parametrize(
    ("accept", "wanted"),
    [
        ("application/x-ndjson", True),
        ("application/json, Application/X-NDJSON;q=0.5", True),
        ("application/x-ndjson;q=0", False),
        ("*/*", False),
        ("", False),
    ],
)
def test_a_media_type_is_wanted_when_accept_names_it(accept: str, wanted: bool):
    assert wants(accept, "application/x-ndjson") is wanted
