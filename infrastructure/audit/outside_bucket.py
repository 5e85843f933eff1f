"""Checkpoints in a bucket."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from domain.checkpoint import Checkpoint, quoted
from infrastructure.audit.outside import OutsideAway, OutsideDiffers, Place, file_name, place_of, read_note

_NO_LOCK: Final = {"ObjectLockConfigurationNotFoundError", "NotImplemented", "MethodNotAllowed"}
_ALREADY: Final = {"PreconditionFailed", "ConditionalRequestConflict"}


class OutsideBucket:
    """A bucket below a prefix. Where it has object lock without a rule of its own, a checkpoint is locked in
    compliance mode for `retention`: nobody can remove or replace it until then."""

    def __init__(self, client: Any, bucket: str, prefix: str, retention: timedelta) -> None:
        self._client = client
        self._bucket = bucket
        self._prefix = f"{prefix.strip('/')}/" if prefix.strip("/") else ""
        self._retention = retention
        self._locks: bool | None = None

    def newest(self, tenant: str, known: Place) -> tuple[int, Checkpoint] | None:
        with _away_told():
            places = self._places(tenant, after=known) or self._places(tenant, after=None)
            if not places:
                return None
            key = self._key(tenant, places[-1])
            body = self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read()
        return places[-1][0], read_note(body, key)

    def _places(self, tenant: str, after: Place | None) -> list[Place]:
        prefix = self._key(tenant)
        # What is known is found again, and with it that nothing follows.
        start = {"StartAfter": self._key(tenant, (after[0], after[1] - 1))} if after and after[1] else {}
        pages = self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix, **start)
        names = (each["Key"].removeprefix(prefix) for page in pages for each in page.get("Contents", ()))
        return sorted(place for name in names if (place := place_of(name)))

    def write(self, tenant: str, place: Place, note: str) -> None:
        key, body = self._key(tenant, place), note.encode()
        with _away_told():
            if self._locks is None:
                self._locks = self._wants_retention()
            lock: dict[str, Any] = {}
            if self._locks:
                until = datetime.now(UTC) + self._retention
                lock = {"ObjectLockMode": "COMPLIANCE", "ObjectLockRetainUntilDate": until}
            try:
                self._client.put_object(Bucket=self._bucket, Key=key, Body=body, IfNoneMatch="*", **lock)
            except ClientError as error:
                if error.response["Error"]["Code"] not in _ALREADY:
                    raise
                if self._client.get_object(Bucket=self._bucket, Key=key)["Body"].read() != body:
                    raise OutsideDiffers(f"s3://{self._bucket}/{key} holds another checkpoint") from None

    def _wants_retention(self) -> bool:
        try:
            answer = self._client.get_object_lock_configuration(Bucket=self._bucket)
        except ClientError as error:
            if error.response["Error"]["Code"] in _NO_LOCK:
                return False
            raise
        configuration = answer["ObjectLockConfiguration"]
        return configuration.get("ObjectLockEnabled") == "Enabled" and "Rule" not in configuration

    def _key(self, tenant: str, place: Place | None = None) -> str:
        return f"{self._prefix}{quoted(tenant)}/{file_name(place) if place else ''}"


@contextmanager
def _away_told() -> Iterator[None]:
    try:
        yield
    except (BotoCoreError, ClientError) as error:
        raise OutsideAway(str(error)) from error


def open_bucket(place: str, retention: timedelta) -> OutsideBucket:
    """The bucket of s3://bucket/prefix, with endpoint and credentials from AWS's usual sources."""
    bucket, _, prefix = place.removeprefix("s3://").partition("/")
    config = Config(connect_timeout=3, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 3})
    return OutsideBucket(boto3.client("s3", config=config), bucket, prefix, retention)
