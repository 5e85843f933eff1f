"""What a child shows its parent without a word, so that it can still be read when the child is dead or hangs."""

import time
from multiprocessing.context import SpawnContext
from typing import Any, Final

_NOTHING: Final = -1


class Vitals:
    """Shared memory of a parent and its child: which object is being read, and when that last got on.

    The clock is the machine's monotonic one, which all its processes share.
    """

    def __init__(self, context: SpawnContext) -> None:
        self._object: Any = context.RawValue("q", _NOTHING)
        self._beat: Any = context.RawValue("d", 0.0)

    def begin(self, index: int) -> None:
        """The object at this manifest position is looked into next."""
        self._object.value = index
        self.beat()

    def beat(self) -> None:
        """The reading gets on."""
        self._beat.value = time.monotonic()

    def end(self) -> None:
        """Nothing is being read."""
        self._object.value = _NOTHING

    @property
    def reading(self) -> int | None:
        """The manifest position of the object that is being read, or was when the child died."""
        index = int(self._object.value)
        return None if index == _NOTHING else index

    @property
    def stalled_for(self) -> float:
        """Seconds since the reading of an object last got on; 0 while none is being read."""
        return 0.0 if self.reading is None else time.monotonic() - float(self._beat.value)
