"""The service about itself: health, readiness, metrics, its description, and its pages."""

from importlib.metadata import files, version
from importlib.resources import files as resources
from pathlib import Path
from typing import Any, Final

from litestar import get
from litestar.params import FromPath
from prometheus_client import CONTENT_TYPE_LATEST

from api import answers
from api.answers import Answer, AnyRequest
from api.errors import RETRY_SECONDS, Refused
from api.metrics import Metrics
from api.service_parts import ports_of
from domain.errors import NotFound

SCHEMA_TYPE: Final = "application/vnd.oai.openapi+json"

_PAGE_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:;"
        " connect-src 'self'; font-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "X-Frame-Options": "DENY",
    "Cache-Control": "no-cache",
}
_OWN: Final = {
    "dashboard.js": "text/javascript",
    "dashboard.css": "text/css",
    "docs.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
_SWAGGER: Final = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css"}


@get(["/healthz", "/api/v1/healthz"])
async def healthz(request: AnyRequest) -> Answer:
    """Whether the process answers."""
    return answers.success(request, {"status": "ok", "version": version("scanledger")})


@get(["/readyz", "/api/v1/readyz"])
async def readyz(request: AnyRequest) -> Answer:
    """Whether everything that requests need is there: database, migrations, broker."""
    checks = await ports_of(request).readiness()
    shown = {name: {"ok": check.ok, "detail": check.detail} for name, check in checks.items()}
    failed = [name for name, check in checks.items() if not check.ok]
    if failed:
        message = f"Not ready: {'; '.join(f'{name}: {checks[name].detail}' for name in failed)}"
        raise Refused(503, "SERVICE_UNAVAILABLE", message, {"checks": shown}, {"Retry-After": str(RETRY_SECONDS)})
    return answers.success(request, {"status": "ready", "checks": shown})


@get(["/metrics", "/api/v1/metrics"])
async def metrics(request: AnyRequest) -> Answer:
    """Figures for Prometheus."""
    gathered: Metrics = request.app.state.metrics
    return Answer(body=await gathered.exposition(), media_type=CONTENT_TYPE_LATEST)


@get(["/schema", "/api/v1/schema"])
async def schema(request: AnyRequest) -> Answer:
    """This API as OpenAPI 3.1."""
    body: bytes = request.app.state.openapi
    return Answer(body=body, media_type=answers.JSON, headers={"Cache-Control": "no-cache"})


@get(["/asyncapi", "/api/v1/asyncapi"])
async def asyncapi(request: AnyRequest) -> Answer:
    """The events for subscribers as AsyncAPI 3."""
    body: bytes = request.app.state.asyncapi
    return Answer(body=body, media_type=answers.JSON, headers={"Cache-Control": "no-cache"})


@get("/")
async def dashboard() -> Answer:
    """The dashboard."""
    return _asset("dashboard.html", "text/html")


@get("/docs")
async def docs() -> Answer:
    """The API, to read and to try out."""
    return _asset("docs.html", "text/html")


@get("/web/{name:str}")
async def web(name: FromPath[str]) -> Answer:
    """Scripts and styles of the two pages. Nothing is loaded from elsewhere."""
    if name in _OWN:
        return _asset(name, _OWN[name])
    if name in _SWAGGER:
        return Answer(body=_swagger(name), media_type=_SWAGGER[name], headers={"Cache-Control": "max-age=3600"})
    raise NotFound("page", name[:100])


def _asset(name: str, media_type: str) -> Answer:
    body = (resources("api") / "web" / name).read_bytes()
    return Answer(body=body, media_type=media_type, headers=_PAGE_HEADERS)


def _swagger(name: str) -> bytes:
    """A file of the installed Swagger UI. Raises NotFound where it is not installed."""
    for entry in files("swagger-ui-py") or []:
        if entry.parts[-2:] == ("static", name):
            return Path(str(entry.locate())).read_bytes()
    raise NotFound("page", name)


ROUTES: Final[list[Any]] = [healthz, readyz, metrics, schema, asyncapi, dashboard, docs, web]
