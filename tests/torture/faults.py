"""What a storm does to the ring: kinds of faults, a plan drawn from a seed, and how each begins and is made good.

A fault begins with `strike`, which gives what makes it good again: called until it says that it has. To add a kind,
write its strike and put it into KINDS.
"""

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from random import Random
from typing import Final

import psutil

from tests.end_to_end.ring import LINKS, ROLES, SERVERS, Ring
from tests.torture.chaos_proxy import ChaosProxy, Trouble
from tests.torture.stormy_s3 import MOODS, StormyS3

PROCESSES: Final = (*ROLES, "scanner-2")
CHILD: Final = "scanner's child"
BACKEND: Final = "postgres's backend"
PARENTS: Final = {CHILD: "scanner", BACKEND: "postgres"}


@dataclass(frozen=True, slots=True)
class Reach:
    """What a storm can get at."""

    ring: Ring
    links: dict[str, ChaosProxy]
    s3: StormyS3


MakeGood = Callable[[], bool]
Strike = Callable[[Reach, str, Random], MakeGood | None]
"""Does it to the target of that name. None: there is no such thing just now."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of fault, the targets it can have, how often it is drawn, and the least and most seconds it lasts."""

    name: str
    targets: tuple[str, ...]
    weight: int
    seconds: tuple[float, float]
    strike: Strike


@dataclass(frozen=True, slots=True)
class Planned:
    """A fault to come: `pause` seconds after the one before it, made good after `seconds`."""

    kind: Kind
    target: str
    pause: float
    seconds: float

    @property
    def holds(self) -> str:
        """What no other fault may have hold of at the same time."""
        return PARENTS.get(self.target, self.target)


def _at_once() -> bool:
    return True


def _starting(ring: Ring, name: str) -> MakeGood:
    def start() -> bool:
        if not ring.alive(name):
            ring.start(name)
        return True

    return start


def _kill(reach: Reach, target: str, rng: Random) -> MakeGood | None:
    if target in PARENTS:
        child = _child(reach.ring, target, rng)
        if child is None:
            return None
        child.kill()
        return _at_once
    reach.ring.kill(target)
    return _starting(reach.ring, target)


def _terminate(reach: Reach, target: str, _: Random) -> MakeGood:
    """SIGTERM. PostgreSQL then waits for its clients to leave, so it is told more plainly when it is to be whole."""
    ring, process = reach.ring, psutil.Process(reach.ring.pid(target))
    process.terminate()

    def start() -> bool:
        if target == "postgres" and ring.alive(target):
            process.send_signal(signal.SIGINT)
        if ring.alive(target):
            return False
        ring.start(target)
        return True

    return start


def _freeze(reach: Reach, target: str, rng: Random) -> MakeGood | None:
    if target in PARENTS:
        child = _child(reach.ring, target, rng)
        family = [] if child is None else [child]
    else:
        family = reach.ring.family(target)
        # Alone, a scanner falls silent while its children read on.
        family = family[:1] if target.startswith("scanner") and rng.random() < 0.5 else family
    for process in family:
        with suppress(psutil.NoSuchProcess):
            process.suspend()

    def thaw() -> bool:
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.resume()
        return True

    return thaw if family else None


def _child(ring: Ring, name: str, rng: Random) -> psutil.Process | None:
    """A process that reads objects, or one that serves a client of the database."""
    wanted = "spawn_main" if name == CHILD else "scanledger 127.0.0.1"
    found: list[psutil.Process] = []
    for child in ring.children(PARENTS[name]):
        with suppress(psutil.Error):
            if wanted in " ".join(child.cmdline()) and "resource_tracker" not in " ".join(child.cmdline()):
                found.append(child)
    return rng.choice(found) if found else None


def lose_store(reach: Reach, _: str, __: Random) -> MakeGood:
    reach.ring.wipe_nats()
    return _at_once


def _trouble(trouble: Trouble) -> Strike:
    def strike(reach: Reach, target: str, _: Random) -> MakeGood:
        proxy = reach.links[target]
        proxy.begin(trouble)

        def end() -> bool:
            proxy.end(trouble)
            return True

        return end

    return strike


def _mood(mood: str) -> Strike:
    def strike(reach: Reach, _: str, __: Random) -> MakeGood:
        reach.s3.mood = mood

        def end() -> bool:
            reach.s3.mood = None
            return True

        return end

    return strike


_PASSING: Final = [trouble for trouble in Trouble if trouble is not Trouble.SILENCE]

KINDS: Final[Sequence[Kind]] = (
    Kind("kill -9", (*PROCESSES, *SERVERS, CHILD, BACKEND), 34, (0.0, 2.0), _kill),
    Kind("SIGTERM", (*PROCESSES, *SERVERS), 18, (0.5, 2.5), _terminate),
    Kind("SIGSTOP", (*PROCESSES, *SERVERS, CHILD, BACKEND), 22, (0.5, 5.0), _freeze),
    Kind("loss of all that is stored", ("nats",), 2, (0.0, 0.0), lose_store),
    *(Kind(f"link: {trouble}", LINKS, 5, (0.3, 4.0), _trouble(trouble)) for trouble in _PASSING),
    Kind(f"link: {Trouble.SILENCE}", ("nats", "worker-nats", "postgres"), 3, (0.0, 0.0), _trouble(Trouble.SILENCE)),
    *(Kind(f"S3: {mood}", ("s3",), 4, (0.5, 3.0), _mood(mood)) for mood in MOODS),
)


QUICK: Final = [kind for kind in KINDS if not kind.name.endswith(Trouble.SILENCE)]
"""Those from which the ring recovers within seconds. That a connection has fallen silent takes two pings to notice."""


def plan(
    rng: Random, count: int, *, pause: float, kinds: Sequence[Kind] = KINDS, haste: float = 1.0
) -> Sequence[Planned]:
    """`count` faults about `pause` seconds apart: every kind on every one of its targets if there is room, then more.

    The same `rng` gives the same plan. With little room every kind is there once, as far as that goes. With
    `haste` they are made good that many times as soon.
    """
    pairs = [(kind, target) for kind in kinds for target in kind.targets]
    once = [(kind, rng.choice(kind.targets)) for kind in kinds]
    rng.shuffle(pairs)
    rng.shuffle(once)
    first = pairs if count >= len(pairs) else once[:count]
    drawn = [*first, *_drawn(rng, kinds, count - len(first))]
    rng.shuffle(drawn)
    return [
        Planned(kind, target, rng.uniform(0.5, 1.5) * pause, rng.uniform(*kind.seconds) / haste)
        for kind, target in drawn
    ]


def _drawn(rng: Random, kinds: Sequence[Kind], count: int) -> Iterator[tuple[Kind, str]]:
    for kind in rng.choices(kinds, [kind.weight for kind in kinds], k=count):
        yield kind, rng.choice(kind.targets)
