"""What a child process asks of the system: to end with its parent, and to be refused memory in time."""

import ctypes
import os
import signal
import sys


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent is gone (Linux; elsewhere a closed pipe must do)."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)


def limit_memory(most: int) -> None:
    """Have allocations fail (MemoryError) once this process holds `most` bytes of data (Linux; elsewhere no limit)."""
    if sys.platform == "linux":
        import resource  # noqa: PLC0415 — there is none on Windows

        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
        # Arrow's own allocator gives no addresses back: what one object took, all that follow would go without.
        os.environ["ARROW_DEFAULT_MEMORY_POOL"] = "system"
        # NumPy would set tens of megabytes aside for each core, for algebra that nobody does.
        os.environ["OPENBLAS_NUM_THREADS"] = "1"


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
