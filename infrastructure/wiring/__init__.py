"""The composition root: where ports get their adapters. Importing it has no effect and loads no database driver,
no provider's SDK and no detection engine; each process loads what its role needs, when it asks for it here.
"""

from typing import TYPE_CHECKING, Any

from infrastructure.api_scopes import SCOPES, USUAL_SCOPES
from infrastructure.processes import cores, die_with_parent, limit_memory
from infrastructure.wiring.database import (
    LeadLost,
    lead_log,
    migrate_database,
    open_credentials,
    open_inventories,
    open_inventory,
    open_log,
    open_manifest,
    open_projector,
    open_recorder,
    open_rulesets,
    rebuild_views,
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
    open_broker,
    prepare_streams,
    recorder_pull,
    restore_streams,
    workers_pull,
)
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

if TYPE_CHECKING:
    from nats.aio.msg import Msg as Message

    from infrastructure.messaging.broker import Broker, MessageTooLarge
    from infrastructure.messaging.pulling import Pull
    from infrastructure.messaging.streams import (
        COMMANDS,
        CONTROL,
        REPORTS,
        chunk_subject,
        control_id,
        control_subject,
        credentials_subject,
        listing_subject,
        report_subject,
        telemetry_subject,
    )
    from infrastructure.settings import Role, Settings, TierName, variable
    from infrastructure.settings_sources import load_settings

__all__ = [
    "COMMANDS",
    "CONTROL",
    "REPORTS",
    "SCOPES",
    "USUAL_SCOPES",
    "Broker",
    "LeadLost",
    "Message",
    "MessageTooLarge",
    "Pull",
    "Role",
    "Settings",
    "TierName",
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
    "migrate_database",
    "open_api_ports",
    "open_broker",
    "open_credentials",
    "open_detection",
    "open_inventories",
    "open_inventory",
    "open_local_detection",
    "open_log",
    "open_manifest",
    "open_projector",
    "open_recorder",
    "open_rulesets",
    "open_source",
    "prepare_streams",
    "rebuild_views",
    "recorder_pull",
    "report_subject",
    "restore_streams",
    "revoke_key",
    "run_until_signalled",
    "running_service",
    "serve",
    "telemetry_subject",
    "try_detectors",
    "tune_collector",
    "utc_now",
    "variable",
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
