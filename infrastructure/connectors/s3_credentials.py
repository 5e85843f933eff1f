"""Whose name a source's requests are signed in."""

import threading
from typing import Any

from botocore.credentials import Credentials
from botocore.exceptions import BotoCoreError, ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnectionError
from botocore.parsers import ResponseParserError

from domain.errors import SourceDenied, SourceUnavailable
from infrastructure.connectors.s3_connections import CheckedSession
from infrastructure.connectors.settings import S3Config, S3Credentials

ROLE_SESSION_NAME = "scanledger"
"""How scans appear in the customer's CloudTrail."""


class Signatory:
    """The credentials of one source, resolved on first use and renewed before they expire.

    Safe to use from several threads. Shows nothing of what it holds.
    """

    def __init__(self, config: S3Config, keys: S3Credentials | None, session: CheckedSession) -> None:
        """`session` is the endpoint's: where one is named, roles are assumed through it, too."""
        self._config = config
        self._keys = keys
        self._session = session
        self._resolved: Any = None
        self._lock = threading.Lock()

    def current(self) -> Any:
        """Frozen credentials (`access_key`, `secret_key`, `token`) that are valid now.

        Raises `SourceDenied`, `SourceUnavailable` or, where the endpoint may not be connected to,
        `SourceMisconfigured`.
        """
        try:
            with self._lock:
                if self._resolved is None:
                    self._resolved = self._resolve()
            return self._resolved.get_frozen_credentials()
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "unknown")
            if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) in {
                429,
                500,
                502,
                503,
                504,
            }:
                raise SourceUnavailable(f"The role could not be assumed just now ({code}).") from None
            raise SourceDenied(f"The role could not be assumed ({code}): check role_arn and external_id.") from None
        except (HTTPClientError, NoConnectionError) as error:
            raise SourceUnavailable(f"No credentials could be fetched: {type(error).__name__}.") from None
        except ResponseParserError:
            raise SourceUnavailable("The answer to assuming the role cannot be read: check endpoint_url.") from None
        except BotoCoreError as error:
            raise SourceDenied(
                f"This process's AWS credentials cannot be used ({type(error).__name__}): check its configuration."
            ) from None

    def _resolve(self) -> Any:
        own = _pair(self._keys) if self._keys else self._chain()
        return self._assuming(own, self._config.role_arn) if self._config.role_arn else own

    def _chain(self) -> Any:
        from botocore.session import Session  # noqa: PLC0415 — heavy, and a key pair does not need it

        found = Session().get_credentials()
        if found is None:
            raise SourceDenied("The connector has no key pair and this process no AWS credentials: set one of them.")
        return found

    def _assuming(self, own: Any, role_arn: str) -> Any:
        from botocore.credentials import (  # noqa: PLC0415 — only where a role is named
            AssumeRoleCredentialFetcher,
            DeferredRefreshableCredentials,
        )

        extra = {"RoleSessionName": ROLE_SESSION_NAME}
        if self._config.external_id:
            extra["ExternalId"] = self._config.external_id
        fetcher = AssumeRoleCredentialFetcher(self._sts, own, role_arn, extra_args=extra, cache={})
        return DeferredRefreshableCredentials(refresh_using=fetcher.fetch_credentials, method="assume-role")

    def _sts(self, service: str, **credentials: Any) -> Any:
        """A client of the security token service: the endpoint's own where one is named, else Amazon's."""
        from botocore.config import Config  # noqa: PLC0415 — only where a role is named
        from botocore.session import Session  # noqa: PLC0415 — only where a role is named

        client = Session().create_client(
            service,
            region_name=self._config.region or "us-east-1",
            endpoint_url=self._config.endpoint_url,
            config=Config(connect_timeout=3, read_timeout=20, retries={"mode": "standard", "total_max_attempts": 4}),
            **credentials,
        )
        if self._config.endpoint_url:
            client.meta.events.register("before-send.sts", self._sent)
        return client

    def _sent(self, request: Any, **_named: Any) -> Any:
        """The answer, in place of the one that the client would have got on a connection of its own."""
        return self._session.send(request)


def _pair(keys: S3Credentials) -> Credentials:
    token = keys.session_token
    return Credentials(
        keys.access_key_id,
        keys.secret_access_key.get_secret_value(),
        token.get_secret_value() if token else None,
    )
