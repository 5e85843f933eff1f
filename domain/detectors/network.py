"""Network: addresses of hosts."""

from typing import Final

from domain.detectors.rule import Detector, Pattern

_OCTET = r"(?:25[0-5]|2[0-4]\d|1\d\d|[1-9]?\d)"

NETWORK: Final = (
    Detector(
        id="network.ip-address",
        name="IP address (version 4 or 6)",
        confidence=0.8,
        patterns=(
            Pattern(
                anchor=r"\b\d{1,3}\.\d{1,3}\.\d{1,3}\.\d",
                confirm=rf"(?<![\w.]){_OCTET}(?:\.{_OCTET}){{3}}(?!\w)(?!\.\d)",
                before=14,
                after=6,
            ),
            Pattern(
                anchor=r"(?::[0-9A-Fa-f]{1,4}){6}:[0-9A-Fa-f]",
                confirm=r"(?<![\w:.])[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{1,4}){7}(?![\w:])",
                before=40,
                after=8,
            ),
            Pattern(
                anchor=r"\b[0-9A-Fa-f]{1,4}::",
                confirm=r"(?<![\w:.])(?:[0-9A-Fa-f]{1,4}:){1,6}(?::[0-9A-Fa-f]{1,4}){1,6}(?![\w:])",
                before=40,
                after=40,
            ),
        ),
        validator="ip_address",
        context=("host", "client", "server", "remote", "source", "addr", "peer", "ip"),
        denial=("version", "release", "firmware", "build", "ver", "v."),
        matches=(
            "from 203.0.114.7 port 22",
            "8.8.8.8",
            "lo 127.0.0.1 up",
            "[2001:4860:4860::8888]:443",
            "2a03:2880:f12f:0083:face:b00c:0000:25de",
            "fe80::1ff:fe23:4567:890a",
        ),
        near_misses=(
            "1.2.3.4.5",
            "256.1.1.1",
            "v1.2.3.4",
            "12:34:56",
            "00:1a:2b:3c:4d:5e",
            "std::cout",
            "01.02.03.04",
            "1.2.3",
        ),
    ),
)
