"""Which scans are called off: told by the control stream while connected, asked of it after a gap."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

from application.messages import Control, ControlState
from domain.errors import ServiceUnavailable
from infrastructure.wiring import CONTROL, Broker, Message, control_subject

_KEPT: Final = 10_000


class StoppedScans:
    """`on_stop(scan, listing_only)` is called as soon as a scan, or its listing, is called off."""

    def __init__(self, broker: Broker, on_stop: Callable[[str, bool], None]) -> None:
        self._broker = broker
        self._on_stop = on_stop
        self._states: OrderedDict[str, ControlState] = OrderedDict()

    async def start(self) -> None:
        await self._broker.client.subscribe(control_subject("*"), cb=self._on_control)
        self._broker.on_reconnect(self._ask_again)

    async def stopped(self, scan: str, *, listing: bool) -> bool:
        """Whether work of this scan is not to begin. Asks the stream once per scan and connection.

        Of a pause it asks again: a command and the word that the scan goes on may overtake each other.
        """
        if scan not in self._states or self._states[scan] is ControlState.PAUSE:
            await self._ask(scan)
        return self.known(scan, listing=listing)

    def known(self, scan: str, *, listing: bool) -> bool:
        """Whether, by what was heard, work of this scan is not to begin."""
        state = self._states.get(scan, ControlState.RUN)
        return state in {ControlState.STOP, ControlState.PAUSE} or (listing and state is ControlState.STOP_LISTING)

    def ended(self, scan: str) -> bool:
        return self._states.get(scan) is ControlState.STOP

    def paused(self, scan: str) -> bool:
        return self._states.get(scan) is ControlState.PAUSE

    async def _ask(self, scan: str) -> None:
        try:
            body = await self._broker.latest(CONTROL, control_subject(scan))
        except ServiceUnavailable:
            # Not remembered, so the next piece of work asks again; what is recorded late changes nothing anyway.
            return
        if body is None:
            self._keep(scan, ControlState.RUN)
        else:
            self._heed(Control.model_validate_json(body))

    async def _on_control(self, message: Message) -> None:
        self._heed(Control.model_validate_json(message.data))

    def _heed(self, control: Control) -> None:
        self._keep(control.scan, control.state)
        if control.state is not ControlState.RUN:
            # A paused scan's chunks in work finish.
            self._on_stop(control.scan, control.state is not ControlState.STOP)

    def _keep(self, scan: str, state: ControlState) -> None:
        self._states[scan] = state
        self._states.move_to_end(scan)
        while len(self._states) > _KEPT:
            self._states.popitem(last=False)

    async def _ask_again(self) -> None:
        """Messages may have been missed while the connection was down: ask for each scan anew."""
        scans = list(self._states)
        self._states.clear()
        for scan in scans[-200:]:
            await self._ask(scan)
