"""The seal, and what auditors do with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from infrastructure.audit.outside import Outside
    from infrastructure.postgres.seal_follower import SealFollower
    from infrastructure.settings import Settings


def open_seal(settings: Settings) -> SealFollower:
    """The follower that seals the log, and has it signed."""
    from infrastructure.audit.signing import SealKey
    from infrastructure.postgres.notary import Notary, Policy
    from infrastructure.postgres.seal_follower import SealFollower

    seed = settings.seal_key_bytes()
    policy = Policy(settings.seal_every_events, settings.seal_every_seconds)
    return SealFollower(settings.database(), Notary(SealKey(seed) if seed else None, _outside(settings), policy))


def _outside(settings: Settings) -> Outside | None:
    from infrastructure.audit.outside import open_outside

    place = settings.seal_folder
    return open_outside(place, timedelta(days=settings.seal_retention_days)) if place else None


def verify_export(file: Path, key: str | None, checkpoints: Path | None) -> int:
    """Say whether an export is as it was sealed; the exit code of `infrastructure.audit.verify`."""
    from infrastructure.audit import verify

    return verify.main(
        [str(file), *(["--key", key] if key else []), *(["--checkpoints", str(checkpoints)] if checkpoints else [])]
    )


def local_seal_key(settings: Settings) -> str | None:
    """The public half, in base64, of the key that this machine signs with, if it has one."""
    from domain.checkpoint import base64_of
    from infrastructure.audit.signing import SealKey
    from infrastructure.embedded.folder import DataFolder

    seed = settings.seal_key_bytes() or DataFolder(settings.data).kept_seal_key()
    return None if seed is None else base64_of(SealKey(seed).public)


def accept_restore(settings: Settings) -> Sequence[Mapping[str, Any]]:
    """Let the logs begin anew that do not continue their checkpoints outside; gives those. Raises OutsideAway."""
    from infrastructure.postgres.restores import accept_restore

    outside = _outside(settings)
    assert outside is not None
    return [asdict(restore) for restore in accept_restore(settings.database(), outside)]
