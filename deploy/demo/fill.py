"""Puts the demo's objects where they belong: buckets of the S3 server, and a folder."""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import obstore
from objects import DENIED_PREFIX, Place
from obstore.store import S3Store

from infrastructure.s3_server import S3Server

UPLOADS_AT_ONCE = 8


def fill_bucket(server: S3Server, place: Place) -> None:
    """Make the bucket, put every object, and deny reading what lies below `DENIED_PREFIX`."""
    client = server.client()
    client.create_bucket(Bucket=place.name)
    store = S3Store(
        place.name,
        endpoint=server.endpoint_url,
        region=server.region,
        access_key_id=server.access_key_id,
        secret_access_key=server.secret_access_key,
        client_options={"allow_http": True},
    )

    def put(entry: tuple[str, bytes]) -> None:
        key, body = entry
        if key.isascii():
            obstore.put(store, key, body, use_multipart=False)
        else:  # obstore would write such keys percent-encoded
            client.put_object(Bucket=place.name, Key=key, Body=body)

    with ThreadPoolExecutor(UPLOADS_AT_ONCE) as pool:
        for _ in pool.map(put, place.objects.items()):
            pass
    if any(key.startswith(DENIED_PREFIX) for key in place.objects):
        client.put_bucket_policy(Bucket=place.name, Policy=json.dumps(_denial(place.name)))
    client.close()


def _denial(bucket: str) -> dict[str, Any]:
    statement = {
        "Effect": "Deny",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{bucket}/{DENIED_PREFIX}*",
    }
    return {"Version": "2012-10-17", "Statement": [statement]}


def fill_folder(root: Path, place: Place) -> None:
    """Write every object as a file below `root`."""
    for folder in {(root / key).parent for key in place.objects}:
        folder.mkdir(parents=True, exist_ok=True)
    for key, body in place.objects.items():
        (root / key).write_bytes(body)
