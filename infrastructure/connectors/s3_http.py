"""Signed S3 requests over pooled connections: keys go over the wire byte for byte as they were listed."""

import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.exceptions import BotoCoreError, ConnectTimeoutError, ReadTimeoutError
from urllib3.exceptions import HTTPError
from urllib3.exceptions import ReadTimeoutError as BodyTimeoutError

from infrastructure.connectors.s3_connections import CheckedSession, Timeouts
from infrastructure.connectors.s3_credentials import Signatory
from infrastructure.connectors.s3_faults import S3Fault, fault_of_answer
from infrastructure.connectors.settings import S3Config

MOST_ERROR_BYTES = 64 * 1024
MOST_BLOCK_BYTES = 256 * 1024


class Answer:
    """A successful answer, its body yet to be read. Its connection goes back to the pool when it was read up."""

    def __init__(self, response: Any) -> None:
        self.status: int = response.status_code
        self.headers: Mapping[str, str] = response.headers
        self._raw = response.raw

    def read(self, size: int) -> bytes:
        """At most `size` bytes, as soon as some are there; `b""` at the end or where the body was cut."""
        try:
            return self._raw.read1(min(size, MOST_BLOCK_BYTES), decode_content=False) or b""
        except BodyTimeoutError:
            raise S3Fault("ReadTimeout", timed_out=True) from None
        except (HTTPError, OSError) as error:
            raise S3Fault(type(error).__name__) from None

    def all(self, limit: int, seconds: float) -> bytes:
        """The whole body. Raises `S3Fault` where it is cut, longer than `limit` bytes or slower than `seconds`."""
        blocks, size, deadline = [], 0, time.monotonic() + seconds
        while block := self.read(MOST_BLOCK_BYTES):
            blocks.append(block)
            size += len(block)
            if size > limit:
                raise S3Fault("AnswerTooLong", status=200)
            if time.monotonic() > deadline:
                raise S3Fault("AnswerTooSlow", timed_out=True)
        promised = self.headers.get("content-length", "")
        if promised.isdecimal() and int(promised) != size:
            raise S3Fault("BodyCut")
        return b"".join(blocks)

    def close(self) -> None:
        self._raw.close()
        self._raw.release_conn()


class S3Http:
    """Requests to one bucket. Safe to use from several threads."""

    def __init__(self, config: S3Config, signatory: Signatory, session: CheckedSession, timeouts: Timeouts) -> None:
        self.region, self.endpoint, self.virtual_host = address_of(config)
        self._base = self.endpoint if self.virtual_host else f"{self.endpoint}/{config.bucket}"
        self._signatory = signatory
        self._session = session
        self._timeouts = timeouts
        self._always = {"x-amz-request-payer": "requester"} if config.requester_pays else {}

    def get_object(self, key: str, headers: Mapping[str, str]) -> Answer:
        return self._get(f"{self._base}/{quote(key, safe='/~')}", headers)

    def get_bucket(self, query: Mapping[str, str]) -> Answer:
        """`query` in the order in which it is to be sent."""
        encoded = "&".join(f"{name}={quote(value, safe='~')}" for name, value in query.items())
        return self._get(f"{self._base}/?{encoded}" if self.virtual_host else f"{self._base}?{encoded}", {})

    def close(self) -> None:
        self._session.close()

    def _get(self, url: str, headers: Mapping[str, str]) -> Answer:
        """Raises `S3Fault` for any answer but 2xx and for none at all; redirects are not followed.

        Raises `SourceMisconfigured` where the endpoint may not be connected to.
        """
        request = AWSRequest("GET", url, headers={**self._always, **headers}, stream_output=True)
        S3SigV4Auth(self._signatory.current(), "s3", self.region).add_auth(request)
        try:
            response = self._session.send(request.prepare())
        except (ConnectTimeoutError, ReadTimeoutError) as error:
            raise S3Fault(type(error).__name__, timed_out=True) from None
        except BotoCoreError as error:
            raise S3Fault(type(error).__name__) from None
        answer = Answer(response)
        if answer.status in {200, 206}:
            return answer
        try:
            raise fault_of_answer(answer.status, answer.headers, answer.all(MOST_ERROR_BYTES, self._timeouts.read))
        finally:
            answer.close()


def address_of(config: S3Config) -> tuple[str, str, bool]:
    """The region, the URL to send to, and whether the bucket is part of its host name."""
    region = config.region or "us-east-1"
    if config.endpoint_url:
        return region, config.endpoint_url.rstrip("/"), False
    domain = "amazonaws.com.cn" if region.startswith("cn-") else "amazonaws.com"
    if "." in config.bucket:  # a certificate for *.s3… does not cover a further dot
        return region, f"https://s3.{region}.{domain}", False
    return region, f"https://{config.bucket}.s3.{region}.{domain}", True
