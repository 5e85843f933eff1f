"""Reading one object to its end, or knowing why not."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from random import SystemRandom
from typing import TypeVar

from domain.coverage import FailReason
from domain.errors import ObjectUnreadable, SourceDenied, SourceMisconfigured, SourceUnavailable
from domain.manifest import ObjectInfo
from infrastructure.connectors.backoff import Backoff, transfer_deadline
from infrastructure.connectors.s3_faults import S3Fault, object_error
from infrastructure.connectors.s3_http import Answer, S3Http

_T = TypeVar("_T")
_random = SystemRandom().random


class Pace:
    """One provider's wish to be left alone, shared by all threads of a source."""

    def __init__(
        self,
        backoff: Backoff,
        *,
        jitter: Callable[[], float] = _random,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._backoff = backoff
        self._jitter = jitter
        self.clock = clock
        self._quiet_until = 0.0
        self._closed = threading.Event()

    @property
    def quiet(self) -> bool:
        """Whether the provider asked to slow down a moment ago."""
        return self.clock() < self._quiet_until

    def rest(self) -> None:
        """Wait until the provider may be asked again, or the source is closed."""
        self._closed.wait(max(0.0, self._quiet_until - self.clock()))

    def rest_after(self, fault: S3Fault, failures: int, most: float) -> bool:
        """Wait before the next attempt, never longer than `most` seconds; False where there is to be none."""
        delay = self._backoff.delay(failures, self._jitter(), throttled=fault.throttled)
        if delay is None or not fault.transient or self._closed.is_set():
            return False
        if fault.throttled:
            self._quiet_until = max(self._quiet_until, self.clock() + delay)
        return not self._closed.wait(min(delay, most))

    def close(self) -> None:
        """End every wait."""
        self._closed.set()


class ResumingStream:
    """The bytes `start..stop` of an object as it was listed. A cut body goes on where it was cut.

    Only time spent waiting for the provider counts against the deadline, so that a slow reader is not blamed
    on the network. Attempts count since the last byte that came.
    """

    def __init__(self, http: S3Http, pace: Pace, entry: ObjectInfo, start: int, stop: int) -> None:
        self._http = http
        self._pace = pace
        self._entry = entry
        self._at = start
        self._stop = stop
        self._left = transfer_deadline(stop - start)
        self._failures = 0
        self._answer: Answer | None = None

    def open(self) -> None:
        """Ask for the object, so that a refusal shows before the first read. Raises as `read` does."""
        self._trying(self._ask)

    def read(self, size: int, /) -> bytes:
        """At most `size` bytes; `b""` only at the end. Raises `ObjectUnreadable`, `ObjectSkipped`."""
        if self._at >= self._stop or size == 0:
            return b""
        data = self._trying(lambda: self._next(size))
        self._at += len(data)
        self._failures = 0
        if self._at >= self._stop:
            self.close()
        return data

    def close(self) -> None:
        if self._answer is not None:
            self._answer.close()
            self._answer = None

    def _trying(self, attempt: Callable[[], _T]) -> _T:
        while self._left > 0:
            try:
                with self._clocked():
                    return attempt()
            except S3Fault as fault:
                self.close()
                self._failures += 1
                with self._clocked():
                    again = self._pace.rest_after(fault, self._failures, max(0.0, self._left))
                if not again:
                    raise object_error(fault) from None
            except (SourceDenied, SourceMisconfigured) as error:
                raise ObjectUnreadable(FailReason.ACCESS_DENIED, str(error)) from None
            except SourceUnavailable as error:
                raise ObjectUnreadable(FailReason.NETWORK, str(error)) from None
        raise ObjectUnreadable(FailReason.TIMEOUT, "It came slower than 256 KB a second.")

    @contextmanager
    def _clocked(self) -> Iterator[None]:
        began = self._pace.clock()
        try:
            yield
        finally:
            self._left -= self._pace.clock() - began

    def _next(self, size: int) -> bytes:
        answer = self._answer or self._ask()
        data = answer.read(min(size, self._stop - self._at))
        if not data:
            raise S3Fault("BodyCut")
        return data

    def _ask(self) -> Answer:
        self._pace.rest()
        headers = {"If-Match": self._entry.etag} if self._entry.etag else {}
        whole = self._at == 0 and self._stop == self._entry.size
        if not whole:
            headers["Range"] = f"bytes={self._at}-{self._stop - 1}"
        answer = self._http.get_object(self._entry.key, headers)
        self._answer = answer
        self._check(answer, whole)
        return answer

    def _check(self, answer: Answer, whole: bool) -> None:
        """Raises `ObjectUnreadable` unless the answer is a piece of the object that was listed.

        Raises `S3Fault` for one that was cut before its body: then its headers say nothing.
        """
        size = self._entry.size
        if whole:
            fits = answer.status == 200 and answer.headers.get("content-length", str(size)) == str(size)
        else:
            expected = f"bytes {self._at}-{self._stop - 1}/{size}"
            fits = answer.status == 206 and answer.headers.get("content-range") == expected
        if not fits:
            if answer.headers.get("content-length") != "0" and not answer.read(1):
                raise S3Fault("AnswerCut")
            raise ObjectUnreadable(FailReason.CHANGED_DURING_READ, "Its size is not the listed one.")
