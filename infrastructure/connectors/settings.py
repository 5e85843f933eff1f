"""What a connector's settings may say, and what to do about each that is wrong."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from pathlib import PurePosixPath
from typing import Annotated, Any, Self, TypeVar
from urllib.parse import SplitResult, urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SecretStr,
    StrictBool,
    ValidationError,
    model_validator,
)

from domain.errors import Fault, Invalid
from infrastructure.connectors.endpoints import as_address, forbidden, place_of

MOST_PREFIXES = 100
LONGEST_KEY_BYTES = 1024
"""Amazon S3 User Guide, *Object key naming guidelines*."""

_BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]")
_IPV4 = re.compile(r"\d{1,3}(\.\d{1,3}){3}")
_REGION = re.compile(r"[a-z][a-z0-9-]{1,31}")
_AWS_REGION = re.compile(r"[a-z]{2,4}(-[a-z]+){1,3}-\d{1,2}")
_ROLE = re.compile(r"arn:aws[a-z-]*:iam::\d{12}:role/[\w+=,.@/-]{1,512}", re.ASCII)
_EXTERNAL_ID = re.compile(r"[\w+=,.@:/-]{2,1224}", re.ASCII)
_ACCESS_KEY = re.compile(r"[!-~]{3,128}")


def _must(holds: Callable[[str], bool], message: str) -> AfterValidator:
    def check(value: str) -> str:
        if not holds(value):
            raise ValueError(message)
        return value

    return AfterValidator(check)


def _is_bucket(name: str) -> bool:
    """Amazon S3 User Guide, *Bucket naming rules*."""
    return bool(_BUCKET.fullmatch(name)) and ".." not in name and not _IPV4.fullmatch(name)


def _is_prefix(prefix: str) -> bool:
    try:
        return 0 < len(prefix.encode()) <= LONGEST_KEY_BYTES and "\0" not in prefix
    except UnicodeEncodeError:
        return False


def _split(url: str) -> SplitResult | None:
    """The parts of an http(s) URL with a host and a valid port, or None."""
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return None
    return parts if usable and url.isascii() and url.isprintable() and " " not in url else None


def _is_bare_endpoint(url: str) -> bool:
    parts = _split(url)
    return parts is not None and not (
        parts.path.strip("/") or parts.query or parts.fragment or "@" in parts.netloc or "\\" in url
    )


def _has_plain_host(url: str) -> bool:
    return place_of(url) is not None or not _is_bare_endpoint(url)


def _may_be_an_endpoint(url: str) -> bool:
    place = place_of(url)
    address = as_address(place[0]) if place else None
    return address is None or forbidden(address) is None


def _is_absolute(path: str) -> bool:
    return PurePosixPath(path).is_absolute() and "\0" not in path and len(path) <= 4096


Bucket = Annotated[
    str,
    _must(
        _is_bucket,
        "must be a bucket name: 3 to 63 lower-case letters, digits, dots and hyphens, "
        "beginning and ending with a letter or digit, not shaped like an IP address",
    ),
]
Prefix = Annotated[
    str,
    _must(_is_prefix, f"must be 1 to {LONGEST_KEY_BYTES} bytes of UTF-8 without NUL; leave it out for all"),
]
Region = Annotated[str, _must(lambda v: bool(_REGION.fullmatch(v)), "must be a region's name, such as eu-west-1")]
EndpointUrl = Annotated[
    str,
    _must(
        _is_bare_endpoint,
        "must be http:// or https:// with a host and at most a port: no path, query or credentials",
    ),
    _must(
        _has_plain_host,
        "must name its host in letters, digits, dots, hyphens and underscores, or as an address: IPv4 as four decimal "
        "numbers, IPv6 in brackets",
    ),
    _must(
        _may_be_an_endpoint,
        "must not be a link-local, multicast, unspecified or cloud metadata address; name the object store's own host",
    ),
]
RoleArn = Annotated[
    str,
    _must(lambda v: bool(_ROLE.fullmatch(v)), "must look like arn:aws:iam::123456789012:role/NAME"),
]
ExternalId = Annotated[
    str,
    _must(
        lambda v: bool(_EXTERNAL_ID.fullmatch(v)),
        "must be 2 to 1224 letters, digits and any of _+=,.@:/- as IAM demands",
    ),
]
AccessKeyId = Annotated[
    str, _must(lambda v: bool(_ACCESS_KEY.fullmatch(v)), "must be 3 to 128 characters without spaces")
]
Secret = Annotated[SecretStr, Field(min_length=1, max_length=4096)]


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class S3Config(_Settings):
    """Where a bucket is and how to reach it. Without `endpoint_url`: Amazon S3."""

    bucket: Bucket
    prefixes: list[Prefix] = Field(default=[], max_length=MOST_PREFIXES)
    region: Region | None = None
    endpoint_url: EndpointUrl | None = None
    role_arn: RoleArn | None = None
    external_id: ExternalId | None = None
    requester_pays: StrictBool = False

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if self.external_id is not None and self.role_arn is None:
            raise ValueError("external_id: only goes with role_arn; name the role or leave it out")
        if self.endpoint_url is None and self.region and not _AWS_REGION.fullmatch(self.region):
            raise ValueError("region: is no AWS region; name one such as eu-west-1, or set endpoint_url")
        if len(set(self.prefixes)) != len(self.prefixes):
            raise ValueError("prefixes: names a prefix twice; leave one out")
        return self


class S3Credentials(_Settings):
    """A key pair. Without one the process's own credentials are used (environment, profile, instance role)."""

    access_key_id: AccessKeyId
    secret_access_key: Secret
    session_token: Secret | None = None


