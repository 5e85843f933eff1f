"""A real S3 server for a whole test session, and a fresh bucket for each test."""

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest

from application.ports import ObjectSource
from infrastructure.connectors.registry import SourcePolicy, open_source
from infrastructure.s3_server import S3Server

_numbers = itertools.count(1)

ANY_ENDPOINT = SourcePolicy(s3_endpoints=("*",))


@dataclass(frozen=True)
class Bucket:
    """A bucket of one test, filled by the account's root and scanned by an IAM user."""

    name: str
    server: S3Server = field(repr=False)
    client: Any = field(repr=False)

    @property
    def credentials(self) -> dict[str, str]:
        return {
            "access_key_id": self.server.access_key_id,
            "secret_access_key": self.server.secret_access_key,
        }

    @property
    def settings(self) -> dict[str, object]:
        return {"bucket": self.name, "endpoint_url": self.server.endpoint_url}

    def source(self) -> ObjectSource:
        return open_source("s3", self.settings, self.credentials, ANY_ENDPOINT)

    def put(self, key: str, body: bytes, **options: Any) -> None:
        self.client.put_object(Bucket=self.name, Key=key, Body=body, **options)

    def delete(self, key: str) -> None:
        self.client.delete_object(Bucket=self.name, Key=key)

    def deny(self, action: str, prefix: str = "") -> None:
        """Refuse `action` below `prefix` to everyone but root, by a bucket policy."""
        target = f"arn:aws:s3:::{self.name}"
        resource = target if action == "s3:ListBucket" else f"{target}/{prefix}*"
        statement = {"Effect": "Deny", "Principal": "*", "Action": action, "Resource": resource}
        policy = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
        self.client.put_bucket_policy(Bucket=self.name, Policy=policy)


@pytest.fixture(scope="session")
def s3_server() -> Iterator[S3Server]:
    with S3Server() as server:
        yield server


@pytest.fixture(scope="session")
def s3_client(s3_server: S3Server) -> Iterator[Any]:
    client = s3_server.client()
    yield client
    client.close()


@pytest.fixture
def bucket(s3_server: S3Server, s3_client: Any) -> Bucket:
    name = f"bucket-{next(_numbers)}"
    s3_client.create_bucket(Bucket=name)
    return Bucket(name, s3_server, s3_client)
