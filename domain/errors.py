"""What can go wrong, in one tree. Every error says whether trying again can help.

ScanledgerError
├── Temporary                 trying again later may succeed
│   ├── SourceThrottled       the provider asked to slow down
│   ├── SourceUnavailable     network, 5xx, time-out while listing or connecting
│   └── ServiceUnavailable    the database or the broker is away
└── Permanent                 trying again gives the same answer
    ├── SourceDenied          credentials are wrong or lack a right
    ├── SourceMissing         the bucket or folder does not exist
    ├── SourceMisconfigured   the connector's settings cannot work
    ├── ObjectUnreadable      one object cannot be read; carries its FailReason
    ├── ObjectSkipped         one object is not to be read; carries its SkipReason
    ├── NotFound              no such thing for this tenant
    ├── Conflict              the thing's state forbids it
    ├── TierLimitExceeded     more than the tenant's tier allows
    └── Invalid               the input is wrong; lists every fault
"""

from collections.abc import Sequence
from dataclasses import dataclass

from domain.coverage import FailReason, SkipReason
from domain.finding import Finding


class ScanledgerError(Exception):
    """Base of all errors raised on purpose."""

    permanent = True


class Temporary(ScanledgerError):
    permanent = False


class Permanent(ScanledgerError):
    permanent = True


class SourceThrottled(Temporary):
    """The provider answered SlowDown, 429 or 503 beyond the retries of one request."""


class SourceUnavailable(Temporary):
    """The provider could not be reached or kept answering 5xx."""


class ServiceUnavailable(Temporary):
    """The database or the broker does not answer."""


class SourceDenied(Permanent):
    """The provider refused the credentials or the right to list."""


class SourceMissing(Permanent):
    """The bucket or folder does not exist."""


class SourceMisconfigured(Permanent):
    """The connector's settings cannot work, whatever the provider says."""


class ObjectUnreadable(Permanent):
    """One object that could not be read to its end.

    `reason` goes into the ledger; `detail` is one sentence for a person, without object content. `findings` are those
    of what had been read before, `allowed` the hits in it that an allow list kept out of them.
    """

    def __init__(self, reason: FailReason, detail: str = "", findings: Sequence[Finding] = ()) -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = reason
        self.detail = detail
        self.findings = tuple(findings)
        self.allowed = 0


class ObjectSkipped(Permanent):
    """One object that was opened and found not to be scannable by choice (binary, unsupported format…)."""

    def __init__(self, reason: SkipReason, detail: str = "") -> None:
        super().__init__(f"{reason}: {detail}" if detail else str(reason))
        self.reason = reason
        self.detail = detail


class NotFound(Permanent):
    """No such thing for this tenant. `what` is `scan`, `connector`…"""

    def __init__(self, what: str, identifier: str) -> None:
        super().__init__(f"There is no {what} {identifier!r}.")
        self.what = what
        self.identifier = identifier


class Conflict(Permanent):
    """The thing's state forbids the request. `code` is the API's error code."""

    def __init__(self, code: str, message: str, **details: object) -> None:
        super().__init__(message)
        self.code = code
        self.details = details


class TierLimitExceeded(Permanent):
    """A request above the tenant's tier. `limit` is what the tier allows."""

    def __init__(self, field: str, requested: int, limit: int, tier: str) -> None:
        super().__init__(f"{field} is {requested}, but the tier {tier!r} allows at most {limit}.")
        self.field = field
        self.requested = requested
        self.limit = limit
        self.tier = tier


@dataclass(frozen=True, slots=True)
class Fault:
    """One wrong field of an input: its dotted path and what to do about it."""

    field: str
    message: str


class Invalid(Permanent):
    """The input is wrong; `faults` lists every wrong field at once."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        super().__init__("; ".join(f"{fault.field}: {fault.message}" for fault in faults))
        self.faults = tuple(faults)
