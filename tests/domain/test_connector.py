"""A connector as its events tell it."""

from typing import Any

import pytest

from domain.connector import (
    Connector,
    ConnectorChanged,
    ConnectorCreated,
    ConnectorDeleted,
    ConnectorEvent,
    ConnectorStatus,
    ConnectorTested,
    ConnectorType,
    Execution,
    evolve,
)
from tests.domain.given import KEY, LATER, NOON

PENDING, ACTIVE, ERROR, DISABLED = ConnectorStatus


def created(**config: Any) -> Connector:
    return evolve(
        Connector(connector_id="conn-1"),
        ConnectorCreated(
            at=NOON,
            actor=KEY,
            tenant="acme",
            name="Invoices",
            type=ConnectorType.S3,
            execution=Execution.MANAGED,
            pool="default",
            config={"bucket": "b", **config},
            has_credentials=True,
        ),
    )


def after(connector: Connector, *events: ConnectorEvent) -> Connector:
    for event in events:
        connector = evolve(connector, event)
    return connector


def changed(**changes: Any) -> ConnectorChanged:
    return ConnectorChanged(at=LATER, actor=KEY, **changes)


def outcome_of_test(passed: bool = True) -> ConnectorTested:
    return ConnectorTested(at=LATER, actor="system:test", passed=passed, detail="said so")


def test_a_new_connector_waits_for_its_test_and_is_usable() -> None:
    connector = created()
    assert (connector.status, connector.usable, connector.version) == (PENDING, True, 1)
    assert (connector.connector_id, connector.tenant, connector.created_at) == ("conn-1", "acme", NOON)


@pytest.mark.parametrize(("passed", "status"), [(True, ACTIVE), (False, ERROR)])
def test_a_test_decides_the_status_and_leaves_its_sentence(passed: bool, status: ConnectorStatus) -> None:
    connector = after(created(), outcome_of_test(passed))
    assert (connector.status, connector.test_detail) == (status, "said so")


@pytest.mark.parametrize("change", [{"config": {"bucket": "c"}}, {"has_credentials": False}])
def test_another_config_or_credential_needs_a_new_test(change: dict[str, Any]) -> None:
    connector = after(created(), outcome_of_test(), changed(**change))
    assert connector.status is PENDING
    assert all(getattr(connector, name) == value for name, value in change.items())


def test_another_name_needs_no_new_test_and_changes_nothing_else() -> None:
    before = after(created(), outcome_of_test())
    connector = after(before, changed(name="Bills"))
    assert (connector.name, connector.status, connector.config) == ("Bills", ACTIVE, before.config)


@pytest.mark.parametrize(
    "event", [outcome_of_test(True), outcome_of_test(False), changed(config={"bucket": "c"}), changed(name="x")]
)
def test_a_disabled_connector_stays_disabled_until_it_is_enabled(event: ConnectorEvent) -> None:
    disabled = after(created(), outcome_of_test(), changed(status=DISABLED))
    assert not disabled.usable
    assert after(disabled, event).status is DISABLED
    assert after(disabled, event, changed(status=PENDING)).usable


def test_a_deleted_connector_is_not_usable() -> None:
    connector = after(created(), outcome_of_test(), ConnectorDeleted(at=LATER, actor=KEY))
    assert connector.deleted
    assert not connector.usable
    assert connector.version == 3


def test_prefixes_come_from_the_config_and_none_means_all() -> None:
    assert created(prefixes=["a/", "b/"]).prefixes == ("a/", "b/")
    assert created(prefixes=None).prefixes == ()
    assert created().prefixes == ()
