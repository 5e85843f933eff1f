"""The streams and consumers of design §4: their names, their subjects, and making them as they should be."""

import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)
from nats.js.errors import NotFoundError

from application.messages import Control
from infrastructure.settings import Settings

COMMANDS: Final = "COMMANDS"
REPORTS: Final = "REPORTS"
CONTROL: Final = "CONTROL"
EVENTS: Final = "EVENTS"
RECORDER: Final = "recorder"

_DUPLICATES_SECONDS: Final = 120
_DAY: Final = 24 * 3600
_WEEK: Final = 7 * _DAY
_TOKEN_SAFE: Final = re.compile(r"[^A-Za-z0-9_-]")


@dataclass(frozen=True, slots=True)
class Limits:
    """What the streams may hold: commands and reports `queue_bytes` each, the events `events_bytes` for so many days.

    When one is full, who publishes into it waits.
    """

    queue_bytes: int = 1024**3
    events_bytes: int = 2 * 1024**3
    events_days: int = 14

    @classmethod
    def of(cls, settings: Settings) -> "Limits":
        return cls(settings.stream_bytes, settings.events_bytes, settings.events_days)

    @property
    def events_seconds(self) -> int:
        return self.events_days * _DAY


def stream_configs(limits: Limits) -> Sequence[StreamConfig]:
    """The streams as they should be."""
    return (
        StreamConfig(
            name=COMMANDS,
            subjects=["scan.cmd.*.*", "scan.list.*.*"],
            retention=RetentionPolicy.WORK_QUEUE,
            storage=StorageType.FILE,
            discard=DiscardPolicy.NEW,
            max_bytes=limits.queue_bytes,
            duplicate_window=_DUPLICATES_SECONDS,
            allow_direct=True,
        ),
        StreamConfig(
            name=REPORTS,
            subjects=["scan.report.*.*"],
            retention=RetentionPolicy.WORK_QUEUE,
            storage=StorageType.FILE,
            discard=DiscardPolicy.NEW,
            max_bytes=limits.queue_bytes,
            duplicate_window=_DUPLICATES_SECONDS,
        ),
        StreamConfig(
            name=CONTROL,
            subjects=["scan.control.*"],
            retention=RetentionPolicy.LIMITS,
            storage=StorageType.FILE,
            max_msgs_per_subject=1,
            max_age=_WEEK,
            duplicate_window=_DUPLICATES_SECONDS,
            allow_direct=True,
        ),
        StreamConfig(
            name=EVENTS,
            subjects=["scan.events.*.*.*.*"],
            retention=RetentionPolicy.LIMITS,
            storage=StorageType.FILE,
            # Not the old ones: what nobody has read yet must not go to make room.
            discard=DiscardPolicy.NEW,
            max_bytes=limits.events_bytes,
            max_age=limits.events_seconds,
            duplicate_window=_DUPLICATES_SECONDS,
            deny_delete=True,
            deny_purge=True,
        ),
    )


def chunk_subject(pool: str, scan: str) -> str:
    return f"scan.cmd.{pool}.{scan}"


def listing_subject(pool: str, scan: str) -> str:
    return f"scan.list.{pool}.{scan}"


def report_subject(pool: str, scan: str) -> str:
    return f"scan.report.{pool}.{scan}"


def control_id(control: Control) -> str:
    """The message id of one telling: what was told before, and is told again, is no duplicate."""
    return f"{control.scan}/control/{control.state}/{secrets.token_hex(8)}"


def control_subject(scan: str) -> str:
    return f"scan.control.{scan}"


def telemetry_subject(scanner: str) -> str:
    return f"scan.progress.{scanner}"


def credentials_subject(connector: str) -> str:
    return f"scan.credentials.{connector}"


EVENT_ADDRESS: Final = "scan.events.{tenant}.{stream}.{kind}"


def event_subject(tenant: str, stream: str, kind: str) -> str:
    """`scan.events.<tenant>.<scan or connector>.<kind>`. A kind is two tokens: `scan.completed`, `connector.created`.

    What a token may not hold is written as `=XX`, so that no name reaches beyond its own place.
    """
    return EVENT_ADDRESS.format(tenant=_token(tenant), stream=_token(stream), kind=kind)


def tenant_subjects(tenant: str, kind: str | None = None) -> str:
    """All subjects of a tenant's events, or those of one kind."""
    return f"scan.events.{_token(tenant)}.{f'*.{kind}' if kind else '>'}"


def subscribe_subject(tenant: str) -> str:
    return f"scan.subscribe.{tenant}"


def _token(name: str) -> str:
    return _TOKEN_SAFE.sub(lambda odd: "".join(f"={byte:02X}" for byte in odd[0].encode()), name)


def workers_consumer(pool: str) -> str:
    """Chunks of a pool: one message a free slot."""
    return f"workers-{pool}"


def listers_consumer(pool: str) -> str:
    """Listings of a pool, in a lane of their own, so that listing and scanning overlap on a single slot."""
    return f"listers-{pool}"


_USUAL: Final = Limits()


async def ensure_streams(jetstream: JetStreamContext, *, ack_wait: float, limits: Limits = _USUAL) -> None:
    """Make or update the streams and the recorder's consumer."""
    for config in stream_configs(limits):
        try:
            await jetstream.stream_info(config.name)  # type: ignore[arg-type]  # every stream here has a name
            await jetstream.update_stream(config)
        except NotFoundError:
            await jetstream.add_stream(config)
    recorder = ConsumerConfig(
        durable_name=RECORDER,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=ack_wait,
        max_deliver=-1,
        max_ack_pending=5_000,
    )
    await jetstream.add_consumer(REPORTS, recorder)


async def ensure_pool(jetstream: JetStreamContext, pool: str, *, ack_wait: float) -> None:
    """Make or update the consumers that the workers of a pool pull from."""
    for name, subject in (
        (workers_consumer(pool), chunk_subject(pool, "*")),
        (listers_consumer(pool), listing_subject(pool, "*")),
    ):
        config = ConsumerConfig(
            durable_name=name,
            filter_subject=subject,
            ack_policy=AckPolicy.EXPLICIT,
            ack_wait=ack_wait,
            max_deliver=-1,
            max_ack_pending=20_000,
        )
        await jetstream.add_consumer(COMMANDS, config)


async def anything_missing(jetstream: JetStreamContext, pool: str) -> bool:
    """Whether the server lacks a stream or consumer that `ensure_streams` and `ensure_pool` would make."""
    consumers = ((REPORTS, RECORDER), (COMMANDS, workers_consumer(pool)), (COMMANDS, listers_consumer(pool)))
    try:
        for stream in (CONTROL, EVENTS):
            await jetstream.stream_info(stream)
        for stream, consumer in consumers:
            await jetstream.consumer_info(stream, consumer)
    except NotFoundError:
        return True
    return False
