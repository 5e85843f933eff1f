"""Run as a script: become another program that dies with its parent, if asked as another user.

    python -I -S launch.py '{"parent": PID, "signal": N, "uid": U, "gid": G, "reach": true, "argv": [...]}'

Its own process, not a `preexec_fn`, because the parent has threads; no imports of the project, because it
runs for every child.
"""

import ctypes
import json
import os
import sys
from typing import Any, Final

PR_SET_PDEATHSIG: Final = 1
PR_SET_KEEPCAPS: Final = 8
PR_CAP_AMBIENT: Final = 47
PR_CAP_AMBIENT_RAISE: Final = 2
CAP_DAC_OVERRIDE: Final = 1
CAP_DAC_READ_SEARCH: Final = 2
CAPABILITY_VERSION_3: Final = 0x20080522
CANNOT_START: Final = 127


def main(order: dict[str, Any]) -> None:
    libc = ctypes.CDLL(None, use_errno=True) if sys.platform == "linux" else None
    if order["uid"] is not None:
        _become(order["uid"], order["gid"], libc if order["reach"] else None)
    if libc is not None:
        # After the change of user, which clears it.
        libc.prctl(PR_SET_PDEATHSIG, order["signal"], 0, 0, 0)
    if os.getppid() != order["parent"]:
        sys.exit(CANNOT_START)
    os.umask(0o077)
    os.execv(order["argv"][0], order["argv"])  # noqa: S606 — the order comes from our own parent


def _become(uid: int, gid: int, libc: ctypes.CDLL | None) -> None:
    """Give up root for good. With `libc`, keep only the right to pass through folders closed to the new user."""
    if libc is not None:
        libc.prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0)
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)
    if libc is not None and not (_keep(libc, CAP_DAC_READ_SEARCH) or _keep(libc, CAP_DAC_OVERRIDE)):
        sys.exit("the right to pass through closed folders is not available here")


def _keep(libc: ctypes.CDLL, capability: int) -> bool:
    """Have exactly `capability`, across exec too. False when this process does not hold it."""
    header = (ctypes.c_uint32 * 2)(CAPABILITY_VERSION_3, 0)
    bit = 1 << capability
    sets = (ctypes.c_uint32 * 6)(bit, bit, bit, 0, 0, 0)
    kept = bool(libc.capset(header, sets) == 0)
    return kept and bool(libc.prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, capability, 0, 0) == 0)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
