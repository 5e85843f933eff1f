"""Which `endpoint_url`s the operator allows, and what no endpoint may turn out to be once it is connected to.

Whoever may make connectors could otherwise have a worker ask any server that the worker reaches.
"""

import ipaddress
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final
from urllib.parse import urlsplit

SETTING: Final = "SCANLEDGER_S3_ENDPOINTS"

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_HOST = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*")
_GLOB = re.compile(r"[a-z0-9_.*-]+")
_NUMBER = re.compile(r"\d+|0x[0-9a-f]*")
_BRACKETED = re.compile(r"\[([^\[\]]+)\](?::(.*))?")

_METADATA: Final = (
    ipaddress.IPv6Network("fd00:ec2::/32"),  # Amazon EC2 User Guide, *Instance metadata*; EKS Pod Identity
    ipaddress.IPv6Network("fd20:ce::254/128"),  # Google Compute Engine, *View and query VM metadata*
)
"""Where clouds hand out a host's own credentials outside the link-local networks."""


@dataclass(frozen=True, slots=True)
class EndpointPattern:
    """One entry of the allow list. Without `port` every port is allowed."""

    host: str
    network: Network | None
    port: int | None

    def allows(self, host: str, port: int) -> bool:
        """Addresses match networks and the bare `*` alone: `10.*` would also match the name `10.example.com`."""
        if self.port not in {None, port}:
            return False
        address = as_address(host)
        if address is None or self.host == "*":
            return self.network is None and fnmatchcase(host, self.host)
        return self.network is not None and address in self.network

    def names(self, host: str) -> bool:
        """Whether the operator wrote down this very host."""
        if self.network is not None:
            return self.network.num_addresses == 1 and as_address(host) in self.network
        return self.host == host


@dataclass(frozen=True, slots=True)
class Reach:
    """How an allowed endpoint may be reached.

    within: the networks its address must lie in; none: anywhere but where `forbidden` says.
    native: whether a client may be used whose connections cannot be looked at.
    """

    within: tuple[Network, ...] = ()
    native: bool = False

    def refusal(self, peer: str) -> str | None:
        """Why a connection to the address `peer` is not to be used, or None."""
        address = as_address(peer)
        if address is None:
            return f"it is at {peer!r}, which is no address"
        if kind := forbidden(address):
            return f"it is at {peer}, {kind}"
        if self.within and not any(address in network for network in self.within):
            return f"it is at {peer}, outside {', '.join(map(str, self.within))}"
        return None


def forbidden(address: Address | Network) -> str | None:
    """What kind of address no endpoint may have, or None. Link-local ones hold cloud metadata services."""
    if address.is_link_local:
        return "a link-local address"
    if address.is_multicast:
        return "a multicast address"
    if address.is_unspecified:
        return "the unspecified address"
    network = ipaddress.ip_network(address)
    if isinstance(network, ipaddress.IPv6Network) and any(network.subnet_of(held) for held in _METADATA):
        return "the address of a cloud metadata service"
    return None


def as_address(host: str) -> Address | None:
    """The address that `host` is written as, an IPv4 one also where it is mapped into IPv6; None for a name."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return None
    mapped = getattr(address, "ipv4_mapped", None)
    return mapped or address


def place_of(url: str) -> tuple[str, int] | None:
    """Host and port of an http(s) URL; None where clients might differ on which host that is.

    `0x7f.1` and `2130706433` are addresses to some and names to others, and `%2e` is a dot to some.
    """
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "").removesuffix(".")
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
    except (ValueError, KeyError):
        return None
    address = as_address(host)
    if address is not None:
        return None if "%" in host else (str(address), port)
    if not _HOST.fullmatch(host) or _NUMBER.fullmatch(host.rpartition(".")[2]):
        return None
    return host, port


def parse_pattern(text: str) -> EndpointPattern:
    """Raises ValueError, saying what is wrong with it."""
    host, port = _parted(text.strip().lower())
    network = _network(text, host)
    if network is not None:
        if kind := forbidden(network):
            raise ValueError(f"{text!r} is {kind}, which no endpoint may have")
        return EndpointPattern(str(network), network, port)
    host = host.removesuffix(".")
    if "[" in text or not _GLOB.fullmatch(host):
        raise ValueError(
            f"{text!r} is no pattern: write a host, in which * stands for any characters, an address or a network, "
            "and after it :port or nothing; IPv6 with a port as [fd12::1]:9000"
        )
    if host != "*" and re.fullmatch(r"[\d.*]+", host):
        raise ValueError(f"{text!r} is neither a name nor an address: write a network such as 10.0.0.0/8")
    return EndpointPattern(host, None, port)


def reach_of(url: str | None, patterns: Sequence[str]) -> Reach | None:
    """How the endpoint may be reached, None where `patterns` do not allow it. No URL: Amazon's own, always allowed.

    A native client resolves names itself and follows redirects to other ports of a host, so it may only be used where
    neither can lead anywhere that the operator does not allow anyway: at an address, at a host that a pattern names
    literally, and at any where any is allowed.
    """
    if url is None:
        return Reach(native=True)
    place = place_of(url)
    if place is None or ((address := as_address(place[0])) and forbidden(address)):
        return None
    host, port = place
    matching = [pattern for pattern in map(parse_pattern, patterns) if pattern.allows(host, port)]
    if not matching:
        return None
    networks = [pattern.network for pattern in matching if pattern.network is not None]
    return Reach(
        within=tuple(networks) if len(networks) == len(matching) else (),
        native=any(
            pattern.names(host) or (pattern.port is None and (address is not None or pattern.host == "*"))
            for pattern in matching
        ),
    )


def endpoint_allowed(url: str | None, patterns: Sequence[str]) -> bool:
    """Whether a connector may name this `endpoint_url`. Patterns are as `parse_pattern` takes them."""
    return reach_of(url, patterns) is not None


def not_allowed(patterns: Sequence[str]) -> str:
    """What to say of an endpoint that is not allowed."""
    if not patterns:
        return f"must be left out: only Amazon S3 may be scanned here; the operator allows endpoints with {SETTING}"
    return f"must be one of {', '.join(patterns)}; the operator allows more with {SETTING}"


def pattern_faults(patterns: Sequence[str]) -> Iterator[str]:
    """What is wrong with each pattern that cannot be used."""
    for pattern in patterns:
        try:
            parse_pattern(pattern)
        except ValueError as error:
            yield str(error)


def _parted(text: str) -> tuple[str, int | None]:
    """Host and port of a pattern."""
    if bracketed := _BRACKETED.fullmatch(text):
        host, port = bracketed[1], bracketed[2]
    elif text.count(":") == 1:
        host, port = text.split(":")
    else:
        return text, None
    if port is None:
        return host, None
    if not re.fullmatch(r"\d{1,5}", port, re.ASCII) or not 0 < int(port) < 65_536:
        raise ValueError(f"{text!r} has no port after its last colon: write 1 to 65535, and no http://")
    return host, int(port)


def _network(text: str, host: str) -> Network | None:
    """The network or single address that `host` is; None for a name. Raises ValueError for neither."""
    try:
        address = as_address(host)
        return ipaddress.ip_network(address or host)
    except ValueError:
        pass
    try:
        suggested = ipaddress.ip_network(host, strict=False)
    except ValueError:
        return None
    raise ValueError(f"{text!r} has bits set behind its prefix: write {suggested}")
