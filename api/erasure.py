"""Erasing what scans found and looked at, for privacy law. History and sums stay."""

import asyncio
from functools import partial
from typing import Any, Final

from litestar import delete
from litestar.params import FromPath

from api import answers
from api.answers import Answer, AnyRequest
from api.auth import Requires
from api.bodies import query
from api.erased import refuse_erased
from api.identifiers import possible
from api.scans import WRITE, owned_scan
from api.schemas import NoQuery
from api.service_parts import caller_of, ports_of, until_projected
from application.erasure import Erasure, erase_connector, erase_scan
from application.reading import ApiPorts, ScanRow
from application.scan_documents import moment

CONNECTORS: Final = Requires("connectors:write")

_PATIENCE: Final = 2.0
_FIRST_POLL: Final = 0.02


async def scan_with_data(request: AnyRequest, scan: str) -> ScanRow:
    """The caller's scan, of which findings and objects can be told. Raises NotFound, and `Refused` 410."""
    row = await owned_scan(request, scan)
    refuse_erased(row.view)
    return row


@delete("/scans/{scan:str}/data", before_request=WRITE, status_code=200)
async def erase_of_scan(request: AnyRequest, scan: FromPath[str]) -> Answer:
    """Erase a scan's findings, manifest and exceptions. Repeating it gives the same answer."""
    query(NoQuery, request)
    ports, caller = ports_of(request), caller_of(request)
    possible("scan", scan)
    # Not within the few seconds that other requests have: what is to be erased is counted first, however much it is.
    erasing = partial(erase_scan, tenant=caller.tenant, actor=caller.actor, clock=ports.clock)
    promised = await asyncio.to_thread(erasing, ports.log, ports.erasures, scan)
    return answers.success(request, {"scan_id": scan, **_document(await _awaited(ports, promised))})


@delete("/connectors/{connector:str}/data", before_request=CONNECTORS, status_code=200)
async def erase_of_connector(request: AnyRequest, connector: FromPath[str]) -> Answer:
    """Erase the data of all scans of a connector, a deleted one's too, and what is known of its objects."""
    query(NoQuery, request)
    ports, caller = ports_of(request), caller_of(request)
    possible("connector", connector)
    erasing = partial(erase_connector, tenant=caller.tenant, actor=caller.actor, clock=ports.clock)
    promised = await asyncio.to_thread(erasing, ports.log, ports.erasures, connector)
    done = await _awaited(ports, promised)
    return answers.success(request, {"connector_id": connector, "scans": done.scans, **_document(done)})


async def _awaited(ports: ApiPorts, promised: Erasure) -> Erasure:
    """The erasure as it stands when it is done, or after two seconds: it goes on by itself."""
    loop = asyncio.get_running_loop()
    deadline, pause = loop.time() + _PATIENCE, _FIRST_POLL
    await until_projected(ports, promised.position)
    while not promised.done and loop.time() < deadline:
        await asyncio.sleep(pause)
        pause = min(2 * pause, 0.2)
        found = await ports.in_time(ports.erasures.last, promised.stream)
        promised = found or promised
    return promised


def _document(erasure: Erasure) -> dict[str, Any]:
    return {
        "state": "erased" if erasure.done else "erasing",
        "erased_at": moment(erasure.at),
        "erased_by": erasure.actor,
        "erased": dict(erasure.rows),
    }
