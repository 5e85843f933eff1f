"""pypdf as it is used here: bounded, silent, and its errors told as ours. It is loaded on first use."""

import logging
from collections.abc import Callable
from functools import cache
from typing import Final, TypeVar

from domain.coverage import FailReason
from domain.errors import ObjectSkipped, ObjectUnreadable
from infrastructure.formats.limits import Limits

_Made = TypeVar("_Made")
_PASSED_OVER: Final = {
    "Impossible to decode XFormObject": (FailReason.PARSE_ERROR, "a part of the page is corrupt"),
    "Exceeded ": (FailReason.RESOURCE_LIMIT, "the page has too many parts"),
}


def corrupt() -> ObjectUnreadable:
    return ObjectUnreadable(FailReason.PARSE_ERROR, "the PDF file is corrupt or cut short")


def made(make: Callable[[], _Made], limits: Limits) -> _Made:
    """What `make` gives, with pypdf kept within the limits. Whatever it raises becomes `ObjectUnreadable`: encrypted,
    resource_limit or parse_error."""
    import pypdf  # noqa: PLC0415 — only PDF needs it
    from pypdf.errors import FileNotDecryptedError, LimitReachedError  # noqa: PLC0415 — see above

    most = limits.document_bytes
    try:
        # A picture's decoder is a program of its own; no picture is decoded here.
        with pypdf.apply_configuration(
            zlib_maximum_output_length=most,
            lzw_maximum_output_length=most,
            run_length_maximum_output_length=most,
            page_tree_maximum_entries=limits.entries,
            jbig2dec_binary=None,
            disable_legacy_handling=True,
        ):
            return make()
    except (ObjectUnreadable, ObjectSkipped):
        raise
    except FileNotDecryptedError as error:
        raise ObjectUnreadable(FailReason.ENCRYPTED, "encrypted (PDF)") from error
    except (LimitReachedError, MemoryError, RecursionError) as error:
        raise ObjectUnreadable(FailReason.RESOURCE_LIMIT, "the PDF file needs more than is allowed") from error
    except Exception as error:
        raise corrupt() from error


class _PassedOver(logging.Handler):
    """Keeps in mind why the library passed over a part of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.fault: ObjectUnreadable | None = None

    def emit(self, record: logging.LogRecord) -> None:
        for beginning, (reason, detail) in _PASSED_OVER.items():
            if str(record.msg).startswith(beginning):
                self.fault = ObjectUnreadable(reason, detail)


@cache
def passed_over() -> _PassedOver:
    """Sees what the library only logs. From the first call on, it logs nowhere else."""
    handler = _PassedOver()
    logger = logging.getLogger("pypdf")
    logger.addHandler(handler)
    logger.propagate = False
    return handler
