"""What a subscriber asks for and is told: a place of its own in the stream of events, and where that begins."""

from datetime import datetime
from typing import Annotated, Final

import msgspec

from domain.errors import Fault, Invalid

CONSUMERS_A_TENANT: Final = 8
"""A tenant's subscribers share so many durable consumers, numbered from 1; each keeps its own place in the stream."""

FAMILIES: Final = ("scan", "connector")

Kind = Annotated[str, msgspec.Meta(pattern=r"^(scan|connector)\.[a-z-]+$", max_length=64)]


class Subscribe(msgspec.Struct, forbid_unknown_fields=True):
    """Begin, or go on, with a consumer.

    Without `sequence`, `time` and `new`, a consumer that is there stays where it is, and one that is not begins with
    the oldest event. With one of them it begins anew there: at a sequence of the stream, at the first event that was
    published at a time or later, or with the next event to come. `kinds`: only events of these (none: all).
    """

    consumer: Annotated[int, msgspec.Meta(ge=1, le=CONSUMERS_A_TENANT)] = 1
    sequence: Annotated[int, msgspec.Meta(ge=1)] | None = None
    time: Annotated[datetime, msgspec.Meta(tz=True)] | None = None
    new: bool = False
    kinds: Annotated[list[Kind], msgspec.Meta(max_length=64)] = []

    @property
    def anew(self) -> bool:
        return self.new or self.sequence is not None or self.time is not None


class Subscribed(msgspec.Struct, omit_defaults=True):
    """The consumer to pull from, and how many events wait there; or else what is wrong."""

    stream: str = ""
    consumer: str = ""
    pending: int = 0
    error: str = ""


_decoder: Final = msgspec.json.Decoder(Subscribe)


def subscription(body: bytes) -> Subscribe:
    """Raises Invalid."""
    try:
        wanted = _decoder.decode(body or b"{}")
    except msgspec.MsgspecError as error:
        raise Invalid([Fault("subscribe", str(error))]) from error
    if (wanted.sequence is not None) + (wanted.time is not None) + wanted.new > 1:
        raise Invalid([Fault("subscribe", "give one of `sequence`, `time` and `new`, or none")])
    return wanted


def consumer_name(tenant: str, number: int) -> str:
    """No tenant's name holds a `_`, so no two tenants' consumers go by one name."""
    return f"{tenant}_{number}"
