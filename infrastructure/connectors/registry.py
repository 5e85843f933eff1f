"""The one place that knows which source belongs to which type of connector."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from application.ports import ObjectSource
from domain.errors import Invalid, SourceMisconfigured
from infrastructure.connectors.endpoints import not_allowed, reach_of
from infrastructure.connectors.filesystem import FilesystemSource
from infrastructure.connectors.settings import (
    FilesystemConfig,
    S3Config,
    S3Credentials,
    check_config,
)


@dataclass(frozen=True, slots=True)
class SourcePolicy:
    """What the operator allows. Without `filesystem_roots` no folder may be scanned, and without `s3_endpoints`,
    which are patterns as `parse_pattern` takes them, no S3 but Amazon's.
    """

    filesystem_roots: tuple[Path, ...] = ()
    s3_endpoints: tuple[str, ...] = ()


def open_source(
    kind: str,
    settings: Mapping[str, object],
    credentials: Mapping[str, str] | None = None,
    policy: SourcePolicy | None = None,
) -> ObjectSource:
    """The source that a connector of type `kind` (`s3`, `filesystem`) names. Nothing is contacted yet.

    Without `credentials` an s3 source uses the process's own. Raises `SourceMisconfigured`.
    """
    try:
        checked = check_config(kind, {**settings, **(credentials or {})})
    except Invalid as error:
        raise SourceMisconfigured(f"The connector's settings cannot work: {error}") from None
    allowed = policy or SourcePolicy()
    if kind == "filesystem":
        root = FilesystemConfig.model_validate(checked.settings).root
        return FilesystemSource(Path(root), allowed=allowed.filesystem_roots)
    config = S3Config.model_validate(checked.settings)
    reach = reach_of(config.endpoint_url, allowed.s3_endpoints)
    if reach is None:
        raise SourceMisconfigured(f"The connector's endpoint_url {not_allowed(allowed.s3_endpoints)}.")
    # Deferred: the SDK costs a process 0.2 s and 20 MB that folders alone do not need.
    from infrastructure.connectors.s3 import S3Source  # noqa: PLC0415 — see above

    keys = S3Credentials.model_validate(checked.credentials) if checked.credentials else None
    return S3Source(config, keys, reach=reach)
