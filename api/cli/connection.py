"""Finding the service: named by the environment, else the one of the data folder, else one started for this run."""

import json
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from api.cli.client import Client
from api.cli.failures import ApiFailure, Failure, Misuse
from infrastructure import wiring

CREDENTIALS = "credentials.json"


@dataclass(frozen=True, slots=True)
class Service:
    """A service that answers. `local`: it sees this machine's files. `own`: it was started for this run."""

    client: Client
    local: bool = True
    own: bool = False


@contextmanager
def connected(settings: wiring.Settings) -> Iterator[Service]:
    """The service that is up. Raises `Failure` when there is none, `Misuse` when it is half named."""
    service = running(settings)
    if service is None:
        where = settings.data / CREDENTIALS
        raise Failure(
            f"No service is up (none answers for {where}).",
            ["Start one with `scanledger up`, or name one with SCANLEDGER_URL and SCANLEDGER_API_KEY."],
        )
    with service.client:
        yield service


@contextmanager
def connected_or_started(settings: wiring.Settings, up: Service | None) -> Iterator[Service]:
    """`up`, if there is one; else a service with its data in the data folder, stopped when the context ends."""
    if up is not None:
        with up.client:
            yield up
        return
    with wiring.running_service(settings.model_copy(update={"port": 0})):
        credentials = stored_credentials(settings.data)
        if credentials is None:
            raise Failure(f"The service started, but left no {settings.data / CREDENTIALS}.")
        try:
            with Client(*credentials) as client:
                yield Service(client, own=True)
        finally:
            _finish_undisturbed()


def running(settings: wiring.Settings) -> Service | None:
    """The service of the environment (taken at its word) or of the data folder (if it answers), or None."""
    if settings.url:
        if settings.api_key is None:
            raise Misuse("SCANLEDGER_URL is set, but SCANLEDGER_API_KEY is not: set both.")
        client = Client(settings.url, settings.api_key.get_secret_value())
        return Service(client, local=client.is_loopback)
    if (credentials := stored_credentials(settings.data)) and _answers(*credentials):
        return Service(Client(*credentials))
    return None


def stored_credentials(data: Path) -> tuple[str, str] | None:
    """URL and API key of the service whose data folder this is, or None if none was started there."""
    try:
        stored = json.loads((data / CREDENTIALS).read_bytes())
        return str(stored["url"]), str(stored["api_key"])
    except FileNotFoundError:
        return None
    except PermissionError:
        raise Failure(f"{data / CREDENTIALS} belongs to another user.") from None
    except (OSError, ValueError, LookupError, TypeError):
        raise Failure(f"{data / CREDENTIALS} is damaged: remove it and start `scanledger up` again.") from None


def _answers(url: str, api_key: str) -> bool:
    """Whether our service is there: something else at its port, or one with other keys, is not."""
    with Client(url, api_key, patience=0) as client:
        try:
            client.get("/scans", {"limit": 1})
        except ApiFailure as failure:
            return failure.status in {403, 429, 503}
    return True


def _finish_undisturbed() -> None:
    """A second Ctrl-C must not leave servers behind: stopping takes seconds, and is bounded."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
