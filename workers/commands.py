"""Commands from the log: what a listing or a chunk needs to know, put together from events and manifest."""

import asyncio
from collections import OrderedDict
from typing import Final

from application import object_columns
from application.messages import ListUnit, ScanChunk, Source
from application.pinned_rules import to_text
from application.ports import LogRewound, ManifestPage, ManifestStore, Recorded, Rulesets, ScanLog
from application.redrive import UnfinishedObjects
from domain.connector import Connector
from domain.errors import NotFound
from domain.policy import MAX_FANNED_OUT
from domain.scan import ChunkState, Scan
from infrastructure.wiring import chunk_subject, listing_subject

_KEPT_PAGES: Final = 64
_KEPT_RULES: Final = 64


class CommandBuilder:
    """Builds commands. Keeps connectors until they change, and the manifest pages used last."""

    def __init__(self, log: ScanLog, manifest: ManifestStore, rulesets: Rulesets) -> None:
        self._log = log
        self._manifest = manifest
        self._rulesets = rulesets
        self._rules: OrderedDict[tuple[str, str], str] = OrderedDict()
        self._unfinished = UnfinishedObjects(log, manifest)
        self._connectors: dict[str, Connector] = {}
        self._sources: dict[str, Source] = {}
        self._pages: OrderedDict[tuple[str, int], ManifestPage] = OrderedDict()
        self._loading = asyncio.Lock()

    def note(self, record: Recorded) -> None:
        """An event of a connector makes what is kept of it stale."""
        self._connectors.pop(record.stream, None)
        self._sources.pop(record.stream, None)

    def forget(self) -> None:
        """What was kept may be of a log that has since been replaced by an older copy."""
        self._connectors.clear()
        self._sources.clear()
        self._pages.clear()

    def listing(self, scan_id: str, unit: int, scan: Scan) -> tuple[str, ListUnit]:
        """Subject and command to list what a unit still lacks. Raises NotFound for a connector without events."""
        state = scan.units[unit]
        connector = self._connector(state.unit.connector)
        only, more = self._only(scan, unit, state.reached)
        command = ListUnit(
            scan=scan_id,
            pool=connector.pool,
            unit=unit,
            attempt=state.attempt,
            source=self._source(connector),
            prefix=state.unit.prefix,
            resume_after=state.reached,
            until=state.unit.until,
            next_batch=state.batches + 1,
            fan_out=state.unit.fan_out and not scan.redrive_of and len(scan.units) < MAX_FANNED_OUT,
            only=only,
            more=more,
        )
        return listing_subject(connector.pool, scan_id), command

    def _only(self, scan: Scan, unit: int, after: str) -> tuple[str | None, bool]:
        """The objects that a redrive is to look up, and whether more are to follow; None for any other scan."""
        if scan.redrive_of is None:
            return None, False
        objects, more = self._unfinished.after(scan.redrive_of, unit, after)
        return object_columns.to_text(objects), more

    async def chunk(self, scan_id: str, number: int, state: ChunkState, scan: Scan) -> tuple[str, ScanChunk]:
        """Subject and command to read a chunk, its objects and the tenant's own rules inline. Raises LogRewound when
        the log lacks what it had. `state` is that of a chunk of the `scan`."""
        page = self._page_kept(scan_id, state) or await self._page_loaded(scan_id, state)
        connector = self._connectors.get(state.connector)
        if connector is None:
            try:
                connector = await asyncio.to_thread(self._connector, state.connector)
            except NotFound as error:
                raise LogRewound(state.connector) from error
        places = [
            at
            for at in range(state.chunk.start - page.first_index, state.chunk.end - page.first_index + 1)
            if page.skips[at] is None
        ]
        command = ScanChunk(
            scan=scan_id,
            pool=connector.pool,
            chunk=number,
            attempt=state.attempt,
            plan=state.plan,
            source=self._source(connector),
            start_index=state.chunk.start,
            end_index=state.chunk.end,
            indexes=[page.first_index + at for at in places],
            objects=object_columns.to_text([page.objects[at] for at in places]),
            part=state.chunk.part,
            parts=state.chunk.parts,
            detectors=list(scan.ruleset.detectors),
            rules=await self._rules_of(scan),
        )
        return chunk_subject(connector.pool, scan_id), command

    async def _rules_of(self, scan: Scan) -> str:
        """The rules that the scan is pinned to, as they travel."""
        if not scan.rules:
            return ""
        pinned = scan.tenant, scan.rules
        text = self._rules.get(pinned)
        if text is None:
            body = await asyncio.to_thread(self._rulesets.pinned, *pinned)
            if body is None:
                raise LogRewound(scan.rules)
            text = self._rules[pinned] = to_text(body)
            while len(self._rules) > _KEPT_RULES:
                self._rules.popitem(last=False)
        return text

    def _connector(self, connector_id: str) -> Connector:
        if connector_id not in self._connectors:
            self._connectors[connector_id] = self._log.connector(connector_id)
        return self._connectors[connector_id]

    def _page_kept(self, scan_id: str, state: ChunkState) -> ManifestPage | None:
        for (scan, first_index), page in reversed(self._pages.items()):
            if scan == scan_id and first_index <= state.chunk.start < first_index + len(page.objects):
                return page
        return None

    async def _page_loaded(self, scan_id: str, state: ChunkState) -> ManifestPage:
        # One at a time: the chunks of a batch mostly want the same page.
        async with self._loading:
            page = self._page_kept(scan_id, state)
            if page is None:
                # A chunk never crosses a page: it is cut from one listing batch.
                start, end = state.chunk.start, state.chunk.end
                pages = await asyncio.to_thread(self._manifest.pages, scan_id, start, end)
                if len(pages) != 1:
                    raise LogRewound(scan_id)
                page = pages[0]
                self._keep(scan_id, page)
            return page

    def _keep(self, scan_id: str, page: ManifestPage) -> None:
        self._pages[scan_id, page.first_index] = page
        while len(self._pages) > _KEPT_PAGES:
            self._pages.popitem(last=False)

    def _source(self, connector: Connector) -> Source:
        kept = self._sources.get(connector.connector_id)
        if kept is None:
            kept = self._sources[connector.connector_id] = Source(
                connector=connector.connector_id,
                type=connector.type,
                config=dict(connector.config),
                needs_credentials=connector.has_credentials,
            )
        return kept
