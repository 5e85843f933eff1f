"""Tenants and their API keys, for an operator with the database at hand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from domain.errors import Conflict, NotFound

if TYPE_CHECKING:
    from infrastructure.settings import Settings


def create_tenant(settings: Settings, tenant: str, tier: str) -> Mapping[str, Any]:
    """Make a tenant. Raises Conflict when there is one of that name."""
    from infrastructure.postgres import tenants

    if not tenants.ensure_tenant(settings.database(), tenant, name=tenant, tier=tier):
        raise Conflict("TENANT_EXISTS", f"There is a tenant {tenant!r} already; nothing was changed.")
    return {"tenant_id": tenant, "name": tenant, "tier": tier}


def list_tenants(settings: Settings) -> Sequence[Mapping[str, Any]]:
    from infrastructure.postgres import tenants

    return [asdict(tenant) for tenant in tenants.tenants(settings.database())]


def create_key(settings: Settings, tenant: str, scopes: Sequence[str]) -> Mapping[str, Any]:
    """Make an API key, whose secret is in the answer and nowhere else. Raises NotFound for an unknown tenant."""
    from infrastructure.postgres import tenants

    token = tenants.make_key(settings.database(), settings.encryption_key_bytes(), tenant, scopes)
    return {"key_id": token.split("_")[1], "tenant_id": tenant, "scopes": list(scopes), "api_key": token}


def list_keys(settings: Settings, tenant: str | None = None) -> Sequence[Mapping[str, Any]]:
    """The API keys of a tenant, or of all, without their secrets. Raises NotFound for an unknown tenant."""
    from infrastructure.postgres import tenants

    return [asdict(key) for key in tenants.api_keys(settings.database(), tenant)]


def revoke_key(settings: Settings, key_id: str) -> None:
    """Revoke an API key; running processes follow within ten seconds. Raises NotFound when no valid one has the id."""
    from infrastructure.postgres import tenants

    if not tenants.revoke_key(settings.database(), key_id):
        raise NotFound("valid key", key_id)
