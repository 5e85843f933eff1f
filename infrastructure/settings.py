"""Every setting of the service, and what each process is allowed to know."""

import base64
import binascii
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from domain.errors import Fault, Invalid
from domain.tier import Tier
from infrastructure.connectors.endpoints import pattern_faults
from infrastructure.processes import cores

PREFIX: Final = "SCANLEDGER_"

TierName = Literal["free", "team", "enterprise"]
LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["json", "text"]
Role = Literal["api", "coordinator", "scanner"]

DEFAULT_TIERS: Final[dict[TierName, dict[str, int]]] = {
    "free": {"max_files": 10_000, "max_workers": 4, "requests_per_minute": 120},
    "team": {"max_files": 10_000_000, "max_workers": 64, "requests_per_minute": 6_000},
    "enterprise": {"max_files": 1_000_000_000, "max_workers": 1_024, "requests_per_minute": 600_000},
}


VANISHED: Final[Mapping[str, int]] = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 25_000,
}
"""libpq's parameters for a server that is gone, host and all, without a word: it is given up after 25 seconds. By the
kernel's own measure that takes a quarter of an hour, or, while nothing is said, two hours."""


class TierLimits(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    max_files: int = Field(ge=1, description="most objects a scan may plan")
    max_workers: int = Field(ge=1, description="most chunks of a scan in work at once")
    requests_per_minute: int = Field(ge=1, description="API requests a key may make in a minute")


class Tiers(BaseModel):
    """The three tiers. A tier that is given in part keeps the defaults for the rest."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    free: TierLimits = TierLimits(**DEFAULT_TIERS["free"])
    team: TierLimits = TierLimits(**DEFAULT_TIERS["team"])
    enterprise: TierLimits = TierLimits(**DEFAULT_TIERS["enterprise"])

    @field_validator("free", "team", "enterprise", mode="before")
    @classmethod
    def _completed(cls, given: object, info: Any) -> object:
        return {**DEFAULT_TIERS[info.field_name], **given} if isinstance(given, Mapping) else given


@dataclass(frozen=True, slots=True)
class Broker:
    """How one identity reaches NATS. Replies come to subjects below `inbox_prefix`, which is its own."""

    url: str
    user: str | None
    password: SecretStr | None
    credentials: Path | None
    inbox_prefix: str


class Settings(BaseSettings):
    """All settings. Constructed directly it takes only its arguments; `load_settings` asks all sources."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_nested_delimiter="__",
        env_ignore_empty=True,
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
    )

    data: Path = Field(
        default=Path(".scanledger"), description="folder of the embedded servers, their logs and the CLI's credentials"
    )
    host: str = Field(default="127.0.0.1", min_length=1, description="address the api, and metrics_port, listen on")
    port: int = Field(default=8420, ge=0, le=65535, description="TCP port of the api; 0 takes any free port")
    workers: int = Field(
        default_factory=cores,
        ge=1,
        le=1_024,
        description="chunks one scanner process has in work at once; default: cores",
    )
    pool: str = Field(
        default="default",
        pattern=r"^[a-z0-9-]{1,63}$",
        description="the pool a scanner takes its work from: a-z, 0-9 and -",
    )
    url: str | None = Field(default=None, description="the service the CLI talks to, like https://scans.example.com")
    api_key: SecretStr | None = Field(default=None, description="the API key the CLI shows to that service")
    database_url: SecretStr | None = Field(
        default=None, description="PostgreSQL 14 or later, like postgresql://user:password@host/name; default: embedded"
    )
    nats_url: str | None = Field(
        default=None,
        description="NATS with JetStream, like nats://host:4222, several separated by commas; default: embedded",
    )
    nats_user: str | None = Field(default=None, description="NATS user of api and coordinator")
    nats_password: SecretStr | None = Field(default=None, description="its password")
    nats_credentials: Path | None = Field(
        default=None, description="NATS credentials file (.creds) of api and coordinator, instead of user and password"
    )
    nats_inbox_prefix: str = Field(
        default="_INBOX",
        pattern=r"^[A-Za-z0-9_-]+$",
        description="first token of the subjects api and coordinator get replies on",
    )
    worker_nats_url: str | None = Field(default=None, description="NATS as the scanners reach it; default: nats_url")
    worker_nats_user: str | None = Field(default=None, description="NATS user of the scanners, with fewer rights")
    worker_nats_password: SecretStr | None = Field(default=None, description="its password")
    worker_nats_credentials: Path | None = Field(
        default=None, description="NATS credentials file (.creds) of the scanners, instead of user and password"
    )
    worker_nats_inbox_prefix: str = Field(
        default="_INBOX_WORKER",
        pattern=r"^[A-Za-z0-9_-]+$",
        description="first token of the subjects scanners get replies on",
    )
    filesystem_roots: Annotated[tuple[Path, ...], NoDecode] = Field(
        default=(),
        description="folders filesystem connectors may read, separated by colons; embedded default: home and /tmp",
    )
    s3_endpoints: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="endpoints s3 connectors may name: hosts (* is a wildcard), addresses and networks, each with "
        ":port or without, separated by commas; default: Amazon S3 only; embedded default: *",
    )
    webhook_endpoints: Annotated[tuple[str, ...], NoDecode] = Field(
        default=(),
        description="receivers of webhooks that may be asked by http too, and at private addresses; written like "
        "s3_endpoints; default: none, so https at public addresses only; embedded default: this machine",
    )
    webhook_delivered_days: float = Field(
        default=7, ge=0, le=3_650, description="days that a delivery which was accepted is still listed"
    )
    ack_wait_seconds: float = Field(
        default=30,
        ge=1,
        le=3_600,
        description="silence after which a worker's chunk goes to another; embedded default: 10",
    )
    grace_seconds: float = Field(
        default=8,
        ge=0,
        le=600,
        description="time a stopping worker has to finish what it has in work; embedded default: 4",
    )
    stall_seconds: float = Field(
        default=120,
        ge=1,
        le=86_400,
        description="an object whose reading gets nowhere for this long is given up, in the end as timeout",
    )
    reader_memory_bytes: int = Field(
        default=2 * 1024**3,
        # Without any object it holds up to 250 MB: threads, detection, Arrow and the S3 client.
        ge=512 * 1024**2,
        description="bytes of data that a process which reads objects may hold; past it, resource_limit",
    )
    max_object_bytes: int = Field(
        default=64 * 1024**3, ge=1, description="objects above this size in bytes are skipped as too_large"
    )
    stream_bytes: int = Field(
        default=1024**3,
        ge=1024**2,
        description="most bytes NATS keeps of commands, and of reports; when they are full, who sends more waits",
    )
    events_bytes: int = Field(
        default=2 * 1024**3,
        ge=1024**2,
        description="most bytes NATS keeps of events for subscribers; when they are full, new ones wait",
    )
    events_days: int = Field(
        default=14, ge=1, le=3_650, description="days for which NATS keeps an event for subscribers"
    )
    tiers: Tiers = Field(default=Tiers(), description="limits of the tiers free, team and enterprise")
    default_tier: TierName = Field(
        default="enterprise", description="tier of the tenant made at the first embedded start"
    )
    encryption_key: SecretStr | None = Field(
        default=None,
        description="base64 of the 32 bytes that protect connectors' secrets; embedded mode makes and keeps one",
    )
    seal_key: SecretStr | None = Field(
        default=None,
        description="base64 of the Ed25519 key (32 bytes) that signs checkpoints; embedded mode makes and keeps one",
    )
    seal_folder: str | None = Field(
        default=None,
        min_length=1,
        description="where checkpoints are kept outside the database: a folder, or s3://bucket/prefix; embedded "
        "default: checkpoints in the data folder",
    )
    seal_every_events: int = Field(default=1_000, ge=1, description="events of a tenant after which its log is signed")
    seal_every_seconds: float = Field(
        default=60, ge=0.1, le=86_400, description="seconds after which events that are not signed yet are"
    )
    seal_retention_days: int = Field(
        default=365,
        ge=1,
        le=36_500,
        description="how long a bucket with object lock, but without a rule of its own, must keep a checkpoint",
    )
    log_level: LogLevel = Field(
        default="info", description="least severe log entries written: debug, info, warning or error"
    )
    log_format: LogFormat = Field(default="json", description="a log entry is a line of json, or of text for people")
    metrics_port: int = Field(
        default=0,
        ge=0,
        le=65_500,
        description="TCP port of a worker process's own /metrics, under `up` also the ports after it; 0: none",
    )
    otlp_endpoint: str | None = Field(
        default=None,
        description="OTLP/HTTP collector that traces are sent to, like http://collector:4318; default: none are kept",
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 — pydantic names it
        init_settings: PydanticBaseSettingsSource,
        *_others: PydanticBaseSettingsSource,
        **_named: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)

    @field_validator("data", "nats_credentials", "worker_nats_credentials")
    @classmethod
    def _home_expanded(cls, path: Path | None) -> Path | None:
        return path.expanduser() if path else path

    @field_validator("filesystem_roots", mode="before")
    @classmethod
    def _split(cls, given: object) -> object:
        return tuple(part for part in given.split(os.pathsep) if part) if isinstance(given, str) else given

    @field_validator("filesystem_roots")
    @classmethod
    def _absolute(cls, roots: tuple[Path, ...]) -> tuple[Path, ...]:
        expanded = tuple(root.expanduser() for root in roots)
        if relative := [str(root) for root in expanded if not root.is_absolute()]:
            raise ValueError(f"{', '.join(relative)} is not an absolute path")
        return expanded

    @field_validator("s3_endpoints", "webhook_endpoints", mode="before")
    @classmethod
    def _parted(cls, given: object) -> object:
        if not isinstance(given, str):
            return given
        return tuple(part.strip() for part in given.split(",") if part.strip())

    @field_validator("s3_endpoints", "webhook_endpoints")
    @classmethod
    def _patterns(cls, endpoints: tuple[str, ...]) -> tuple[str, ...]:
        if wrong := list(pattern_faults(endpoints)):
            raise ValueError("; ".join(wrong))
        return endpoints

    @field_validator("url", "otlp_endpoint")
    @classmethod
    def _http(cls, url: str | None) -> str | None:
        if url is not None and (urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).netloc):
            raise ValueError("is not an http or https URL")
        return url.rstrip("/") if url else url

    @field_validator("otlp_endpoint")
    @classmethod
    def _without_login(cls, url: str | None) -> str | None:
        if url is not None and "@" in urlsplit(url).netloc:
            raise ValueError("must not hold a user or password: set OTEL_EXPORTER_OTLP_HEADERS in the environment")
        return url

    @field_validator("database_url")
    @classmethod
    def _postgresql(cls, url: SecretStr | None) -> SecretStr | None:
        if url is not None and not url.get_secret_value().startswith(("postgresql://", "postgres://")):
            raise ValueError("is not a postgresql:// URL")
        return url

    @field_validator("nats_url", "worker_nats_url")
    @classmethod
    def _nats(cls, url: str | None) -> str | None:
        for server in (url or "").split(",") if url else ():
            parts = urlsplit(server.strip())
            if parts.scheme not in {"nats", "tls", "ws", "wss"} or not parts.hostname:
                raise ValueError("is not a nats://, tls://, ws:// or wss:// URL")
            if parts.username or parts.password:
                raise ValueError("must not hold a user or password; they have settings of their own")
        return url

    @field_validator("encryption_key", "seal_key")
    @classmethod
    def _key(cls, key: SecretStr | None) -> SecretStr | None:
        if key is not None and len(_decoded(key)) != 32:
            raise ValueError("is not the base64 of 32 bytes")
        return key

    def tier(self, name: str) -> Tier:
        """The limits of a tier. Raises KeyError for a name that is none of the three."""
        if name not in DEFAULT_TIERS:
            raise KeyError(name)
        limits: TierLimits = getattr(self.tiers, name)
        return Tier(name, limits.max_files, limits.max_workers, limits.requests_per_minute)

    def broker(self, role: Role) -> Broker:
        """How `role` reaches NATS. A scanner without an identity of its own takes the coordinator's.

        Raises `Invalid` when no NATS URL is set.
        """
        own = role == "scanner" and (self.worker_nats_user or self.worker_nats_credentials)
        prefix = "worker_nats" if own else "nats"
        url = (self.worker_nats_url if role == "scanner" else None) or self.nats_url
        if url is None:
            raise Invalid([_missing("worker_nats_url" if role == "scanner" else "nats_url")])
        user, password, credentials, inbox = (
            getattr(self, f"{prefix}_{part}") for part in ("user", "password", "credentials", "inbox_prefix")
        )
        return Broker(url, user, password, credentials, inbox)

    def database(self) -> str:
        """The URL of the database, password and all, with what it leaves open of `VANISHED`.

        Raises `Invalid` when none is set.
        """
        if self.database_url is None:
            raise Invalid([_missing("database_url")])
        url = self.database_url.get_secret_value()
        _, given, parameters = url.rpartition("@")[2].partition("?")
        left_open = [f"{name}={value}" for name, value in VANISHED.items() if f"{name}=" not in parameters]
        return f"{url}{'&' if given else '?'}{'&'.join(left_open)}" if left_open else url

    def encryption_key_bytes(self) -> bytes:
        """The 32 bytes of the key. Raises `Invalid` when none is set."""
        if self.encryption_key is None:
            raise Invalid([_missing("encryption_key")])
        return _decoded(self.encryption_key)

    def seal_key_bytes(self) -> bytes | None:
        """The 32 bytes of the key that signs checkpoints, where one is set."""
        return None if self.seal_key is None else _decoded(self.seal_key)

    def require(self, role: Role) -> None:
        """Raise `Invalid` naming every setting that `role` cannot run without and that is not set."""
        needed = ["nats_url"] if role == "scanner" else ["database_url", "nats_url", "encryption_key"]
        if role == "scanner" and self.worker_nats_url:
            needed = []
        if missing := [_missing(name) for name in needed if getattr(self, name) is None]:
            raise Invalid(missing)


def _decoded(key: SecretStr) -> bytes:
    try:
        return base64.b64decode(key.get_secret_value(), validate=True)
    except binascii.Error:
        return b""


def _missing(name: str) -> Fault:
    return Fault(name, f"is not set: give {variable(name)} or `{name}` in the TOML file ({meaning(name)})")


def meaning(name: str) -> str:
    """What a setting says, in a line."""
    return Settings.model_fields[name].description or name


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + name.upper()
