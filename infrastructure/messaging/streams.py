"""The streams and consumers of design §4: their names, their subjects, and making them as they should be."""

import secrets
from collections.abc import Sequence
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

COMMANDS: Final = "COMMANDS"
REPORTS: Final = "REPORTS"
CONTROL: Final = "CONTROL"
RECORDER: Final = "recorder"

_DUPLICATES_SECONDS: Final = 120
_WEEK: Final = 7 * 24 * 3600


def stream_configs(max_bytes: int) -> Sequence[StreamConfig]:
    """The streams as they should be. Commands and reports may each take up `max_bytes`; then who publishes waits."""
    return (
        StreamConfig(
            name=COMMANDS,
            subjects=["scan.cmd.*.*", "scan.list.*.*"],
            retention=RetentionPolicy.WORK_QUEUE,
            storage=StorageType.FILE,
            discard=DiscardPolicy.NEW,
            max_bytes=max_bytes,
            duplicate_window=_DUPLICATES_SECONDS,
            allow_direct=True,
        ),
        StreamConfig(
            name=REPORTS,
            subjects=["scan.report.*.*"],
            retention=RetentionPolicy.WORK_QUEUE,
            storage=StorageType.FILE,
            discard=DiscardPolicy.NEW,
            max_bytes=max_bytes,
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


def workers_consumer(pool: str) -> str:
    """Chunks of a pool: one message a free slot."""
    return f"workers-{pool}"


def listers_consumer(pool: str) -> str:
    """Listings of a pool, in a lane of their own, so that listing and scanning overlap on a single slot."""
    return f"listers-{pool}"


async def ensure_streams(jetstream: JetStreamContext, *, ack_wait: float, max_bytes: int = 1024**3) -> None:
    """Make or update the streams and the recorder's consumer."""
    for config in stream_configs(max_bytes):
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
        await jetstream.stream_info(CONTROL)
        for stream, consumer in consumers:
            await jetstream.consumer_info(stream, consumer)
    except NotFoundError:
        return True
    return False
