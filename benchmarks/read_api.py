"""GET /api/v1/scans/{id} a second, beside a bare Litestar handler with one SELECT on the same stack.

Same uvicorn, uvloop and psycopg pool, same row; one process each. The load comes from `wrk` if it is installed, which
costs next to nothing, else from a keep-alive client on asyncio, which takes as much of the machine as the server.
"""

import asyncio
import re
import shutil
import subprocess
import time
import urllib.request

import infrastructure.wiring as w
from benchmarks.events import completion
from benchmarks.installation import Installation, installed, wait_for
from benchmarks.planted import plant
from benchmarks.tables import Table, figure, median, ratio
from infrastructure.embedded.folder import free_port
from infrastructure.postgres.tenants import DEFAULT_TENANT, bootstrap

AIM = 0.7
CONNECTIONS = 16


def run(*, quick: bool) -> None:
    rounds, seconds = (1, 1) if quick else (5, 3)
    ours: list[float] = []
    floor: list[float] = []
    with installed() as service:
        key, path = _prepared(service)
        ports = free_port(), free_port()
        with (
            service.process("api", ["api"], port=ports[0]),
            service.process("api", ["benchmarks.bare_api", str(ports[1])]),
        ):
            wait_for(lambda: all(_answers(port, path, key) for port in ports), seconds=20)
            for _ in range(rounds):
                ours.append(_load(ports[0], path, key, seconds))
                floor.append(_load(ports[1], path, key, seconds))
    table = Table(f"GET /api/v1/scans/{{id}}, {CONNECTIONS} connections", ("", "requests/s", "ratio", "aim"))
    table.add("the API", figure(median(ours)), f"{ratio(ours, floor):.2f}", f"≥ {AIM}")
    table.add("bare handler, one SELECT", figure(median(floor)), "", "")
    table.notes.append(f"load from {'wrk' if shutil.which('wrk') else 'an asyncio client'}")
    table.show()


def _prepared(service: Installation) -> tuple[str, str]:
    """An API key, and the path of a scan that is half done by 64 workers."""
    settings = service.settings
    key = bootstrap(service.database_url, settings.encryption_key_bytes(), tier="enterprise")
    planted = plant(w.open_log(settings), 1_000, max_workers=64, tenant=DEFAULT_TENANT)
    w.open_recorder(settings).record([completion(planted, chunk) for chunk in range(500)])
    follower = w.open_projector(settings)
    with service.database() as connection:
        while follower.catch_up(connection):
            pass
    return key, f"/api/v1/scans/{planted.scan_id}"


def _answers(port: int, path: str, key: str) -> bool:
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", headers={"Authorization": f"Bearer {key}"})
    try:
        with urllib.request.urlopen(request, timeout=5) as response:
            return bool(response.status == 200)
    except OSError:
        return False


def _load(port: int, path: str, key: str, seconds: int) -> float:
    if shutil.which("wrk"):
        return _wrk(port, path, key, seconds)
    return asyncio.run(_asyncio_load(port, path, key, seconds))


def _wrk(port: int, path: str, key: str, seconds: int) -> float:
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "-H", f"Authorization: Bearer {key}"]
    said = subprocess.run(
        [*command, f"http://127.0.0.1:{port}{path}"], capture_output=True, text=True, check=True
    ).stdout
    if "Non-2xx" in said:
        raise RuntimeError(f"not every answer was 200:\n{said}")
    (rate,) = re.findall(r"Requests/sec:\s+([\d.]+)", said)
    return float(rate)


async def _asyncio_load(port: int, path: str, key: str, seconds: int) -> float:
    request = f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n\r\n".encode()
    end = time.perf_counter() + seconds

    async def ask() -> int:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        count = 0
        while time.perf_counter() < end:
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(head.split(b"\r\n")[0].decode())
            length = re.search(rb"content-length: (\d+)", head.lower())
            assert length is not None
            await reader.readexactly(int(length[1]))
            count += 1
        writer.close()
        return count

    counts = await asyncio.gather(*(ask() for _ in range(CONNECTIONS)))
    return sum(counts) / seconds
