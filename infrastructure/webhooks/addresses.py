"""Where webhooks may lead: to https at public addresses, and to what the operator allows besides.

Whoever may make webhooks could otherwise have the service ask any server that it reaches. So the URL is judged when it
is given and before each use, an address before it is connected to, and the peer's again once it is connected to.
"""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol
from urllib.parse import urlsplit

from infrastructure.connectors.endpoints import Address, Reach, as_address, forbidden, place_of, reach_of

SETTING: Final = "SCANLEDGER_WEBHOOK_ENDPOINTS"
LONGEST_URL: Final = 2_048

_UNICAST: Final = ipaddress.IPv6Network("2000::/3")
"""RFC 4291, 2.4, and IANA's registry: what of IPv6 is given out at all."""

_NAT64: Final = ipaddress.IPv6Network("64:ff9b::/96")
"""RFC 6052: the last 32 bits are the IPv4 address that is reached."""


class Peers(Protocol):
    def refusal(self, peer: str) -> str | None:
        """Why a connection to the address `peer` is not to be used, or None."""


class PublicPeers:
    """Public addresses only; neither private nor loopback ones, nor those that stand for one in IPv6."""

    def refusal(self, peer: str) -> str | None:
        address = as_address(peer)
        if address is None or forbidden(address):
            return Reach().refusal(peer)
        if _is_public(address):
            return None
        return f"it is at {peer}, which is no public address; the operator allows others with {SETTING}"


def _is_public(address: Address) -> bool:
    if isinstance(address, ipaddress.IPv4Address):
        return address.is_global
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF).is_global
    return address in _UNICAST and address.is_global and (address.sixtofour is None or address.sixtofour.is_global)


def peers_of(host: str, port: int, allowed: Sequence[str]) -> Peers:
    """Who may be found at a host: anyone but metadata services where the operator allows it, else public peers."""
    name = f"[{host}]" if ":" in host else host
    reach = reach_of(f"https://{name}:{port}", allowed)
    return PublicPeers() if reach is None else reach


@dataclass(frozen=True, slots=True)
class Target:
    """A webhook's URL in the parts that are asked for."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def authority(self) -> str:
        """The Host header."""
        name = f"[{self.host}]" if ":" in self.host else self.host
        return name if self.port == {"https": 443, "http": 80}[self.scheme] else f"{name}:{self.port}"


def target_of(url: str, allowed: Sequence[str]) -> Target | str:
    """Where `url` leads, or what is wrong with it. `allowed` are patterns as `parse_pattern` takes them: what they
    match may be asked by http as well and at private addresses, yet never at link-local or metadata ones."""
    if (fault := _misshapen(url)) is not None:
        return fault
    place = place_of(url)
    if place is None:
        return (
            "must name its host in letters, digits, dots, hyphens and underscores, or as an address: IPv4 as four"
            " decimal numbers, IPv6 in brackets"
        )
    parts = urlsplit(url)
    peers = peers_of(*place, allowed)
    if isinstance(peers, PublicPeers) and parts.scheme != "https":
        return f"must begin with https://; the operator allows http:// to some hosts with {SETTING}"
    if as_address(place[0]) is not None and (refusal := peers.refusal(place[0])) is not None:
        return f"must lead elsewhere: {refusal}"
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, *place, path)


def _misshapen(url: str) -> str | None:
    if len(url) > LONGEST_URL:
        return f"must have {LONGEST_URL} characters at most"
    if not url.isascii() or not url.isprintable() or any(character in url for character in ' "<>\\^`{|}'):
        return "must be a URL in ASCII without blanks; write other characters as %XX, and a host in Punycode"
    try:
        parts = urlsplit(url)
        usable = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        return "must be a URL such as https://hooks.example.com/scanledger"
    if "@" in parts.netloc:
        return "must not hold a user or password; requests are known by their signature"
    if "#" in url:
        return "must have no fragment (#…), which is never sent"
    return None


def url_fault(url: str, allowed: Sequence[str]) -> str | None:
    """What is wrong with a webhook's URL, or None."""
    judged = target_of(url, allowed)
    return judged if isinstance(judged, str) else None
