"""What one S3 request came to when it failed, and what that means for an object or a listing.

Only status and error code are kept of an answer: a provider's message may echo keys and signatures.
"""

import re
from collections.abc import Mapping

from domain.coverage import FailReason, SkipReason
from domain.errors import (
    ObjectSkipped,
    ObjectUnreadable,
    ScanledgerError,
    SourceDenied,
    SourceMisconfigured,
    SourceMissing,
    SourceThrottled,
    SourceUnavailable,
)

_CODE = re.compile(rb"<Code>\s*([A-Za-z0-9._-]{1,100})\s*</Code>")
_REGION = re.compile(rb"<Region>\s*([a-z0-9-]{1,40})\s*</Region>")

_THROTTLED = {"SlowDown", "Throttling", "ThrottlingException", "RequestLimitExceeded", "TooManyRequests"}
_TRANSIENT = {"RequestTimeout", "InternalError", "ServiceUnavailable", "OperationAborted", "BadDigest"}
_DENIED = {
    "AccessDenied",
    "AllAccessDisabled",
    "AccountProblem",
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidToken",
    "RequestTimeTooSkewed",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
}
_ELSEWHERE = {"PermanentRedirect", "TemporaryRedirect", "AuthorizationHeaderMalformed"}


class S3Fault(Exception):
    """One failed request. `status` is 0 when there was no answer; `region` is the bucket's own, if told."""

    def __init__(
        self, code: str, *, status: int = 0, region: str = "", timed_out: bool = False, sse_c: bool = False
    ) -> None:
        super().__init__(f"{status or 'no answer'} {code}")
        self.code = code
        self.status = status
        self.region = region
        self.timed_out = timed_out
        self.sse_c = sse_c

    @property
    def throttled(self) -> bool:
        return self.status in {429, 503} or self.code in _THROTTLED

    @property
    def transient(self) -> bool:
        """Whether asking again may help."""
        return self.status in {0, 408} or self.status >= 500 or self.throttled or self.code in _TRANSIENT


def fault_of_answer(status: int, headers: Mapping[str, str], body: bytes) -> S3Fault:
    """`body` is the head of the answer's XML; `headers` are looked up case-insensitively by the caller's type."""
    code, region = _CODE.search(body), _REGION.search(body)
    told = headers.get("x-amz-bucket-region", "")
    return S3Fault(
        code[1].decode() if code else f"HTTP {status}",
        status=status,
        region=told if re.fullmatch(r"[a-z0-9-]{1,40}", told) else region[1].decode() if region else "",
        sse_c=status == 400 and b"Server Side Encryption" in body,
    )


def object_error(fault: S3Fault) -> ObjectUnreadable | ObjectSkipped:
    """The disposition of an object whose read ended in `fault`."""
    if fault.code == "InvalidObjectState":
        return ObjectSkipped(SkipReason.ARCHIVED_STORAGE_CLASS, "Its storage class must be restored first.")
    return ObjectUnreadable(_reason(fault), f"The provider said: {fault}." if fault.status else f"{fault}.")


def _reason(fault: S3Fault) -> FailReason:
    if fault.timed_out:
        return FailReason.TIMEOUT
    if fault.sse_c or fault.code.startswith("KMS."):
        return FailReason.ENCRYPTED
    if fault.status in {412, 416}:
        return FailReason.CHANGED_DURING_READ
    if fault.status == 404:
        return FailReason.NOT_FOUND
    if fault.status in {401, 403} or fault.code in _DENIED:
        return FailReason.ACCESS_DENIED
    return FailReason.NETWORK


def listing_error(fault: S3Fault, bucket: str) -> ScanledgerError:
    """The error of a listing that ended in `fault`."""
    if fault.throttled:
        return SourceThrottled(f"The provider keeps asking to slow down while listing {bucket!r}.")
    if fault.transient:
        return SourceUnavailable(f"Bucket {bucket!r} could not be listed: {fault}. Try again later.")
    if fault.code in _ELSEWHERE or fault.status in {301, 307}:
        where = f"set region to {fault.region!r}" if fault.region else "check region and endpoint_url"
        return SourceMisconfigured(f"Bucket {bucket!r} is not in this region: {where}.")
    if fault.status == 404:
        return SourceMissing(f"There is no bucket {bucket!r} at this endpoint: check bucket and endpoint_url.")
    if fault.status in {401, 403} or fault.code in _DENIED:
        return SourceDenied(f"Listing {bucket!r} was refused ({fault.code}): {_remedy(fault.code)}.")
    return SourceMisconfigured(f"The provider does not accept listing {bucket!r}: {fault}.")


def _remedy(code: str) -> str:
    match code:
        case "RequestTimeTooSkewed":
            return "set the worker's clock"
        case "InvalidAccessKeyId" | "SignatureDoesNotMatch":
            return "check the key pair"
        case "ExpiredToken" | "InvalidToken" | "TokenRefreshRequired":
            return "renew the session token"
        case _:
            return "grant s3:ListBucket on the bucket and s3:GetObject on its objects"
