"""Objects of an S3 bucket."""

import io
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from operator import attrgetter, lt

from application.ports import ByteStream
from domain.errors import SourceMisconfigured, SourceUnavailable
from domain.manifest import ObjectInfo
from infrastructure.connectors.backoff import Backoff
from infrastructure.connectors.endpoints import Reach
from infrastructure.connectors.key_ranges import MOST_PREFIXES, KeyRange, Level, dividing_prefixes
from infrastructure.connectors.s3_connections import CheckedSession, Timeouts
from infrastructure.connectors.s3_credentials import Signatory
from infrastructure.connectors.s3_fast import FastReader, is_plain
from infrastructure.connectors.s3_faults import S3Fault, listing_error
from infrastructure.connectors.s3_http import S3Http, address_of
from infrastructure.connectors.s3_listing import Page, parse_page
from infrastructure.connectors.s3_reading import Pace, ResumingStream
from infrastructure.connectors.settings import S3Config, S3Credentials

PAGE_SIZE = 1000
MOST_PAGE_BYTES = 16 * 1024 * 1024
"""A page of 1,000 of the longest keys, each byte URL-encoded, is 4 MB."""
SMALL = 1024 * 1024
"""Up to this many bytes are fetched in one piece."""
DELIMITER = "/"
LAST_BEFORE_DELIMITER = ".\U0010ffff"
LEVEL_PAGES = 4
"""How many pages of a level are looked through for prefixes."""
LISTING_SECONDS = 120.0
"""Longest that the body of one page may take."""


class S3Source:
    """A bucket behind the S3 API, listed in key order. See `ObjectSource`."""

    ordered = True

    def __init__(
        self,
        config: S3Config,
        keys: S3Credentials | None,
        *,
        reach: Reach | None = None,
        timeouts: Timeouts | None = None,
        backoff: Backoff | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Nothing is contacted yet. `reach` is the endpoint's, as `reach_of` says. `clock` counts seconds."""
        reach, timeouts = reach or Reach(), timeouts or Timeouts()
        _, endpoint, _ = address_of(config)
        session = CheckedSession(endpoint, reach, timeouts)
        signatory = Signatory(config, keys, session)
        self._config = config
        self._http = S3Http(config, signatory, session, timeouts)
        # A named endpoint behind a proxy is left to the signed path: see `_no_other_host`.
        native = reach.native and not (config.endpoint_url and session.proxies)
        self._fast = FastReader(config, self._http, signatory, timeouts) if native else None
        self._pace = Pace(backoff or Backoff(), clock=clock)

    def list_pages(self, prefix: str, after: str = "", until: str = "") -> Iterator[Sequence[ObjectInfo]]:
        asked = KeyRange(prefix, after, until)
        if asked.empty:
            return
        last, token = after, ""
        while True:
            page = self._page(prefix, after, token)
            last, objects = self._in_order(page.objects, last), page.objects
            if ended := asked.ends_by(last):
                objects = objects[: bisect_right(objects, until, key=attrgetter("key"))]
            if objects:
                yield objects
            if ended or not page.token:
                return
            token = page.token

    def prefixes(self, prefix: str, after: str = "", until: str = "") -> Sequence[str]:
        asked = KeyRange(prefix, after, until)
        return [] if asked.empty else dividing_prefixes(asked, lambda below: self._level(asked, below))

    @contextmanager
    def open_object(self, entry: ObjectInfo, *, start: int = 0, stop: int | None = None) -> Iterator[ByteStream]:
        end = entry.size if stop is None else min(stop, entry.size)
        if start >= end and entry.size:
            yield io.BytesIO()
        elif (data := self._small(entry, start, end)) is not None:
            yield io.BytesIO(data)
        else:
            stream = ResumingStream(self._http, self._pace, entry, start, end)
            try:
                stream.open()
                yield stream
            finally:
                stream.close()

    def check(self) -> None:
        for prefix in self._config.prefixes or [""]:
            self._page(prefix, "", "", size=1)

    def close(self) -> None:
        self._pace.close()
        self._http.close()

    def _small(self, entry: ObjectInfo, start: int, stop: int) -> bytes | None:
        if self._fast is None or stop - start > SMALL or not is_plain(entry.key) or self._pace.quiet:
            return None
        return self._fast.read(entry, start, stop)

    def _level(self, asked: KeyRange, below: str) -> Level:
        prefixes: list[str] = []
        others, token = False, ""
        for _ in range(LEVEL_PAGES):
            page = self._page(below, _before_prefix_of(asked.after, below), token, delimiter=DELIMITER)
            prefixes += filter(asked.meets, page.prefixes)
            # A folder's own marker divides nothing.
            others = others or any(entry.key in asked and entry.key != below for entry in page.objects)
            ends = [*page.prefixes[-1:], *(entry.key for entry in page.objects[-1:])]
            token = "" if any(map(asked.ends_by, ends)) else page.token
            if not token or len(prefixes) >= MOST_PREFIXES:
                break
        return Level(prefixes, others or bool(token))

    def _page(self, prefix: str, after: str, token: str, *, size: int = PAGE_SIZE, delimiter: str = "") -> Page:
        query = {"encoding-type": "url", "list-type": "2", "max-keys": str(size), "prefix": prefix}
        if delimiter:
            query["delimiter"] = delimiter
        if token:
            query["continuation-token"] = token
        elif after:
            query["start-after"] = after
        body = self._retried(lambda: self._fetched(query))
        try:
            return parse_page(body)
        except (ValueError, KeyError) as error:
            raise SourceUnavailable(
                f"The answer to listing {self._config.bucket!r} cannot be read: {error}. Check endpoint_url."
            ) from None

    def _fetched(self, query: dict[str, str]) -> bytes:
        self._pace.rest()
        answer = self._http.get_bucket(query)
        try:
            return answer.all(MOST_PAGE_BYTES, LISTING_SECONDS)
        finally:
            answer.close()

    def _retried(self, attempt: Callable[[], bytes]) -> bytes:
        failures = 0
        while True:
            try:
                return attempt()
            except S3Fault as fault:
                failures += 1
                if not self._pace.rest_after(fault, failures, LISTING_SECONDS):
                    raise listing_error(fault, self._config.bucket) from None

    def _in_order(self, objects: Sequence[ObjectInfo], last: str) -> str:
        """The last key. Without key order a listing that goes on after a key would lose objects."""
        keys = [last, *(entry.key for entry in objects)]
        if not all(map(lt, keys, keys[1:])):  # code points sort as UTF-8 does
            raise SourceMisconfigured(
                f"Bucket {self._config.bucket!r} is not listed in key order, so it cannot be listed safely."
            )
        return keys[-1]


def _before_prefix_of(after: str, below: str) -> str:
    """Where to start so that the prefix which `after` itself lies in is listed, too: not every provider gives it."""
    inner, slash, _ = after[len(below) :].partition(DELIMITER)
    if not (slash and after.startswith(below)):
        return after
    return below + inner + LAST_BEFORE_DELIMITER