class FilesystemConfig(_Settings):
    """A folder of the machine the workers run on."""

    root: Annotated[str, _must(_is_absolute, "must be an absolute path of at most 4096 characters, such as /srv/files")]


@dataclass(frozen=True, slots=True)
class CheckedConfig:
    """A connector's `config`, checked and parted: `settings` may be shown, `credentials` never."""

    settings: dict[str, Any]
    credentials: dict[str, str] | None = dataclass_field(repr=False)


_Model = TypeVar("_Model", bound=_Settings)

CONFIGS: Mapping[str, type[S3Config | FilesystemConfig]] = {"s3": S3Config, "filesystem": FilesystemConfig}
"""The connector types, and what their settings are."""

SECRET_FIELDS: Mapping[str, frozenset[str]] = {
    "s3": frozenset(S3Credentials.model_fields),
    "filesystem": frozenset(),
}


def check_config(kind: str, config: Mapping[str, object], *, field: str = "config") -> CheckedConfig:
    """`config` as a client posted it, secrets parted from settings. Raises `Invalid` with every fault.

    `field` is where the config stands in the request, for the faults' paths.
    """
    if kind not in CONFIGS:
        raise Invalid([Fault("type", f"must be one of: {', '.join(CONFIGS)}")])
    secret = {name: value for name, value in config.items() if name in SECRET_FIELDS[kind]}
    plain = {name: value for name, value in config.items() if name not in secret}
    faults: list[Fault] = []
    settings = _parsed(CONFIGS[kind], plain, SECRET_FIELDS[kind], field, faults)
    credentials = _parsed(S3Credentials, secret, frozenset(), field, faults) if secret else None
    if faults or settings is None:
        raise Invalid(faults)
    return CheckedConfig(settings.model_dump(exclude_defaults=True), revealed(credentials) if credentials else None)


def revealed(credentials: S3Credentials) -> dict[str, str]:
    """The credentials in the clear, for sealing or for a worker's memory only."""
    token = credentials.session_token
    pair = {
        "access_key_id": credentials.access_key_id,
        "secret_access_key": credentials.secret_access_key.get_secret_value(),
    }
    return pair if token is None else {**pair, "session_token": token.get_secret_value()}


def _parsed(
    model: type[_Model], values: Mapping[str, object], also: frozenset[str], field: str, faults: list[Fault]
) -> _Model | None:
    try:
        return model.model_validate(dict(values))
    except ValidationError as error:
        known = sorted({*model.model_fields, *also})
        faults += [_fault(fault, field, known) for fault in error.errors(include_input=False)]
        return None


def _fault(error: Mapping[str, Any], field: str, known: list[str]) -> Fault:
    path = ".".join([field, *(str(part) for part in error["loc"])])
    match error["type"]:
        case "missing":
            return Fault(path, "is required")
        case "extra_forbidden":
            return Fault(path, f"is not a setting of this type; the settings are: {', '.join(known)}")
        case "value_error":
            message = str(error["ctx"]["error"])
            name, colon, rest = message.partition(": ")
            named = bool(colon) and not error["loc"] and name in known
            return Fault(f"{path}.{name}", rest) if named else Fault(path, message)
        case _:
            return Fault(path, error["msg"])
