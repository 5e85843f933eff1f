"""The API's ports, and the whole service on one machine."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import TYPE_CHECKING

from infrastructure.wiring.process import utc_now

if TYPE_CHECKING:
    from application.reading import ApiPorts
    from infrastructure.settings import Role, Settings


def open_api_ports(settings: Settings) -> AbstractAsyncContextManager[ApiPorts]:
    """Everything the API works with, open for as long as the context lasts."""
    from infrastructure import api_ports

    return api_ports.open_api_ports(settings, utc_now)


def _bootstrap(settings: Settings, kept: str | None) -> str:
    from infrastructure.postgres.tenants import bootstrap

    key = settings.encryption_key_bytes()
    return bootstrap(settings.database(), key, tier=settings.default_tier, kept=kept)


def serve(settings: Settings, on_ready: Callable[[str, str], None], notify: Callable[[str], None]) -> None:
    """The embedded service in the foreground, until a signal; see `infrastructure.supervisor.serve`.

    `on_ready` gets its URL and API key, `notify` what a person may want to know meanwhile.
    """
    from infrastructure import supervisor
    from infrastructure.postgres.migrate import migrate

    whole = supervisor.Supervisor(settings, migrate=migrate, bootstrap=_bootstrap, notify=notify)
    supervisor.serve(whole, lambda running: on_ready(running.url, running.api_key))


def running_service(settings: Settings) -> AbstractContextManager[object]:
    """The embedded service for as long as a context lasts; see `infrastructure.supervisor.running_service`."""
    from infrastructure import supervisor
    from infrastructure.postgres.migrate import migrate

    return supervisor.running_service(settings, migrate=migrate, bootstrap=_bootstrap)


def attached_settings(settings: Settings) -> Settings:
    """`settings`, completed by the embedded service that runs on their data folder, if one does."""
    from infrastructure.embedded.environment import attached_settings

    return attached_settings(settings)


def child_environment(role: Role, settings: Settings) -> dict[str, str]:
    """The environment of a process that is told only what `role` needs. Raises Invalid."""
    from infrastructure.embedded.environment import child_environment

    return child_environment(role, settings)


def diagnose(settings: Settings) -> Sequence[Mapping[str, str]]:
    """What `scanledger doctor` looks at: name, state (ok, warning, problem), found and remedy of each check."""
    from infrastructure.doctor_servers import diagnose

    return [check.as_dict() for check in diagnose(settings)]
