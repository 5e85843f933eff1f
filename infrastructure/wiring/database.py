"""The log, the views that follow it, and all else that is kept in the database."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from infrastructure.wiring.process import utc_now

if TYPE_CHECKING:
    from application.ports import Inventory, ManifestStore, Recorded, Rulesets, ScanLog
    from application.publishing import EventLog
    from application.recording import Recorder
    from application.replay import Replayed
    from infrastructure.postgres.credentials import PostgresCredentials
    from infrastructure.postgres.eraser import Eraser
    from infrastructure.postgres.follower import Follower
    from infrastructure.settings import Settings


def migrate_database(settings: Settings) -> Sequence[str]:
    """Apply the migrations that are missing; gives their names. Needs the database URL and nothing else."""
    from infrastructure.postgres.migrate import migrate
    from infrastructure.postgres.refusals import refusals_told

    with refusals_told():
        return migrate(settings.database())


def open_log(settings: Settings, *, pool_size: int = 4, timeout: float = 5.0, watchful: bool = False) -> ScanLog:
    from infrastructure.postgres.event_log import PostgresScanLog

    return PostgresScanLog(settings.database(), pool_size=pool_size, timeout=timeout, watchful=watchful)


def open_manifest(settings: Settings) -> ManifestStore:
    from infrastructure.postgres.manifest import PostgresManifestStore

    return PostgresManifestStore(settings.database())


def open_recorder(settings: Settings) -> Recorder:
    from application.recording import Recorder

    log = open_log(settings, watchful=True)
    return Recorder(log, open_manifest(settings), open_inventory(settings), utc_now)


def open_inventory(settings: Settings) -> Inventory:
    from infrastructure.postgres.inventory import PostgresInventory

    return PostgresInventory(settings.database())


def open_rulesets(settings: Settings) -> Rulesets:
    from infrastructure.postgres.own_rules import PostgresRuleShelf

    return PostgresRuleShelf(settings.database())


def open_projector(settings: Settings) -> Follower:
    from infrastructure.postgres.projector import projector

    return projector(settings.database())


def open_event_log(settings: Settings) -> EventLog:
    """The log as the publisher reads it."""
    from infrastructure.postgres.event_tail import EventTail

    return EventTail(settings.database())


def open_inventories(settings: Settings) -> Follower:
    from infrastructure.postgres.acceptance import inventories

    return inventories(settings.database())


def open_eraser(settings: Settings) -> Eraser:
    from infrastructure.postgres.eraser import Eraser

    return Eraser(settings.database())


def rebuild_views(settings: Settings, *, dry_run: bool = False) -> Replayed:
    """Fold the views anew from the log, tell what differed, and unless `dry_run` put it right. Needs only the database
    URL. Raises Conflict REBUILD_RUNNING."""
    from infrastructure.postgres.refusals import refusals_told
    from infrastructure.postgres.replay import rebuild

    with refusals_told():
        return rebuild(settings.database(), dry_run=dry_run)


def rebuild_views_until(settings: Settings, until: datetime) -> Replayed:
    """The views as they stood at `until`, in a schema of their own. Needs and raises the same."""
    from infrastructure.postgres.refusals import refusals_told
    from infrastructure.postgres.replay import rebuild_until

    with refusals_told():
        return rebuild_until(settings.database(), until)


def lead_log(
    settings: Settings,
    begin: Callable[[], int],
    deliver: Callable[[Sequence[Recorded]], None],
    stop: threading.Event,
) -> None:
    """Be the leader and tail the log; see `infrastructure.postgres.follower.lead`. Raises LeadLost."""
    import psycopg

    from infrastructure.postgres.follower import lead

    try:
        lead(settings.database(), begin, deliver, stop)
    except psycopg.Error as error:
        raise LeadLost(type(error).__name__) from error


class LeadLost(Exception):
    """The leader's connection is gone, and with it the lead."""


def open_credentials(settings: Settings) -> PostgresCredentials:
    """Connectors' secrets, opened with the installation's key."""
    from infrastructure.postgres.credentials import PostgresCredentials
    from infrastructure.secrets import EnvelopeVault

    return PostgresCredentials(settings.database(), EnvelopeVault(settings.encryption_key_bytes()))
