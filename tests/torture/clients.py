"""Clients of a ring in a storm: they start scans one after the other, act on some, and ask again until answered."""

import threading
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

import httpx
import psycopg

from domain.scan_events import ENDINGS
from tests.torture.sources import Source

_TICK: Final = 0.1
_CLIENT_SECONDS: Final = 4.0
_MOST_WORKERS: Final = 4
_SLOW_MINUTES: Final = 1


@dataclass(slots=True)
class Started:
    """A scan as its client knows it. `answered` are the answers to what was done to it, by the action's name."""

    sources: Sequence[Source]
    options: Mapping[str, Any]
    acts: list["Act"]
    key: str
    scan_id: str = ""
    answered: dict[str, int] = field(default_factory=dict)
    ended: bool = False

    @property
    def may_leave_work(self) -> bool:
        """Whether it may end with objects remaining."""
        return self.answered.get("cancel") == 200 or "timeout_minutes" in self.options


Do = Callable[["Clients", Started], int | None]
"""Asks for it once; gives the answer's status, None if there was none that counts."""


@dataclass(frozen=True, slots=True)
class Action:
    """Something that a client may do to its scan. To add one, put it into ACTIONS.

    What must follow it, as resuming follows pausing, its `do` appends to the scan's `acts`.
    """

    name: str
    share: float
    do: Do


@dataclass(frozen=True, slots=True)
class Act:
    """An action due once the scan has so many events."""

    action: Action
    after_events: int


def _cancel(clients: "Clients", scan: Started) -> int | None:
    return clients.post(f"/scans/{scan.scan_id}/cancel")


def _pause(clients: "Clients", scan: Started) -> int | None:
    status = clients.post(f"/scans/{scan.scan_id}/pause")
    if status == 200:
        scan.acts.append(Act(_RESUME, 0))
    return status


def _resume(clients: "Clients", scan: Started) -> int | None:
    return clients.post(f"/scans/{scan.scan_id}/resume")


_RESUME: Final = Action("resume", 0.0, _resume)
ACTIONS: Final[Sequence[Action]] = (Action("cancel", 0.15, _cancel), Action("pause", 0.3, _pause))


class Clients:
    """Keeps `together` scans open until told to stop, in a thread of its own. `scans` are all that it started.

    What is scanned takes turns, in an order drawn anew each time; after the first turn comes what is `slow`, once.
    """

    def __init__(
        self,
        api: httpx.Client,
        database_url: str,
        mixes: Sequence[Sequence[Source]],
        slow: Sequence[Source],
        rng: Random,
        *,
        together: int,
    ) -> None:
        self._api = httpx.Client(base_url=api.base_url, headers=api.headers, timeout=_CLIENT_SECONDS)
        self._database_url = database_url
        self._mixes = mixes
        self._slow: Sequence[Sequence[Source]] = [[source] for source in slow]
        self._deck: list[Sequence[Source]] = []
        self._rng = rng
        self._together = together
        self._stop = threading.Event()
        self._abandoned = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._database: psycopg.Connection[Any] | None = None
        self.scans: list[Started] = []
        self.refused = 0
        self.fault: BaseException | None = None

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Start no more scans; those that were asked for are started, and what is due is done."""
        self._stop.set()

    def abandon(self) -> None:
        """Leave everything as it is, at once."""
        self._stop.set()
        self._abandoned.set()
        if self._thread.is_alive():
            self._thread.join()
        self._api.close()

    def join(self, within: float) -> None:
        """Until every scan has ended. Raises AssertionError naming those that have not."""
        self._thread.join(within)
        if self.fault is not None:
            raise self.fault
        open_scans = [scan for scan in self.scans if not scan.ended]
        assert not open_scans, f"stuck: {[(one.scan_id, [s.name for s in one.sources]) for one in open_scans]}"

    def post(self, path: str, body: Mapping[str, Any] | None = None, key: str | None = None) -> int | None:
        answer = self._posted(path, body, key)
        return None if answer is None else answer.status_code

    def _posted(self, path: str, body: Mapping[str, Any] | None, key: str | None) -> httpx.Response | None:
        """The answer; None when the service could not give one that counts."""
        try:
            answer = self._api.post(path, json=body, headers={"Idempotency-Key": key} if key else {})
        except httpx.HTTPError:
            self.refused += 1
            return None
        if answer.status_code >= 500 or answer.json().get("error", {}).get("code") == "IDEMPOTENCY_IN_PROGRESS":
            self.refused += 1
            return None
        return answer

    def _run(self) -> None:
        try:
            while not (self._stop.is_set() and all(scan.ended for scan in self.scans)):
                self._round()
                if self._abandoned.wait(_TICK):
                    return
        except BaseException as fault:  # noqa: BLE001 — it is raised again where somebody waits
            self.fault = fault
        finally:
            if self._database is not None:
                self._database.close()

    def _round(self) -> None:
        open_scans = [scan for scan in self.scans if not scan.ended]
        if len(open_scans) < self._together and not self._stop.is_set():
            self.scans.append(self._drawn())
            open_scans.append(self.scans[-1])
        for scan in open_scans:
            if not scan.scan_id:
                self._ask_for(scan)
        for scan_id, (events, ended) in self._courses([scan.scan_id for scan in open_scans if scan.scan_id]).items():
            scan = next(one for one in open_scans if one.scan_id == scan_id)
            due = self._act(scan, events)
            scan.ended = ended and not due

    def _drawn(self) -> Started:
        if not self._deck:
            self._deck = [*self._slow, *self._rng.sample(self._mixes, len(self._mixes))]
            self._slow = []
        sources = self._deck.pop()
        options: dict[str, Any] = {"max_workers": self._rng.randint(1, _MOST_WORKERS), "coverage_target": 0.5}
        if sources[0].prefixes:
            options["prefixes"] = list(sources[0].prefixes)
        if sources[0].name == "slow":
            options |= {"timeout_minutes": _SLOW_MINUTES, "max_workers": 1}
        acts = [Act(one, self._rng.randint(2, 25)) for one in ACTIONS if self._rng.random() < one.share]
        return Started(sources, options, [] if sources[0].name == "slow" else acts, uuid.uuid4().hex)

    def _ask_for(self, scan: Started) -> None:
        body = {"connectors": [one.connector for one in scan.sources], "type": "full", "options": scan.options}
        answer = self._posted("/scans/parallel", body, scan.key)
        if answer is None:
            return
        assert answer.status_code == 201, answer.text
        scan.scan_id = answer.json()["data"]["scan_id"]

    def _act(self, scan: Started, events: int) -> bool:
        """Do what is due; whether something due has not been answered yet."""
        for act in [act for act in scan.acts if act.after_events <= events]:
            status = act.action.do(self, scan)
            if status is None:
                return True
            scan.answered[act.action.name] = status
            scan.acts.remove(act)
        return False

    def _courses(self, scan_ids: Sequence[str]) -> Mapping[str, tuple[int, bool]]:
        """Events so far, and whether the scan has ended; nothing while the database is away."""
        query = (
            "SELECT originator_id, count(*)::int, bool_or(topic = ANY (%s)) FROM stored_events"
            " WHERE originator_id = ANY (%s) GROUP BY 1"
        )
        try:
            if self._database is None or self._database.closed:
                self._database = psycopg.connect(self._database_url, autocommit=True, connect_timeout=3)
            rows = self._database.execute(query, ([one.kind for one in ENDINGS], list(scan_ids))).fetchall()
        except psycopg.Error:
            return {}
        return {scan_id: (events, ended) for scan_id, events, ended in rows}
