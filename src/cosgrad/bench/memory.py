"""The peak memory of a piece of work in this process."""

from __future__ import annotations

import ctypes
import gc
import resource
import sys
from pathlib import Path

from cosgrad.bench.timing import Work

STATUS = Path("/proc/self/status")


def _status(field: str) -> int:
    """Return a field of /proc/self/status in bytes."""
    line = next(line for line in STATUS.read_text().splitlines() if line.startswith(field + ":"))
    return int(line.split()[1]) * 1024


def reset_peak() -> int:
    """Reset the peak, and return the memory in use.

    On Linux, `ru_maxrss` includes the memory that the parent used when it started this process. So Linux's
    own high-water mark is used instead, which can be reset. On other systems, the peak so far is returned.
    """
    if not STATUS.exists():
        return peak()
    Path("/proc/self/clear_refs").write_text("5")
    return _status("VmRSS")


def peak() -> int:
    """Return the high-water mark of this process in bytes."""
    if STATUS.exists():
        return _status("VmHWM")
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def in_use() -> int:
    """Return the bytes in use, after the allocator has returned its free memory.

    On systems other than Linux, return the peak.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # only in glibc
    if trim is not None:
        trim(0)
    return _status("VmRSS") if STATUS.exists() else peak()


def extra(work: Work) -> int:
    """Return the bytes by which the peak during the work exceeds the memory in use before it.

    The inputs count as in use before. The work should have run once already, to compile and warm up.
    """
    in_use()
    before = reset_peak()
    result = work()
    most = peak() - before
    del result
    return max(most, 0)
