"""What `scanledger scan` is pointed at, and the connectors that stand for it."""

import os
import shlex
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from api.cli.client import Client, Document
from api.cli.failures import ApiFailure, Failure, Misuse

S3_SCHEME: Final = "s3://"
LONGEST_NAME: Final = 200
"""Characters of a connector's name."""

_KEY_VARIABLES: Final = {
    "AWS_ACCESS_KEY_ID": "access_key_id",
    "AWS_SECRET_ACCESS_KEY": "secret_access_key",
    "AWS_SESSION_TOKEN": "session_token",
}


@dataclass(frozen=True, slots=True)
class Target:
    """One bucket, folder or file: the connector's type and config, its secrets apart."""

    text: str
    type: str
    config: Mapping[str, Any]
    secrets: Mapping[str, str] = field(default_factory=dict, repr=False)
    key: str = ""
    """The one object to scan there, if it is not all."""

    def is_served_by(self, connector: Document) -> bool:
        """Whether an existing connector stands for the same. A region that was not asked for may be any."""
        settings = {name: value for name, value in connector["config"].items() if name in _IDENTITY and value}
        if "region" not in self.config:
            settings.pop("region", None)
        return bool(connector["type"] == self.type and settings == self.config)


_IDENTITY: Final = frozenset({"bucket", "prefixes", "region", "endpoint_url", "role_arn", "requester_pays", "root"})


@dataclass(frozen=True, slots=True)
class S3Access:
    """How to reach the buckets of this command. Without keys the service uses its own AWS credentials."""

    endpoint_url: str | None = None
    region: str | None = None
    keys: Mapping[str, str] = field(default_factory=dict, repr=False)


def keys_from(environment: Mapping[str, str] = os.environ) -> dict[str, str]:
    """The AWS key pair of the environment, if it is whole."""
    keys = {name: environment[variable] for variable, name in _KEY_VARIABLES.items() if environment.get(variable)}
    return keys if {"access_key_id", "secret_access_key"} <= keys.keys() else {}


def parse_targets(texts: Iterable[str], access: S3Access, *, local: bool) -> list[Target]:
    """The distinct targets. `local`: folders are this machine's, and must exist. Raises `Misuse` with every fault."""
    targets: dict[tuple[str, str], Target] = {}
    faults: list[str] = []
    for text in texts:
        try:
            target = _bucket(text, access) if text.startswith(S3_SCHEME) else _folder(text, local=local)
        except Misuse as fault:
            faults.append(fault.message)
        else:
            targets.setdefault((target.type, f"{target.key}{sorted(target.config.items())}"), target)
    if len(targets) + len(faults) > 1:
        # The prefixes of a scan hold for all of its connectors.
        faults += [_not_alone(target.text, target.key) for target in targets.values() if target.key]
    if faults:
        raise Misuse("Nothing was scanned.", faults)
    return list(targets.values())


def _bucket(text: str, access: S3Access) -> Target:
    bucket, _, prefix = text.removeprefix(S3_SCHEME).partition("/")
    if not bucket:
        raise Misuse(f"{text!r} names no bucket: write s3://BUCKET or s3://BUCKET/PREFIX.")
    config: dict[str, Any] = {"bucket": bucket}
    if prefix:
        config["prefixes"] = [prefix]
    if access.region:
        config["region"] = access.region
    if access.endpoint_url:
        config["endpoint_url"] = access.endpoint_url.rstrip("/")
    return Target(text, "s3", config, access.keys)


def _folder(text: str, *, local: bool) -> Target:
    if "://" in text:
        raise Misuse(f"{text!r} is neither a folder nor s3://BUCKET/PREFIX.")
    path = Path(text).expanduser()
    if not local:
        if not path.is_absolute():
            raise Misuse(f"{text!r} must be an absolute path: it is one of the machine the service's workers run on.")
        return Target(text, "filesystem", {"root": str(path)})
    if not path.exists():
        raise Misuse(f"{text!r} does not exist.")
    path = path.resolve()
    if path.is_file():
        return _file(text, path)
    if not path.is_dir():
        raise Misuse(f"{text!r} is neither a folder nor a file.")
    return Target(text, "filesystem", {"root": str(path)})


def _file(text: str, path: Path) -> Target:
    """The folder of a file, limited to it: its name as a prefix, so no other name there may begin with it."""
    also = [entry.name for entry in os.scandir(path.parent) if entry.name.startswith(path.name)]
    if also != [path.name]:
        raise Misuse(
            f"{text!r} cannot be told from others beside it whose names begin with its own: {_other_way(path.name)}."
        )
    return Target(text, "filesystem", {"root": str(path.parent)}, key=path.name)


def _not_alone(text: str, key: str) -> str:
    return f"{text!r} is a file, which is scanned alone or not at all: {_other_way(key)}."


def _other_way(key: str) -> str:
    return f"scan its folder, with --prefix {shlex.quote(key)} if you like"


def connectors_for(client: Client, targets: Sequence[Target], name: str | None = None) -> list[str]:
    """The ids of connectors that stand for `targets` and passed their test: the tenant's own, else new ones.

    All or nothing: if one cannot be made or reached, those made here are deleted again. Raises `Failure`.
    """
    known = list(client.items("/connectors"))
    made: list[str] = []
    try:
        return [_connector_for(client, target, known, made, name) for target in targets]
    except BaseException:
        for connector_id in made:
            with suppress(ApiFailure):
                client.delete(f"/connectors/{connector_id}")
        raise


def _connector_for(client: Client, target: Target, known: Sequence[Document], made: list[str], name: str | None) -> str:
    try:
        connector = next((one for one in known if target.is_served_by(one)), None)
        if connector is None:
            connector = _create(client, target, name)
            made.append(connector["connector_id"])
        elif target.secrets:
            keys = {"session_token": None, **target.secrets}
            client.patch(f"/connectors/{connector['connector_id']}", {"config": keys})
        test = client.post(f"/connectors/{connector['connector_id']}/test")
    except ApiFailure as failure:
        raise ApiFailure(failure.status, failure.code, f"{target.text}: {failure.message}", failure.details) from None
    if not passed(test):
        raise Failure(f"{target.text}: {test.get('detail') or 'cannot be reached.'}")
    return str(connector["connector_id"])


def _create(client: Client, target: Target, name: str | None) -> Document:
    body = {
        "name": name or (target.config["root"] if target.key else target.text)[:LONGEST_NAME],
        "type": target.type,
        "config": {**target.config, **target.secrets},
    }
    created: Document = client.post("/connectors", body, creates=True)
    return created


def passed(test: Document) -> bool:
    """Whether the answer of a connector's test says that it works."""
    return bool(test["ok"])
