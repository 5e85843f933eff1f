"""The composition root: where ports get their adapters. Importing it has no effect and loads no database driver,
no provider's SDK and no detection engine; each process loads what its role needs, when it asks for it here.
"""

from typing import TYPE_CHECKING, Any

from infrastructure.api_scopes import SCOPES, USUAL_SCOPES
from infrastructure.processes import cores, die_with_parent, limit_memory
from infrastructure.roles import COORDINATOR_ROLES, FOLLOWER_ROLES
from infrastructure.wiring.auditing import accept_restore, local_seal_key, open_seal, verify_export
from infrastructure.wiring.database import (
    LeadLost,
    lead_log,
    migrate_database,
    open_credentials,
    open_eraser,
    open_event_log,
    open_inventories,
    open_inventory,
    open_log,
    open_manifest,
    open_projector,
    open_recorder,
    open_rulesets,
    rebuild_views,
    rebuild_views_until,
)
from infrastructure.wiring.detection import (
    explain_detection,
    local_files,
    open_detection,
    open_local_detection,
    open_source,
    try_detectors,
)
from infrastructure.wiring.messaging import (
    listers_pull,
    nats_config,
    open_broker,
    open_event_stream,
    open_subscriptions,
    prepare_streams,
    recorder_pull,
    restore_streams,
    subscriber_login,
    workers_pull,
)
from infrastructure.wiring.operating import open_scan_traces, open_tracing, serve_figures
from infrastructure.wiring.process import (
    configure_logging,
    run_until_signalled,
    tune_collector,
    utc_now,
)
from infrastructure.wiring.service import (
    attached_settings,
    child_environment,
    diagnose,
    open_api_ports,
    running_service,
    serve,
)
from infrastructure.wiring.tenants import (
    create_key,
    create_tenant,
    list_keys,
    list_tenants,
    revoke_key,
)
from infrastructure.wiring.webhooks import open_webhook_follower, open_webhook_http, open_webhook_queue

if TYPE_CHECKING:
    from nats.aio.msg import Msg as Message

    from infrastructure.messaging.broker import Broker, MessageTooLarge
    from infrastructure.messaging.event_stream import EventStream
    from infrastructure.messaging.pulling import Pull
    from infrastructure.messaging.streams import (
        COMMANDS,
        CONTROL,
        EVENT_ADDRESS,
        REPORTS,
        chunk_subject,
        control_id,
        control_subject,
        credentials_subject,
        listing_subject,
        report_subject,
        subscribe_subject,
        telemetry_subject,
    )
    from infrastructure.settings import Role, Settings, TierName, variable
    from infrastructure.settings_sources import load_settings

__all__ = [
    "COMMANDS",
    "CONTROL",
    "COORDINATOR_ROLES",
    "EVENT_ADDRESS",
    "FOLLOWER_ROLES",
    "REPORTS",
    "SCOPES",
    "USUAL_SCOPES",
    "Broker",
    "EventStream",
    "LeadLost",
    "Message",
    "MessageTooLarge",
    "Pull",
    "Role",
    "Settings",
    "TierName",
    "accept_restore",
    "attached_settings",
    "child_environment",
    "chunk_subject",
    "configure_logging",
    "control_id",
    "control_subject",
    "cores",
    "create_key",
    "create_tenant",
    "credentials_subject",
    "diagnose",
    "die_with_parent",
    "explain_detection",
    "lead_log",
    "limit_memory",
    "list_keys",
    "list_tenants",
    "listers_pull",
    "listing_subject",
    "load_settings",
    "local_files",
    "local_seal_key",
    "migrate_database",
    "nats_config",
    "open_api_ports",
    "open_broker",
    "open_credentials",
    "open_detection",
    "open_eraser",
    "open_event_log",
    "open_event_stream",
    "open_inventories",
    "open_inventory",
    "open_local_detection",
    "open_log",
    "open_manifest",
    "open_projector",
    "open_recorder",
    "open_rulesets",
    "open_scan_traces",
    "open_seal",
    "open_source",
    "open_subscriptions",
    "open_tracing",
    "open_webhook_follower",
    "open_webhook_http",
    "open_webhook_queue",
    "prepare_streams",
    "rebuild_views",
    "rebuild_views_until",
    "recorder_pull",
    "report_subject",
    "restore_streams",
    "revoke_key",
    "run_until_signalled",
    "running_service",
    "serve",
    "serve_figures",
    "subscribe_subject",
    "subscriber_login",
    "telemetry_subject",
    "try_detectors",
    "tune_collector",
    "utc_now",
    "variable",
    "verify_export",
    "workers_pull",
]


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """What this module passes on from another is loaded when it is first asked for."""
        if name in {"Role", "Settings", "TierName", "variable"}:
            from infrastructure import settings as home
        elif name == "load_settings":
            from infrastructure import settings_sources as home
        elif name in {"Broker", "MessageTooLarge"}:
            from infrastructure.messaging import broker as home
        elif name == "EventStream":
            from infrastructure.messaging import event_stream as home
        elif name == "Pull":
            from infrastructure.messaging import pulling as home
        elif name == "Message":
            from nats.aio.msg import Msg

            return Msg
        elif name in __all__:
            from infrastructure.messaging import streams as home
        else:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(home, name)
