"""The OpenAPI document is valid, and it is the API."""

import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from api.app import API_ROUTES, BASE, create_app
from api.bodies import Body, validated
from api.frame import Frame
from api.openapi import describe
from api.operations import OPERATIONS
from api.schemas import StartScan
from domain.errors import Invalid
from infrastructure.source_tests import SourceTrials

PAGES = {"/", "/docs", "/web/{name}"}
Document = dict[str, Any]


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Document:
    root: Path = tmp_path_factory.mktemp("root")
    trials = SourceTrials((root,), lambda *_: pytest.fail("opened"), lambda _: {})
    return describe(trials.schemas())


def routes() -> set[tuple[str, str]]:
    """Method and path of every route, as OpenAPI writes them."""
    frame = create_app(lambda: pytest.fail("opened"))
    assert isinstance(frame, Frame)
    app: Any = frame._app
    found = set()
    for route in app.routes:
        path = re.sub(r":\w+}", "}", route.path)
        found |= {(method.lower(), path) for method in route.methods if method != "OPTIONS"}
    return found


def test_every_route_is_described_and_everything_described_is_a_route(document: Document):
    described = {(method, path) for path, item in document["paths"].items() for method in item}
    served = {(method, path) for method, path in routes() if path not in PAGES}
    assert described == served


def test_every_operation_names_the_scope_that_its_route_demands():
    scopes = {o.operation_id: o.scope for o in OPERATIONS if o.path.startswith(f"{BASE}/") and o.tag != "service"}
    assert len(scopes) == len(API_ROUTES)
    demanded = [(route.before_request.scopes or ("",))[0] for route in API_ROUTES]
    assert sorted(demanded) == sorted(str(scope) for scope in scopes.values())


def test_the_document_is_valid_openapi(document: Document):
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []


def test_no_schema_is_dangling(document: Document):
    text = str(document)
    for reference in set(re.findall(r"#/components/(\w+)/([\w.]+)", text)):
        assert reference[1] in document["components"][reference[0]]


@pytest.mark.parametrize(
    "body",
    [
        {"connectors": ["c"], "type": "full", "options": {"max_files": 1, "coverage_target": 1}},
        {"connectors": [], "type": "full"},
        {"connectors": ["c"] * 2, "type": "full"},
        {"connectors": ["c"], "type": "full", "more": 1},
        {"connectors": ["c"], "type": "full", "options": {"max_files": 0}},
        {"connectors": ["c"], "type": "full", "options": {"max_files": None}},
        {"connectors": ["c"], "type": "full", "options": {"timeout_minutes": 10_081}},
        {"connectors": ["c"], "type": "full", "options": {"coverage_target": 1.1}},
        {"connectors": ["c"], "type": "full", "options": {"prefixes": [""]}},
        {"connectors": ["c"], "type": "full", "options": {"prefixes": ["x"] * 101}},
        {"connectors": ["c"], "type": "full", "options": {"llm_assist": 1}},
        {"connectors": ["c"], "type": "incremental", "options": {"detectors": ["pii", "payment.card"], "priority": 0}},
        {"connectors": ["c"], "type": "full", "options": {"detectors": ["Weather"]}},
        {"connectors": ["c"], "type": "full", "options": {"detectors": ["pii"] * 201}},
        {"connectors": ["c"], "type": "full", "options": {"sample_percent": 0}},
        {"connectors": ["c"], "type": "full", "options": {"priority": 10}},
    ],
)
def test_the_schema_of_a_request_and_the_service_agree_on_it(document: Document, body: Document):
    schema = {"$ref": "#/components/schemas/StartScan", "components": document["components"]}
    try:
        validated(StartScan, Body(body))
        taken = True
    except Invalid:
        taken = False
    assert Draft202012Validator(schema).is_valid(body) == taken


def test_examples_of_requests_are_valid(document: Document):
    for name, schema in document["components"]["schemas"].items():
        whole = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
        for example in schema.get("examples", []):
            Draft202012Validator(whole).validate(example)
    assert document["components"]["schemas"]["StartScan"]["examples"]


def test_secrets_can_be_written_and_never_read(document: Document):
    fields = document["components"]["schemas"]["S3Config"]["properties"]
    assert fields["secret_access_key"]["writeOnly"] is True
    assert "writeOnly" not in fields["bucket"]
