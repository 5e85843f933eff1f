"""Headers that tell of a scan where the body has no room for it."""

from typing import Final

VERSION_HEADER: Final = "X-Scan-Version"
STATUS_HEADER: Final = "X-Scan-Status"
