"""The fleet as its telemetry shows it: who is there, with how many slots, doing what."""

import time
from collections.abc import Callable, Iterator
from typing import Final

from pydantic import ValidationError

from application.messages import Telemetry, WorkInHand
from infrastructure.wiring import Broker, Message, telemetry_subject

PRESENT_SECONDS: Final = 3.5
"""Telemetry comes once a second; who missed three is taken for gone."""


class Fleet:
    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._scanners: dict[str, tuple[float, Telemetry]] = {}
        self._changed: Callable[[], None] = lambda: None

    async def start(self, changed: Callable[[], None]) -> None:
        """Listen; `changed()` is called when the number of slots changes."""
        self._changed = changed
        await self._broker.client.subscribe(telemetry_subject("*"), cb=self._on_telemetry)

    def slots(self) -> int:
        """Slots of all scanners that are there and go on taking work."""
        return sum(telemetry.slots for telemetry in self._present() if not telemetry.stopping)

    def in_hand(self) -> Iterator[WorkInHand]:
        """Everything that is being worked on."""
        for telemetry in self._present():
            yield from telemetry.work

    def _present(self) -> Iterator[Telemetry]:
        oldest = time.monotonic() - PRESENT_SECONDS
        return (telemetry for at, telemetry in self._scanners.values() if at >= oldest)

    async def _on_telemetry(self, message: Message) -> None:
        try:
            telemetry = Telemetry.model_validate_json(message.data)
        except ValidationError:
            return
        before = self.slots()
        self._scanners[telemetry.scanner] = (time.monotonic(), telemetry)
        oldest = time.monotonic() - 60
        self._scanners = {name: kept for name, kept in self._scanners.items() if kept[0] >= oldest}
        if self.slots() != before:
            self._changed()
